import type { HorizontalPodAutoscaler, HPAScalingRules, MetricSpec, MetricStatus, MetricTarget, MetricValueStatus } from '#api/gen/types.ts';
import { describeLabels, describeName, rfc1123 } from './metadata.ts';
import type { Describe } from './types.ts';
import type { DescribeWriter } from './writer.ts';

const unknown = '<unknown>';

export const describeAutoscaler: Describe<HorizontalPodAutoscaler> = (writer, { metadata, spec, status }) => {
  describeName(writer, metadata);
  describeLabels(writer, metadata);
  const { behavior, maxReplicas, metrics = [], minReplicas, scaleTargetRef } = spec;
  writer.row(0, 'CreationTimestamp:', rfc1123(metadata?.creationTimestamp)).row(0, 'Reference:', `${scaleTargetRef.kind}/${scaleTargetRef.name}`).row(0, 'Metrics:', '( current / target )');
  for (const [i, metric] of metrics.entries()) {
    const [title, text] = metricRow(metric, status?.currentMetrics?.[i]);
    writer.row(1, `${title}:`, text);
  }
  writer.row(0, 'Min replicas:', minReplicas ?? '<unset>').row(0, 'Max replicas:', maxReplicas);
  if (behavior !== undefined) {
    writer.row(0, 'Behavior:');
    describeRules(writer, 'Scale Up:', behavior.scaleUp);
    describeRules(writer, 'Scale Down:', behavior.scaleDown);
  }
  writer.row(0, `${scaleTargetRef.kind} pods:`, `${String(status?.currentReplicas ?? 0)} current / ${String(status?.desiredReplicas ?? 0)} desired`);
  const conditions = status?.conditions ?? [];
  if (conditions.length > 0) writer.row(0, 'Conditions:').row(1, 'Type', 'Status', 'Reason', 'Message').row(1, '----', '------', '------', '-------');
  for (const { message, reason, status: is, type } of conditions) writer.row(1, type, is, reason ?? '', message ?? '');
  return Promise.resolve();
};

function metricRow({ containerResource, external, object, pods, resource, type }: MetricSpec, status: MetricStatus | undefined): readonly [string, string] {
  if (resource) return shareRow(`resource ${resource.name} on pods`, resource.target, status?.resource?.current);
  if (containerResource) return shareRow(`resource ${containerResource.name} of container "${containerResource.container}" on pods`, containerResource.target, status?.containerResource?.current);
  if (pods) return [`"${pods.metric.name}" on pods`, `${status?.pods?.current.averageValue ?? unknown} / ${pods.target.averageValue ?? ''}`];
  if (object) return amountRow(`"${object.metric.name}" on ${object.describedObject.kind}/${object.describedObject.name}`, object.target, status?.object?.current);
  return external ? amountRow(`"${external.metric.name}"`, external.target, status?.external?.current) : [`<unknown metric type "${type}">`, ''];
}

function shareRow(title: string, target: MetricTarget, current: MetricValueStatus | undefined): readonly [string, string] {
  if (target.averageValue !== undefined) return [title, `${current?.averageValue ?? unknown} / ${target.averageValue}`];
  const now = current?.averageUtilization === undefined ? unknown : `${String(current.averageUtilization)}% (${current.averageValue ?? '0'})`;
  return [`${title}  (as a percentage of request)`, `${now} / ${target.averageUtilization === undefined ? '<auto>' : `${String(target.averageUtilization)}%`}`];
}

function amountRow(title: string, target: MetricTarget, current: MetricValueStatus | undefined): readonly [string, string] {
  return target.averageValue === undefined ? [`${title} (target value)`, `${current?.value ?? unknown} / ${target.value ?? ''}`] : [`${title} (target average value)`, `${current?.averageValue ?? unknown} / ${target.averageValue}`];
}

function describeRules(writer: DescribeWriter, title: string, rules: HPAScalingRules | undefined): void {
  if (rules === undefined) return;
  writer.row(1, title);
  if (rules.stabilizationWindowSeconds !== undefined) writer.row(2, `Stabilization Window: ${String(rules.stabilizationWindowSeconds)} seconds`);
  writer.row(2, `Select Policy: ${rules.selectPolicy ?? 'Max'}`).row(2, 'Policies:');
  for (const { periodSeconds, type, value } of rules.policies ?? []) writer.row(3, `- Type: ${type}`, `Value: ${String(value)}`, `Period: ${String(periodSeconds)} seconds`);
}

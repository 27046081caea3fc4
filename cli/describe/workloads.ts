import type { Deployment, Pod, ReplicaSet } from '#api/gen/types.ts';
import { formatLabelSelector, requirementsOf } from '#api/meta/selectors.ts';
import { controllerOf, describeLabels, describeName, rfc1123 } from './metadata.ts';
import { describeTemplate } from './pod-spec.ts';
import type { Describe } from './types.ts';
import type { DescribeWriter } from './writer.ts';

export const describeDeployment: Describe<Deployment> = async (writer, deployment, { client }) => {
  const { metadata, spec, status } = deployment;
  describeName(writer, metadata);
  writer.row(0, 'CreationTimestamp:', rfc1123(metadata?.creationTimestamp));
  describeLabels(writer, metadata);
  writer.row(0, 'Selector:', formatLabelSelector(requirementsOf(spec?.selector)));
  writer.row(0, 'Replicas:', `${String(spec?.replicas ?? 1)} desired | ${String(status?.updatedReplicas ?? 0)} updated | ${String(status?.replicas ?? 0)} total | ${String(status?.availableReplicas ?? 0)} available | ${String(status?.unavailableReplicas ?? 0)} unavailable`);
  writer.row(0, 'StrategyType:', spec?.strategy?.type ?? '').row(0, 'MinReadySeconds:', spec?.minReadySeconds ?? 0);
  const rolling = spec?.strategy?.rollingUpdate;
  if (rolling) writer.row(0, 'RollingUpdateStrategy:', `${String(rolling.maxUnavailable ?? '25%')} max unavailable, ${String(rolling.maxSurge ?? '25%')} max surge`);
  describeTemplate(writer, spec?.template);
  describeConditions(writer, status?.conditions);
  const { items } = await client.json<{ items: ReplicaSet[] }>('GET', `/apis/apps/v1/namespaces/${metadata?.namespace ?? ''}/replicasets`);
  const own = items.filter((rs) => rs.metadata?.ownerReferences?.some(({ uid }) => uid === metadata?.uid));
  if (own.length === 0) return;
  const revision = 'deployment.kubernetes.io/revision';
  const isNew = (rs: ReplicaSet): boolean => rs.metadata?.annotations?.[revision] === metadata?.annotations?.[revision];
  writer.row(0, 'OldReplicaSets:', replicaSetsText(own.filter((rs) => !isNew(rs)))).row(0, 'NewReplicaSet:', replicaSetsText(own.filter(isNew)));
};

function replicaSetsText(replicaSets: readonly ReplicaSet[]): string {
  return replicaSets.map(({ metadata, spec, status }) => `${metadata?.name ?? ''} (${String(status?.replicas ?? 0)}/${String(spec?.replicas ?? 0)} replicas created)`).join(', ') || '<none>';
}

export const describeReplicaSet: Describe<ReplicaSet> = async (writer, replicaSet, { client }) => {
  const { metadata, spec, status } = replicaSet;
  describeName(writer, metadata);
  writer.row(0, 'Selector:', formatLabelSelector(requirementsOf(spec?.selector)));
  describeLabels(writer, metadata);
  const controller = controllerOf(metadata);
  if (controller !== undefined) writer.row(0, 'Controlled By:', controller);
  writer.row(0, 'Replicas:', `${String(status?.replicas ?? 0)} current / ${String(spec?.replicas ?? 1)} desired`);
  const { items } = await client.json<{ items: Pod[] }>('GET', `/api/v1/namespaces/${metadata?.namespace ?? ''}/pods`);
  const own = items.filter((pod) => pod.metadata?.ownerReferences?.some(({ uid }) => uid === metadata?.uid));
  const count = (phase: string): string => String(own.filter((pod) => pod.status?.phase === phase).length);
  writer.row(0, 'Pods Status:', `${count('Running')} Running / ${count('Pending')} Waiting / ${count('Succeeded')} Succeeded / ${count('Failed')} Failed`);
  describeTemplate(writer, spec?.template);
  describeConditions(writer, status?.conditions);
};

function describeConditions(writer: DescribeWriter, conditions: readonly { type: string; status: string; reason?: string | undefined }[] = []): void {
  if (conditions.length === 0) return;
  writer.row(0, 'Conditions:').row(1, 'Type', 'Status', 'Reason').row(1, '----', '------', '------');
  for (const { type, status, reason } of conditions) writer.row(1, `${type} `, status, reason ?? '');
}

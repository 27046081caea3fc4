import type { Pod } from '#api/gen/types.ts';
import { humanAge } from '../printing/age.ts';
import { describeContainers } from './containers.ts';
import { controllerOf, describeLabels, describeName, rfc1123 } from './metadata.ts';
import { describePlacement, describeVolumes } from './pod-spec.ts';
import type { Describe } from './types.ts';
import type { DescribeWriter } from './writer.ts';

export const describePod: Describe<Pod> = (writer, pod, { nowMs }) => {
  const { spec, status, metadata } = pod;
  describeName(writer, metadata);
  if (spec?.priority !== undefined) writer.row(0, 'Priority:', spec.priority);
  if (spec?.priorityClassName) writer.row(0, 'Priority Class Name:', spec.priorityClassName);
  if (spec?.runtimeClassName) writer.row(0, 'Runtime Class Name:', spec.runtimeClassName);
  writer.row(0, 'Service Account:', spec?.serviceAccountName ?? '');
  writer.row(0, 'Node:', spec?.nodeName ? `${spec.nodeName}/${status?.hostIP ?? ''}` : '<none>');
  if (status?.startTime) writer.row(0, 'Start Time:', rfc1123(status.startTime));
  describeLabels(writer, metadata);
  describePhase(writer, pod, nowMs);
  writer.row(0, 'IP:', status?.podIP ?? '');
  writer.row(0, 'IPs:', ...(status?.podIPs?.length ? [] : ['<none>']));
  for (const { ip } of status?.podIPs ?? []) writer.row(1, 'IP:', ip);
  const controller = controllerOf(metadata);
  if (controller !== undefined) writer.row(0, 'Controlled By:', controller);
  if (status?.nominatedNodeName) writer.row(0, 'NominatedNodeName:', status.nominatedNodeName);
  if (spec?.initContainers?.length) describeContainers(writer, { title: 'Init Containers', containers: spec.initContainers, statuses: status?.initContainerStatuses, pod });
  describeContainers(writer, { title: 'Containers', containers: spec?.containers ?? [], statuses: status?.containerStatuses, pod });
  if (status?.conditions?.length) {
    writer.row(0, 'Conditions:').row(1, 'Type', 'Status');
    for (const condition of status.conditions) writer.row(1, `${condition.type} `, `${condition.status} `);
  }
  describeVolumes(writer, spec?.volumes);
  writer.row(0, 'QoS Class:', status?.qosClass ?? '');
  describePlacement(writer, spec);
  return Promise.resolve();
};

function describePhase(writer: DescribeWriter, { metadata, status }: Pod, nowMs: number): void {
  const finished = status?.phase === 'Failed' || status?.phase === 'Succeeded';
  if (metadata?.deletionTimestamp !== undefined && !finished) {
    writer.row(0, 'Status:', `Terminating (lasts ${humanAge(nowMs - Date.parse(metadata.deletionTimestamp))})`);
    writer.row(0, 'Termination Grace Period:', `${String(metadata.deletionGracePeriodSeconds ?? 0)}s`);
  } else {
    writer.row(0, 'Status:', status?.phase ?? '');
  }
  if (status?.reason) writer.row(0, 'Reason:', status.reason);
  if (status?.message) writer.row(0, 'Message:', status.message);
}

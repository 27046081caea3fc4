import type { DaemonSet, PersistentVolumeClaim, ReplicationController, StatefulSet } from '#api/gen/types.ts';
import { printLabels } from '#api/meta/columns.ts';
import { printSelector } from '#api/pod-spec/columns.ts';
import { controllerOf, describeAnnotations, describeLabels, describeName, pairs, rfc1123 } from './metadata.ts';
import { podCounts } from './pod-counts.ts';
import { describeTemplate } from './pod-spec.ts';
import type { Describe } from './types.ts';
import type { DescribeWriter } from './writer.ts';

export const describeStatefulSet: Describe<StatefulSet> = async (writer, { metadata, spec, status }, context) => {
  describeName(writer, metadata);
  writer.row(0, 'CreationTimestamp:', rfc1123(metadata?.creationTimestamp)).row(0, 'Selector:', printSelector(spec?.selector));
  describeLabels(writer, metadata);
  writer.row(0, 'Replicas:', `${String(spec?.replicas ?? 0)} desired | ${String(status?.replicas ?? 0)} total`);
  writer.row(0, 'Update Strategy:', spec?.updateStrategy?.type ?? '');
  const partition = spec?.updateStrategy?.rollingUpdate?.partition;
  if (partition !== undefined) writer.row(1, 'Partition:', partition);
  writer.row(0, 'Pods Status:', await podCounts(context, metadata, spec?.selector));
  describeTemplate(writer, spec?.template);
  describeClaims(writer, spec?.volumeClaimTemplates ?? []);
};

function describeClaims(writer: DescribeWriter, claims: readonly PersistentVolumeClaim[]): void {
  if (claims.length === 0) {
    writer.row(0, 'Volume Claims:', '<none>');
    return;
  }
  writer.row(0, 'Volume Claims:');
  for (const { metadata, spec } of claims) {
    writer.row(1, 'Name:', metadata?.name ?? '').row(1, 'StorageClass:', spec?.storageClassName ?? '');
    writer.list('  Labels', pairs(metadata?.labels));
    describeAnnotations(writer, '  Annotations', metadata?.annotations);
    writer.row(1, 'Capacity:', spec?.resources?.requests?.['storage'] ?? '<default>').row(1, 'Access Modes:', `[${(spec?.accessModes ?? []).join(' ')}]`);
  }
}

export const describeDaemonSet: Describe<DaemonSet> = async (writer, { metadata, spec, status }, context) => {
  describeName(writer, metadata);
  writer.row(0, 'Selector:', printSelector(spec?.selector)).row(0, 'Node-Selector:', printLabels(spec?.template.spec?.nodeSelector));
  describeLabels(writer, metadata);
  writer.row(0, `Desired Number of Nodes Scheduled: ${String(status?.desiredNumberScheduled ?? 0)}`);
  writer.row(0, `Current Number of Nodes Scheduled: ${String(status?.currentNumberScheduled ?? 0)}`);
  writer.row(0, `Number of Nodes Scheduled with Up-to-date Pods: ${String(status?.updatedNumberScheduled ?? 0)}`);
  writer.row(0, `Number of Nodes Scheduled with Available Pods: ${String(status?.numberAvailable ?? 0)}`);
  writer.row(0, `Number of Nodes Misscheduled: ${String(status?.numberMisscheduled ?? 0)}`);
  writer.row(0, 'Pods Status:', await podCounts(context, metadata, spec?.selector));
  describeTemplate(writer, spec?.template);
};

export const describeReplicationController: Describe<ReplicationController> = async (writer, { metadata, spec, status }, context) => {
  describeName(writer, metadata);
  writer.row(0, 'Selector:', printLabels(spec?.selector));
  describeLabels(writer, metadata);
  const controller = controllerOf(metadata);
  if (controller !== undefined) writer.row(0, 'Controlled By:', controller);
  writer.row(0, 'Replicas:', `${String(status?.replicas ?? 0)} current / ${String(spec?.replicas ?? 1)} desired`);
  writer.row(0, 'Pods Status:', await podCounts(context, metadata, { matchLabels: spec?.selector }));
  describeTemplate(writer, spec?.template);
};

import type { NodeSelectorRequirement, PersistentVolume, PersistentVolumeClaim, Pod } from '#api/gen/types.ts';
import { printAccessModes, storageClassOf } from '#api/claim-spec/columns.ts';
import { describeLabels, describeName } from './metadata.ts';
import type { Describe } from './types.ts';
import type { DescribeWriter } from './writer.ts';

const notSources = new Set([
  'accessModes', 'capacity', 'claimRef', 'mountOptions', 'nodeAffinity', 'persistentVolumeReclaimPolicy', 'storageClassName', 'volumeAttributesClassName', 'volumeMode',
]);
const titles: Readonly<Record<string, string>> = {
  local: 'LocalVolume (a persistent volume backed by local storage on a node)', hostPath: 'HostPath (bare host directory volume)', nfs: 'NFS (an NFS mount that lasts the lifetime of a pod)',
  csi: 'CSI (a Container Storage Interface (CSI) volume source)', iscsi: 'ISCSI (an ISCSI Disk resource that is attached to a kubelet\'s host machine and then exposed to the pod)',
};

export const describeVolume: Describe<PersistentVolume> = (writer, volume) => {
  const { metadata, spec, status } = volume;
  describeName(writer, metadata);
  describeLabels(writer, metadata);
  writer.row(0, 'Finalizers:', `[${(metadata?.finalizers ?? []).join(' ')}]`).row(0, 'StorageClass:', storageClassOf(volume));
  writer.row(0, 'Status:', metadata?.deletionTimestamp === undefined ? status?.phase ?? '' : 'Terminating');
  writer.row(0, 'Claim:', spec?.claimRef === undefined ? '' : `${spec.claimRef.namespace ?? ''}/${spec.claimRef.name ?? ''}`);
  writer.row(0, 'Reclaim Policy:', spec?.persistentVolumeReclaimPolicy ?? '').row(0, 'Access Modes:', printAccessModes(spec?.accessModes));
  if (spec?.volumeMode !== undefined) writer.row(0, 'VolumeMode:', spec.volumeMode);
  writer.row(0, 'Capacity:', spec?.capacity?.['storage'] ?? '0');
  describeNodes(writer, spec?.nodeAffinity?.required?.nodeSelectorTerms ?? []);
  writer.row(0, 'Message:', status?.message ?? '').row(0, 'Source:');
  for (const [name, source] of Object.entries(spec ?? {})) {
    if (notSources.has(name) || typeof source !== 'object' || source === null) continue;
    writer.row(2, 'Type:', titles[name] ?? name);
    for (const [key, value] of Object.entries(source)) if (typeof value !== 'object') writer.row(2, `${key.charAt(0).toUpperCase()}${key.slice(1)}:`, String(value));
  }
  return Promise.resolve();
};

function describeNodes(writer: DescribeWriter, terms: readonly { readonly matchExpressions?: readonly NodeSelectorRequirement[] | undefined }[]): void {
  if (terms.length === 0) {
    writer.row(0, 'Node Affinity:', '<none>');
    return;
  }
  writer.row(0, 'Node Affinity:', '').row(1, 'Required Terms:', '');
  for (const [i, { matchExpressions = [] }] of terms.entries()) {
    const texts = matchExpressions.map(({ key, operator, values = [] }) => `${key} ${operator.toLowerCase()}${values.length === 0 ? '' : ` [${values.join(', ')}]`}`);
    writer.row(2, `Term ${String(i)}:`, texts[0] ?? '<none>');
    for (const text of texts.slice(1)) writer.row(2, '', text);
  }
}

export const describeClaim: Describe<PersistentVolumeClaim> = async (writer, claim, { client }) => {
  const { metadata, spec, status } = claim;
  const bound = Boolean(spec?.volumeName);
  describeName(writer, metadata);
  writer.row(0, 'StorageClass:', storageClassOf(claim)).row(0, 'Status:', metadata?.deletionTimestamp === undefined ? status?.phase ?? '' : 'Terminating').row(0, 'Volume:', spec?.volumeName ?? '');
  describeLabels(writer, metadata);
  writer.row(0, 'Finalizers:', `[${(metadata?.finalizers ?? []).join(' ')}]`);
  writer.row(0, 'Capacity:', bound ? status?.capacity?.['storage'] ?? '0' : '').row(0, 'Access Modes:', bound ? printAccessModes(status?.accessModes) : '');
  if (spec?.volumeMode !== undefined) writer.row(0, 'VolumeMode:', spec.volumeMode);
  const source = spec?.dataSourceRef ?? spec?.dataSource;
  if (source !== undefined) {
    writer.row(0, 'DataSource:');
    if (source.apiGroup !== undefined) writer.row(1, 'APIGroup:', source.apiGroup);
    writer.row(1, 'Kind:', source.kind).row(1, 'Name:', source.name);
  }
  const { items } = await client.json<{ items: Pod[] }>('GET', `/api/v1/namespaces/${metadata?.namespace ?? ''}/pods`);
  const users = items.filter((pod) => pod.spec?.volumes?.some(({ persistentVolumeClaim }) => persistentVolumeClaim?.claimName === metadata?.name));
  writer.list('Used By', users.map((pod) => pod.metadata?.name ?? ''));
  for (const [i, condition] of (status?.conditions ?? []).entries()) {
    if (i === 0) writer.row(0, 'Conditions:').row(1, 'Type', 'Status', 'Reason', 'Message').row(1, '----', '------', '------', '-------');
    writer.row(1, condition.type, condition.status, condition.reason ?? '', condition.message ?? '');
  }
};

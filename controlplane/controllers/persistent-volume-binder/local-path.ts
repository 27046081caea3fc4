import type { Node, PersistentVolume, PersistentVolumeClaim, StorageClass } from '#api/gen/types.ts';
import { apiVersionOf, persistentVolumeClaims, persistentVolumes } from '#api/kinds/resources.ts';
import { isConditionTrue } from '#api/meta/conditions.ts';
import { annotations, localPathNode, localPathProvisioner } from '#api/volumes/binding.ts';

/** Where the directory is to be. */
export interface ProvisionerNode {
  readonly name: string;
  /** Its label kubernetes.io/hostname. */
  readonly hostname: string;
}

/** Where agents keep volumes unless told otherwise; each knows its own place, so that this is for people to read. */
const usualFolder = '/var/lib/cleat/volumes';
const modes = ['ReadWriteOnce', 'ReadWriteOncePod'];

/** The node that the scheduler has chosen for the claim; else, of those that take pods, the one with the fewest directories. */
export function nodeFor(claim: PersistentVolumeClaim, nodes: readonly Node[], volumes: readonly PersistentVolume[]): ProvisionerNode | undefined {
  const selected = claim.metadata?.annotations?.[annotations.selectedNode];
  const counts = Map.groupBy(volumes, ({ metadata }) => metadata?.annotations?.[localPathNode] ?? '');
  const count = ({ metadata }: Node): number => counts.get(metadata?.name ?? '')?.length ?? 0;
  const node = selected === undefined
    ? nodes.filter(({ spec, status }) => spec?.unschedulable !== true && isConditionTrue(status?.conditions, 'Ready')).sort((a, b) => count(a) - count(b))[0]
    : nodes.find(({ metadata }) => metadata?.name === selected);
  const name = node?.metadata?.name;
  return name === undefined ? undefined : { name, hostname: node?.metadata?.labels?.['kubernetes.io/hostname'] ?? name };
}

/** The volume for a claim as it is made: the node makes the directory when the first pod needs it. A text says why there is none. */
export function localVolume(claim: PersistentVolumeClaim, storageClass: StorageClass, node: ProvisionerNode | undefined): PersistentVolume | string {
  const { accessModes = [], resources, selector, volumeMode = 'Filesystem', dataSource, dataSourceRef } = claim.spec ?? {};
  const { name: claimName, namespace, uid = '' } = claim.metadata ?? {};
  const foreign = accessModes.find((mode) => !modes.includes(mode));
  if (foreign !== undefined) return `a directory on one node cannot be ${foreign}; use ReadWriteOnce or ReadWriteOncePod`;
  if (volumeMode !== 'Filesystem') return 'only volumes of mode Filesystem can be made';
  if (selector !== undefined) return 'claim Selector is not supported';
  if (dataSource ?? dataSourceRef) return 'claims with a data source are not supported';
  if (node === undefined) return 'no node is there to make it on';
  const name = `pvc-${uid}`;
  return {
    apiVersion: apiVersionOf(persistentVolumes), kind: persistentVolumes.kind,
    metadata: { name, annotations: { [annotations.provisionedBy]: localPathProvisioner, [localPathNode]: node.name } },
    spec: {
      capacity: { storage: resources?.requests?.['storage'] ?? '0' }, accessModes, volumeMode,
      persistentVolumeReclaimPolicy: storageClass.reclaimPolicy ?? 'Delete', storageClassName: storageClass.metadata?.name,
      claimRef: { apiVersion: 'v1', kind: persistentVolumeClaims.kind, name: claimName, namespace, uid },
      local: { path: `${usualFolder}/${name}` },
      nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [node.hostname] }] }] } },
    },
  };
}

import { storageClassOf } from '#api/volumes/binding.ts';
import type { NodeInfo, Plugin, PluginHandle, PodInfo, Rejection, StateKey, Storage } from '../../types.ts';

const refused: Rejection = { reasons: ['node(s) exceed max volume count'], resolvable: true };

/** Volumes by the CSI driver that attaches them; a volume is its handle, or its claim while there is none. */
type Volumes = Map<string, Set<string>>;
const wanted: StateKey<Volumes> = { plugin: 'NodeVolumeLimits' };

/** A node takes only as many volumes of a CSI driver as the driver says in its CSINode. */
export function nodeVolumeLimits({ storage }: Partial<PluginHandle> = {}): Plugin {
  return {
    name: 'NodeVolumeLimits',
    events: ['node-added', 'assigned-pod-deleted', 'csi-node-changed', 'claim-changed', 'volumes-changed'],
    helps: (pod, { pod: other, claim }) => (other === undefined
      ? claim === undefined || (claim.metadata?.namespace === pod.namespace && pod.claimNames.includes(claim.metadata.name ?? ''))
      : other.claimNames.length > 0),
    preFilter(pod, _, state) {
      const found: Volumes = new Map();
      if (storage) addVolumes(storage, pod, found);
      if (found.size === 0) return 'skip';
      state.set(wanted, found);
      return undefined;
    },
    filter(_pod, node, state) {
      const found = state.get(wanted);
      return storage && found && exceeds(storage, found, node) ? refused : undefined;
    },
  };
}

function exceeds(storage: Storage, found: Volumes, node: NodeInfo): boolean {
  const limits = storage.csi?.nodes.get(undefined, node.name)?.spec?.drivers ?? [];
  const limited = limits.filter(({ name, allocatable }) => allocatable?.count !== undefined && found.has(name));
  if (limited.length === 0) return false;
  const attached: Volumes = new Map();
  for (const other of node.pods.values()) if (other.claimNames.length > 0) addVolumes(storage, other, attached);
  return limited.some(({ name, allocatable }) => {
    const there = attached.get(name) ?? new Set();
    const more = [...found.get(name) ?? []].filter((volume) => !there.has(volume)).length;
    return more > 0 && there.size + more > (allocatable?.count ?? Infinity);
  });
}

function addVolumes({ claims, volumes, classes }: Storage, pod: PodInfo, into: Volumes): void {
  for (const name of pod.claimNames) {
    const claim = claims.get(pod.namespace, name);
    if (!claim) continue;
    const { volumeName = '' } = claim.spec ?? {};
    const csi = volumeName === '' ? undefined : volumes.get(undefined, volumeName)?.spec?.csi;
    const driver = csi?.driver ?? (volumeName === '' ? classes.get(undefined, storageClassOf(claim))?.provisioner : undefined);
    if (driver === undefined) continue;
    const ids = into.get(driver) ?? new Set();
    into.set(driver, ids.add(csi?.volumeHandle ?? `${pod.namespace}/${name}`));
  }
}

import type { ClusterEvent, CycleState, Plugin, PluginHandle, PodInfo, Rejection, StateKey } from '../../types.ts';

const refused: Rejection = { reasons: ['node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode'], resolvable: true };

/** Claims for one pod only, and how many other pods have them. */
interface Conflicts { readonly claims: ReadonlySet<string>; others: number }
const conflicts: StateKey<Conflicts> = { plugin: 'VolumeRestrictions' };

/** A claim that is ReadWriteOncePod is mounted by one pod in the whole cluster. */
export function volumeRestrictions({ storage }: Partial<PluginHandle> = {}): Plugin {
  const move = (pod: PodInfo, other: PodInfo, state: CycleState, sign: 1 | -1): void => {
    const found = state.get(conflicts);
    if (found && other.namespace === pod.namespace) for (const name of other.claimNames) if (found.claims.has(name)) found.others += sign;
  };
  return {
    name: 'VolumeRestrictions',
    events: ['assigned-pod-deleted', 'claim-changed'],
    helps: (pod, { pod: other, claim }: ClusterEvent) => (other === undefined
      ? claim === undefined || (claim.metadata?.namespace === pod.namespace && pod.claimNames.includes(claim.metadata.name ?? ''))
      : other.namespace === pod.namespace && other.claimNames.some((name) => pod.claimNames.includes(name))),
    preFilter(pod, snapshot, state) {
      const claims = pod.claimNames.filter((name) => storage?.claims.get(pod.namespace, name)?.spec?.accessModes?.includes('ReadWriteOncePod'));
      if (claims.length === 0) return 'skip';
      state.set(conflicts, { claims: new Set(claims), others: claims.reduce((sum, name) => sum + snapshot.podsWithClaim(pod.namespace, name), 0) });
      return undefined;
    },
    addPod(pod, other, _node, state) { move(pod, other, state, 1); },
    removePod(pod, other, _node, state) { move(pod, other, state, -1); },
    filter: (_pod, _node, state) => ((state.get(conflicts)?.others ?? 0) > 0 ? refused : undefined),
  };
}

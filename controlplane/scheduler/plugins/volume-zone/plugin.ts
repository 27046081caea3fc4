import type { PersistentVolume } from '#api/gen/types.ts';
import type { NodeInfo, Plugin, PluginHandle, Rejection, StateKey } from '../../types.ts';

const refused: Rejection = { reasons: ['node(s) had no available volume zone'], resolvable: false };
const topologyLabels = ['topology.kubernetes.io/zone', 'topology.kubernetes.io/region', 'failure-domain.beta.kubernetes.io/zone', 'failure-domain.beta.kubernetes.io/region'];
const separator = '__';

/** By topology label, the values of which the node must have one. */
type Wanted = readonly { readonly key: string; readonly values: readonly string[] }[];
const wanted: StateKey<Wanted> = { plugin: 'VolumeZone' };

/** Volumes labelled with a zone or a region are reached from there only. */
export function volumeZone({ storage }: Partial<PluginHandle> = {}): Plugin {
  return {
    name: 'VolumeZone',
    events: ['node-added', 'node-labels-changed', 'claim-changed', 'volumes-changed'],
    helps: (pod, { claim }) => claim === undefined || (claim.metadata?.namespace === pod.namespace && pod.claimNames.includes(claim.metadata.name ?? '')),
    preFilter(pod, _, state) {
      const volumes = pod.claimNames.flatMap((name) => storage?.volumes.get(undefined, storage.claims.get(pod.namespace, name)?.spec?.volumeName ?? '') ?? []);
      const found = volumes.flatMap(zonesOf);
      if (found.length === 0) return 'skip';
      state.set(wanted, found);
      return undefined;
    },
    filter: (_pod, node, state) => (state.get(wanted)?.every((one) => isThere(one, node)) === false ? refused : undefined),
  };
}

function zonesOf({ metadata }: PersistentVolume): Wanted {
  return topologyLabels.flatMap((key) => {
    const value = metadata?.labels?.[key];
    return value === undefined ? [] : [{ key, values: value.split(separator) }];
  });
}

/** A node that has none of the labels is in a cluster without zones. */
function isThere({ key, values }: Wanted[number], { labels }: NodeInfo): boolean {
  if (topologyLabels.every((one) => labels[one] === undefined)) return true;
  return values.includes(labels[key] ?? labels[otherName(key)] ?? '');
}

/** The label of the same meaning from before, or since, it was renamed. */
function otherName(key: string): string {
  return key.startsWith('topology') ? key.replace('topology.kubernetes.io', 'failure-domain.beta.kubernetes.io') : key.replace('failure-domain.beta.kubernetes.io', 'topology.kubernetes.io');
}

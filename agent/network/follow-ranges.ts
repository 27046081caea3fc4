import { isDeepStrictEqual } from 'node:util';
import { configMaps } from '#api/kinds/resources.ts';
import { rangesConfigMap, rangesFrom, type ClusterRanges } from '#api/network/ranges.ts';
import type { DesiredState } from '#agent/state/types.ts';

/** The cluster's ranges of addresses: what the control plane last said, before that what is given. Calls `changed` once, when it says something else. */
export function followRanges(state: DesiredState, { podCidr, serviceCidr, clusterDns }: ClusterRanges, changed: () => void): ClusterRanges {
  const { namespace, name } = rangesConfigMap;
  const current = (): ClusterRanges => rangesFrom(state.get(configMaps, namespace, name)) ?? { podCidr, serviceCidr, clusterDns };
  const ranges = current();
  const unsubscribe = state.subscribe((changes) => {
    const concerned = changes.some((c) => c.resource.plural === configMaps.plural && (c.type === 'set' ? c.object.metadata?.name : c.name) === name);
    if (!concerned || isDeepStrictEqual(current(), ranges)) return;
    unsubscribe();
    changed();
  });
  return ranges;
}

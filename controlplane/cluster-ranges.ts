import { randomBytes } from 'node:crypto';
import type { ConfigMap } from '#api/gen/types.ts';
import { configMaps } from '#api/kinds/resources.ts';
import { rangesConfigMap, rangesFrom, withIpv6, type ClusterRanges } from '#api/network/ranges.ts';
import { storeKey } from './store/keys.ts';
import type { Store } from './store/types.ts';

/** The cluster's ranges: those of the flags and, with `dualStack`, IPv6 ranges that were made up once and are kept in the store. */
export async function clusterRanges(store: Pick<Store, 'get'>, { podCidr, serviceCidr, clusterDns, dualStack }: ClusterRanges & { readonly dualStack: boolean }): Promise<ClusterRanges> {
  const flags = { podCidr, serviceCidr, clusterDns };
  if (!dualStack) return flags;
  const entry = await store.get(storeKey(configMaps, rangesConfigMap.namespace, rangesConfigMap.name));
  const known = entry && rangesFrom(JSON.parse(Buffer.from(entry.value).toString()) as ConfigMap);
  return withIpv6(flags, known, randomBytes(5).toString('hex'));
}

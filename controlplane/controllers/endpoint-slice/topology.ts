import type { Node, Service } from '#api/gen/types.ts';
import { isConditionTrue } from '#api/meta/conditions.ts';
import { parseQuantity } from '#api/meta/quantity.ts';

/** Source: https://kubernetes.io/docs/concepts/services-networking/topology-aware-routing/ */
const modeAnnotations = ['service.kubernetes.io/topology-mode', 'service.kubernetes.io/topology-aware-hints'];
const notForWork = ['node-role.kubernetes.io/control-plane', 'node-role.kubernetes.io/master'];
export const zoneLabel = 'topology.kubernetes.io/zone';
/** How much more than its share of the traffic an endpoint may get. */
const overload = 0.2;

/** Whether endpoints are to be shared out to zones by the CPUs that these have. */
export function isShared({ metadata, spec }: Service): boolean {
  return spec?.trafficDistribution === undefined && modeAnnotations.some((name) => /^auto$/i.test(metadata?.annotations?.[name] ?? ''));
}

/** The part of all CPUs that each zone has; undefined where there are not two zones, or a node does not say its own. */
export function sharesOf(nodes: readonly Node[]): ReadonlyMap<string, number> | undefined {
  const cpus = new Map<string, number>();
  let total = 0;
  for (const { metadata, status } of nodes) {
    if (notForWork.some((label) => metadata?.labels?.[label] !== undefined) || !isConditionTrue(status?.conditions, 'Ready')) continue;
    const zone = metadata?.labels?.[zoneLabel];
    const cpu = Number(parseQuantity(status?.allocatable?.['cpu'] ?? '0'));
    if (zone === undefined || cpu === 0) return undefined;
    cpus.set(zone, (cpus.get(zone) ?? 0) + cpu);
    total += cpu;
  }
  return cpus.size < 2 ? undefined : new Map([...cpus].map(([zone, cpu]) => [zone, cpu / total]));
}

export interface Shared {
  readonly id: string;
  readonly zone: string | undefined;
  /** The zone that it serves so far. */
  readonly before: string | undefined;
}

/**
 * Which zone each of the ready endpoints is to serve, by id: its own, unless that has more of them than its share and
 * another too few. Undefined where hints would do harm: fewer endpoints than zones, or one that is nowhere.
 */
export function shareOut(endpoints: readonly Shared[], shares: ReadonlyMap<string, number>): ReadonlyMap<string, string> | undefined {
  if (endpoints.length < shares.size || endpoints.some(({ zone }) => zone === undefined || !shares.has(zone))) return undefined;
  const least = new Map([...shares].map(([zone, share]) => [zone, Math.ceil((share * endpoints.length) / (1 + overload))]));
  const spare = endpoints.length - [...least.values()].reduce((a, b) => a + b, 0);
  if (spare < 0) return undefined;
  const room = new Map([...least].map(([zone, count]) => [zone, count + spare]));
  const hints = new Map<string, string>();
  const counts = new Map<string, number>();
  const give = (id: string, zone: string): void => { hints.set(id, zone); counts.set(zone, (counts.get(zone) ?? 0) + 1); };
  const lacks = (zone: string): boolean => (counts.get(zone) ?? 0) < (least.get(zone) ?? 0);
  // Those that serve their own zone go on, so that few have to change.
  const sorted = [...endpoints].sort((a, b) => Number(b.before === b.zone) - Number(a.before === a.zone));
  const left = sorted.filter(({ id, zone = '' }) => {
    if ((counts.get(zone) ?? 0) >= (room.get(zone) ?? 0)) return true;
    give(id, zone);
    return false;
  });
  for (const { id, before, zone = '' } of left) give(id, before !== undefined && lacks(before) ? before : [...shares.keys()].find(lacks) ?? zone);
  // Zones that have too few take from those that have most to spare.
  for (const zone of shares.keys()) {
    while (lacks(zone)) {
      const spareOf = (other: string): number => (counts.get(other) ?? 0) - (shares.get(other) ?? 0) * endpoints.length;
      const [richest = ''] = [...shares.keys()].sort((a, b) => spareOf(b) - spareOf(a));
      const moved = sorted.findLast(({ id }) => hints.get(id) === richest);
      if (richest === zone || moved === undefined) return undefined;
      counts.set(richest, (counts.get(richest) ?? 0) - 1);
      give(moved.id, zone);
    }
  }
  return hints;
}

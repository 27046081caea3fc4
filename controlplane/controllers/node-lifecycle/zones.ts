import type { Node } from '#api/gen/types.ts';

export interface ZoneCount { readonly total: number; readonly notReady: number }
export type ZoneState = 'Normal' | 'PartialDisruption' | 'FullDisruption';

/** Kubernetes' defaults: --unhealthy-zone-threshold, --large-cluster-size-threshold, --node-eviction-rate, --secondary-node-eviction-rate. */
const unhealthyShare = 0.55;
const largeZone = 50;
const evictionsPerSecond = 0.1;
const slowEvictionsPerSecond = 0.01;

/** Source: https://kubernetes.io/docs/concepts/architecture/nodes/#rate-limits-on-eviction */
export function zoneState({ total, notReady }: ZoneCount): ZoneState {
  if (notReady > 0 && notReady === total) return 'FullDisruption';
  return notReady > 2 && notReady / total >= unhealthyShare ? 'PartialDisruption' : 'Normal';
}

/**
 * From how many nodes of a zone pods may be evicted per second. With every zone down it is this side that is cut off:
 * from none. With most of one zone down, the fault may be what its nodes have in common (a dead switch must not move
 * the whole fleet): from few where that leaves many to go to, else from none.
 */
export function evictionRate(zone: ZoneCount, everyZoneDown: boolean): number {
  if (everyZoneDown) return 0;
  if (zoneState(zone) !== 'PartialDisruption') return evictionsPerSecond;
  return zone.total > largeZone ? slowEvictionsPerSecond : 0;
}

export function zoneOf(node: Node): string {
  const labels = node.metadata?.labels;
  return `${labels?.['topology.kubernetes.io/region'] ?? ''}:${labels?.['topology.kubernetes.io/zone'] ?? ''}`;
}

interface Zone {
  total: number;
  notReady: number;
  /** Monotonic; when pods of the next node may be evicted. */
  nextMs: number;
}

/** How the nodes of each zone are, kept up to date node by node. */
export class Zones {
  readonly #zones = new Map<string, Zone>();
  readonly #nodes = new Map<string, { readonly zone: string; readonly ready: boolean }>();
  #down = 0;

  /** Takes in how a node is; true when that changed how many nodes may be evicted from, in its zone or elsewhere. */
  set(node: string, zone: string, ready: boolean): boolean {
    const known = this.#nodes.get(node);
    if (known?.zone === zone && known.ready === ready) return false;
    const before = this.#rates(known?.zone, zone);
    if (known) this.#add(known.zone, known.ready, -1);
    this.#nodes.set(node, { zone, ready });
    this.#add(zone, ready, 1);
    return this.#rates(known?.zone, zone) !== before;
  }

  forget(node: string): boolean {
    const known = this.#nodes.get(node);
    if (!known) return false;
    const before = this.#rates(known.zone);
    this.#nodes.delete(node);
    this.#add(known.zone, known.ready, -1);
    return this.#rates(known.zone) !== before;
  }

  count(zone: string): ZoneCount {
    return this.#zones.get(zone) ?? { total: 0, notReady: 0 };
  }

  get everyZoneDown(): boolean { return this.#down > 0 && this.#down === this.#zones.size; }

  /** Nodes of a zone that may be evicted from, per second. */
  rate(zone: string): number {
    return evictionRate(this.count(zone), this.everyZoneDown);
  }

  /** How long until another node of the zone may be evicted from; Infinity while none may. */
  waitMs(zone: string, nowMs: number): number {
    return this.rate(zone) === 0 ? Infinity : Math.max(0, (this.#zones.get(zone)?.nextMs ?? 0) - nowMs);
  }

  /** A node is about to be evicted from: the next one of its zone has to wait. Returns how to take that back. */
  evicted(name: string, nowMs: number): () => void {
    const zone = this.#zones.get(name);
    if (!zone) return () => undefined;
    const before = zone.nextMs;
    zone.nextMs = nowMs + 1000 / this.rate(name);
    return () => { zone.nextMs = before; };
  }

  #add(name: string, ready: boolean, count: 1 | -1): void {
    const zone = this.#zones.get(name) ?? { total: 0, notReady: 0, nextMs: 0 };
    if (zoneState(zone) === 'FullDisruption') this.#down -= 1;
    zone.total += count;
    if (!ready) zone.notReady += count;
    if (zoneState(zone) === 'FullDisruption') this.#down += 1;
    if (zone.total > 0) this.#zones.set(name, zone);
    else this.#zones.delete(name);
  }

  #rates(...zones: (string | undefined)[]): string {
    return [this.everyZoneDown, ...zones.map((zone) => (zone === undefined ? 0 : this.rate(zone)))].join();
  }
}

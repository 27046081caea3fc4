import type { Node } from '#api/gen/types.ts';
import type { Clock } from '#common/clock.ts';
import type { Log } from '#common/log.ts';
import type { Heartbeats } from './heartbeats.ts';
import { isReadyNode } from './reconcile.ts';
import { zoneOf, type Zones } from './zones.ts';

export interface FleetHealthDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly heartbeats: Heartbeats;
  readonly zones: Zones;
  readonly nodes: () => readonly Node[];
}

/** While nodes are being lost all are looked at so often at most. */
const scanMs = 250;

/** Keeps the zones up to date with what nodes report and with those that say nothing. */
export class FleetHealth {
  readonly #deps: FleetHealthDeps;
  /** Nodes that have been silent for a while: those that are lost, and those that may be about to be. */
  readonly #suspects = new Set<string>();
  #scannedMs = -Infinity;
  #onceReady = false;

  constructor(deps: FleetHealthDeps) {
    this.#deps = deps;
  }

  isSuspect(name: string): boolean { return this.#suspects.has(name); }

  /** True when that changed from how many nodes may be evicted. */
  forget(name: string): boolean {
    this.#suspects.delete(name);
    return this.#deps.zones.forget(name);
  }

  /** Likewise. Whoever is silent for half the time counts already: hosts vanish together, and are missed one by one. */
  takeIn(node: Node): boolean {
    const name = node.metadata?.name ?? '';
    if (this.#deps.heartbeats.isOverdue(name)) this.#suspects.add(name);
    else this.#suspects.delete(name);
    this.#onceReady ||= isReadyNode(node);
    return this.#deps.zones.set(name, zoneOf(node), !this.#suspects.has(name) && isReadyNode(node));
  }

  /** Takes in how the node is; when it is lost, how all are. True when every node is to be looked at for it. */
  judge(node: Node): boolean {
    const { heartbeats, zones } = this.#deps;
    const zone = zoneOf(node);
    const [wasDown, wasStopped] = [zones.everyZoneDown, zones.rate(zone) === 0];
    const changed = [this.takeIn(node), heartbeats.isLost(node.metadata?.name ?? '') && this.#scan()].includes(true);
    if (!changed) return false;
    this.#tell(zone, wasDown, wasStopped);
    // As after a start: it was not their fault, and they dial again one by one.
    if (wasStopped && zones.rate(zone) > 0) for (const other of this.#deps.nodes()) if (wasDown || zoneOf(other) === zone) heartbeats.expectAnew(other.metadata?.name ?? '');
    return true;
  }

  #scan(): boolean {
    const nowMs = this.#deps.clock.monotonic();
    if (nowMs - this.#scannedMs < scanMs) return false;
    this.#scannedMs = nowMs;
    return this.#deps.nodes().map((node) => this.takeIn(node)).includes(true);
  }

  #tell(zone: string, wasDown: boolean, wasStopped: boolean): void {
    const { log, zones } = this.#deps;
    const { total, notReady } = zones.count(zone);
    const facts = { zone, total, notReady, evictionsPerSecond: zones.rate(zone) };
    // The first nodes of a cluster are no outage, nor is the start of its only one.
    const worthWarning = this.#onceReady && this.#deps.nodes().length > 1;
    if (zones.everyZoneDown && !wasDown && worthWarning) log.warn(facts, 'no node is ready any more, evicting nobody');
    else if (zones.rate(zone) === 0 && !wasStopped && worthWarning) log.warn(facts, 'most nodes of a zone are not ready, evicting nobody there');
    else log.info(facts, 'the state of a zone has changed');
  }
}

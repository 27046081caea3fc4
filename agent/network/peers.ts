import { backoffMs } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import type { Log } from '#common/log.ts';
import { Wakeup } from '#common/wakeup.ts';
import { shown } from './links.ts';
import { baseOf } from './plan.ts';
import type { Prober } from './prober.ts';
import type { CheckResult, PeerPlan, PeerStatus } from './types.ts';

export interface PeersDeps {
  readonly prober: Pick<Prober, 'ask' | 'stream' | 'address'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
  /** What the kernel has learned of the path to an address; undefined for nothing. */
  readonly learnedMtu: (address: string, signal: AbortSignal) => Promise<number | undefined>;
  /** Called when packets to a peer must be smaller, or may be larger again, than before. */
  readonly changed: () => void;
}

/** A plan and the largest packet that its interface takes. */
export interface ProbedPlan {
  readonly plan: PeerPlan;
  readonly nominalMtu: number;
}

interface State extends ProbedPlan {
  readonly address: string;
  mtu: number | undefined;
  seenMs: number | undefined;
  /** When it asked this host last. */
  heardMs?: number;
  rttMs: number | undefined;
  failures: number;
  dueMs: number;
}

/** Below this nothing is looked for: every IPv4 host takes so much, and every IPv6 one 1280. */
const smallest = { ipv4: 576, ipv6: 1280 } as const;
/** One packet to each peer as often as this shows that it lives, and that packets of full size still arrive. */
const lookMs = 60_000;
const retry = { baseMs: 1000, maxMs: lookMs, jitter: 0.2 } as const;
const parallelLooks = 8;

/** What is known of each peer from asking it: whether it answers, and the largest packet that reaches it. One loop. */
export class Peers {
  readonly #deps: PeersDeps;
  readonly #peers = new Map<string, State>();
  readonly #wakeup = new Wakeup();

  constructor(deps: PeersDeps) {
    this.#deps = deps;
  }

  /** The plans as of now. A peer that is reached differently than before is measured anew. */
  follow(plans: readonly ProbedPlan[]): void {
    const family = this.#deps.prober.address.includes(':');
    for (const name of this.#peers.keys()) if (!plans.some(({ plan }) => plan.nodeName === name)) this.#peers.delete(name);
    for (const { plan, nominalMtu } of plans) {
      const base = plan.podCidrs.find((cidr) => cidr.includes(':') === family);
      const before = this.#peers.get(plan.nodeName);
      if (before && JSON.stringify([before.plan, before.nominalMtu]) === JSON.stringify([plan, nominalMtu])) continue;
      const kept = { seenMs: before?.seenMs, rttMs: before?.rttMs };
      this.#peers.set(plan.nodeName, { plan, nominalMtu, address: base === undefined ? '' : baseOf(base), mtu: undefined, ...kept, failures: 0, dueMs: this.#deps.clock.monotonic() });
    }
    this.#wakeup.notify();
  }

  /** Peers whose packets must be smaller than their interface takes. */
  mtus(): ReadonlyMap<string, number> {
    return new Map([...this.#peers].flatMap(([name, { mtu, nominalMtu }]) => (mtu !== undefined && mtu < nominalMtu ? [[name, mtu] as const] : [])));
  }

  /** A peer has asked this host. */
  heard(address: string): void {
    for (const peer of this.#peers.values()) if (peer.address === address) peer.seenMs = peer.heardMs = this.#deps.clock.monotonic();
  }

  statuses(): PeerStatus[] {
    const nowMs = this.#deps.clock.monotonic();
    return [...this.#peers.values()].map(({ plan, mtu, nominalMtu, seenMs, rttMs, failures }) => ({
      node: plan.nodeName, how: plan.how === 'relay' ? `wireguard through ${plan.relay ?? ''}` : plan.how, why: plan.why, mtu: mtu ?? (plan.how === 'none' ? 0 : nominalMtu),
      ...(seenMs !== undefined && { seenAgoMs: Math.round(nowMs - seenMs) }), ...(rttMs !== undefined && { rttMs: Math.round(rttMs * 100) / 100 }),
      ...(plan.how === 'none' ? { problem: plan.why } : failures > 0 && { problem: 'does not answer' }),
    }));
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const { clock } = this.#deps;
      const nowMs = clock.monotonic();
      const due = [...this.#peers.values()].filter((peer) => peer.dueMs <= nowMs && peer.plan.how !== 'none' && peer.address !== '');
      for (let i = 0; i < due.length; i += parallelLooks) await Promise.all(due.slice(i, i + parallelLooks).map((peer) => this.#look(peer, signal)));
      const next = Math.min(...[...this.#peers.values()].filter(({ plan, address }) => plan.how !== 'none' && address !== '').map(({ dueMs }) => dueMs), clock.monotonic() + lookMs);
      const cancel = clock.after(Math.max(0, next - clock.monotonic()), () => { this.#wakeup.notify(); });
      try {
        await this.#wakeup.wait(signal);
      } finally {
        cancel();
      }
    }
  }

  /** Asks every peer now, so that what is shown is no memory. */
  async lookNow(signal: AbortSignal): Promise<void> {
    const reachable = [...this.#peers.values()].filter(({ plan, address }) => plan.how !== 'none' && address !== '');
    await Promise.all(reachable.map(async (peer) => { this.#note(peer, await this.#deps.prober.ask(peer.address, 0, 2, signal)); }));
  }

  /** Sends packets of full size to every peer, UDP and TCP, and says what of it arrives. */
  async check(signal: AbortSignal): Promise<CheckResult[]> {
    return (await Promise.all([...this.#peers.values()].map((peer) => this.#checkOne(peer, signal)))).flat();
  }

  async #checkOne(peer: State, signal: AbortSignal): Promise<CheckResult[]> {
    const { plan, address, nominalMtu } = peer;
    const bytes = peer.mtu ?? nominalMtu;
    const result = (protocol: 'UDP' | 'TCP', problem: string | undefined): CheckResult => ({ to: plan.nodeName, protocol, bytes, ...(problem !== undefined && { problem }) });
    if (plan.how === 'none') return [result('UDP', plan.why)];
    const { prober, clock } = this.#deps;
    const startMs = clock.monotonic();
    const rtt = await prober.ask(address, bytes, 3, signal);
    this.#note(peer, rtt);
    if (rtt === undefined) {
      const least = await prober.ask(address, 0, 2, signal);
      if (least === undefined) return [{ ...result('UDP', 'nothing arrives, or no answer comes back'), heard: (peer.heardMs ?? -1) >= startMs }];
      const [largest, stream] = await Promise.all([largestPacket(prober, address, smallestOf(address), bytes, signal), prober.stream(address, signal)]);
      return [result('UDP', `packets of ${String(bytes)} bytes do not arrive; the largest that do have ${String(largest ?? 0)}`), result('TCP', stream)];
    }
    return [result('UDP', undefined), result('TCP', await prober.stream(address, signal))];
  }

  async #look(peer: State, signal: AbortSignal): Promise<void> {
    const { prober, clock, random, log, changed } = this.#deps;
    const known = peer.mtu;
    const rtt = known === undefined ? undefined : await prober.ask(peer.address, known, 2, signal);
    // Unless all is as it was: how large may packets be?
    const mtu = rtt === undefined ? await this.#measure(peer, signal) : known;
    if (rtt === undefined && mtu !== undefined) peer.mtu = mtu;
    if (rtt !== undefined) this.#note(peer, rtt);
    peer.failures = mtu === undefined ? peer.failures + 1 : 0;
    peer.dueMs = clock.monotonic() + (mtu === undefined ? backoffMs(retry, peer.failures, random) : lookMs);
    if (mtu === undefined || mtu === known) return;
    if (mtu < peer.nominalMtu || known !== undefined) log.info({ peer: peer.plan.nodeName, mtu, linkMtu: peer.nominalMtu }, 'largest packet to a peer found');
    changed();
  }

  /** The largest packet that reaches the peer; undefined when none does. */
  async #measure(peer: State, signal: AbortSignal): Promise<number | undefined> {
    const { prober, learnedMtu } = this.#deps;
    const { address, nominalMtu } = peer;
    const rtt = await prober.ask(address, nominalMtu, 2, signal);
    // What the kernel knows to be too large it sends in pieces, which arrive: the answer alone proves nothing.
    const limit = Math.min(nominalMtu, await learnedMtu(address, signal) ?? nominalMtu);
    if (rtt !== undefined) this.#note(peer, rtt);
    if (rtt !== undefined && limit === nominalMtu) return nominalMtu;
    const least = smallestOf(address);
    const small = await prober.ask(address, least, 2, signal);
    if (small === undefined) return undefined;
    this.#note(peer, small);
    return await prober.ask(address, limit, 2, signal) === undefined ? largestPacket(prober, address, least, limit, signal) : limit;
  }

  #note(peer: State, rttMs: number | undefined): void {
    if (rttMs === undefined) return;
    peer.rttMs = rttMs;
    peer.seenMs = this.#deps.clock.monotonic();
  }
}

function smallestOf(address: string): number {
  return address.includes(':') ? smallest.ipv6 : smallest.ipv4;
}

/** Sizes that are tried at the same time: what does not arrive costs a timeout, however many they are. */
const parallelSizes = 12;

/** Narrows down from a size that arrives and one that does not; undefined when the first does not arrive either. */
export async function largestPacket(prober: Pick<Prober, 'ask'>, address: string, least: number, most: number, signal: AbortSignal): Promise<number | undefined> {
  if (await prober.ask(address, least, 2, signal) === undefined) return undefined;
  let [low, high] = [least, most];
  while (high - low > 1) {
    const step = Math.max(1, Math.ceil((high - low) / (parallelSizes + 1)));
    const sizes: number[] = [];
    for (let size = low + step; size < high; size += step) sizes.push(size);
    const arrived = await Promise.all(sizes.map((size) => prober.ask(address, size, 2, signal)));
    const first = arrived.indexOf(undefined);
    if (first >= 0) high = sizes[first] ?? high;
    low = sizes[(first < 0 ? sizes.length : first) - 1] ?? low;
  }
  return low;
}

/** Source: ip-route(8), `route get`: the path's MTU stands among the metrics once the kernel has learned it. */
export async function learnedMtu(address: string, signal: AbortSignal): Promise<number | undefined> {
  const [route] = await shown('ip', [...(address.includes(':') ? ['-6'] : []), 'route', 'get', address], signal);
  const metrics = Array.isArray(route?.['metrics']) ? route['metrics'] as { mtu?: unknown }[] : [];
  const mtu = metrics.find((metric) => typeof metric.mtu === 'number')?.mtu;
  return typeof mtu === 'number' ? mtu : undefined;
}

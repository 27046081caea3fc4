import { randomUUID } from 'node:crypto';
import type { Clock } from '#common/clock.ts';
import { messageOf } from '#common/errors.ts';
import { isAbort, type Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import { Wakeup } from '#common/wakeup.ts';
import { nodeEvent } from '#agent/session/node-event.ts';
import type { AgentEvents } from '#agent/session/types.ts';
import type { DesiredState } from '#agent/state/types.ts';
import type { HeldAddresses } from './addresses.ts';
import { audience, elect, type Claimable, type Peer } from './election.ts';
import { decodeBeat, encodeBeat, Memory } from './message.ts';
import type { BeatSocket } from './socket.ts';
import { wantedOf, type Wanted } from './wanted.ts';

export interface SpeakerDeps {
  readonly state: DesiredState;
  readonly addresses: Pick<HeldAddresses, 'present' | 'hold' | 'release' | 'announce' | 'isTaken'>;
  /** Addresses that earlier lives of the agent answered for. */
  readonly before: ReadonlySet<string>;
  /** Opens where beats are sent and heard; `address` is this host's own. */
  readonly open: (address: string, heard: (bytes: Uint8Array) => void) => Promise<BeatSocket>;
  /** Why this host cannot serve Services now; undefined when it can. */
  readonly problem: () => string | undefined;
  /** Whether the host as a whole is going down. */
  readonly isHostStopping: () => Promise<boolean>;
  readonly events: AgentEvents;
  readonly clock: Clock;
  readonly log: Log;
}

export interface SpeakerConfig {
  readonly nodeName: string;
  /** How often hosts say that they live, as long as there are addresses to watch. */
  readonly beatMs: number;
  /** Silence after which a host counts as lost. */
  readonly validMs: number;
  /** The same when its agent has said that it restarts. */
  readonly restartMs: number;
  /** How often the kernel is told to keep what it has. */
  readonly renewMs: number;
  /** How long an address is left alone that somebody else on the link answers for. */
  readonly conflictMs: number;
}

export const speakerDefaults = { beatMs: 400, validMs: 1300, restartMs: 10_000, renewMs: 3000, conflictMs: 30_000 } as const;

/** The word may get lost, and hosts believe no word that comes within a second of another. */
const announceAgainMs = [300, 1100, 2200];
const listenMs = 150;
const normalLifetimeSeconds = 8;
const restartLifetimeSeconds = 12;

/**
 * Answers for addresses of the pool on this host: agrees with other hosts on who holds which, over UDP and without the
 * control plane, and gives the kernel those that are this host's. One loop does everything; it rests where no Service has such an address.
 */
export class Speaker implements Runnable {
  readonly #deps: SpeakerDeps;
  readonly #config: SpeakerConfig;
  readonly #life = randomUUID();
  readonly #wakeup = new Wakeup();
  readonly #peers = new Map<string, Peer>();
  readonly #memory = new Memory();
  readonly #held = new Map<string, Claimable>();
  readonly #settledMs = new Map<string, number>();
  readonly #conflicts = new Map<string, number>();
  /** Of what this host holds, what another one holds, or may have held while it was not heard: the link may believe that one. */
  readonly #contested = new Set<string>();
  /** Addresses that an earlier life left in the kernel, until it is known whose they are. */
  #left = new Set<string>();
  #sequence = 0;
  #wanted: Wanted | undefined;
  #dirty = true;
  #socket: BeatSocket | undefined;
  #socketAddress = '';
  #beatAtMs = 0;
  #renewAtMs = 0;

  constructor(deps: SpeakerDeps, config: SpeakerConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  async start(signal: AbortSignal): Promise<void> {
    const stop = this.#deps.state.subscribe(() => { this.#dirty = true; this.#wakeup.notify(); });
    try {
      this.#refresh();
      this.#left = new Set(await this.#deps.addresses.present(this.#deps.before, signal));
      while (!signal.aborted) await this.#turn(signal);
    } catch (error) {
      if (!isAbort(error, signal)) throw error;
    } finally {
      stop();
      await this.#leave();
      this.#socket?.close();
    }
  }

  async #turn(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    if (this.#dirty) this.#refresh();
    await this.#listen();
    const { claim, release, againMs } = this.#elect();
    let claimed = 0;
    try {
      if (release.length > 0) await this.#release(release, signal);
      for (const claimable of claim) {
        await this.#claim(claimable, signal);
        claimed++;
        // Each takes a while: many must make neither the others believe that this host is lost, nor its kernel forget the first ones.
        if (clock.monotonic() >= Math.min(this.#beatAtMs, this.#renewAtMs)) break;
      }
      if (claimed === claim.length) await this.#dropLeft(signal);
      this.#followContests(signal);
      if (clock.monotonic() >= this.#renewAtMs) await this.#renew(signal);
    } catch (error) {
      if (signal.aborted) throw error;
      log.warn({ err: messageOf(error) }, 'addresses of load balancers cannot be changed; retrying');
      await clock.sleep(this.#config.beatMs, signal);
    }
    const talks = this.#audience().size > 0;
    if (talks && (claim.length + release.length > 0 || clock.monotonic() >= this.#beatAtMs)) await this.#beat();
    if (claimed < claim.length) return;
    const nextMs = Math.min(againMs, talks ? this.#beatAtMs : Infinity, this.#held.size > 0 ? this.#renewAtMs : Infinity, ...this.#conflicts.values());
    await this.#rest(nextMs, signal);
  }

  async #rest(untilMs: number, signal: AbortSignal): Promise<void> {
    if (this.#dirty) return;
    const { clock } = this.#deps;
    const waitMs = untilMs - clock.monotonic();
    if (waitMs <= 0) { await Promise.resolve(); return; }
    if (waitMs === Infinity) await this.#wakeup.wait(signal);
    else await this.#wakeup.waitAtMost(waitMs, clock, signal);
  }

  #refresh(): void {
    this.#dirty = false;
    const nowMs = this.#deps.clock.monotonic();
    const before = new Map((this.#wanted?.claimables ?? []).map(({ ip, order }) => [ip, order]));
    this.#wanted = wantedOf(this.#deps.state);
    const { nodeName } = this.#config;
    const ips = new Set<string>();
    for (const { ip, order } of this.#wanted?.claimables ?? []) {
      ips.add(ip);
      // Somebody of whom nothing was heard may hold it already.
      const strangers = order.filter((node) => node !== nodeName && !this.#peers.has(node) && before.get(ip)?.includes(node) !== true);
      if (order.includes(nodeName) && (strangers.length > 0 || before.get(ip)?.includes(nodeName) === false)) this.#settledMs.set(ip, nowMs + settleMs(this.#config));
    }
    for (const ip of this.#settledMs.keys()) if (!ips.has(ip)) this.#settledMs.delete(ip);
    const nodes = new Set(this.#wanted?.addresses.keys());
    for (const node of this.#peers.keys()) if (!nodes.has(node)) this.#peers.delete(node);
    this.#memory.keep(nodes);
  }

  #elect(): ReturnType<typeof elect> {
    const nowMs = this.#deps.clock.monotonic();
    for (const [ip, untilMs] of this.#conflicts) if (untilMs <= nowMs) this.#conflicts.delete(ip);
    const claimables = (this.#wanted?.claimables ?? []).filter(({ ip }) => !this.#conflicts.has(ip));
    return elect({ me: this.#config.nodeName, able: this.#deps.problem() === undefined, nowMs, settledMs: this.#settledMs, claimables, peers: this.#peers, held: new Set(this.#held.keys()) });
  }

  #audience(): Set<string> {
    return audience({ me: this.#config.nodeName, claimables: this.#wanted?.claimables ?? [], held: new Set(this.#held.keys()), peers: this.#peers });
  }

  async #listen(): Promise<void> {
    const own = this.#audience().size > 0 ? this.#wanted?.addresses.get(this.#config.nodeName) ?? '' : '';
    if (own === this.#socketAddress) return;
    this.#socket?.close();
    this.#socket = undefined;
    if (own !== '') {
      this.#socket = await this.#deps.open(own, (bytes) => { this.#heard(bytes); }).catch((error: unknown) => {
        this.#deps.log.warn({ err: messageOf(error) }, 'other hosts cannot be heard; addresses of load balancers may be answered for by several');
        return undefined;
      });
    }
    this.#socketAddress = this.#socket ? own : '';
    // Only now can anybody be heard, and on a host that has just started it was long until now.
    if (this.#socket) for (const ip of this.#settledMs.keys()) this.#settledMs.set(ip, this.#deps.clock.monotonic() + settleMs(this.#config));
  }

  #heard(bytes: Uint8Array): void {
    const beat = this.#wanted && decodeBeat(bytes, this.#wanted.key);
    if (!beat || beat.node === this.#config.nodeName || !this.#wanted?.addresses.has(beat.node) || !this.#memory.isNew(beat)) return;
    const before = this.#peers.get(beat.node);
    const nowMs = this.#deps.clock.monotonic();
    this.#peers.set(beat.node, { node: beat.node, untilMs: nowMs + beat.validMs, able: beat.able, holds: new Set(beat.holds) });
    const isBack = !before || before.untilMs <= nowMs;
    if (isBack) for (const ip of this.#held.keys()) this.#contested.add(ip);
    const isSame = !isBack && before.able === beat.able && before.holds.size === beat.holds.length && beat.holds.every((ip) => before.holds.has(ip));
    if (!isSame) this.#wakeup.notify();
  }

  async #beat(validMs = this.#config.validMs): Promise<void> {
    const wanted = this.#wanted;
    this.#beatAtMs = this.#deps.clock.monotonic() + this.#config.beatMs;
    if (!wanted || !this.#socket) return;
    const bytes = encodeBeat({ node: this.#config.nodeName, life: this.#life, sequence: ++this.#sequence, able: this.#deps.problem() === undefined, holds: [...this.#held.keys()], validMs }, wanted.key);
    const socket = this.#socket;
    await Promise.all([...this.#audience()].map((node) => socket.send(bytes, wanted.addresses.get(node) ?? '')));
  }

  async #claim(claimable: Claimable, signal: AbortSignal): Promise<void> {
    const { addresses, clock, log } = this.#deps;
    const { ip, service, order } = claimable;
    const inherited = this.#left.has(ip) || [...this.#peers.values()].some(({ holds }) => holds.has(ip));
    try {
      const known = order.flatMap((node) => this.#wanted?.addresses.get(node) ?? []);
      if (!inherited && await addresses.isTaken(ip, known, () => clock.sleep(listenMs, signal), signal)) throw new Error('somebody else on the network answers for it; take it out of --load-balancer-pool, or away from there');
      await addresses.hold([ip], this.#lifetime(claimable), signal);
    } catch (error) {
      if (signal.aborted) throw error;
      this.#conflicts.set(ip, clock.monotonic() + this.#config.conflictMs);
      log.warn({ ip, service, err: messageOf(error) }, 'an address of a load balancer is not served');
      this.#tell('Warning', 'LoadBalancerAddressNotServed', `the address ${ip} of Service ${service} is not answered for: ${messageOf(error)}`);
      return;
    }
    this.#left.delete(ip);
    this.#held.set(ip, claimable);
    log.info({ ip, service }, 'this host answers for an address now');
    this.#tell('Normal', 'LoadBalancerAddressHeld', `answers for the address ${ip} of Service ${service}`);
    this.#announce(ip, signal);
  }

  /** Whoever believed the other holder would ask it until its own memory ends, so it is told again who is left. */
  #followContests(signal: AbortSignal): void {
    const nowMs = this.#deps.clock.monotonic();
    const claimed = new Set([...this.#peers.values()].flatMap(({ untilMs, holds }) => (untilMs > nowMs ? [...holds] : [])));
    for (const ip of this.#contested) if (!this.#held.has(ip)) this.#contested.delete(ip);
    for (const ip of this.#held.keys()) {
      if (claimed.has(ip)) this.#contested.add(ip);
      else if (this.#contested.delete(ip)) this.#announce(ip, signal);
    }
  }

  #announce(ip: string, signal: AbortSignal): void {
    void this.#announceRepeatedly(ip, signal).catch((error: unknown) => { if (!signal.aborted) this.#deps.log.warn({ ip, err: messageOf(error) }, 'an address could not be announced'); });
  }

  async #announceRepeatedly(ip: string, signal: AbortSignal): Promise<void> {
    const { addresses, clock } = this.#deps;
    const beganMs = clock.monotonic();
    for (const afterMs of [0, ...announceAgainMs]) {
      await clock.sleep(Math.max(0, beganMs + afterMs - clock.monotonic()), signal);
      if (!this.#held.has(ip)) return;
      await addresses.announce([ip]);
    }
  }

  async #release(ips: readonly string[], signal: AbortSignal): Promise<void> {
    for (const ip of ips) this.#held.delete(ip);
    await this.#deps.addresses.release(ips, signal);
    this.#deps.log.info({ ips }, 'this host answers for addresses no more');
  }

  /** What an earlier life left and somebody else has by now, or nobody wants. */
  async #dropLeft(signal: AbortSignal): Promise<void> {
    if (this.#left.size === 0) return;
    const nowMs = this.#deps.clock.monotonic();
    const wanted = new Map((this.#wanted?.claimables ?? []).map((claimable) => [claimable.ip, claimable]));
    const isOver = (ip: string): boolean => wanted.get(ip)?.order.includes(this.#config.nodeName) !== true || (this.#settledMs.get(ip) ?? 0) <= nowMs;
    const drop = [...this.#left].filter(isOver);
    for (const ip of drop) this.#left.delete(ip);
    if (drop.length > 0) await this.#deps.addresses.release(drop, signal);
  }

  async #renew(signal: AbortSignal): Promise<void> {
    this.#renewAtMs = this.#deps.clock.monotonic() + this.#config.renewMs;
    for (const lasting of [true, false]) {
      const ips = [...this.#held.values()].filter((claimable) => this.#lifetime(claimable).lasting === lasting).map(({ ip }) => ip);
      if (ips.length > 0) await this.#deps.addresses.hold(ips, { lasting, seconds: normalLifetimeSeconds }, signal);
    }
  }

  /** Where nobody else could take over, the kernel serves on while the agent is away. */
  #lifetime({ order }: Claimable): { readonly lasting: boolean; readonly seconds: number } {
    const nowMs = this.#deps.clock.monotonic();
    return { lasting: !order.some((node) => this.#isReady(node, nowMs)), seconds: normalLifetimeSeconds };
  }

  #isReady(node: string, nowMs: number): boolean {
    const peer = this.#peers.get(node);
    return peer !== undefined && peer.able && peer.untilMs > nowMs;
  }

  /** An agent that comes back soon goes on where it was; a host that goes down hands over at once. */
  async #leave(): Promise<void> {
    const shared = [...this.#held.values()].filter((claimable) => !this.#lifetime(claimable).lasting).map(({ ip }) => ip);
    if (shared.length === 0) return;
    const patience = AbortSignal.timeout(2000);
    try {
      if (await this.#deps.isHostStopping()) {
        await this.#release(shared, patience);
        await this.#beat();
      } else {
        await this.#deps.addresses.hold(shared, { lasting: false, seconds: restartLifetimeSeconds }, patience);
        await this.#beat(this.#config.restartMs);
      }
    } catch (error) {
      this.#deps.log.warn({ err: messageOf(error) }, 'addresses of load balancers could not be handed over');
    }
  }

  #tell(type: 'Normal' | 'Warning', reason: string, message: string): void {
    const { nodeName } = this.#config;
    this.#deps.events.emit(nodeEvent(nodeName, this.#deps.clock, type, reason, message));
  }
}

/** How long to listen before who was not heard counts as lost. */
function settleMs({ validMs }: SpeakerConfig): number {
  return 1.3 * validMs;
}

import { isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { Clock } from '#common/clock.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import { exec } from '#common/exec.ts';
import type { Log } from '#common/log.ts';
import type { Ledger } from '#agent/node/ledger.ts';
import { syncClamp } from './clamp.ts';
import { deviceOf } from './facts.ts';
import { addressLines, batch, mtuOf } from './links.ts';
import { learnedMtu, Peers, type ProbedPlan } from './peers.ts';
import { baseOf, planPeers } from './plan.ts';
import { Prober, probePort } from './prober.ts';
import { parseRoutes, peerRoutes, routeCommands, tunnelDevices } from './routes.ts';
import type { CheckResult, Member, PeerPlan, PeerStatus, PodNetworkConfig, Route, WireguardFacts } from './types.ts';
import type { Wireguard } from './wireguard.ts';

export interface BetweenHostsDeps {
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
  /** Something was found out that the next `sync` needs. */
  readonly changed: () => void;
}

/**
 * The network between this host and the others: plans how to reach each peer and brings the kernel to it; asks the peers
 * through it. Loaded with the first peer. `sync` is the caller's loop; `run` asks the peers meanwhile.
 */
export class BetweenHosts {
  readonly #deps: BetweenHostsDeps;
  readonly #config: PodNetworkConfig;
  #prober: Prober | undefined;
  #peers: Peers | undefined;
  #asking: AbortController | undefined;
  #wireguard: Wireguard | undefined;
  #wireguardFacts: WireguardFacts | null | undefined;
  #clamped = '';
  #shown = '';
  /** By family, whether there may be routes of ours; undefined before the first look. */
  readonly #hasRoutes = new Map<'-4' | '-6', boolean>();

  constructor(deps: BetweenHostsDeps, config: PodNetworkConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  /** Undefined until it was looked for. */
  get wireguard(): WireguardFacts | null | undefined { return this.#wireguardFacts; }

  statuses(): readonly PeerStatus[] { return this.#peers?.statuses() ?? []; }

  /** Brings the kernel to what the members ask for. `routes`: more routes of ours. Rejects with what could not be done; the rest is done. */
  async sync(own: Member, others: readonly Member[], routes: readonly Route[], signal: AbortSignal): Promise<void> {
    const plans = await this.#plan(own, others, signal);
    this.#tell(plans);
    const interfaces = networkInterfaces();
    const uplink = deviceOf(own.addresses[0], interfaces);
    const uplinkMtu = (uplink === undefined ? undefined : await mtuOf(uplink)) ?? 1500;
    const bases = own.podCidrs.map(baseOf);
    const problems: string[] = [];
    const attempt = async (work: () => Promise<void>): Promise<void> => {
      try {
        await work();
      } catch (error) {
        signal.throwIfAborted();
        problems.push(messageOf(error));
      }
    };
    if (plans.length > 0) await attempt(() => this.#addBases(bases, interfaces, signal));
    await attempt(() => this.#syncTunnels(plans, own, uplinkMtu, bases, signal));
    await attempt(() => this.#openPeers(plans, bases, signal));
    this.#peers?.follow(await nominal(plans, uplinkMtu));
    const mtus = this.#peers?.mtus() ?? new Map<string, number>();
    const [ipv4, ipv6] = [bases.find((base) => !isIPv6(base)), bases.find(isIPv6)];
    const wanted = peerRoutes(plans, { bases: { ...(ipv4 !== undefined && { ipv4 }), ...(ipv6 !== undefined && { ipv6 }) }, mtus, ...(uplink !== undefined && { uplink }) });
    await attempt(() => this.#syncRoutes([...wanted, ...routes], signal));
    await attempt(() => this.#clamp(plans, mtus, signal));
    if (problems.length > 0) throw new StatusError('InternalError', problems.join('; '));
  }

  /** What depends on whether this host has WireGuard is not taken down while that is looked for. */
  async #plan(own: Member, others: readonly Member[], signal: AbortSignal): Promise<PeerPlan[]> {
    const { serverHost } = this.#config;
    const config = { ...(serverHost !== undefined && { serverHost }) };
    const plans = planPeers(own, others, config);
    const concerned = plans.some(({ how, undecided }) => undecided === true || how === 'wireguard' || how === 'relay' || how === 'vxlan');
    if (this.#wireguardFacts !== undefined || !concerned) return plans;
    const wireguard = await this.#lookForWireguard(signal);
    return planPeers({ ...own, ...(own.facts && { facts: { ...own.facts, wireguard } }) }, others, config);
  }

  /** Asks every peer now. */
  async look(signal: AbortSignal): Promise<void> { await this.#peers?.lookNow(signal); }

  async check(signal: AbortSignal): Promise<CheckResult[]> { return await this.#peers?.check(signal) ?? []; }

  close(): void {
    this.#asking?.abort(new Error('the pod network has ended'));
    this.#prober?.close();
  }

  /** Says once how each peer is reached. */
  #tell(plans: readonly PeerPlan[]): void {
    const text = JSON.stringify(plans.map(({ nodeName, how, why }) => ({ nodeName, how, why })));
    if (text === this.#shown) return;
    this.#shown = text;
    for (const { nodeName, how, why, undecided } of plans) this.#deps.log[how === 'none' && undecided !== true ? 'warn' : 'info']({ peer: nodeName, how, why }, 'how pods of another host are reached');
  }

  async #lookForWireguard(signal: AbortSignal): Promise<WireguardFacts | null> {
    const { Wireguard: Loaded } = await import('./wireguard.ts');
    this.#wireguard = new Loaded({ ...this.#deps, nowSeconds: () => this.#deps.clock.now() / 1000 }, this.#config);
    this.#wireguardFacts = await this.#wireguard.probe(signal);
    this.#deps.changed();
    return this.#wireguardFacts;
  }

  /** This host's ends on the pods' network, where agents ask and answer each other. */
  async #addBases(bases: readonly string[], interfaces: ReturnType<typeof networkInterfaces>, signal: AbortSignal): Promise<void> {
    const missing = bases.filter((base) => !interfaces['lo']?.some(({ address }) => address === base));
    for (const base of missing) await this.#deps.ledger.record({ kind: 'address', target: `${base}/${isIPv6(base) ? '128' : '32'} lo`, before: null, after: null });
    await batch('ip', addressLines(missing, 'lo'), signal);
  }

  async #syncTunnels(plans: readonly PeerPlan[], own: Member, uplinkMtu: number, bases: readonly string[], signal: AbortSignal): Promise<void> {
    for (const kind of ['vxlan', 'vxlan6'] as const) {
      const wanted = plans.some((plan) => plan.how === 'vxlan' && isIPv6(plan.via[0] ?? '') === (kind === 'vxlan6'));
      if (!wanted && await mtuOf(tunnelDevices[kind]) === undefined) continue;
      const { syncVxlan } = await import('./vxlan.ts');
      const address = own.addresses.find((a) => isIPv6(a) === (kind === 'vxlan6')) ?? '';
      await syncVxlan(kind, plans, { nodeName: own.nodeName, address, uplinkMtu, bases }, this.#deps, signal);
    }
    if (this.#wireguardFacts) await this.#wireguard?.sync(plans, { uplinkMtu, bases }, signal);
  }

  async #openPeers(plans: readonly PeerPlan[], bases: readonly string[], signal: AbortSignal): Promise<void> {
    const [address] = bases;
    if (this.#prober?.address === address) return;
    this.#asking?.abort(new Error('this host has another end on the pods\' network'));
    this.#prober?.close();
    this.#prober = undefined;
    if (address === undefined || plans.length === 0) return;
    const prober = new Prober(this.#deps.clock, { address, port: probePort });
    const peers = new Peers({ ...this.#deps, prober, learnedMtu });
    await prober.open((from) => { peers.heard(from); });
    this.#prober = prober;
    this.#peers = peers;
    const asking = this.#asking = new AbortController();
    const ends = AbortSignal.any([signal, asking.signal]);
    void peers.run(ends).catch((error: unknown) => {
      if (ends.aborted) return;
      this.#deps.log.error({ err: messageOf(error) }, 'other hosts are not asked any more');
      this.#prober = undefined;
      prober.close();
    });
  }

  async #clamp(plans: readonly PeerPlan[], mtus: ReadonlyMap<string, number>, signal: AbortSignal): Promise<void> {
    const slow = plans.filter((plan) => plan.how !== 'none' && (plan.how !== 'routes' || mtus.has(plan.nodeName))).flatMap(({ podCidrs }) => podCidrs);
    if (slow.length > 0 || this.#clamped !== '') this.#clamped = await syncClamp(slow, this.#clamped, this.#deps, signal);
  }

  async #syncRoutes(wanted: readonly Route[], signal: AbortSignal): Promise<void> {
    const { ledger, log } = this.#deps;
    const protocol = String(this.#config.routeProtocol);
    const problems: string[] = [];
    for (const family of ['-4', '-6'] as const) {
      const desired = wanted.filter((r) => r.destination.includes(':') === (family === '-6'));
      // What never had routes of ours need not be asked for them.
      if (desired.length === 0 && this.#hasRoutes.get(family) === false) continue;
      const shown = await exec('ip', [family, '-j', '-d', 'route', 'show', 'proto', protocol], { signal });
      const commands = routeCommands(desired, shown.exitCode === 0 ? parseRoutes(shown.stdout) : [], this.#config.routeProtocol);
      this.#hasRoutes.set(family, desired.length > 0 || commands.length > 0 || shown.exitCode !== 0);
      if (commands.length === 0) continue;
      await ledger.record({ kind: 'routes', target: protocol, before: null, after: null });
      const result = await exec('ip', [family, '-force', '-batch', '-'], { input: `${commands.join('\n')}\n`, signal });
      if (result.exitCode !== 0) problems.push(result.stderr.trim().slice(0, 500));
      else log.info({ commands: commands.length, routes: desired.length }, 'routes to other hosts changed');
    }
    if (problems.length > 0) throw new StatusError('InternalError', `routes to other hosts cannot be set: ${problems.join('; ')}`);
  }
}

/** What the interface to each peer takes. */
async function nominal(plans: readonly PeerPlan[], uplinkMtu: number): Promise<ProbedPlan[]> {
  const sizes = new Map<string, number>();
  const of = async (device: string): Promise<number> => {
    const size = sizes.get(device) ?? await mtuOf(device) ?? uplinkMtu;
    sizes.set(device, size);
    return size;
  };
  return Promise.all(plans.map(async (plan): Promise<ProbedPlan> => {
    if (plan.how === 'vxlan') return { plan, nominalMtu: await of(isIPv6(plan.via[0] ?? '') ? tunnelDevices.vxlan6 : tunnelDevices.vxlan) };
    return { plan, nominalMtu: plan.how === 'wireguard' || plan.how === 'relay' ? await of(tunnelDevices.wireguard) : uplinkMtu };
  }));
}

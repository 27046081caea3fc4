import { readFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { backoffMs } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf } from '#common/errors.ts';
import { exec, execOk } from '#common/exec.ts';
import { isAbort, type Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import { Wakeup } from '#common/wakeup.ts';
import { nodes } from '#api/kinds/resources.ts';
import { networkAnnotation } from '#api/network/annotations.ts';
import type { Ledger } from '#agent/node/ledger.ts';
import { nodeEvent } from '#agent/session/node-event.ts';
import type { AgentEvents } from '#agent/session/types.ts';
import type { DesiredState } from '#agent/state/types.ts';
import type { BetweenHosts } from './between-hosts.ts';
import { enableForwarding, foreignConfig, removeConflist, writeConflist } from './cni-setup.ts';
import { deviceOf, memberOf, overlaps, ownFacts, podCidrsOf } from './facts.ts';
import { hasDefaultRoute, parseRoutes } from './routes.ts';
import type { CheckResult, Member, NetworkStatus, PodNetworkConfig, Route } from './types.ts';

export interface PodNetworkDeps {
  readonly state: DesiredState;
  readonly ledger: Ledger;
  readonly events: AgentEvents;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
}

export const podNetworkDefaults = { routeProtocol: 142, checkIntervalMs: 30_000 } as const;

const retry = { baseMs: 500, maxMs: 30_000, jitter: 0.2 } as const;

/**
 * Gives this host's pods their network: the CNI configuration from the node's pod range, forwarding, and the way to the
 * pods of every other node. One loop, woken by changes of Nodes and of this host's links. What it set up stays when it
 * ends. Forwarding that another program's firewall drops cannot be allowed from here (an accept in one nftables table
 * does not undo a drop in another): such a firewall is named in the log with the remedy. A CNI configuration that
 * somebody else put where the runtime reads it is respected: pods' addresses and the way to them are its business then.
 */
export class PodNetwork implements Runnable {
  readonly #deps: PodNetworkDeps;
  readonly #config: PodNetworkConfig;
  readonly #listeners = new Set<() => void>();
  #notReady: string | undefined = 'the pod network has not been set up yet';
  readonly #wakeup = new Wakeup();
  #changed = false;
  #between: BetweenHosts | undefined;
  #foreign: string | undefined;
  /** What was last told to listeners of this host's own network. */
  #facts = '';
  #ownAddresses: readonly string[] = [];
  /** Networks of this host that overlap the cluster's, as last told. */
  #overlaps = '';
  #moved: () => void = () => undefined;

  constructor(deps: PodNetworkDeps, config: PodNetworkConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  /** Why pods cannot get a network on this host; undefined when they can. */
  get notReady(): string | undefined { return this.#notReady; }

  /** What other hosts need to know of this one. */
  get annotations(): Readonly<Record<string, string>> { return this.#facts === '' ? {} : { [networkAnnotation]: this.#facts }; }

  /** Called whenever `notReady` or `annotations` changes, and when this host's addresses do. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Called when an address of this host is no more: connections from it are dead. */
  onMoved(listener: () => void): void { this.#moved = listener; }

  async status(signal: AbortSignal): Promise<NetworkStatus> {
    await this.#between?.look(signal);
    return { node: this.#config.nodeName, ...(this.#foreign !== undefined && { foreign: this.#foreign }), peers: this.#between?.statuses() ?? [] };
  }

  async check(signal: AbortSignal): Promise<CheckResult[]> { return await this.#between?.check(signal) ?? []; }

  async start(signal: AbortSignal): Promise<void> {
    const unsubscribe = this.#deps.state.subscribe((changes) => {
      if (changes.some((c) => c.resource.plural === nodes.plural && c.resource.group === nodes.group)) this.#poke();
    });
    try {
      await this.#loop(signal);
    } catch (error) {
      if (!isAbort(error, signal)) throw error;
    } finally {
      unsubscribe();
      this.#between?.close();
    }
  }

  async #loop(signal: AbortSignal): Promise<void> {
    let failures = 0;
    let warned = false;
    while (!signal.aborted) {
      this.#changed = false;
      const failure = await this.#reconcile(signal);
      failures = failure === undefined ? 0 : failures + 1;
      if (!warned && this.#notReady === undefined) {
        warned = true;
        await this.#warnOfForeignDrop(signal);
      }
      const delayMs = failure === undefined ? this.#config.checkIntervalMs : backoffMs(retry, failures, this.#deps.random);
      if (!this.#changed) await this.#wakeup.waitAtMost(delayMs, this.#deps.clock, signal);
    }
  }

  /** Resolves with what failed. Pods can start once CNI is configured; a peer that cannot be reached does not forbid that. */
  async #reconcile(signal: AbortSignal): Promise<string | undefined> {
    const { state, log } = this.#deps;
    const node = state.get(nodes, undefined, this.#config.nodeName);
    const own = this.#own(node === undefined ? { nodeName: this.#config.nodeName, podCidrs: [], addresses: [] } : memberOf(node));
    this.#foreign = await foreignConfig(this.#config);
    if (this.#foreign !== undefined) return this.#leaveToOthers(podCidrsOf(node));
    this.#tellOverlaps();
    if (own.podCidrs.length === 0) {
      this.#setNotReady(state.known
        ? `node ${this.#config.nodeName} has no pod range (spec.podCIDR) yet: the control plane assigns one when the node registers`
        : 'the pod range of this node is not known yet: the control plane has not been reached since this host joined');
      return undefined;
    }
    try {
      await enableForwarding(own.podCidrs, this.#deps.ledger);
      await writeConflist(own.podCidrs, this.#config, this.#deps);
      this.#setNotReady(undefined);
    } catch (error) {
      this.#setNotReady(`the pod network cannot be set up: ${messageOf(error)}`);
      log.warn({ err: messageOf(error) }, 'pod network cannot be set up; retrying');
      return messageOf(error);
    }
    try {
      await this.#syncOthers(own, signal);
      return undefined;
    } catch (error) {
      if (signal.aborted) throw error;
      log.warn({ err: messageOf(error) }, 'not every other host can be reached; retrying');
      return messageOf(error);
    }
  }

  /** Somebody's own CNI configuration: ours goes out of its way, forwarding is still needed for Services. */
  async #leaveToOthers(podCidrs: readonly string[]): Promise<string | undefined> {
    try {
      await removeConflist(this.#config);
      await enableForwarding(podCidrs.length > 0 ? podCidrs : ['0.0.0.0/0'], this.#deps.ledger);
      if (this.#notReady !== undefined) this.#deps.log.info({ file: this.#foreign }, 'pods get their network from a cni configuration that is not ours');
      this.#setNotReady(undefined);
      return undefined;
    } catch (error) {
      return messageOf(error);
    }
  }

  /** Refused nowhere: which networks hosts are on is known to them alone, and may change. */
  #tellOverlaps(): void {
    const { state, log, events, clock } = this.#deps;
    const found = overlaps(networkInterfaces(), [...new Set([...this.#config.serviceCidrs, ...state.list(nodes).flatMap(podCidrsOf)])]).join('; ');
    if (found === this.#overlaps) return;
    this.#overlaps = found;
    if (found === '') return;
    log.warn({ overlaps: found }, 'networks of this host overlap those of the cluster');
    events.emit(nodeEvent(this.#config.nodeName, clock, 'Warning', 'NetworkOverlap', `networks of this host overlap ranges of the cluster: ${found}; what has an address of both is reached as one of them only. Use another network there, or make the cluster with other --pod-cidr and --service-cidr`));
  }

  /** This host as the others see it, and what of that is news told to them. */
  #own(member: Member): Member {
    const { facts: told, ...rest } = member;
    const interfaces = networkInterfaces();
    // What an earlier life told holds until this one has looked: a peer that is left in the dark would take its tunnel down.
    const found = this.#between?.wireguard;
    const facts = ownFacts(this.#config.mode, member.addresses, interfaces, found === undefined ? told?.wireguard : found);
    const text = JSON.stringify(facts);
    const lost = this.#ownAddresses.some((address) => !facts.links.includes(address));
    this.#ownAddresses = facts.links;
    if (text !== this.#facts) {
      this.#facts = text;
      this.#notify();
    }
    if (lost) this.#moved();
    return { ...rest, facts };
  }

  async #syncOthers(own: Member, signal: AbortSignal): Promise<void> {
    const others = this.#deps.state.list(nodes).map(memberOf).filter(({ nodeName }) => nodeName !== own.nodeName);
    const routes = await this.#serviceRoutes(own, signal);
    const needed = others.length > 0 || routes.length > 0 || this.#deps.ledger.records.some(({ kind }) => kind === 'routes' || kind === 'link');
    if (!this.#between && needed) await this.#load(signal);
    await this.#between?.sync(own, others, routes, signal);
  }

  async #load(signal: AbortSignal): Promise<void> {
    const [{ BetweenHosts: Loaded }, { watchLinks }] = await Promise.all([import('./between-hosts.ts'), import('./link-watch.ts')]);
    const poke = (): void => { this.#poke(); };
    this.#between = new Loaded({ ...this.#deps, changed: poke }, this.#config);
    void watchLinks(this.#deps, this.#config.routeProtocol, poke, signal);
  }

  /** A host without a default route has no way to send to a ClusterIP before it is translated: any way will do. */
  async #serviceRoutes(own: Member, signal: AbortSignal): Promise<Route[]> {
    const routes: Route[] = [];
    for (const destination of this.#config.serviceCidrs) {
      const v6 = destination.includes(':');
      // The kernel's own table: this is looked at all the time, and a command costs more than all that is looked at.
      const table = await readFile(v6 ? '/proc/net/ipv6_route' : '/proc/net/route', 'utf8').catch(() => '');
      // That of IPv6 is of all tables: a VPN's is one of its own.
      if (hasDefaultRoute(table, v6 ? 6 : 4) && (!v6 || parseRoutes(await execOk('ip', ['-6', '-j', 'route', 'show', 'default'], { signal })).length > 0)) continue;
      // Of the other family there may be an address on the same link only.
      const device = deviceOf(own.addresses.find((address) => address.includes(':') === v6) ?? own.addresses[0], networkInterfaces());
      if (device !== undefined) routes.push({ destination, device });
    }
    return routes;
  }

  async #warnOfForeignDrop(signal: AbortSignal): Promise<void> {
    try {
      const { stdout } = await exec('nft', ['list', 'chains'], { signal });
      if (!/hook forward [^\n]*policy drop/.test(stdout)) return;
      this.#deps.log.warn(
        { remedy: 'allow forwarding from and to the pod range there, e.g. iptables -I FORWARD -s POD-CIDR -j ACCEPT and -d POD-CIDR' },
        'another program drops forwarded packets by default: pods may not reach other hosts',
      );
    } catch {
      signal.throwIfAborted();
    }
  }

  #setNotReady(reason: string | undefined): void {
    if (this.#notReady === reason) return;
    this.#notReady = reason;
    this.#notify();
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }

  #poke(): void {
    this.#changed = true;
    this.#wakeup.notify();
  }
}

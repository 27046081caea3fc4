import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { BlockList, isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { ConfigMap, Service } from '#api/gen/types.ts';
import { configMaps, endpointSlices, services } from '#api/kinds/resources.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { backoffMs } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf } from '#common/errors.ts';
import { execOk } from '#common/exec.ts';
import { isAbort, type Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import { Wakeup } from '#common/wakeup.ts';
import type { Ledger } from '#agent/node/ledger.ts';
import { parseResolvConf } from '#agent/pods/spec/dns.ts';
import { nodeEvent } from '#agent/session/node-event.ts';
import type { AgentEvents, PodReports } from '#agent/session/types.ts';
import type { DesiredState, StateChange } from '#agent/state/types.ts';
import { Forwarder } from './forwarder.ts';
import { Resolver } from './resolver.ts';
import { DnsServer } from './server.ts';
import { ServiceIndex } from './service-index.ts';
import type { Exchange } from './types.ts';
import { upstreamsOf } from './upstreams.ts';
import { Zone } from './zone.ts';

export interface ClusterDnsDeps {
  readonly state: DesiredState;
  readonly pods: Pick<PodReports, 'all' | 'subscribe'>;
  readonly ledger: Pick<Ledger, 'record'>;
  readonly events: AgentEvents;
  readonly exchange: Exchange;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
}

export interface ClusterDnsConfig {
  readonly nodeName: string;
  readonly address: string;
  readonly port: number;
  readonly domain: string;
  /** Pods' and Services' ranges: nobody else can name what is in them. */
  readonly ranges: readonly string[];
  readonly resolvConfPath: string;
  /** How often to look whether the address is still there and the host's servers are still the same. */
  readonly checkIntervalMs: number;
}

export const clusterDnsDefaults = { port: 53, resolvConfPath: '/etc/resolv.conf', checkIntervalMs: 30_000 } as const;

const namespace = 'kube-system';
const serviceName = 'kube-dns';
/** The Service with this is answered by the agents and needs no routing (https://kubernetes.io/docs/reference/labels-annotations-taints/). */
const proxyNameLabel = 'service.kubernetes.io/service-proxy-name';
const ownProxyName = 'cleat-dns';
const retry = { baseMs: 500, maxMs: 30_000, jitter: 0.2 } as const;

/**
 * Answers names on this host, at the cluster's DNS address on the loopback device: no packet to it leaves the host, and
 * what the checkpoint holds is answered with or without a control plane. Stands aside when somebody runs another DNS
 * server at the Service kube-system/kube-dns. One loop owns the sockets and the address.
 */
export class ClusterDns implements Runnable {
  readonly #deps: ClusterDnsDeps;
  readonly #config: ClusterDnsConfig;
  readonly #index: ServiceIndex;
  readonly #forwarder: Forwarder;
  readonly #resolver: Resolver;
  #server: DnsServer | undefined;
  #broken: Error | undefined;
  #upstreamsKey = '';
  #changed = false;
  readonly #wakeup = new Wakeup();

  constructor(deps: ClusterDnsDeps, config: ClusterDnsConfig) {
    this.#deps = deps;
    this.#config = config;
    const index = this.#index = new ServiceIndex(config.nodeName);
    const own = new BlockList();
    for (const range of config.ranges) {
      const [network = '', bits = ''] = range.split('/');
      own.addSubnet(network, Number(bits), familyOf(network));
    }
    this.#forwarder = new Forwarder({ exchange: deps.exchange, clock: deps.clock });
    const zone = new Zone(index, { domain: config.domain, address: config.address, ownsAddress: (ip) => own.check(ip, familyOf(ip)) });
    this.#resolver = new Resolver({ zone, forwarder: this.#forwarder, generation: () => index.generation, random: deps.random });
  }

  /** Where it answers now; 0 while it does not. */
  get port(): number { return this.#server?.port ?? 0; }

  async start(signal: AbortSignal): Promise<void> {
    const { state, pods } = this.#deps;
    for (const resource of [services, endpointSlices]) this.#index.note(state.list<KubeObject>(resource).map((object) => ({ type: 'set', resource, object })));
    for (const report of pods.all()) this.#index.notePod(report);
    const unsubscribe = state.subscribe((changes) => {
      this.#index.note(changes);
      if (!this.#server || changes.some(isSetting)) this.#poke();
    });
    const unsubscribePods = pods.subscribe((report) => { this.#index.notePod(report); });
    try {
      await this.#loop(signal);
    } catch (error) {
      if (!isAbort(error, signal)) throw error;
    } finally {
      unsubscribe();
      unsubscribePods();
      this.#close();
    }
  }

  async #loop(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      this.#changed = false;
      try {
        await this.#reconcile(signal);
        failures = 0;
      } catch (error) {
        signal.throwIfAborted();
        failures++;
        this.#close();
        this.#deps.log.warn({ err: messageOf(error) }, 'cluster dns cannot answer; retrying');
        if (failures === 1) this.#tell('ClusterDNSUnavailable', `names of Services are not answered on this host: ${messageOf(error)}`);
        await this.#deps.clock.sleep(backoffMs(retry, failures, this.#deps.random), signal);
        continue;
      }
      if (!this.#changed) await this.#wakeup.waitAtMost(this.#config.checkIntervalMs, this.#deps.clock, signal);
    }
  }

  async #reconcile(signal: AbortSignal): Promise<void> {
    const { state, log } = this.#deps;
    if (!state.known) return;
    const service = state.get<Service>(services, namespace, serviceName);
    if (service && service.metadata?.labels?.[proxyNameLabel] !== ownProxyName) {
      if (this.#server) log.info({}, 'another dns server has the cluster dns address; standing aside');
      this.#close();
      await this.#removeAddress(signal);
      return;
    }
    if (this.#broken) this.#close();
    await this.#addAddress(signal);
    if (!this.#server) await this.#open(signal);
    await this.#followUpstreams(signal);
  }

  async #open(signal: AbortSignal): Promise<void> {
    const { address, port } = this.#config;
    const server = new DnsServer((message, transport, mayWait) => this.#resolver.respond(message, transport, mayWait, signal), { address, port });
    await server.open((error) => {
      this.#broken = error;
      this.#poke();
    });
    this.#server = server;
    this.#deps.log.info({ address, port: server.port }, 'cluster dns answers');
  }

  #close(): void {
    this.#server?.close();
    this.#server = undefined;
    this.#broken = undefined;
  }

  async #addAddress(signal: AbortSignal): Promise<void> {
    const { address } = this.#config;
    if (hasAddress(address)) return;
    await this.#deps.ledger.record({ kind: 'address', target: `${prefixed(address)} lo`, before: null, after: null });
    await execOk('ip', ['address', 'replace', prefixed(address), 'dev', 'lo'], { signal });
  }

  async #removeAddress(signal: AbortSignal): Promise<void> {
    const { address } = this.#config;
    if (hasAddress(address)) await execOk('ip', ['address', 'del', prefixed(address), 'dev', 'lo'], { signal });
  }

  /** Takes up the servers of the host, or those that the cluster's settings name, whenever either has changed. */
  async #followUpstreams(signal: AbortSignal): Promise<void> {
    const { state, log } = this.#deps;
    const { servers } = parseResolvConf(await readFile(this.#config.resolvConfPath, 'utf8').catch(() => ''));
    const { problems, ...upstreams } = upstreamsOf(servers, state.get<ConfigMap>(configMaps, namespace, serviceName), new Set([this.#config.address]));
    const key = JSON.stringify([upstreams.servers, [...upstreams.stubDomains], problems]);
    if (key === this.#upstreamsKey) return;
    this.#upstreamsKey = key;
    this.#forwarder.use(upstreams);
    const loops = await this.#thoseThatLeadBack(upstreams.servers, this.#config.domain, signal);
    const stubDomains = new Map<string, readonly string[]>();
    for (const [domain, stubs] of upstreams.stubDomains) {
      const own = await this.#thoseThatLeadBack(stubs, domain, signal);
      loops.push(...own);
      stubDomains.set(domain, stubs.filter((server) => !own.includes(server)));
    }
    this.#forwarder.use({ servers: upstreams.servers.filter((server) => !loops.includes(server)), stubDomains });
    log.info({ servers: upstreams.servers, loops }, 'dns servers for names outside of the cluster');
    const wrong = [...problems, ...loops.map((server) => `${server} sends questions back to the cluster DNS`)];
    if (wrong.length === 0) return;
    log.warn({ problems: wrong }, 'some dns servers cannot be used');
    this.#tell('DNSConfigInvalid', `some DNS servers are not asked: ${wrong.join('; ')}`);
  }

  /** A server that asks this one would send every name that it is asked for round in a circle; it gives itself away by one made up here, below `domain`. */
  async #thoseThatLeadBack(servers: readonly string[], domain: string, signal: AbortSignal): Promise<string[]> {
    const found = await Promise.all(servers.map(async (server) => {
      const name = `${randomBytes(8).toString('hex')}.loop.${domain}`;
      const leadsBack = await this.#resolver.probe(name, async () => { await this.#deps.exchange(server, { name, type: 'TXT' }, signal).catch(() => undefined); });
      return leadsBack ? [server] : [];
    }));
    signal.throwIfAborted();
    return found.flat();
  }

  #tell(reason: string, message: string): void {
    const { nodeName } = this.#config;
    this.#deps.events.emit(nodeEvent(nodeName, this.#deps.clock, 'Warning', reason, message));
  }

  #poke(): void {
    this.#changed = true;
    this.#wakeup.notify();
  }
}

/** The Service and the ConfigMap that say whether to answer at all, and whom to ask. */
function isSetting(change: StateChange): boolean {
  const { namespace: where, name } = change.type === 'set' ? change.object.metadata ?? {} : change;
  return where === namespace && name === serviceName;
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIPv6(address) ? 'ipv6' : 'ipv4';
}

function prefixed(address: string): string {
  return `${address}/${isIPv6(address) ? '128' : '32'}`;
}

function hasAddress(address: string): boolean {
  return Object.values(networkInterfaces()).some((list) => list?.some((each) => each.address === address));
}

import { availableParallelism, hostname } from 'node:os';
import { join } from 'node:path';
import { isSea } from 'node:sea';
import { quantityValue } from '#api/meta/quantity.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import { exec } from '#common/exec.ts';
import type { Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import { runTogether } from '#common/run-together.ts';
import { runtimeAnnotation } from '#api/node/identity.ts';
import { upgradedBy, upgradedByAnnotation } from '#common/upgraded-by.ts';
import { version } from '#common/version.ts';
import { loadEdge, type EdgeServices } from '#proto/edge/v1/services.ts';
import { LoadBalancerAddresses } from './announce/load-balancer.ts';
import { ChosenRuntime } from './chosen-runtime.ts';
import { devicePluginDirOf, kubeletDirOf, podLogsDirOf, topologyOf, type AgentConfig } from './config.ts';
import { followRanges } from './network/follow-ranges.ts';
import { podNetworkDefaults, PodNetwork } from './network/pod-network.ts';
import { networkModes, type NetworkMode } from './network/types.ts';
import { NetworkUpkeep, networkUpkeepDefaults } from './network/upkeep.ts';
import { ClusterDns, clusterDnsDefaults } from './dns/cluster-dns.ts';
import { exchange } from './dns/exchange.ts';
import { NodeCsi } from './csi/node-csi.ts';
import { IngressGateway, endIngressProxy } from './ingress/ingress-gateway.ts';
import { NodeDevices } from './devices/node-devices.ts';
import { FirewallNeighbours } from './firewall/neighbours.ts';
import { Ledger } from './node/ledger.ts';
import { factsOf } from './node/facts.ts';
import { currentPodPids, limitPodPids } from './node/pod-pids.ts';
import { LinuxHost } from './node/readings.ts';
import { imageCollectorDefaults } from './images/collector.ts';
import { NodeImages, type NodeImagesDeps } from './images/node-images.ts';
import { NodeReporter, nodeReporterDefaults } from './node/reporter.ts';
import type { AboutDeps } from './metrics/about.ts';
import { countedDriver } from './metrics/counted-driver.ts';
import { AgentCounts } from './metrics/counts.ts';
import { claimNetwork } from './node/network-claim.ts';
import { lockState } from './node/state-lock.ts';
import { nodePolicy, shutdownGroups } from './node/policy.ts';
import { gracefulShutdown } from './node/open-shutdown.ts';
import type { GracefulShutdown } from './node/shutdown.ts';
import { NodeUsage } from './node/usage.ts';
import { Evictor } from './pods/eviction/evictor.ts';
import { makeLogFolders } from './pods/logs/folder.ts';
import { PodManager } from './pods/manager.ts';
import type { StaticPods } from './pods/static/static-pods.ts';
import { MemoryVolumes } from './pods/volumes/secret-volumes.ts';
import { NetworkPolicies } from './policy/network-policies.ts';
import { chooseBackends } from './proxy/choose.ts';
import { Proxy, proxyLoopDefaults } from './proxy/proxy.ts';
import { proxyBackends } from './proxy/registry.ts';
import { containerdPaths } from './runtimes/containerd/paths.ts';
import type { HostRuntime } from './runtimes/host-runtime.ts';
import { runtimes } from './runtimes/registry.ts';
import { AgentSession } from './session/agent-session.ts';
import { HostContact } from './session/contact.ts';
import { EventBuffer } from './session/event-buffer.ts';
import { IdentityFiles, type Identity } from './session/identity.ts';
import { joinOrLoad } from './session/join.ts';
import { nodeEvent } from './session/node-event.ts';
import { CheckpointStore } from './state/checkpoint.ts';
import type { DesiredState } from './state/types.ts';
import { tunnelHandlers } from './streams/handlers.ts';
import type { HostTasks } from './upgrade/host-tasks.ts';
import { confirmation } from './upgrade/open-confirmation.ts';
import { purgeState, removeKernelLeftovers, removeRunDir, undo } from './teardown.ts';

export interface AgentDeps {
  readonly log: Log;
  readonly clock: Clock;
  /** The token to join with; asked for only by a host that has not joined. */
  readonly joinToken: () => Promise<string>;
  /** Told when the control plane is reached, and when no more. */
  readonly reached?: (reached: boolean) => void;
}

const cgroupRoot = '/kubepods';
/**
 * Starting a sandbox or a container keeps about half a core busy (runc, mounts, CNI): twice the cores is where all is
 * used. More at once end no sooner together, each of them ends later, and the memory of as many runcs is needed.
 */
const parallelStarts = Math.max(2, 2 * availableParallelism());

/**
 * Composition root. The order is the promise: runtime, checkpoint, pods and Services first, the control plane last.
 * A host that has joined before runs its pods whether or not anybody answers.
 */
export class Agent implements Runnable {
  readonly #deps: AgentDeps;
  readonly #config: AgentConfig;
  readonly #ready = Promise.withResolvers<undefined>();
  #nodeName: string;
  #tasks: Promise<HostTasks> | undefined;

  constructor(deps: AgentDeps, config: AgentConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#nodeName = config.nodeName === '' ? hostname().toLowerCase() : config.nodeName;
    this.#ready.promise.catch(() => undefined);
  }

  get nodeName(): string {
    return this.#nodeName;
  }

  /** Resolves when this host has an identity in the cluster and its runtime answers; rejects when it cannot get that far. */
  get ready(): Promise<undefined> {
    return this.#ready.promise;
  }

  /** Runs until the signal aborts; containers, rules and routes stay as they are. Rejects when it cannot go on. */
  async start(signal: AbortSignal): Promise<void> {
    try {
      await this.#run(signal);
    } catch (error) {
      this.#ready.reject(error);
      if (!signal.aborted) throw error;
    }
  }

  /**
   * The opposite of `start`: ends this host's pods and the containerd that Cleat runs, and takes back what Cleat
   * changed on the host. With `purge` all state goes too. Resolves with what was done, in words.
   */
  async down({ purge }: { readonly purge: boolean }, signal: AbortSignal): Promise<string[]> {
    const { stateDir } = this.#config;
    const { log, clock } = this.#deps;
    const unlock = await this.#lock();
    const done: string[] = [];
    try {
      this.#nodeName = (await new IdentityFiles(stateDir).load())?.nodeName ?? this.#nodeName;
      const runtimes = this.#runtimes();
      const runtime = await runtimes.last(signal);
      if (runtime) {
        done.push(...await runtimes.endPods(runtime, this.#nodeName, signal));
        if (await endIngressProxy({ log, clock }, containerdPaths(stateDir).runDir, signal)) done.push('HAProxy of the Ingresses stopped');
        await removeRunDir(containerdPaths(stateDir).runDir);
      }
      await removeKernelLeftovers(stateDir, cgroupRoot);
      done.push(...await undo(new Ledger(join(stateDir, 'ledger.jsonl'), () => clock.now())));
    } finally {
      await unlock();
    }
    if (purge) await purgeState(stateDir);
    log.info({ done, purge }, 'host torn down');
    return purge ? [...done, `${stateDir} removed`] : done;
  }

  async #run(signal: AbortSignal): Promise<void> {
    if (process.getuid?.() !== 0) throw new StatusError('Forbidden', 'an agent needs root: it runs containers and programs the network. Start it with sudo');
    const unlock = await this.#lock();
    try {
      while (await this.#runOnce(signal)) this.#deps.log.info({ component: 'agent' }, 'the cluster has other ranges of addresses than before: starting all parts anew');
    } finally {
      await unlock();
    }
  }

  /** Resolves with true when all parts are to be started again, as for ranges of addresses that have changed; containers run on. */
  async #runOnce(signal: AbortSignal): Promise<boolean> {
    const stop = new AbortController();
    let again = false;
    try {
      await this.#runAlone(AbortSignal.any([signal, stop.signal]), stop, () => {
        again = true;
        stop.abort(new Error('the cluster has other ranges of addresses now'));
      });
    } catch (error) {
      if (!again || signal.aborted) throw error;
    } finally {
      stop.abort(new Error('the agent has ended'));
    }
    return again && !signal.aborted;
  }

  /** This host's state and network are one agent's. */
  async #lock(): Promise<() => Promise<void>> {
    const unlock = await lockState(this.#config.stateDir);
    try {
      const release = await claimNetwork();
      return async () => { await Promise.all([unlock(), release()]); };
    } catch (error) {
      await unlock();
      throw error;
    }
  }

  async #runAlone(signal: AbortSignal, stop: AbortController, restart: () => void): Promise<void> {
    const { log, clock } = this.#deps;
    const { stateDir } = this.#config;
    const podLogsDir = podLogsDirOf(this.#config);
    const services = loadEdge();
    const identity = await this.#identity(services, signal);
    this.#nodeName = identity.nodeName;
    const runtime = await this.#runtimes().choose(this.#nodeName, signal);
    const { containerd } = runtime;
    const [, checkpoint] = await Promise.all([containerd?.ensure(signal), CheckpointStore.open({ log }, { folder: join(stateDir, 'agent/checkpoint'), keyPath: join(stateDir, 'agent/pki/checkpoint.key') })]);
    try {
      const { driver: uncounted, cniConfDir, systemImages } = await runtime.open(this.#nodeName, signal);
      const counts = new AgentCounts();
      const driver = countedDriver(uncounted, counts, clock);
      this.#ready.resolve(undefined);
      const ranges = followRanges(checkpoint, this.#config, restart);
      const ledger = new Ledger(join(stateDir, 'ledger.jsonl'), () => clock.now());
      if (podLogsDir !== undefined) await makeLogFolders(podLogsDir, (target) => ledger.record({ kind: 'directory', target, before: null, after: null })).catch((error: unknown) => { log.warn({ err: messageOf(error) }, 'no folder can be made for logs of pods; those that start try again'); });
      const events = new EventBuffer(clock);
      const network = new PodNetwork(
        { state: checkpoint, ledger, events, clock, log: log.child({ component: 'network' }), random: Math.random },
        { ...podNetworkDefaults, nodeName: this.#nodeName, stateDirectory: stateDir, serviceCidrs: ranges.serviceCidr.split(','), mode: networkModeOf(this.#config.podNetwork), ...serverHostOf(this.#config.server), ...(cniConfDir !== undefined && { cniConfDir }) },
      );
      const { backend, former } = await chooseBackends({ makers: proxyBackends, ledger, exec, log: log.child({ component: 'proxy' }) }, { ...this.#config, ...ranges }, signal);
      const late: { proxy?: Proxy; session?: AgentSession; shutdown?: GracefulShutdown | undefined; policies?: NetworkPolicies; images?: NodeImages; node?: NodeReporter } = {};
      const upkeep = new NetworkUpkeep({ driver, exec, events, clock, log: log.child({ component: 'network' }) }, { ...networkUpkeepDefaults, leaseDirectory: join(stateDir, 'cni/data/cleat') });
      const ingress = this.#ingress(checkpoint, events);
      const devices = await NodeDevices.open({ state: checkpoint, clock, log: log.child({ component: 'devices' }), events, ledger }, { nodeName: this.#nodeName, pluginDir: devicePluginDirOf(this.#config), recordPath: join(stateDir, 'agent/devices.json'), topology: topologyOf(this.#config) });
      const csi = new NodeCsi({ state: checkpoint, clock, log: log.child({ component: 'csi' }), ledger, events, reported: () => { late.node?.poke(); } }, { nodeName: this.#nodeName, kubeletDir: kubeletDirOf(this.#config) });
      const by = upgradedBy(...installation());
      const policy = nodePolicy(this.#config);
      const podPids = { cgroup: cgroupRoot, reserved: quantityValue(policy.reserved['pid'] ?? '0') };
      const node = late.node = await NodeReporter.open(
        { devices: () => devices.amounts(), csi: () => csi.report(), host: new LinuxHost({ stateDirectory: stateDir, nodeIp: this.#config.nodeIp, podsCgroup: cgroupRoot }), runtime: driver, annotations: () => ({ ...network.annotations, ...ingress.annotations, ...late.images?.annotations, [upgradedByAnnotation]: by, [runtimeAnnotation]: runtime.description }), notReady: [() => network.notReady, () => late.proxy?.failure, () => late.shutdown?.notReady], clock, log: log.child({ component: 'node' }) },
        { ...nodeReporterDefaults, ...policy, transitionMs: this.#config.evictionTransitionMs, maxPods: this.#config.maxPods, nodeName: this.#nodeName, version, checkIntervalMs: this.#config.nodeStatusPeriodMs }, signal,
      );
      for (const part of [network, devices, ingress]) part.subscribe(() => { node.poke(); });
      network.onMoved(() => { late.session?.redial('an address of this host is gone'); });
      const contact = await HostContact.open({ log }, join(containerdPaths(stateDir).runDir, 'contact'));
      const statics = await this.#staticPods(checkpoint);
      const images = late.images = await this.#images(runtime, systemImages, { driver, state: statics ?? checkpoint, clock, events, log: log.child({ component: 'images' }) });
      const pods = new PodManager({ state: statics ?? checkpoint, secretVolumes: new MemoryVolumes({ seal: checkpoint.seal, log }), driver, images: images.puller, clock, log, events, contact, counts, devices, csi, network: { protect: (...about) => late.policies?.protect(...about) ?? Promise.reject(new StatusError('ServiceUnavailable', 'the agent is starting')) }, node: factsOf(node, new NodeUsage(clock), () => currentPodPids(podPids)), tokens: { token: (request) => late.session?.token(request) ?? Promise.reject(new StatusError('ServiceUnavailable', 'the control plane is not connected')) } }, {
        nodeName: this.#nodeName, stateDir, podLogsDir, cgroupRoot, clusterDomain: this.#config.clusterDomain, clusterDns: [ranges.clusterDns], resolvConfPath: '/etc/resolv.conf',
        allowedUnsafeSysctls: this.#config.allowedUnsafeSysctls, podMaxPids: this.#config.podMaxPids, parallelStarts,
        logRotation: { maxBytes: quantityValue(this.#config.containerLogMaxSize), maxFiles: this.#config.containerLogMaxFiles },
      });
      const policies = late.policies = new NetworkPolicies({ state: statics ?? checkpoint, pods, ledger, events, clock, log: log.child({ component: 'policy' }), random: Math.random }, { nodeName: this.#nodeName });
      const evictor = new Evictor({ pods, node, driver, clock, events, limitPids: () => limitPodPids(podPids), reclaim: (stop) => images.reclaim(stop), counts, log: log.child({ component: 'eviction' }) }, { nodeName: this.#nodeName, stateDir, podLogsDir, cgroupRoot, maxGraceSeconds: this.#config.evictionMaxPodGraceSeconds, measureMs: 30_000 });
      const shutdown = late.shutdown = await gracefulShutdown({ pods, changed: () => { node.poke(); }, clock, log: log.child({ component: 'shutdown' }), ledger }, { groups: shutdownGroups(this.#config) });
      const reports = statics?.reports(pods) ?? pods;
      const proxy = late.proxy = new Proxy({ state: checkpoint, pods: reports, backend, former, events, clock, log: log.child({ component: 'proxy' }), random: Math.random }, { ...proxyLoopDefaults, nodeName: this.#nodeName });
      const firewalls = new FirewallNeighbours({ exec, record: (target) => ledger.record({ kind: 'firewall-hook', target, before: null, after: 'opened' }), events, clock, log: log.child({ component: 'firewall' }) }, { nodeName: this.#nodeName, podCidrs: this.#config.podCidr.split(','), checkIntervalMs: 60_000 });
      const balancers = new LoadBalancerAddresses({ state: checkpoint, problem: () => network.notReady ?? proxy.failure, ledger, events, clock, log: log.child({ component: 'load-balancer' }), random: Math.random }, { nodeName: this.#nodeName });
      const dns = new ClusterDns(
        { state: checkpoint, pods: reports, ledger, events, exchange, clock, log: log.child({ component: 'dns' }), random: Math.random },
        { ...clusterDnsDefaults, nodeName: this.#nodeName, address: ranges.clusterDns, domain: this.#config.clusterDomain, ranges: [...ranges.podCidr.split(','), ...ranges.serviceCidr.split(',')] },
      );
      const about: AboutDeps = { pods, driver, counts, state: statics ?? checkpoint, session: { get certificateEndsAtMs() { return session.certificateEndsAtMs; } }, clock, config: this.#config, clusterDns: ranges.clusterDns, runtimeEndpoint: runtime.endpoint };
      const session: AgentSession = late.session = new AgentSession(
        { services, identity, clock, log, random: Math.random, handlers: tunnelHandlers(pods, driver, (uid) => statics?.uidOf(uid) ?? uid, network, images, () => this.#hostTasks(), async (what, stop) => (await import('./metrics/about.ts')).aboutAgent(what, about, stop)), checkpoint, pods: reports, node, events, contact, fencing: pods, counts, ...(this.#deps.reached && { reached: this.#deps.reached }) },
        { stateDir, server: this.#config.server, agentVersion: version },
      );
      await runTogether({ clock, log: log.child({ component: 'agent' }) }, { network, upkeep, firewalls, policies, proxy, balancers, ingress, dns, node, devices, csi, pods, images, evictor, shutdown, statics, containerd, session, confirmation: await this.#confirmation(node, session, events) }, signal, stop);
    } finally {
      stop.abort(new Error('the agent has ended'));
      await checkpoint.close();
    }
  }

  #images(runtime: HostRuntime, systemImages: readonly string[], deps: Omit<NodeImagesDeps, 'localImages'>): Promise<NodeImages> {
    const { stateDir, registries, maxParallelImagePulls, imageGcHighThreshold, imageGcLowThreshold, imageMinimumGcAgeMs, imageMaximumGcAgeMs } = this.#config;
    return NodeImages.open({ ...deps, localImages: runtime.localImages() }, {
      ...imageCollectorDefaults, nodeName: this.#nodeName, stateDir, systemImages, registriesPath: registries, registryHostsDir: runtime.registryHostsDir, maxParallelPulls: maxParallelImagePulls,
      highPercent: imageGcHighThreshold, lowPercent: Math.min(imageGcLowThreshold, imageGcHighThreshold), minAgeMs: imageMinimumGcAgeMs, maxAgeMs: imageMaximumGcAgeMs,
    });
  }

  #ingress(state: DesiredState, events: EventBuffer): IngressGateway {
    const { log, clock } = this.#deps;
    const [httpPort, httpsPort] = this.#config.ingressPorts.split(',').map(Number);
    return new IngressGateway({ state, events, clock, log: log.child({ component: 'ingress' }), random: Math.random }, {
      nodeName: this.#nodeName, wanted: this.#config.ingress === 'on', runDir: containerdPaths(this.#config.stateDir).runDir, searchPath: process.env['PATH'] ?? '', httpPort: httpPort ?? 80, httpsPort: httpsPort ?? 443,
    });
  }

  /** Loaded when the control plane first has work for this host itself. */
  #hostTasks(): Promise<HostTasks> {
    this.#tasks ??= (async () => {
      const { HostTasks: Loaded } = await import('./upgrade/host-tasks.ts');
      const { log, clock } = this.#deps;
      const [executable, supervised] = installation();
      return new Loaded({ log: log.child({ component: 'upgrade' }), nowMs: () => clock.now() }, { stateDir: this.#config.stateDir, executable, supervised });
    })();
    return this.#tasks;
  }

  /** Undefined unless an upgrade of this host is to be looked at. */
  #confirmation(node: NodeReporter, session: AgentSession, events: EventBuffer): Promise<Runnable | undefined> {
    const { log, clock } = this.#deps;
    const notReady = (): string | undefined => node.current().status.conditions?.find(({ type, status }) => type === 'Ready' && status !== 'True')?.message;
    return confirmation({
      clock, log: log.child({ component: 'upgrade' }), unwell: () => (session.connected ? notReady() : 'it did not connect to the control plane'),
      tell: (type, reason, message) => { events.emit(nodeEvent(this.#nodeName, clock, type, reason, message)); },
    }, this.#config.stateDir);
  }

  /** Undefined where no folder is given. Loaded then: few hosts have one. */
  async #staticPods(state: DesiredState): Promise<StaticPods | undefined> {
    if (this.#config.podManifestPath === '') return undefined;
    const { StaticPods: Loaded } = await import('./pods/static/static-pods.ts');
    return Loaded.open({ state, clock: this.#deps.clock, log: this.#deps.log }, { folder: this.#config.podManifestPath, nodeName: this.#nodeName, checkMs: 20_000 });
  }

  /** Kept, or got by joining. That comes first: a wrong token or name must not leave a runtime behind. */
  async #identity(services: EdgeServices, signal: AbortSignal): Promise<Identity> {
    const { log, clock } = this.#deps;
    const { stateDir, server, nodeName } = this.#config;
    const token = (await new IdentityFiles(stateDir).load()) === undefined ? await this.#deps.joinToken() : '';
    return joinOrLoad({ services, clock, log, random: Math.random }, { stateDir, server, token, nodeName, hostname: hostname() }, signal);
  }

  #runtimes(): ChosenRuntime {
    const { stateDir, runtime, runtimeEndpoint: endpoint } = this.#config;
    return new ChosenRuntime({ log: this.#deps.log, clock: this.#deps.clock, drivers: runtimes }, { stateDir, searchPath: process.env['PATH'] ?? '', runtime, endpoint });
  }
}

/** The single executable that this agent was started from, if it was, and whether systemd starts it again when it ends. */
function installation(): [executable: string | undefined, supervised: boolean] {
  return [isSea() ? process.execPath : undefined, process.env['NOTIFY_SOCKET'] !== undefined];
}

/** The control plane's host as others reach it; nothing for an agent that runs beside it and dials itself. */
function serverHostOf(server: string): { readonly serverHost?: string } {
  const host = URL.canParse(server) ? new URL(server).hostname.replace(/^\[|\]$/g, '') : '';
  return host === '' || host === 'localhost' || host === '::1' || host.startsWith('127.') ? {} : { serverHost: host };
}

function networkModeOf(text: string): NetworkMode {
  return networkModes.find((mode) => mode === text) ?? 'auto';
}

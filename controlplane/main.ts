import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { networkInterfaces, hostname } from 'node:os';
import { dirname, join } from 'node:path';
import type { Secret } from '#api/gen/types.ts';
import { kinds } from '#api/kinds/registry.ts';
import { AddressPool } from '#api/load-balancer/pool.ts';
import * as resources from '#api/kinds/resources.ts';
import type { Resource } from '#api/kinds/resources.ts';
import type { OpenedArchive } from '#common/backup/archive.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import { detectNodeIp, isOwnLink } from '#common/host-address.ts';
import { prepareFolder } from '#common/folder.ts';
import type { Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import { runTogether } from '#common/run-together.ts';
import { fingerprintOf } from '#common/pki/certificate.ts';
import { loadClusterCa, rotateCa, type ClusterCa } from '#common/pki/cluster-ca.ts';
import { formatJoinToken, makeJoinToken } from '#common/pki/join-token.ts';
import { writeKubeconfig } from '#common/pki/kubeconfig.ts';
import { loadOrCreateSealingKeys } from '#common/pki/sealing-keys.ts';
import { serverNames } from '#common/pki/server-names.ts';
import { ensureLeaf, loadOrCreateCa, loadOrCreateKey, readIfThere } from '#common/pki/store.ts';
import { caLifetimeMs, timeFloor } from '#common/pki/validity.ts';
import { Turns } from '#common/turns.ts';
import { version } from '#common/version.ts';
import { parseTokenFile } from './apiserver/auth/authenticators.ts';
import { frontProxyName, type FrontProxy } from './apiserver/aggregation/front-proxy.ts';
import type { Audit } from './apiserver/audit/audit.ts';
import type { Reply } from './apiserver/http/reply.ts';
import type { ApiRequest } from './apiserver/http/request.ts';
import { ApiServer } from './apiserver/server.ts';
import type { ApiClient, NodeGateway } from './apiserver/types.ts';
import { Informers } from './cache/informers.ts';
import { clusterRanges } from './cluster-ranges.ts';
import type { Lead } from './candidacy/candidate.ts';
import type { ControlPlaneConfig } from './config.ts';
import { podIndexes } from './controllers/indexes.ts';
import { ControllerManager } from './controllers/manager.ts';
import { controllers } from './controllers/registry.ts';
import { Dispatcher } from './dispatcher/dispatcher.ts';
import type { RestoreConfig, RestoreResult } from './fleet/restore.ts';
import { takeRestored } from './fleet/restored-folder.ts';
import { schedulerPlugins } from './scheduler/registry.ts';
import { Scheduler } from './scheduler/scheduler.ts';
import { storePrefix } from './store/keys.ts';
import { openStore } from './store/open.ts';
import type { SealingConfig } from './store/sealed-rows.ts';
import type { Store } from './store/types.ts';

export interface ControlPlaneDeps {
  readonly log: Log;
  readonly clock: Clock;
  /** Where the settings were read from: backups remember it. */
  readonly configFile: string;
  /** Told what this control plane does when that is another thing than before: with the first, `ready` resolves. */
  readonly turned?: (readiness: Readiness) => void;
}

/** Of several control planes, one serves. */
export type Readiness = 'serves' | 'stands by';

const nodeCidrMaskSize = 24;
/** A Service must not lock people out of a host that they reach by nothing else. */
const sshPort = 22;
const joinTokenLifeMs = 600_000;
const renewalCheckMs = 3_600_000;

/** Composition root: opens the store, serves the API, and runs scheduler, controllers and dispatcher on it. */
export class ControlPlane implements Runnable {
  readonly #deps: ControlPlaneDeps;
  readonly #config: ControlPlaneConfig;
  readonly #ready = Promise.withResolvers<Readiness>();
  readonly #address: string;
  #client: ApiClient | undefined;
  readonly #rotations = new Turns();
  #fingerprint = '';
  #does: Readiness | undefined;

  constructor(deps: ControlPlaneDeps, config: ControlPlaneConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#address = config.advertiseAddress === '' ? ownAddress() : config.advertiseAddress;
    this.#ready.promise.catch(() => undefined);
  }

  /** Resolves when requests are answered, here or by the one that leads; rejects when the start failed. */
  get ready(): Promise<Readiness> {
    return this.#ready.promise;
  }

  /** Where others reach the API. */
  get url(): string {
    return `https://${bracketed(this.#address)}:${String(this.#config.port)}`;
  }

  /** Where this host reaches the API, whatever becomes of its network. */
  get localUrl(): string {
    return `https://${bracketed(this.#localAddress)}:${String(this.#config.port)}`;
  }

  /** What agents are told of where to look for this control plane. */
  get #urls(): string[] {
    return [...(isLoopback(this.#address) ? [] : [this.#address]), ...this.#config.furtherAddresses].map((host) => `https://${bracketed(host)}:${String(this.#config.port)}`);
  }

  get #localAddress(): string {
    const { bindAddress } = this.#config;
    return ['::', '0.0.0.0'].includes(bindAddress) ? '127.0.0.1' : bindAddress;
  }

  /** A short-lived token for the agent in this process. */
  async createJoinToken(): Promise<string> {
    const token = makeJoinToken(this.#fingerprint);
    const expiration = new Date(timeFloor(this.#deps.clock.now()) + joinTokenLifeMs).toISOString();
    const secret: Secret = {
      metadata: { name: `bootstrap-token-${token.id}`, namespace: 'kube-system' }, type: 'bootstrap.kubernetes.io/token',
      stringData: { 'token-id': token.id, 'token-secret': token.secret, 'usage-bootstrap-authentication': 'true', expiration, description: 'for the agent that runs beside the control plane' },
    };
    await this.#client?.create(resources.secrets, secret);
    return formatJoinToken(token);
  }

  /** Makes a state directory, on which no control plane runs, the cluster that a backup is of. */
  static async restore(log: Log, archive: OpenedArchive, config: RestoreConfig): Promise<RestoreResult> {
    return (await import('./fleet/restore.ts')).restore(log, archive, config);
  }

  /** Runs until the signal aborts; rejects when it cannot start. */
  async start(signal: AbortSignal): Promise<void> {
    try {
      await this.#run(signal);
    } catch (error) {
      this.#ready.reject(error);
      throw error;
    }
  }

  #turn(readiness: Readiness): void {
    if (readiness === this.#does) return;
    this.#does = readiness;
    this.#ready.resolve(readiness);
    this.#deps.turned?.(readiness);
  }

  async #run(signal: AbortSignal): Promise<void> {
    const kept = await takeRestored(this.#config.stateDir);
    if (kept !== undefined) this.#deps.log.warn({ component: 'controlplane', kept }, 'a restore that was cut off is finished; what was there before is kept');
    if (this.#config.etcdServers.length === 0) return this.#lead(signal);
    const { Candidate } = await import('./candidacy/candidate.ts');
    const candidate = await Candidate.open(this.#deps, { ...this.#config, address: this.#address });
    await candidate.run(signal, () => { this.#turn('stands by'); }, (lead) => this.#lead(AbortSignal.any([signal, lead.lost]), lead));
  }

  /** `lead` where the store is shared with other control planes. */
  async #lead(signal: AbortSignal, lead?: Lead): Promise<void> {
    const { log, clock } = this.#deps;
    const { stateDir, storeRecover } = this.#config;
    // First of all, because it is locked: two control planes on one directory must not write two CAs.
    const sealing = async (): Promise<SealingConfig> => ({ prefixes: [storePrefix(resources.secrets)], keys: await loadOrCreateSealingKeys(join(stateDir, 'server/pki')) });
    const store = await openStore({ log, clock, sealing, ...lead }, { ...lead?.limits, dir: join(stateDir, 'server/store'), volatilePrefixes: [resources.leases, resources.events].map((r) => storePrefix(r)), recover: storeRecover });
    try {
      const auditing = await this.#audit();
      try {
        // A new CA is in every part: with it all of them begin anew, on the same store.
        while (await this.#serve(store, auditing?.audit, signal, lead) === 'again') log.info({ component: 'controlplane' }, 'begun anew with other certificates');
      } finally {
        await auditing?.close();
      }
    } finally {
      await store.close();
    }
  }

  async #audit(): Promise<{ readonly audit: Audit; close(): Promise<void> } | undefined> {
    const { auditLogPath: path, auditPolicyFile: policyFile, auditLogMaxSizeMb, auditLogMaxBackups: maxBackups, auditLogMaxAgeDays } = this.#config;
    if (path === '') return undefined;
    const { openAudit } = await import('./apiserver/audit/open.ts');
    return openAudit({ clock: this.#deps.clock, log: this.#deps.log.child({ component: 'audit' }) }, { path, policyFile, maxBackups, maxBytes: auditLogMaxSizeMb << 20, maxAgeMs: auditLogMaxAgeDays * 86_400_000 });
  }

  async #serve(store: Store, audit: Audit | undefined, signal: AbortSignal, lead: Lead | undefined): Promise<'ended' | 'again'> {
    const { log, clock } = this.#deps;
    const again = new AbortController();
    const config = this.#config;
    const pkiDir = join(config.stateDir, 'server/pki');
    const now = (): number => timeFloor(clock.now());
    const ca = await loadClusterCa(pkiDir, now());
    this.#fingerprint = fingerprintOf(ca.trusted[0] ?? ca.certificate);
    await lead?.identify(fingerprintOf(ca.certificate));
    const ranges = await clusterRanges(store, config);
    const names = serverNames({ hosts: [this.#address, this.#localAddress, hostname().toLowerCase(), ...addressesOfHost(), ...config.furtherAddresses, ...config.tlsSan], serviceCidr: ranges.serviceCidr, clusterDomain: config.clusterDomain });
    const serving = () => ensureLeaf(pkiDir, 'server', ca, { subject: { commonName: 'cleat' }, usage: 'server', names }, now());
    const admin = () => ensureLeaf(pkiDir, 'admin', ca, { subject: { commonName: 'admin', organizations: ['system:masters'] }, usage: 'client' }, now());
    const writeAdmin = async (): Promise<void> => {
      const content = { server: this.localUrl, caPem: ca.trustedPem, ...(await admin()) };
      await writeKubeconfig(config.kubeconfig, content).catch((error: unknown) => {
        throw new StatusError('Forbidden', `the kubeconfig ${config.kubeconfig} cannot be written: ${messageOf(error)}; choose another place with --kubeconfig`, { cause: error });
      });
    };
    // Readable for all, so that a user is told to use sudo and not that there is no cluster; the file itself is not.
    await prepareFolder(dirname(config.kubeconfig), 'kubeconfig', 0o755);
    const { certPem, keyPem } = await serving();
    // The API serves logs through the dispatcher, and the dispatcher writes through the API.
    const nodes: NodeGateway = { logs: (...request) => dispatcher.logs(...request), usage: (...request) => dispatcher.usage(...request), network: (...request) => dispatcher.network(...request), kubelet: (...request) => dispatcher.kubelet(...request), open: (...request) => dispatcher.open(...request) };
    const informers = new Informers({ store, log, clock });
    const frontProxyCa = await loadOrCreateCa(pkiDir, now(), 'front-proxy-ca');
    const frontProxy: FrontProxy = { ca: frontProxyCa.certPem, client: () => ensureLeaf(pkiDir, frontProxyName, frontProxyCa, { subject: { commonName: frontProxyName }, usage: 'client' }, now()) };
    const fleet = async (request: ApiRequest): Promise<Reply> => (await import('./fleet/routes.ts')).serveFleet({ store, nowMs: now, clock, ca, rotations: this.#rotations, again: () => { again.abort(); }, gateway: nodes, nodes: () => [...informers.informer(resources.nodes).list()], connected: () => dispatcher.connected() }, { settings: config, configFile: this.#deps.configFile }, request);
    const apiServer = new ApiServer({ store, audit, fleet, kinds, clock, log, nodes, informers, frontProxy, tokens: await readTokens(config.tokenAuthFile) }, {
      ...config, ...ranges, advertiseAddress: isLoopback(this.#address) ? '' : this.#address, tlsKey: keyPem, tlsCertificate: certPem + ca.chainPem, clientCa: ca.trustedPem, version,
      serviceAccountKey: await loadOrCreateKey(pkiDir, 'sa'), serviceAccountOldKeys: await readIfThere(join(pkiDir, 'sa.pub')) ?? '', serviceAccountIssuer: `https://kubernetes.default.svc.${config.clusterDomain}`,
    });
    const client = (name: string): ApiClient => apiServer.client({ name, groups: ['system:masters'] });
    const pods = informers.informer(resources.pods, podIndexes);
    const dispatcher = new Dispatcher({
      ca, clock, log, random: Math.random, api: client('system:dispatcher'), tokens: apiServer.access.podTokens, events: apiServer.recorder({ component: 'kubelet' }),
      informers: {
        pods, nodes: informers.informer(resources.nodes), secrets: informers.informer(resources.secrets), configMaps: informers.informer(resources.configMaps),
        services: informers.informer(resources.services), endpointSlices: informers.informer(resources.endpointSlices), runtimeClasses: informers.informer(resources.runtimeClasses),
        claims: informers.informer(resources.persistentVolumeClaims), volumes: informers.informer(resources.persistentVolumes),
        csiDrivers: informers.informer(resources.csiDrivers), volumeAttachments: informers.informer(resources.volumeAttachments),
        ...(config.ingress === 'on' && { ingresses: informers.informer(resources.ingresses), ingressClasses: informers.informer(resources.ingressClasses) }),
        networkPolicies: informers.informer(resources.networkPolicies), namespaces: informers.informer(resources.namespaces),
      },
    }, { heartbeatPeriodMs: config.heartbeatPeriodMs, servers: this.#urls });
    apiServer.addCheck('readyz', 'store-writes', () => { if (store.writeProblem) throw store.writeProblem; });
    apiServer.onAgentConnection((socket) => { dispatcher.accept(socket); });
    this.#client = client('system:controlplane');
    const manager = this.#controllers(apiServer, informers, ca, dispatcher, ranges.podCidr);
    const scheduler = await this.#scheduler(apiServer, informers);
    apiServer.metrics.add(() => manager.collect());
    apiServer.metrics.add(() => scheduler.collect());

    const stop = new AbortController();
    const all = AbortSignal.any([signal, stop.signal, again.signal]);
    const ended = runTogether({ clock, log: log.child({ component: 'controlplane' }) }, { apiServer, informers, dispatcher, scheduler, manager, backups: await this.#backups(store, nodes) }, all, stop);
    apiServer.listening.then(async () => { await writeAdmin(); this.#turn('serves'); }).catch((error: unknown) => { stop.abort(error); });
    void this.#renew(all, async () => {
      if (ca.trusted.length === 1 && now() > ca.certificate.validToDate.getTime() - caLifetimeMs / 3) {
        await this.#rotations.take(() => rotateCa(pkiDir, now()));
        again.abort();
        return;
      }
      const renewed = await serving();
      apiServer.setCertificate(renewed.keyPem, renewed.certPem + ca.chainPem);
      await writeAdmin();
    });
    await ended.catch((error: unknown) => { stop.abort(error); });
    if (signal.aborted) return 'ended';
    if (again.signal.aborted && !stop.signal.aborted) return 'again';
    throw stop.signal.reason;
  }

  /** Undefined where none are asked for. Loaded then. */
  async #backups(store: Store, nodes: NodeGateway): Promise<Runnable | undefined> {
    const settings = this.#config;
    if (settings.backupPeriodMs === 0 && settings.backupNode === '') return undefined;
    const { checkBackupSettings, DailyBackups } = await import('./fleet/kept-backups.ts');
    await checkBackupSettings(settings);
    const { log, clock } = this.#deps;
    return new DailyBackups({ store, nodes, clock, nowMs: () => timeFloor(clock.now()), log: log.child({ component: 'backup' }) }, { settings, configFile: this.#deps.configFile });
  }

  async #scheduler(apiServer: ApiServer, informers: Informers): Promise<Scheduler> {
    const { schedulerConfig } = this.#config;
    const profiles = schedulerConfig === '' ? undefined : await import('./scheduler/configuration.ts').then(({ readSchedulerConfig }) => readSchedulerConfig(schedulerConfig));
    return new Scheduler({
      api: apiServer.client({ name: 'system:kube-scheduler', groups: ['system:masters'] }), events: apiServer.recorder({ component: 'default-scheduler' }),
      pods: informers.informer(resources.pods), nodes: informers.informer(resources.nodes), namespaces: informers.informer(resources.namespaces),
      storage: {
        claims: informers.informer(resources.persistentVolumeClaims), volumes: informers.informer(resources.persistentVolumes), classes: informers.informer(resources.storageClasses),
        csi: { nodes: informers.informer(resources.csiNodes), drivers: informers.informer(resources.csiDrivers), capacities: informers.informer(resources.csiStorageCapacities) },
      },
      budgets: informers.informer(resources.podDisruptionBudgets),
      plugins: schedulerPlugins, clock: this.#deps.clock, random: Math.random, log: this.#deps.log.child({ component: 'scheduler' }),
    }, profiles);
  }

  #controllers(apiServer: ApiServer, informers: Informers, ca: ClusterCa, nodes: Dispatcher, podCidr: string): ControllerManager {
    const { tokens, authorizer } = apiServer.access;
    // The API and the informers, and behind them what other API servers keep.
    const everything = apiServer.everything({ name: 'system:kube-controller-manager', groups: ['system:masters'] });
    return new ControllerManager({
      controllers, clock: this.#deps.clock, log: this.#deps.log, random: Math.random,
      informers: everything,
      client: everything,
      recorder: (component) => apiServer.recorder({ component }),
    }, {
      podCidr, nodeCidrMaskSize, nodeMonitorGracePeriodMs: this.#config.nodeMonitorGracePeriodMs, burstReplicas: 500, rootCa: ca.trustedPem,
      autoscaling: {
        scales: apiServer.scaleClient({ name: 'system:kube-controller-manager', groups: ['system:masters'] }), usage: (...about) => nodes.usage(...about),
        // Adapters decide by the name of Kubernetes' own autoscaler who may read.
        metrics: (...about) => apiServer.readAggregated({ name: 'system:serviceaccount:kube-system:horizontal-pod-autoscaler', groups: ['system:serviceaccounts', 'system:serviceaccounts:kube-system', 'system:authenticated'] }, ...about),
      },
      ...(this.#config.loadBalancer === 'hosts' && { loadBalancer: { reservedPorts: new Map([[this.#config.port, 'the API'], [sshPort, 'SSH']]), ...(this.#config.loadBalancerPool !== '' && { pool: AddressPool.parse(this.#config.loadBalancerPool.split(',')) }) } }),
      ingress: this.#config.ingress === 'on',
      nodeVolumes: { remove: (...about) => nodes.removeVolume(...about) },
      credentials: { ca, authorizer, tokenForSecret: (...about) => tokens.issueForSecret(...about) },
      resources: Object.values(kinds).map(({ resource }) => resource as Resource), custom: apiServer.customResources, aggregated: everything, checkApiService: (...about) => apiServer.checkApiService(...about),
    });
  }

  /** Looks every hour whether a certificate of ours nears its end: a control plane runs for years, and its clock may be set forward by years. */
  async #renew(signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    const { clock, log } = this.#deps;
    while (!signal.aborted) {
      try {
        await clock.sleep(renewalCheckMs, signal);
        await work();
      } catch (error) {
        if (!signal.aborted) log.error({ component: 'controlplane', err: messageOf(error) }, 'certificates cannot be renewed; trying again later');
      }
    }
  }
}

async function readTokens(path: string): Promise<ReturnType<typeof parseTokenFile>> {
  if (path === '') return new Map();
  try {
    return parseTokenFile(await readFile(path, 'utf8'));
  } catch (error) {
    throw new StatusError('Invalid', `--token-auth-file ${path}: ${messageOf(error)}`, { cause: error });
  }
}

/** This host's own addresses, for the certificate: not loopback, and not those of links that container engines make. */
function addressesOfHost(): string[] {
  const own = Object.entries(networkInterfaces()).filter(([name]) => isOwnLink(name));
  return own.flatMap(([, list]) => list ?? []).filter(({ internal, scopeid }) => !internal && !scopeid).map(({ address }) => address);
}

/** What others reach this host by when nobody says; loopback on a host without a network. */
function ownAddress(): string {
  return detectNodeIp(readFileSync('/proc/net/route', 'utf8'), networkInterfaces()) ?? '127.0.0.1';
}

function bracketed(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}

/** Pods cannot reach the host by its loopback address, so it must not be published as an endpoint. */
function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.');
}

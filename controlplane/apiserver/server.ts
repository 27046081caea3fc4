import { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import type { KindDefinition } from '#api/kinds/types.ts';
import type { APIService, Service } from '#api/gen/types.ts';
import { services, type Resource } from '#api/kinds/resources.ts';
import type { Clock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { TaskGroup, untilAborted, type Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import { Metrics } from '#common/metrics.ts';
import { Informers } from '#controlplane/cache/informers.ts';
import type { Store } from '#controlplane/store/types.ts';
import { Admission } from './admission/plugins.ts';
import { Aggregated } from './aggregation/aggregated.ts';
import { Everything } from './aggregation/everything.ts';
import { authenticationData, frontProxyName, type FrontProxy } from './aggregation/front-proxy.ts';
import { ServiceAllocation } from './admission/service-allocation.ts';
import type { Audit } from './audit/audit.ts';
import { AccessControl } from './auth/access-control.ts';
import type { Authorizer } from './auth/types.ts';
import { bootstrap } from './bootstrap.ts';
import { bootstrapPolicy } from './bootstrap/bootstrap-policy.ts';
import { InProcessClient } from './client.ts';
import { CustomDefinitions } from './custom/definitions.ts';
import { parseBytes } from './encoding.ts';
import { EventExpiry } from './event-expiry.ts';
import { ApiEventRecorder, type EventRecorderConfig } from './event-recorder.ts';
import { FlowControl } from './flow-control/flow-control.ts';
import { FlowControlKeeper } from './flow-control/keeper.ts';
import { FairQueue } from './http/fair-queue.ts';
import { RequestHandler } from './http/handler.ts';
import { Listener } from './http/listener.ts';
import type { Reply } from './http/reply.ts';
import type { ApiRequest } from './http/request.ts';
import { KindIndex } from './kind-index.ts';
import { listPage } from './resource-lists.ts';
import { RequestMetrics } from './request-metrics.ts';
import { ResourceStore } from './resource-store.ts';
import { InProcessScaleClient } from './scale-client.ts';
import { serverMetrics } from './server-metrics.ts';
import { Health, type HealthCheck, type HealthEndpoint } from './routes/health.ts';
import { Router } from './routes/router.ts';
import type { ApiClient, EventRecorder, NodeGateway, ScaleClient, User } from './types.ts';

export interface ApiServerDeps {
  readonly store: Store;
  /** The registry of kinds. */
  readonly kinds: Readonly<Record<string, KindDefinition>>;
  readonly clock: Clock;
  readonly log: Log;
  /** Absent where no agents connect: logs and usage are then not available. */
  readonly nodes?: NodeGateway;
  /** Those of the whole control plane, which somebody else runs; its own when absent. */
  readonly informers?: Informers;
  /** The default is RBAC. */
  readonly authorizer?: Authorizer;
  /** Records requests; nothing is recorded without it. */
  readonly audit?: Audit | undefined;
  /** How servers behind APIServices know this one; absent in some tests. */
  readonly frontProxy?: FrontProxy;
  /** Answers `/cleat/...`; there is no such path when absent. */
  readonly fleet?: (request: ApiRequest) => Promise<Reply>;
  /** Bearer tokens; see `parseTokenFile`. */
  readonly tokens?: ReadonlyMap<string, User>;
}

export interface ApiServerConfig {
  readonly port: number;
  readonly bindAddress: string;
  /** Where pods and agents reach this server; empty when not known. */
  readonly advertiseAddress: string;
  /** PEM: the serving key and certificate chain, and the CA of client certificates. */
  readonly tlsKey: string;
  readonly tlsCertificate: string;
  readonly clientCa: string;
  readonly serviceCidr: string;
  readonly podCidr: string;
  readonly clusterDns: string;
  readonly notReadyTolerationSeconds: number;
  readonly unreachableTolerationSeconds: number;
  /** PEM of the ECDSA P-256 key that signs tokens of service accounts, and what the tokens name as their issuer. */
  readonly serviceAccountKey: string;
  /** PEM of the public keys that signed before; see `TokenAuthorityConfig`. */
  readonly serviceAccountOldKeys?: string;
  readonly serviceAccountIssuer: string;
  /** Shown by `kubectl version`. */
  readonly version: string;
}

/** The server name (SNI) by which an agent asks for gRPC on the API's port. */
export const agentServerName = 'agents.cleat.internal';

const limits = {
  maxHeaderBytes: 64 << 10, maxConnections: 5000, handshakeTimeoutMs: 15_000, requestTimeoutMs: 60_000, idleTimeoutMs: 120_000,
  maxBodyBytes: 3 << 20, maxBodyBytesInFlight: 48 << 20, bodyTimeoutMs: 30_000, maxUrlBytes: 32 << 10,
  maxInFlight: 1000, maxStreams: 2000, stallMs: 30_000,
} as const;
const seats = { seats: 200, seatsPerUser: 150, maxWaitingPerUser: 200, maxWaiting: 500, maxWaitMs: 15_000 } as const;
const eventTtlMs = 3_600_000;

/**
 * The REST API on the store: one TLS port for HTTP/1.1, HTTP/2 and, by its server name, the agents' gRPC.
 * In-process parts use `client` and `recorder`, which pass the same admission and validation.
 */
export class ApiServer implements Runnable {
  readonly #deps: ApiServerDeps;
  readonly #config: ApiServerConfig;
  readonly #kinds: KindIndex;
  readonly #resources: ResourceStore;
  readonly #allocation: ServiceAllocation;
  readonly #admission: Admission;
  readonly #informers: Informers;
  readonly #access: AccessControl;
  readonly #definitions: CustomDefinitions;
  readonly #flowControl: FlowControlKeeper;
  readonly #aggregated: Aggregated;
  /** What /metrics tells; other parts add what they count. */
  readonly metrics = new Metrics();
  readonly #health = new Health();
  readonly #listener: Listener;
  readonly #tasks: TaskGroup;
  readonly #stop = new AbortController();
  readonly #listening = Promise.withResolvers<{ port: number }>();
  /** What runs with the server. */
  readonly #started: Runnable[] = [];
  #loaded: Promise<void> | undefined;
  #synced = false;

  constructor(deps: ApiServerDeps, config: ApiServerConfig) {
    this.#deps = deps;
    this.#config = config;
    const { store, clock, log, frontProxy } = deps;
    this.#kinds = new KindIndex(deps.kinds);
    this.#allocation = new ServiceAllocation(config);
    this.#informers = deps.informers ?? new Informers({ store, log, clock });
    this.#definitions = new CustomDefinitions({ store, kinds: this.#kinds, nodes: deps.nodes, clock, log, parse: (value) => this.#informers.cachedObject({ value }) });
    this.#access = new AccessControl({ informers: this.#informers, clock, tokens: deps.tokens ?? new Map(), authorizer: deps.authorizer, frontProxy: frontProxy && { ca: new X509Certificate(frontProxy.ca), allowedNames: [frontProxyName] } }, {
      key: config.serviceAccountKey, oldKeys: config.serviceAccountOldKeys ?? '', issuer: config.serviceAccountIssuer, jwksUri: `https://${hostOf(config.advertiseAddress)}:${String(config.port)}/openid/v1/jwks`,
    });
    this.#aggregated = new Aggregated({ informers: this.#informers, nodes: deps.nodes, frontProxy: deps.frontProxy });
    this.#admission = new Admission({
      store, clock, log, kinds: this.#kinds, authorizer: this.#access.authorizer, nodes: deps.nodes, access: this.#access.admission, allocation: this.#allocation,
    }, config);
    this.#resources = new ResourceStore({ store, admission: this.#admission.chain, kinds: this.#kinds, clock });
    this.#tasks = new TaskGroup(log);
    this.#flowControl = new FlowControlKeeper({ informers: this.#informers, client: this.client({ name: 'api-priority-and-fairness-config-producer-v1', groups: ['system:masters'] }), clock, log });
    this.#listening.promise.catch(() => undefined);
    const { authenticator, authorizer } = this.#access;
    const requests = new RequestMetrics(clock);
    this.metrics.add(() => requests.collect());
    this.metrics.add(() => serverMetrics({ store, kinds: this.#kinds, version: config.version }));
    const router = new Router(
      { store, resources: this.#resources, kinds: this.#kinds, informers: this.#informers, authorizer, access: this.#access, nodes: deps.nodes, clock, log },
      { health: this.#health, metrics: this.metrics, aggregated: this.#aggregated, fleet: deps.fleet },
      { version: config.version, clientCa: config.clientCa, watch: { minTimeoutMs: 1_800_000, bookmarkMs: 60_000 } },
    );
    const queue = new FairQueue(clock, seats);
    this.metrics.add(() => queue.collect());
    this.metrics.add(() => deps.audit?.collect() ?? []);
    const handler = new RequestHandler({
      authenticator, authorizer, metrics: requests, queue, flows: new FlowControl({ informers: this.#informers }), audit: deps.audit, log, resource: (call) => router.resource(call), other: (request, user) => router.other(request, user),
    }, limits, this.#stop.signal);
    this.#listener = new Listener({ log, handle: (request, response) => { handler.handle(request, response); } }, { ...config, ...limits, agentServerName, clientCa: config.clientCa + (frontProxy?.ca ?? '') });
  }

  /** Resolves with the port once requests are answered; rejects when that fails. */
  get listening(): Promise<{ port: number }> {
    return this.#listening.promise;
  }

  /** Who somebody is and what they may do, for parts that sign or decide beside the API. */
  get access(): AccessControl {
    return this.#access;
  }

  /** What CustomResourceDefinitions define now. */
  get customResources(): { readonly resources: readonly Resource[]; subscribe(listener: () => void): () => void } {
    const kinds = this.#kinds;
    return { get resources() { return kinds.custom; }, subscribe: (listener) => kinds.subscribe(listener) };
  }

  /** What controllers work with that look after every object there is, in `user`'s name: those of other API servers, too. Ask for it once. */
  everything(user: User): Everything {
    const everything = new Everything({ aggregated: this.#aggregated, informers: this.#informers, client: this.client(user), clock: this.#deps.clock, log: this.#deps.log, user });
    this.#started.push(everything);
    return everything;
  }

  /** Throws when the server behind an APIService does not answer for its group version. */
  async checkApiService(apiService: APIService, signal: AbortSignal): Promise<void> {
    await (await this.#aggregated.load()).check(apiService, signal);
  }

  /** Reads `path` below `/apis/GROUP/VERSION` of whoever an APIService names for the group, in its highest version. */
  async readAggregated(user: User, group: string, path: string, signal: AbortSignal): Promise<unknown> {
    const remote = this.#aggregated.services.newest(group);
    if (remote === undefined) throw new StatusError('ServiceUnavailable', `no API ${group} registered: an adapter has to be installed, and an APIService that names it`);
    return (await this.#aggregated.load()).read(remote, path, user, signal);
  }

  /** The API in process, for a part that goes by `user.name` (`system:kube-scheduler`). */
  client(user: User): ApiClient {
    return new InProcessClient({ store: this.#deps.store, resources: this.#resources, kinds: this.#kinds, clock: this.#deps.clock }, user);
  }

  /** The same for whatever can be scaled. */
  scaleClient(user: User): ScaleClient {
    return new InProcessScaleClient({ resources: this.#resources, kinds: this.#kinds }, user);
  }

  recorder(config: EventRecorderConfig): EventRecorder {
    const { clock, log } = this.#deps;
    return new ApiEventRecorder({ client: this.client({ name: `system:${config.component}`, groups: ['system:masters'] }), clock, log }, config);
  }

  /** Readiness and health of other parts. The check throws, with the reason, while the part is not well. */
  addCheck(endpoint: HealthEndpoint, name: string, check: HealthCheck): void {
    this.#health.add(endpoint, name, check);
  }

  /** Decrypted connections of agents: hand them to gRPC. May be set before or after `start`. */
  onAgentConnection(handler: (socket: TLSSocket) => void): void {
    this.#listener.onAgentConnection(handler);
  }

  /** Takes a renewed serving certificate; open connections stay. */
  setCertificate(key: string, certificate: string): void {
    this.#listener.setCertificate(key, certificate);
  }

  /** Reads what is allocated and makes the first objects. `start` does it; call it before to write in process while not listening. */
  prepare(): Promise<void> {
    this.#loaded ??= this.#prepare();
    return this.#loaded;
  }

  async start(signal: AbortSignal): Promise<void> {
    const stop = (): void => { this.#stop.abort(signal.reason); };
    signal.addEventListener('abort', stop, { once: true });
    try {
      await this.prepare();
      signal.throwIfAborted();
      if (!this.#deps.informers) this.#tasks.run('informers', signal, () => this.#informers.start(signal));
      await Promise.all([this.#access.synced(signal), this.#aggregated.services.synced(signal)]);
      this.#synced = true;
      await this.#listener.listen();
    } catch (error) {
      this.#listening.reject(error);
      throw error;
    }
    const expiry = new EventExpiry(this.#deps, { ttlMs: eventTtlMs, maxEvents: 5000 });
    this.#tasks.run('event expiry', signal, () => expiry.start(signal));
    this.#tasks.run('admission', signal, () => this.#admission.start((user) => this.client(user), signal));
    this.#tasks.run('custom resource definitions', signal, () => this.#definitions.start(signal));
    this.#tasks.run('priority levels', signal, () => this.#flowControl.start(signal));
    for (const one of this.#started) this.#tasks.run('objects of other API servers', signal, () => one.start(signal));
    this.#listening.resolve({ port: this.#listener.port });
    await untilAborted(signal);
    await this.#listener.close();
    await this.#tasks.drain();
  }


  async #prepare(): Promise<void> {
    const isOpen = (): void => {
      if (this.#stop.signal.aborted) throw new StatusError('ServiceUnavailable', 'shutting down');
    };
    for (const endpoint of ['healthz', 'livez', 'readyz'] as const) this.#health.add(endpoint, 'etcd', isOpen);
    this.#health.add('readyz', 'etcd-readiness', isOpen);
    this.#health.add('readyz', 'informer-sync', () => { if (!this.#synced) throw new StatusError('ServiceUnavailable', 'what the server keeps in memory is not read yet'); });
    this.#health.add('readyz', 'shutdown', isOpen);
    const stored = await listPage(this.#deps.store, this.#kinds.of(services), undefined, {});
    for (const entry of stored.entries) this.#allocation.load(parseBytes(entry.value) as Service);
    await this.#definitions.load();
    await this.#admission.load();
    const client = this.client({ name: 'system:apiserver', groups: ['system:masters'] });
    await bootstrap(client, {
      serviceAddress: this.#allocation.firstAddress, clusterDns: this.#config.clusterDns, serviceCidr: this.#config.serviceCidr, podCidr: this.#config.podCidr, advertiseAddress: this.#config.advertiseAddress, port: this.#config.port,
      authentication: authenticationData(this.#config.clientCa, this.#deps.frontProxy),
    });
    await Promise.all([bootstrapPolicy(client), this.#flowControl.prepare()]);
  }
}

/** As a URL has it. */
function hostOf(address: string): string {
  return address.includes(':') ? `[${address}]` : address || 'localhost';
}

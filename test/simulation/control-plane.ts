import type { Node, Pod } from '#api/gen/types.ts';
import { kinds } from '#api/kinds/registry.ts';
import * as resources from '#api/kinds/resources.ts';
import type { Resource } from '#api/kinds/resources.ts';
import { setImmediate as turn } from 'node:timers/promises';
import { ManualClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { Admission } from '#controlplane/apiserver/admission/plugins.ts';
import { ServiceAllocation } from '#controlplane/apiserver/admission/service-allocation.ts';
import { masters } from '#controlplane/apiserver/auth/authorizers.ts';
import { bootstrap } from '#controlplane/apiserver/bootstrap.ts';
import { InProcessClient } from '#controlplane/apiserver/client.ts';
import { evictPod } from '#controlplane/apiserver/eviction.ts';
import { KindIndex } from '#controlplane/apiserver/kind-index.ts';
import { ResourceStore } from '#controlplane/apiserver/resource-store.ts';
import { InProcessScaleClient } from '#controlplane/apiserver/scale-client.ts';
import type { ApiClient, EventRecorder, ScaleClient } from '#controlplane/apiserver/types.ts';
import { podIndexes } from '#controlplane/controllers/indexes.ts';
import { ControllerManager } from '#controlplane/controllers/manager.ts';
import { controllers } from '#controlplane/controllers/registry.ts';
import type { Autoscaling } from '#controlplane/controllers/types.ts';
import { Assignments, type AssignmentInformers } from '#controlplane/dispatcher/assignments.ts';
import { NodeSession } from '#controlplane/dispatcher/session.ts';
import { schedulerPlugins } from '#controlplane/scheduler/registry.ts';
import { Scheduler } from '#controlplane/scheduler/scheduler.ts';
import { MemoryRows } from '#controlplane/store/backends/memory/backend.ts';
import { openStore } from '#controlplane/store/open.ts';
import type { Store } from '#controlplane/store/types.ts';
import { generator } from '../support/chaos.ts';
import type { SimulatedHost } from './host.ts';
import { Link } from './link.ts';
import { PacedInformers } from './paced-informers.ts';

const user = { name: 'system:masters', groups: ['system:masters'] };
const addresses = { serviceCidr: '10.43.0.0/16', podCidr: '10.42.0.0/16', clusterDns: '10.43.0.10' };
/** Turns of the event loop without a write or a request after which nothing more will come by itself. */
const quietTurns = 4;
/** The schedule of CronJobs is told as a wall clock has it. */
const startMs = Date.UTC(2026, 0, 1, 0, 0, 30);

/**
 * The real control plane in a world of its own: store (in memory), admission with its quotas, every controller, the
 * scheduler with every plugin, the dispatcher's sessions. Its requests take their time, what it knows of the store lags, and
 * it is killed and started again, all as the seed has it. Nothing in it is a stand-in but disk, network, time and chance.
 */
export class SimulatedControlPlane {
  readonly clock = new ManualClock(startMs);
  readonly random: () => number;
  readonly store: Store;
  readonly recorded: string[] = [];
  /** Called when the scheduler asks for a binding: with the pod and the node as it knows them. */
  onBinding: (pod: Pod | undefined, node: Node | undefined) => void = () => undefined;
  /** What autoscalers are given, around the scales of the store. Until it is set they find nothing to scale. */
  measured: ((scales: ScaleClient) => Autoscaling) | undefined;
  isUp = false;
  readonly #kinds = new KindIndex(kinds);
  readonly #sessions = new Map<string, NodeSession>();
  #resources!: ResourceStore;
  #informers!: PacedInformers;
  #assignmentInformers!: AssignmentInformers;
  #assignments!: Assignments;
  #client!: ApiClient;
  #held: ((carriedOut: boolean) => void)[] = [];
  #stops: (() => void)[] = [];
  #end = new AbortController();
  #isCalm = false;
  #requests = 0;
  #ids = 0;

  private constructor(seed: number, clock: ManualClock, store: Store) {
    this.random = generator(seed);
    this.clock = clock;
    this.store = store;
  }

  /** One that is not started yet. */
  static async make(seed: number): Promise<SimulatedControlPlane> {
    const clock = new ManualClock(startMs);
    const rows = new MemoryRows();
    const store = await openStore({ log: silentLog, clock, openRows: () => Promise.resolve(rows) }, { dir: 'memory', volatilePrefixes: ['core/events/', 'coordination.k8s.io/leases/'] });
    return new SimulatedControlPlane(seed, clock, store);
  }

  int(limit: number): number { return Math.floor(this.random() * limit); }
  one<T>(of: readonly T[]): T { return of[this.int(of.length)]!; }

  /** Of a user, whose requests are answered at once. */
  get api(): ApiClient { return new InProcessClient({ store: this.store, resources: this.#resources, kinds: this.#kinds, clock: this.clock }, user); }

  /** By the eviction subresource. */
  async evict(namespace: string, podName: string): Promise<void> {
    const deps = { store: this.store, resources: this.#resources, kinds: this.#kinds, clock: this.clock };
    await evictPod(deps, this.#kinds.of(resources.pods), { namespace, podName, deletion: {} }, { user, dryRun: false });
  }

  async start(): Promise<void> {
    const { clock, store, random } = this;
    const end = this.#end = new AbortController();
    const { signal } = end;
    const allocation = new ServiceAllocation(addresses);
    const admission = new Admission({ store, clock, log: silentLog, kinds: this.#kinds, authorizer: masters, nodes: undefined, access: [], allocation }, { notReadyTolerationSeconds: 30, unreachableTolerationSeconds: 30 });
    const ids = { uid: () => `00000000-0000-4000-8000-${(++this.#ids).toString(16).padStart(12, '0')}`, suffix: () => (++this.#ids).toString(36).padStart(5, 'x') };
    this.#resources = new ResourceStore({ store, admission: admission.chain, kinds: this.#kinds, clock, ids });
    const { items } = await this.api.list(resources.services);
    for (const service of items) allocation.load(service);
    await admission.load();
    await bootstrap(this.api, { ...addresses, serviceAddress: allocation.firstAddress, advertiseAddress: '', port: 6443, authentication: {} });
    this.#client = this.#paced(this.api, signal);
    this.#informers = new PacedInformers(store);
    void admission.start(() => this.#client, signal);
    this.#startScheduler(signal);
    this.#startDispatcher();
    const manager = new ControllerManager(
      { informers: this.#informers, client: this.#client, recorder: (component) => this.#recorder(component), clock, log: silentLog, random, controllers },
      { podCidr: '10.42.0.0/16', nodeCidrMaskSize: 24, nodeMonitorGracePeriodMs: 40_000, burstReplicas: 500, rootCa: 'PEM', nodeVolumes: { remove: () => Promise.resolve() }, ...this.#autoscaling(signal), resources: Object.values(kinds).map(({ resource }) => resource as Resource).filter(({ kind }) => kind !== 'Event') },
    );
    void manager.start(signal);
    this.isUp = true;
    await this.quiet();
  }

  /** Nodes and adapters take their time as the store does. */
  #autoscaling(signal: AbortSignal): { autoscaling?: Autoscaling } {
    const scales = this.#paced(new InProcessScaleClient({ resources: this.#resources, kinds: this.#kinds }, user), signal);
    const measured = this.measured?.(scales);
    if (measured === undefined) return {};
    const { usage, metrics } = this.#paced(measured, signal);
    return { autoscaling: { scales: measured.scales, usage, ...(metrics && { metrics }) } };
  }

  #startScheduler(signal: AbortSignal): void {
    const of = this.#informers;
    const scheduler = new Scheduler({
      api: this.#client, events: this.#recorder('default-scheduler'), pods: of.informer(resources.pods), nodes: of.informer(resources.nodes), namespaces: of.informer(resources.namespaces),
      storage: { claims: of.informer(resources.persistentVolumeClaims), volumes: of.informer(resources.persistentVolumes), classes: of.informer(resources.storageClasses) },
      budgets: of.informer(resources.podDisruptionBudgets), plugins: schedulerPlugins, clock: this.clock, random: this.random, log: silentLog,
    });
    void scheduler.start(signal);
  }

  #startDispatcher(): void {
    const of = this.#informers;
    this.#assignmentInformers = {
      pods: of.informer(resources.pods, podIndexes), nodes: of.informer(resources.nodes), secrets: of.informer(resources.secrets), configMaps: of.informer(resources.configMaps),
      services: of.informer(resources.services), endpointSlices: of.informer(resources.endpointSlices), runtimeClasses: of.informer(resources.runtimeClasses),
    };
    this.#assignments = new Assignments(this.#assignmentInformers, this.clock);
    this.#stops = [
      this.#assignments.start(),
      this.#assignmentInformers.nodes.subscribe(({ object, old }) => { this.#sessions.get((object ?? old)?.metadata?.name ?? '')?.nodeChanged(object); }),
      this.#assignmentInformers.pods.subscribe(({ object, old }) => { this.#sessions.get((object ?? old)?.spec?.nodeName ?? '')?.podChanged(object, old); }),
    ];
  }

  /** A host opens a session. */
  dial(host: SimulatedHost): void {
    const link = new Link();
    host.open(link);
    const identity = { name: host.name, publicKeySha256: host.name, expired: false };
    const session = new NodeSession(
      { api: this.#client, events: this.#recorder('kubelet'), informers: this.#assignmentInformers, assignments: this.#assignments, clock: this.clock, log: silentLog, random: this.random },
      { heartbeatPeriodMs: 10_000 }, identity, link.call,
    );
    void session.run(() => {
      this.#sessions.get(host.name)?.end(new Error('a newer session'));
      this.#sessions.set(host.name, session);
    });
  }

  /** Killed: what it had asked for was carried out or was not, and nothing of it comes later. */
  async stop(): Promise<void> {
    this.isUp = false;
    for (const stop of this.#stops) stop();
    for (const session of this.#sessions.values()) session.end(new Error('killed'));
    this.#sessions.clear();
    this.#end.abort(new Error('killed'));
    for (const go of this.#held.splice(0)) go(this.random() < 0.5);
    await this.quiet();
    this.#informers.close();
    await this.quiet();
  }

  /** Nothing is slow any more, from now on. */
  calm(): void {
    this.#isCalm = true;
    this.flush();
  }

  /** Some of what waits is let go or becomes known. */
  pass(): void {
    const { behind } = this.#informers;
    if (behind.length > 0 && this.int(3) > 0) this.#informers.deliver(this.one(behind), 1 + this.int(6));
    else for (const go of this.#held.splice(this.int(this.#held.length), 1 + this.int(4))) go(true);
  }

  /** All of it. */
  flush(): void {
    for (const go of this.#held.splice(0)) go(true);
    for (const prefix of this.#informers.behind) this.#informers.deliver(prefix, 1000);
  }

  /** Until all that can be done without time passing is done. */
  async quiet(): Promise<void> {
    for (let quiet = 0, turns = 0; quiet < quietTurns && turns < 2000; turns++) {
      const before = `${String(this.store.revision)} ${String(this.#requests)}`;
      await turn();
      quiet = before === `${String(this.store.revision)} ${String(this.#requests)}` ? quiet + 1 : 0;
    }
  }

  /** As it knows the object. */
  known<T extends object>(resource: Resource<T>, namespace: string | undefined, name: string): T | undefined {
    return this.#informers.informer(resource).get(namespace, name);
  }

  #recorder(component: string): EventRecorder {
    return { event: (about, type, reason, message) => { this.recorded.push(`${String((this.clock.monotonic() - startMs) / 1000)} ${component}: ${about.kind}/${about.metadata?.name ?? ''} ${type} ${reason}: ${message}`); } };
  }

  /** Requests wait before they are carried out and before they are answered, until they are let go. */
  #paced<T extends object>(api: T, signal: AbortSignal): T {
    const never = new Promise<never>(() => undefined);
    const wait = async (): Promise<boolean> => (this.#isCalm || this.random() < 0.5 ? true : new Promise((resolve) => { this.#held.push(resolve); }));
    return new Proxy(api, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name);
        if (typeof member !== 'function') return member;
        return async (...args: unknown[]): Promise<unknown> => {
          this.#requests++;
          if (name === 'bind') this.onBinding(this.known(resources.pods, args[0] as string, args[1] as string), this.known(resources.nodes, undefined, args[3] as string));
          if (signal.aborted || !await wait()) return never;
          try {
            return await (Reflect.apply(member, target, args) as Promise<unknown>);
          } finally {
            this.#requests++;
            if (signal.aborted || !await wait() || signal.aborted) await never;
          }
        };
      },
    });
  }
}

import type { CSIDriver, CSINode, CSIStorageCapacity, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, PodDisruptionBudget, StorageClass } from '#api/gen/types.ts';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '#common/clock.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import { isAbort, TaskGroup, type Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import { Counter, gauge, Histogram, type Family } from '#common/metrics.ts';
import type { ApiClient, EventRecorder } from '../apiserver/types.ts';
import type { Informer, Lister } from '../cache/types.ts';
import { Assumptions } from './assumptions.ts';
import { Binder } from './binder.ts';
import { SchedulerCache } from './cache.ts';
import { schedule, type Fit, type NoFit } from './cycle.ts';
import { Evictor } from './evictor.ts';
import { Framework } from './framework.ts';
import { Intake } from './intake.ts';
import { lastingFilters, Misplaced } from './misplaced.ts';
import { NodeRecord } from './node-info.ts';
import { Nominator } from './nominator.ts';
import { checkProfile, type Profile } from './profile.ts';
import { defaultQueueConfig, SchedulingQueue, type QueueConfig, type QueuedPod } from './queue.ts';
import { PodConditions } from './pod-conditions.ts';
import type { ClusterEvent, Nomination, PluginHandle, PluginRegistry, PodInfo } from './types.ts';
import { WaitingPods } from './waiting-pods.ts';

export interface SchedulerDeps {
  readonly api: ApiClient;
  readonly events: EventRecorder;
  readonly pods: Informer<Pod>;
  readonly nodes: Informer<Node>;
  readonly namespaces: Pick<Lister<Namespace>, 'get'>;
  /** Absent where pods have no claims, as in some tests. */
  readonly storage?: StorageInformers;
  /** Disruption budgets, which preemption respects as far as it can. */
  readonly budgets?: Informer<PodDisruptionBudget>;
  readonly plugins: PluginRegistry;
  readonly clock: Clock;
  /** 0 to 1; breaks ties. */
  readonly random: () => number;
  readonly log: Log;
}

export interface StorageInformers {
  readonly claims: Informer<PersistentVolumeClaim>;
  readonly volumes: Informer<PersistentVolume>;
  readonly classes: Informer<StorageClass>;
  readonly csi?: { readonly nodes: Informer<CSINode>; readonly drivers: Informer<CSIDriver>; readonly capacities: Informer<CSIStorageCapacity> };
}

export interface SchedulerConfig {
  /** Pods whose spec.schedulerName is one of theirs are ours. */
  readonly profiles: readonly Profile[];
  /** Bindings under way at once; the loop waits when there are more. */
  readonly maxBindings: number;
  /** How long the informer may take to show a bound pod before the assumption is looked into. */
  readonly assumedTtlMs: number;
  readonly queue: QueueConfig;
}

export const defaultSchedulerConfig: SchedulerConfig = {
  profiles: [{ schedulerName: 'default-scheduler' }], maxBindings: 256, assumedTtlMs: 30_000, queue: defaultQueueConfig,
};

const attemptSeconds = Array.from({ length: 15 }, (_, i) => 0.001 * 2 ** i);

const victimCounts = Array.from({ length: 7 }, (_, i) => 2 ** i);

/** The loop lets others run after this long. */
const sliceMs = 10;

/**
 * Gives every pod of ours a node. One loop owns queue and cache: informer handlers and bindings only change
 * them between two cycles, never during one. Reads through informers, writes bindings, the PodScheduled
 * condition and events.
 */
export class Scheduler implements Runnable {
  readonly #deps: SchedulerDeps;
  readonly #config: SchedulerConfig;
  /** By the schedulerName of its profile. */
  readonly #frameworks: ReadonlyMap<string, Framework>;
  readonly #cache: SchedulerCache;
  readonly #queue: SchedulingQueue;
  readonly #nominator = new Nominator();
  readonly #assumptions: Assumptions;
  readonly #conditions: PodConditions;
  readonly #intake: Intake;
  readonly #binder: Binder;
  readonly #evictor: Evictor;
  readonly #misplaced: Misplaced;
  readonly #tasks: TaskGroup;
  readonly #attempts = new Counter('scheduler_schedule_attempts_total', 'Attempts to give a pod a node, by result.', ['profile', 'result']);
  readonly #seconds = new Histogram('scheduler_scheduling_attempt_duration_seconds', 'How long it took to find a node, or to find that there is none.', ['profile', 'result'], attemptSeconds);
  readonly #preemptions = new Counter('scheduler_preemption_attempts_total', 'Preemptions begun.', []);
  readonly #victims = new Histogram('scheduler_preemption_victims', 'Pods that had to go for one other.', [], victimCounts);
  #start = 0;
  #signal = AbortSignal.abort();

  constructor(deps: SchedulerDeps, config: SchedulerConfig = defaultSchedulerConfig) {
    const { api, clock, events, log, pods } = deps;
    this.#deps = deps;
    this.#config = config;
    this.#frameworks = frameworksOf(deps, config.profiles);
    const nominator = this.#nominator;
    const cache = new SchedulerCache(deps);
    const queue = new SchedulingQueue({
      clock,
      comesFirst: (a, b) => this.#frameworkOf(a.pod).comesFirst(a, b),
      isGated: (pod) => this.#frameworkOf(pod).isGated(pod),
      // Profiles differ in arguments and in what they leave out, not in what a plugin watches.
      watches: (plugin, type) => [...this.#frameworks.values()].some((framework) => framework.watches(plugin, type)),
      mayHelp: (...hint) => this.#mayHelp(...hint),
    }, config.queue);
    const waiting = new WaitingPods(clock);
    this.#cache = cache;
    this.#queue = queue;
    this.#tasks = new TaskGroup(log);
    this.#conditions = new PodConditions({ api, pods, clock, log });
    this.#assumptions = new Assumptions({ cache, queue, pods, clock, log }, config);
    this.#binder = new Binder({ api, cache, queue, waiting, assumptions: this.#assumptions, events, log, onRefused: (...refusal) => { this.#refuse(...refusal); } });
    this.#evictor = new Evictor({ api, events, pods, waiting, clock, log });
    this.#misplaced = new Misplaced({
      api, events, cache, clock, log, isOurs: (name) => this.#frameworks.has(name), elsewhere: (pod) => this.#elsewhere(pod),
      run: (work) => { this.#tasks.run('misplaced', this.#signal, () => work(this.#signal)); },
    });
    this.#intake = new Intake({ cache, queue, nominator, log, isOurs: (name) => this.#frameworks.has(name), onGated: (pod) => { this.#conditions.gated(pod); } });
  }

  /** What is counted, under Kubernetes' names. */
  * collect(): Iterable<Family> {
    yield* this.#attempts.collect();
    yield* this.#seconds.collect();
    yield* this.#preemptions.collect();
    yield* this.#victims.collect();
    yield gauge('scheduler_pending_pods', 'Pods that wait for a node.', Object.entries(this.#queue.lengths).map(([queue, value]) => ({ labels: { queue }, value })));
  }

  async start(signal: AbortSignal): Promise<void> {
    let unsubscribe: readonly (() => void)[] = [];
    try {
      const { nodes, pods, storage, budgets } = this.#deps;
      const { claims, volumes, classes, csi } = storage ?? {};
      const all = [nodes, pods, budgets, claims, volumes, classes, csi?.nodes, csi?.drivers, csi?.capacities].filter((informer) => informer !== undefined);
      await Promise.all(all.map((informer) => informer.synced(signal)));
      this.#signal = signal;
      unsubscribe = this.#subscribe();
      this.#tasks.run('conditions', signal, () => this.#conditions.start(signal));
      await this.#run(signal);
    } catch (error) {
      if (!isAbort(error, signal)) throw error;
    } finally {
      for (const stop of unsubscribe) stop();
      this.#queue.close();
      this.#assumptions.close();
      await this.#tasks.drain();
    }
  }

  #subscribe(): (() => void)[] {
    const { nodes, pods, storage } = this.#deps;
    const stops = [
      nodes.subscribe((change) => { this.#intake.onNode(change); this.#misplaced.onNode(); }),
      pods.subscribe((change) => { this.#intake.onPod(change); this.#misplaced.onPod(change); }),
    ];
    if (!storage) return stops;
    const { claims, volumes, classes, csi } = storage;
    const onVolumes = (): void => { this.#queue.on({ type: 'volumes-changed' }); };
    stops.push(claims.subscribe(({ object, old }) => { this.#queue.on({ type: 'claim-changed', claim: object ?? old }); }), volumes.subscribe(onVolumes), classes.subscribe(onVolumes));
    if (csi) {
      const onNode = (name: string): void => { this.#queue.on({ type: 'csi-node-changed', node: this.#cache.node(name) }); };
      stops.push(csi.nodes.subscribe(({ object, old }) => { onNode((object ?? old)?.metadata?.name ?? ''); }), csi.drivers.subscribe(onVolumes), csi.capacities.subscribe(onVolumes));
    }
    return stops;
  }

  async #run(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#queue.ready(signal);
      await this.#binder.belowLimit(this.#config.maxBindings, signal);
      this.#runSlice(signal);
      await nextTurn();
      signal.throwIfAborted();
    }
  }

  #runSlice(signal: AbortSignal): void {
    const endMs = this.#deps.clock.monotonic() + sliceMs;
    do {
      const entry = this.#queue.pop();
      if (!entry) return;
      const begun = this.#deps.clock.monotonic();
      let result = 'error';
      try {
        result = this.#scheduleOne(entry, signal) ? 'scheduled' : 'unschedulable';
      } catch (error) {
        const { namespace, name } = entry.pod;
        this.#deps.log.error({ namespace, name, err: messageOf(error), stack: error instanceof Error ? error.stack : undefined }, 'scheduling cycle failed');
        this.#cache.forget(entry.pod.uid);
        this.#queue.retry(entry);
      }
      const labels = [entry.pod.pod.spec?.schedulerName ?? '', result];
      this.#attempts.add(labels);
      this.#seconds.observe(labels, (this.#deps.clock.monotonic() - begun) / 1000);
    } while (this.#binder.underWay < this.#config.maxBindings && this.#deps.clock.monotonic() < endMs);
  }

  /** True when there is a node for it. */
  #scheduleOne(entry: QueuedPod, signal: AbortSignal): boolean {
    const framework = this.#frameworkOf(entry.pod);
    const decision = schedule({ framework, nominator: this.#nominator, random: this.#deps.random }, this.#cache, entry.pod, this.#start);
    if (decision.type === 'no-fit') {
      this.#noFit(entry, decision, signal);
      return false;
    }
    this.#start = decision.nextStart;
    return this.#place(framework, entry, decision, signal);
  }

  #place(framework: Framework, entry: QueuedPod, { node, state }: Fit, signal: AbortSignal): boolean {
    const { pod } = entry;
    const nodeName = node.name;
    this.#cache.assume(pod, nodeName);
    let refusal = framework.reserveAll(pod, nodeName, state);
    const waits = new Map<string, number>();
    for (const plugin of refusal ? [] : framework.permit) {
      const result = plugin.permit(pod, nodeName, state);
      if (result && 'waitMs' in result) waits.set(plugin.name, result.waitMs);
      else if (result) {
        refusal = { plugin: plugin.name, rejection: result.rejection };
        framework.unreserveAll(pod, nodeName, state);
        break;
      }
    }
    if (refusal) {
      this.#cache.forget(pod.uid);
      this.#refuse(entry, new Set([refusal.plugin]), `0/${String(this.#cache.nodes.length)} nodes are available: ${refusal.rejection.reasons.join(', ')}.`);
      return false;
    }
    this.#release(pod, nodeName);
    this.#tasks.run('bind', signal, () => this.#binder.bind({ framework, entry, pod, nodeName, state, waits }, signal));
    return true;
  }

  /** Room that was made for the pod elsewhere is there for others. */
  #release(pod: PodInfo, nodeName: string): void {
    const nominated = this.#nominator.nodeOf(pod.uid);
    if (nominated === undefined) return;
    this.#nominator.delete(pod.uid);
    if (nominated !== nodeName) this.#queue.on({ type: 'assigned-pod-deleted', pod, node: this.#cache.node(nominated) });
  }

  #noFit(entry: QueuedPod, { nomination, rejectedBy, message }: NoFit, signal: AbortSignal): void {
    const { pod } = entry;
    const before = this.#nominator.nodeOf(pod.uid);
    const after = nomination === 'keep' ? before : nomination?.nodeName;
    if (after === undefined) this.#nominator.delete(pod.uid);
    else this.#nominator.set(pod, after);
    this.#refuse(entry, rejectedBy, message);
    if (before !== undefined && before !== after) this.#queue.on({ type: 'assigned-pod-deleted', pod, node: this.#cache.node(before) });
    if (nomination !== undefined && nomination !== 'keep') this.#preempt(pod, nomination, signal);
  }

  #preempt(pod: PodInfo, { nodeName, victims }: Nomination, signal: AbortSignal): void {
    this.#preemptions.add([]);
    this.#victims.observe([], victims.length);
    // Room made for pods of lower priority may be gone now: they look anew.
    for (const other of this.#nominator.after(pod, nodeName)) {
      this.#nominator.delete(other.uid);
      this.#conditions.notNominated(other);
      this.#queue.wake(other.uid);
    }
    this.#tasks.run('preempt', signal, async () => {
      if (await this.#evictor.evict(pod, victims, nodeName)) return;
      if (this.#nominator.nodeOf(pod.uid) === nodeName) this.#release(pod, '');
      this.#queue.wake(pod.uid);
    });
  }

  #refuse(entry: QueuedPod, rejectedBy: ReadonlySet<string>, message: string): void {
    const { pod } = entry;
    this.#deps.events.event({ ...pod.pod, apiVersion: 'v1', kind: 'Pod' }, 'Warning', 'FailedScheduling', message);
    this.#conditions.unschedulable(pod, message, this.#nominator.nodeOf(pod.uid));
    this.#queue.refuse(entry, rejectedBy);
  }

  #mayHelp(plugin: string, event: ClusterEvent, pod: PodInfo): boolean {
    const framework = this.#frameworkOf(pod);
    const { node } = event;
    if (node === undefined || this.#nominator.size === 0) return framework.mayHelp(plugin, event, pod);
    // What its victims leave may not be enough any more: then it must look anew.
    if (this.#nominator.nodeOf(pod.uid) === node.name && event.type === 'assigned-pod-deleted') return true;
    // Room that was made for others is no room for it.
    const others = this.#nominator.before(pod, node.name);
    return framework.mayHelp(plugin, others.length === 0 ? event : { ...event, node: NodeRecord.with(node, others) }, pod);
  }

  /** A node where nothing that lasts keeps the pod from being, whatever runs there now. */
  #elsewhere(pod: PodInfo): string | undefined {
    const framework = this.#frameworkOf(pod).only(lastingFilters);
    const decision = schedule({ framework, nominator: new Nominator(), random: this.#deps.random }, this.#cache, pod, 0);
    return decision.type === 'fit' ? decision.node.name : undefined;
  }

  #frameworkOf(pod: PodInfo): Framework {
    const framework = this.#frameworks.get(pod.pod.spec?.schedulerName ?? '');
    if (!framework) throw new StatusError('InternalError', `no profile for scheduler ${pod.pod.spec?.schedulerName ?? ''}`);
    return framework;
  }
}

/** One set of plugins for each profile; what they hold together, they share. */
function frameworksOf({ api, storage, budgets, clock, plugins }: SchedulerDeps, profiles: readonly Profile[]): ReadonlyMap<string, Framework> {
  const shared: PluginHandle = { api, clock, storage, budgets, assumedVolumes: new Map() };
  return new Map(profiles.map((profile) => {
    const made = Object.values(plugins).map((make) => make({ ...shared, args: profile.pluginConfig }));
    checkProfile(profile, made);
    return [profile.schedulerName ?? '', new Framework(made, profile)];
  }));
}

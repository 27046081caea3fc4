import type { Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, StorageClass } from '#api/gen/types.ts';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '#common/clock.ts';
import { messageOf } from '#common/errors.ts';
import { isAbort, TaskGroup, type Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import { Counter, gauge, Histogram, type Family } from '#common/metrics.ts';
import type { ApiClient, EventRecorder } from '../apiserver/types.ts';
import type { Informer, Lister } from '../cache/types.ts';
import { Assumptions } from './assumptions.ts';
import { Binder } from './binder.ts';
import { SchedulerCache } from './cache.ts';
import { schedule, type Fit } from './cycle.ts';
import { Framework } from './framework.ts';
import { Intake } from './intake.ts';
import { defaultQueueConfig, SchedulingQueue, type QueueConfig, type QueuedPod } from './queue.ts';
import { PodConditions } from './pod-conditions.ts';
import type { PluginRegistry } from './types.ts';

export interface SchedulerDeps {
  readonly api: ApiClient;
  readonly events: EventRecorder;
  readonly pods: Informer<Pod>;
  readonly nodes: Informer<Node>;
  readonly namespaces: Pick<Lister<Namespace>, 'get'>;
  /** Absent where pods have no claims, as in some tests. */
  readonly storage?: { readonly claims: Informer<PersistentVolumeClaim>; readonly volumes: Informer<PersistentVolume>; readonly classes: Informer<StorageClass> };
  readonly plugins: PluginRegistry;
  readonly clock: Clock;
  /** 0 to 1; breaks ties. */
  readonly random: () => number;
  readonly log: Log;
}

export interface SchedulerConfig {
  /** Pods whose spec.schedulerName is this are ours. */
  readonly schedulerName: string;
  /** Bindings under way at once; the loop waits when there are more. */
  readonly maxBindings: number;
  /** How long the informer may take to show a bound pod before the assumption is looked into. */
  readonly assumedTtlMs: number;
  readonly queue: QueueConfig;
}

export const defaultSchedulerConfig: SchedulerConfig = {
  schedulerName: 'default-scheduler', maxBindings: 256, assumedTtlMs: 30_000, queue: defaultQueueConfig,
};

const attemptSeconds = Array.from({ length: 15 }, (_, i) => 0.001 * 2 ** i);

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
  readonly #framework: Framework;
  readonly #cache: SchedulerCache;
  readonly #queue: SchedulingQueue;
  readonly #assumptions: Assumptions;
  readonly #conditions: PodConditions;
  readonly #intake: Intake;
  readonly #binder: Binder;
  readonly #tasks: TaskGroup;
  readonly #attempts = new Counter('scheduler_schedule_attempts_total', 'Attempts to give a pod a node, by result.', ['profile', 'result']);
  readonly #seconds = new Histogram('scheduler_scheduling_attempt_duration_seconds', 'How long it took to find a node, or to find that there is none.', ['profile', 'result'], attemptSeconds);
  #start = 0;

  constructor(deps: SchedulerDeps, config: SchedulerConfig = defaultSchedulerConfig) {
    const { api, clock, events, log, pods } = deps;
    this.#deps = deps;
    this.#config = config;
    const framework = new Framework(Object.values(deps.plugins).map((make) => make({ api, storage: deps.storage && { ...deps.storage, clock } })));
    const cache = new SchedulerCache(deps);
    const queue = new SchedulingQueue({
      clock,
      isGated: (pod) => framework.isGated(pod),
      mayHelp: (plugin, event) => framework.mayHelp(plugin, event),
    }, config.queue);
    this.#framework = framework;
    this.#cache = cache;
    this.#queue = queue;
    this.#tasks = new TaskGroup(log);
    this.#conditions = new PodConditions({ api, pods, clock, log });
    this.#assumptions = new Assumptions({ cache, queue, pods, clock, log }, config);
    this.#binder = new Binder({ api, cache, queue, framework, assumptions: this.#assumptions, events, log });
    this.#intake = new Intake({ cache, queue, log, onGated: (pod) => { this.#conditions.gated(pod); } }, config);
  }

  /** What is counted, under Kubernetes' names. */
  * collect(): Iterable<Family> {
    yield* this.#attempts.collect();
    yield* this.#seconds.collect();
    yield gauge('scheduler_pending_pods', 'Pods that wait for a node.', Object.entries(this.#queue.lengths).map(([queue, value]) => ({ labels: { queue }, value })));
  }

  async start(signal: AbortSignal): Promise<void> {
    const unsubscribe: (() => void)[] = [];
    try {
      const storage = Object.values(this.#deps.storage ?? {});
      await Promise.all([this.#deps.nodes, this.#deps.pods, ...storage].map((informer) => informer.synced(signal)));
      unsubscribe.push(
        this.#deps.nodes.subscribe((change) => { this.#intake.onNode(change); }),
        this.#deps.pods.subscribe((change) => { this.#intake.onPod(change); }),
        ...storage.map((informer) => informer.subscribe(() => { this.#queue.on('storage-changed'); })),
      );
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
      const labels = [this.#config.schedulerName, result];
      this.#attempts.add(labels);
      this.#seconds.observe(labels, (this.#deps.clock.monotonic() - begun) / 1000);
    } while (this.#binder.underWay < this.#config.maxBindings && this.#deps.clock.monotonic() < endMs);
  }

  /** True when there is a node for it. */
  #scheduleOne(entry: QueuedPod, signal: AbortSignal): boolean {
    const decision = schedule({ framework: this.#framework, random: this.#deps.random }, this.#cache, entry.pod, this.#start);
    if (decision.type === 'no-fit') {
      this.#refuse(entry, decision.rejectedBy, decision.message);
      return false;
    }
    this.#start = decision.nextStart;
    return this.#place(entry, decision, signal);
  }

  #place(entry: QueuedPod, { node, state }: Fit, signal: AbortSignal): boolean {
    const { pod } = entry;
    this.#cache.assume(pod, node.name);
    const refusal = this.#framework.reserveAll(pod, node.name, state);
    if (refusal) {
      this.#cache.forget(pod.uid);
      this.#refuse(entry, new Set([refusal.plugin]), `${refusal.rejection.reasons.join(', ')} (node ${node.name})`);
      return false;
    }
    this.#tasks.run('bind', signal, () => this.#binder.bind({ entry, pod, nodeName: node.name, state }, signal));
    return true;
  }

  #refuse(entry: QueuedPod, rejectedBy: ReadonlySet<string>, message: string): void {
    this.#deps.events.event({ ...entry.pod.pod, apiVersion: 'v1', kind: 'Pod' }, 'Warning', 'FailedScheduling', message);
    this.#conditions.unschedulable(entry.pod, message);
    this.#queue.refuse(entry, rejectedBy);
  }
}

import { isStatus, messageOf } from '#common/errors.ts';
import { isAbort } from '#common/lifecycle.ts';
import { pods } from '#api/kinds/resources.ts';
import type { Log } from '#common/log.ts';
import type { ApiClient, EventRecorder } from '../apiserver/types.ts';
import type { Assumptions } from './assumptions.ts';
import type { SchedulerCache } from './cache.ts';
import type { Framework } from './framework.ts';
import type { QueuedPod, SchedulingQueue } from './queue.ts';
import type { CycleState, PodInfo } from './types.ts';
import { PermitRefused, type WaitingPods } from './waiting-pods.ts';
import { Wakeup } from '#common/wakeup.ts';

export interface BinderDeps {
  readonly api: ApiClient;
  readonly cache: SchedulerCache;
  readonly queue: SchedulingQueue;
  readonly waiting: WaitingPods;
  readonly assumptions: Assumptions;
  readonly events: EventRecorder;
  readonly log: Log;
  /** Says that a pod was refused after all, and lets it wait. */
  readonly onRefused: (entry: QueuedPod, rejectedBy: ReadonlySet<string>, message: string) => void;
}

export interface Binding {
  readonly framework: Framework;
  readonly entry: QueuedPod;
  readonly pod: PodInfo;
  readonly nodeName: string;
  readonly state: CycleState;
  /** How long each Permit plugin that asked for time may take, in milliseconds. */
  readonly waits: ReadonlyMap<string, number>;
}

/** Carries out what cycles decided, beside the loop. A binding that fails gives everything back and retries later. */
export class Binder {
  readonly #deps: BinderDeps;
  #underWay = 0;
  readonly #wakeup = new Wakeup();

  constructor(deps: BinderDeps) {
    this.#deps = deps;
  }

  get underWay(): number { return this.#underWay; }

  /** Resolves when fewer than `limit` bindings are under way. */
  async belowLimit(limit: number, signal: AbortSignal): Promise<void> {
    while (this.#underWay >= limit) await this.#wakeup.wait(signal);
  }

  async bind(binding: Binding, signal: AbortSignal): Promise<void> {
    try {
      // Pods that wait for permission may be many, and cost nothing: they do not count as under way.
      await this.#deps.waiting.wait(binding.pod, binding.waits, signal);
    } catch (error) {
      if (error instanceof PermitRefused) this.#refused(binding, error);
      return;
    }
    this.#underWay++;
    try {
      await this.#runPlugins(binding, signal);
      this.#succeeded(binding);
    } catch (error) {
      if (!isAbort(error, signal)) await this.#failed(binding, error);
    } finally {
      this.#underWay--;
      this.#wakeup.notify();
    }
  }

  async #runPlugins({ framework: { preBind, bind }, pod, nodeName, state }: Binding, signal: AbortSignal): Promise<void> {
    for (const plugin of preBind) await plugin.preBind(pod, nodeName, state, signal);
    for (const plugin of bind) if (await plugin.bind(pod, nodeName, signal)) return;
    throw new Error('no Bind plugin took the pod');
  }

  #succeeded({ framework, pod, nodeName, state }: Binding): void {
    const { queue, assumptions, events, log } = this.#deps;
    queue.done(pod.uid);
    for (const plugin of framework.postBind) plugin.postBind(pod, nodeName, state);
    assumptions.bound(pod);
    events.event({ ...pod.pod, apiVersion: 'v1', kind: 'Pod' }, 'Normal', 'Scheduled', `Successfully assigned ${pod.namespace}/${pod.name} to ${nodeName}`);
    log.debug({ namespace: pod.namespace, name: pod.name, node: nodeName }, 'pod bound');
  }

  async #failed(binding: Binding, error: unknown): Promise<void> {
    const { pod, entry, nodeName } = binding;
    const { queue, log } = this.#deps;
    const outcome = await this.#outcome(pod);
    log.warn({ namespace: pod.namespace, name: pod.name, node: nodeName, err: messageOf(error), outcome }, 'binding failed');
    // The write may have gone through and only its answer been lost. While that is unknown, the room stays taken.
    if (outcome === 'bound' || outcome === 'unknown') {
      this.#deps.assumptions.bound(pod);
      queue.done(pod.uid);
      return;
    }
    if (outcome === 'gone') queue.delete(pod.uid);
    else queue.retry(entry);
    this.#giveBack(binding);
  }

  #refused(binding: Binding, { plugin, reason }: PermitRefused): void {
    this.#deps.onRefused(binding.entry, new Set([plugin]), reason);
    this.#giveBack(binding);
  }

  #giveBack({ framework, pod, nodeName, state }: Binding): void {
    const { cache, queue } = this.#deps;
    framework.unreserveAll(pod, nodeName, state);
    const node = cache.nodeOf(pod.uid);
    if (cache.forget(pod.uid)) queue.on({ type: 'assigned-pod-deleted', pod, node });
  }

  async #outcome(pod: PodInfo): Promise<'bound' | 'unbound' | 'gone' | 'unknown'> {
    try {
      const current = await this.#deps.api.get(pods, pod.namespace, pod.name);
      if (current.metadata?.uid !== pod.uid) return 'gone';
      return current.spec?.nodeName ? 'bound' : 'unbound';
    } catch (error) {
      return isStatus(error, 'NotFound') ? 'gone' : 'unknown';
    }
  }
}

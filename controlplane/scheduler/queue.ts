import { backoffMs } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import { Heap, type HeapItem } from './heap.ts';
import type { ClusterEvent, ClusterEventType, PodInfo, Queued } from './types.ts';
import { Wakeup } from '#common/wakeup.ts';

/** A pod that waits to be scheduled, with the history that decides when. */
export interface QueuedPod extends HeapItem {
  pod: PodInfo;
  /** Cycles begun for it so far. */
  attempts: number;
  /** Monotonic time at which it last became ready, then its order of arrival. */
  readyAtMs: number;
  sequence: number;
  backoffUntilMs: number;
  /** Plugins that refused it last time. */
  rejectedBy: ReadonlySet<string>;
  part: 'active' | 'backoff' | 'unschedulable' | 'gated' | 'in-flight';
  unschedulableSinceMs: number;
  /** Events seen before its last cycle began. */
  eventsBefore: number;
}

export interface QueueDeps {
  readonly clock: Clock;
  /** True when `a` is to be tried before `b`. */
  readonly comesFirst: (a: Queued, b: Queued) => boolean;
  /** True when a PreEnqueue plugin keeps the pod out. */
  readonly isGated: (pod: PodInfo) => boolean;
  /** True when events of this type may help pods refused by this plugin: looked at before each pod is. */
  readonly watches: (plugin: string, type: ClusterEventType) => boolean;
  /** True when the event may help this pod, refused by this plugin. */
  readonly mayHelp: (plugin: string, event: ClusterEvent, pod: PodInfo) => boolean;
}

export interface QueueConfig {
  readonly initialBackoffMs: number;
  readonly maxBackoffMs: number;
  /** An unschedulable pod is tried again after this long, whatever happened. */
  readonly flushAfterMs: number;
}

/** Waiting pods that the same plugins refused: one look tells whether an event concerns any of them. */
interface RefusedGroup {
  readonly plugins: ReadonlySet<string>;
  readonly entries: Set<QueuedPod>;
}

export const defaultQueueConfig: QueueConfig = { initialBackoffMs: 1000, maxBackoffMs: 10_000, flushAfterMs: 300_000 };

/**
 * Pods waiting to be scheduled, in three parts: active (ready, by priority and then age), back-off (failed
 * lately), unschedulable (refused; until an event may help or `flushAfterMs` pass). Sets a timer only while
 * some pod waits for one.
 */
export class SchedulingQueue {
  readonly #deps: QueueDeps;
  readonly #config: QueueConfig;
  readonly #entries = new Map<string, QueuedPod>();
  readonly #active: Heap<QueuedPod>;
  readonly #backoff = new Heap<QueuedPod>((a, b) => a.backoffUntilMs < b.backoffUntilMs);
  /** Oldest first: every entry is added at its end. */
  readonly #unschedulable = new Set<QueuedPod>();
  readonly #refused = new Map<string, RefusedGroup>();
  #gated = 0;
  #sequence = 0;
  #events = 0;
  #cancelTimer: (() => void) | undefined;
  #timerAtMs = Infinity;
  readonly #wakeup = new Wakeup();

  constructor(deps: QueueDeps, config: QueueConfig = defaultQueueConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#active = new Heap((a, b) => deps.comesFirst(a, b));
  }

  get lengths(): { active: number; backoff: number; unschedulable: number; gated: number } {
    return { active: this.#active.size, backoff: this.#backoff.size, unschedulable: this.#unschedulable.size, gated: this.#gated };
  }

  has(uid: string): boolean {
    return this.#entries.has(uid);
  }

  /** Adds a pod, or takes note of its change. `relevant`: the change may make it schedulable. */
  set(pod: PodInfo, relevant: boolean): void {
    const known = this.#entries.get(pod.uid);
    if (!known) {
      const entry = this.#newEntry(pod);
      this.#entries.set(pod.uid, entry);
      this.#enqueue(entry);
      return;
    }
    known.pod = pod;
    if (!relevant) return;
    if (known.part === 'gated') this.#enqueue(known);
    else if (known.part === 'unschedulable') this.#ready(known);
  }

  delete(uid: string): void {
    const entry = this.#entries.get(uid);
    if (!entry) return;
    this.#leave(entry);
    this.#entries.delete(uid);
  }

  /** The next pod to try; it stays known as in flight until `done`, `retry`, `refuse` or `delete`. */
  pop(): QueuedPod | undefined {
    const entry = this.#active.pop();
    if (!entry) return undefined;
    entry.part = 'in-flight';
    entry.attempts++;
    entry.eventsBefore = this.#events;
    return entry;
  }

  /** Resolves when `pop` would return a pod; rejects when the signal aborts. */
  async ready(signal: AbortSignal): Promise<void> {
    while (this.#active.size === 0) await this.#wakeup.wait(signal);
  }

  /** The pod is bound. */
  done(uid: string): void {
    this.delete(uid);
  }

  /** Something failed that has nothing to do with the pod: try again after its back-off. */
  retry(entry: QueuedPod): void {
    if (!this.#isCurrent(entry)) return;
    entry.backoffUntilMs = this.#now() + this.#backoffOf(entry);
    this.#pushBackoff(entry);
  }

  /** No node fits: wait for an event that may help one of the plugins' refusals. */
  refuse(entry: QueuedPod, rejectedBy: ReadonlySet<string>): void {
    if (!this.#isCurrent(entry)) return;
    // What happened while it was in flight may have helped, and will not be told again.
    if (entry.eventsBefore !== this.#events) { this.retry(entry); return; }
    entry.rejectedBy = rejectedBy;
    entry.part = 'unschedulable';
    entry.unschedulableSinceMs = this.#now();
    entry.backoffUntilMs = entry.unschedulableSinceMs + this.#backoffOf(entry);
    this.#unschedulable.add(entry);
    this.#groupOf(entry).entries.add(entry);
    this.#setTimer();
  }

  /** Lets the pods try again that this event may help. */
  on(event: ClusterEvent): void {
    this.#events++;
    for (const { plugins, entries } of this.#refused.values()) {
      const asked = [...plugins].filter((plugin) => this.#deps.watches(plugin, event.type));
      if (asked.length === 0) continue;
      for (const entry of entries) {
        if (asked.some((plugin) => this.#deps.mayHelp(plugin, event, entry.pod))) this.#ready(entry);
      }
    }
  }

  /** Lets the pod try again whatever it waits for. */
  wake(uid: string): void {
    const entry = this.#entries.get(uid);
    if (entry?.part === 'unschedulable') this.#ready(entry);
  }

  /** Stops the timer. */
  close(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  #newEntry(pod: PodInfo): QueuedPod {
    return { pod, attempts: 0, readyAtMs: 0, sequence: 0, backoffUntilMs: 0, rejectedBy: new Set(), part: 'in-flight', unschedulableSinceMs: 0, eventsBefore: 0, heapIndex: -1 };
  }

  #enqueue(entry: QueuedPod): void {
    if (!this.#deps.isGated(entry.pod)) { this.#ready(entry); return; }
    this.#leave(entry);
    entry.part = 'gated';
    this.#gated++;
  }

  /** Active, or first to the end of its back-off. */
  #ready(entry: QueuedPod): void {
    this.#leave(entry);
    if (entry.backoffUntilMs > this.#now()) { this.#pushBackoff(entry); return; }
    entry.part = 'active';
    entry.readyAtMs = this.#now();
    entry.sequence = this.#sequence++;
    this.#active.push(entry);
    this.#wakeup.notify();
  }

  #pushBackoff(entry: QueuedPod): void {
    entry.part = 'backoff';
    this.#backoff.push(entry);
    this.#setTimer();
  }

  #leave(entry: QueuedPod): void {
    if (entry.part === 'active') this.#active.remove(entry);
    else if (entry.part === 'backoff') this.#backoff.remove(entry);
    else if (entry.part === 'gated') this.#gated--;
    else if (entry.part === 'unschedulable') {
      this.#unschedulable.delete(entry);
      const key = groupKey(entry);
      const group = this.#refused.get(key);
      if (group?.entries.delete(entry) && group.entries.size === 0) this.#refused.delete(key);
    }
  }

  #groupOf(entry: QueuedPod): RefusedGroup {
    const key = groupKey(entry);
    let group = this.#refused.get(key);
    if (!group) {
      group = { plugins: entry.rejectedBy, entries: new Set() };
      this.#refused.set(key, group);
    }
    return group;
  }

  /** False when the pod was deleted (and perhaps added anew) while it was in flight. */
  #isCurrent(entry: QueuedPod): boolean {
    return entry.part === 'in-flight' && this.#entries.get(entry.pod.uid) === entry;
  }

  #backoffOf(entry: QueuedPod): number {
    return backoffMs({ baseMs: this.#config.initialBackoffMs, maxMs: this.#config.maxBackoffMs, jitter: 0 }, entry.attempts, () => 0);
  }

  #now(): number {
    return this.#deps.clock.monotonic();
  }

  #setTimer(): void {
    const [oldest] = this.#unschedulable;
    const dueAtMs = Math.min(this.#backoff.peek()?.backoffUntilMs ?? Infinity, oldest ? oldest.unschedulableSinceMs + this.#config.flushAfterMs : Infinity);
    if (dueAtMs === Infinity || (this.#cancelTimer && this.#timerAtMs <= dueAtMs)) return;
    this.#cancelTimer?.();
    this.#timerAtMs = dueAtMs;
    this.#cancelTimer = this.#deps.clock.after(Math.max(0, dueAtMs - this.#now()), () => { this.#onTimer(); });
  }

  #onTimer(): void {
    this.#cancelTimer = undefined;
    const now = this.#now();
    for (let entry = this.#backoff.peek(); entry && entry.backoffUntilMs <= now; entry = this.#backoff.peek()) this.#ready(entry);
    for (const entry of this.#unschedulable) {
      if (entry.unschedulableSinceMs + this.#config.flushAfterMs > now) break;
      this.#ready(entry);
    }
    this.#setTimer();
  }
}

function groupKey({ rejectedBy }: QueuedPod): string {
  return [...rejectedBy].sort().join();
}

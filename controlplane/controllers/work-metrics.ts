import { counter, gauge, Histogram, type Family, type Sample } from '#common/metrics.ts';

/** Kubernetes' bounds for queues: from ten nanoseconds, each ten times the one before. */
const bounds = Array.from({ length: 12 }, (_, i) => 10 ** (i - 8));

/** One queue now. */
export interface QueueState {
  /** Keys waiting now. */
  readonly depth: number;
  /** Counted since the start. A key that waits already is not added again. */
  readonly adds: number;
  /** Keys put back after an error, those of a stale cache included. */
  readonly retries: number;
  /** Looks put off because the key makes no progress, and how many keys that concerns now. */
  readonly slowed: number;
  readonly spinning: number;
  /** How long each look under way has lasted. */
  readonly runningMs: readonly number[];
}

/** How the queues of all controllers do, under Kubernetes' names. Source: k8s.io/component-base metrics of workqueues. */
export class WorkMetrics {
  readonly #waited = new Histogram('workqueue_queue_duration_seconds', 'How long in seconds an item stays in workqueue before being requested.', ['name'], bounds);
  readonly #worked = new Histogram('workqueue_work_duration_seconds', 'How long in seconds processing an item from workqueue takes.', ['name'], bounds);

  observe(name: string, waitedMs: number, workedMs: number): void {
    this.#waited.observe([name], waitedMs / 1000);
    this.#worked.observe([name], workedMs / 1000);
  }

  * collect(queues: readonly (readonly [string, QueueState])[]): Iterable<Family> {
    const of = (value: (state: QueueState) => number): Sample[] => queues.map(([name, state]) => ({ labels: { name }, value: value(state) }));
    yield gauge('workqueue_depth', 'Current depth of workqueue', of(({ depth }) => depth));
    yield counter('workqueue_adds_total', 'Total number of adds handled by workqueue', of(({ adds }) => adds));
    yield counter('workqueue_retries_total', 'Total number of retries handled by workqueue', of(({ retries }) => retries));
    yield gauge('workqueue_unfinished_work_seconds', 'How many seconds of work has been done that is in progress and has not been observed by work_duration.', of(({ runningMs }) => runningMs.reduce((a, b) => a + b, 0) / 1000));
    yield gauge('workqueue_longest_running_processor_seconds', 'How many seconds has the longest running processor for workqueue been running.', of(({ runningMs }) => Math.max(0, ...runningMs) / 1000));
    yield counter('cleat_controller_slowed_total', 'Looks at a key put off because it changes without end.', of(({ slowed }) => slowed));
    yield gauge('cleat_controller_keys_without_progress', 'Keys that are held back because they change without end.', of(({ spinning }) => spinning));
    yield* this.#waited.collect();
    yield* this.#worked.collect();
  }
}

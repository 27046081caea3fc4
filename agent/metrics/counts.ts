import { Counter, Histogram, type Family } from '#common/metrics.ts';

/** prometheus/client_golang's. */
const usualBounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const startBounds = [0.5, 1, 2, 3, 4, 5, 6, 8, 10, 20, 30, 45, 60, 120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600];
const operationBounds = Array.from({ length: 14 }, (_, i) => Number((0.005 * 2.5 ** i).toPrecision(10)));

/**
 * What an agent counts of itself while it works, under kubelet's names; nothing by pod or container, so that it does not grow.
 * Source: https://kubernetes.io/docs/reference/instrumentation/metrics/
 */
export class AgentCounts {
  readonly #operations = new Counter('kubelet_runtime_operations_total', 'Cumulative number of runtime operations by operation type.', ['operation_type']);
  readonly #operationErrors = new Counter('kubelet_runtime_operations_errors_total', 'Cumulative number of runtime operation errors by operation type.', ['operation_type']);
  readonly #operationSeconds = new Histogram('kubelet_runtime_operations_duration_seconds', 'Duration in seconds of runtime operations. Broken down by operation type.', ['operation_type'], operationBounds);
  readonly #startedPods = new Counter('kubelet_started_pods_total', 'Cumulative number of pods started');
  readonly #startedPodErrors = new Counter('kubelet_started_pods_errors_total', 'Cumulative number of errors when starting pods');
  readonly #podStartSeconds = new Histogram('kubelet_pod_start_duration_seconds', 'Duration in seconds from kubelet seeing a pod for the first time to the pod starting to run', [], startBounds);
  readonly #podWorkerSeconds = new Histogram('kubelet_pod_worker_duration_seconds', 'Duration in seconds to sync a single pod. Broken down by operation type: create, update, or sync', ['operation_type'], usualBounds);
  readonly #relistSeconds = new Histogram('kubelet_pleg_relist_duration_seconds', 'Duration in seconds for relisting pods in PLEG.', [], usualBounds);
  readonly #evictions = new Counter('kubelet_evictions', 'Cumulative number of pod evictions by eviction signal', ['eviction_signal']);
  readonly #renewErrors = new Counter('kubelet_certificate_manager_client_expiration_renew_errors', 'Counter of certificate renewal errors.');

  constructor() {
    // What an alert compares with its past is there from the beginning.
    for (const counter of [this.#startedPods, this.#startedPodErrors, this.#renewErrors]) counter.add([], 0);
  }

  /** The runtime was asked for something, in CRI's words (`create_container`). One that was broken off by the agent itself is no error. */
  operation(type: string, tookMs: number, failed: boolean): void {
    this.#operations.add([type]);
    this.#operationSeconds.observe([type], tookMs / 1000);
    if (failed) this.#operationErrors.add([type]);
    if (type === 'run_podsandbox') (failed ? this.#startedPodErrors : this.#startedPods).add([]);
  }

  /** From when this agent first saw a pod to when it ran. */
  podStarted(tookMs: number): void { this.#podStartSeconds.observe([], tookMs / 1000); }

  /** A pod was brought to what is wanted, as far as could be: `create` the first time, `kill` while it ends. */
  podSynced(type: 'create' | 'sync' | 'kill', tookMs: number): void { this.#podWorkerSeconds.observe([type], tookMs / 1000); }

  /** All pods were looked at, because events may have been lost: once for each start, and for each time that the runtime was away. */
  relisted(tookMs: number): void { this.#relistSeconds.observe([], tookMs / 1000); }

  evicted(signal: string): void { this.#evictions.add([signal]); }

  /** The certificate could not be renewed. */
  renewalFailed(): void { this.#renewErrors.add([]); }

  * collect(): Iterable<Family> {
    const all = [this.#evictions, this.#relistSeconds, this.#podStartSeconds, this.#podWorkerSeconds, this.#operations, this.#operationSeconds, this.#operationErrors, this.#startedPods, this.#startedPodErrors, this.#renewErrors];
    for (const one of all) yield* one.collect();
  }
}

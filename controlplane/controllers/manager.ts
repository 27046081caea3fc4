import { messageOf } from '#common/errors.ts';
import type { Runnable } from '#common/lifecycle.ts';
import { counter, gauge, type Family, type Sample } from '#common/metrics.ts';
import type { EventRecorder } from '../apiserver/types.ts';
import { Attention } from './attention.ts';
import { ControllerRunner, type ControllerMetrics } from './runner.ts';
import type { ControllerConfig, ControllerDeps, ControllerFactory } from './types.ts';

export interface ControllerManagerDeps extends Omit<ControllerDeps, 'events' | 'attention'> {
  /** By name; `registry.ts` lists all there are. */
  readonly controllers: Readonly<Record<string, ControllerFactory>>;
  /** Records Events as the component. */
  readonly recorder: (component: string) => EventRecorder;
}

/** Who a controller's Events are from, as in Kubernetes; where nothing is said, its folder and `-controller`. */
const components: Readonly<Record<string, string>> = { 'disruption': 'controllermanager', 'ephemeral-volume': 'ephemeral_volume', 'horizontal-pod-autoscaler': 'horizontal-pod-autoscaler', 'node-lifecycle': 'node-controller', 'node-ipam': 'cidrAllocator', 'persistent-volume-binder': 'persistentvolume-controller', 'service-load-balancer': 'service-controller' };

/** Runs controllers side by side; the failure of one to start is logged and leaves the others running. */
export class ControllerManager implements Runnable {
  readonly #runners: ReadonlyMap<string, ControllerRunner>;
  readonly #deps: ControllerManagerDeps;
  readonly #attention: Attention;

  constructor(deps: ControllerManagerDeps, config: ControllerConfig) {
    this.#deps = deps;
    this.#attention = new Attention({ clock: deps.clock, log: deps.log.child({ component: 'controllers' }) }, config.nodeMonitorGracePeriodMs);
    this.#runners = new Map(Object.entries(deps.controllers).map(([name, make]) => {
      const log = deps.log.child({ component: 'controllers', controller: name });
      const events = deps.recorder(components[name] ?? `${name}-controller`);
      return [name, new ControllerRunner(deps, name, make({ ...deps, log, events, attention: this.#attention }, config))];
    }));
  }

  /** By controller. */
  get metrics(): Readonly<Record<string, ControllerMetrics>> {
    return Object.fromEntries([...this.#runners].map(([name, runner]) => [name, runner.metrics]));
  }

  /** The same under Kubernetes' names. */
  * collect(): Iterable<Family> {
    const all = Object.entries(this.metrics);
    const of = (value: (metrics: ControllerMetrics) => number): Sample[] => all.map(([name, metrics]) => ({ labels: { name }, value: value(metrics) }));
    yield gauge('workqueue_depth', 'Keys that wait to be worked on.', of(({ depth }) => depth));
    yield counter('workqueue_adds_total', 'Keys taken from the queue.', of(({ processed }) => processed));
    yield counter('workqueue_retries_total', 'Keys put back after an error.', of(({ retries }) => retries));
    const sums = (value: (metrics: ControllerMetrics) => number): Sample[] => all.flatMap(([name, metrics]) => [
      { suffix: '_sum', labels: { name }, value: value(metrics) / 1000 }, { suffix: '_count', labels: { name }, value: metrics.processed },
    ]);
    yield { name: 'workqueue_queue_duration_seconds', type: 'summary', help: 'How long keys waited for their turn.', samples: sums(({ waitedMs }) => waitedMs) };
    yield { name: 'workqueue_work_duration_seconds', type: 'summary', help: 'How long keys were worked on.', samples: sums(({ workedMs }) => workedMs) };
  }

  /** Resolves when the signal has aborted and every controller has ended. */
  async start(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#attention.start(signal), ...[...this.#runners].map(async ([name, runner]) => {
      try {
        await runner.start(signal);
      } catch (error) {
        this.#deps.log.error({ controller: name, err: messageOf(error) }, 'controller stopped');
      }
    })]);
  }
}

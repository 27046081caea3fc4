import type { ResourceQuota } from '#api/gen/types.ts';
import { resourceQuotas } from '#api/kinds/resources.ts';
import { parseQuantity } from '#api/meta/quantity.ts';
import { messageOf } from '#common/errors.ts';
import type { Runnable } from '#common/lifecycle.ts';
import type { Family } from '#common/metrics.ts';
import type { EventRecorder } from '../apiserver/types.ts';
import { Attention } from './attention.ts';
import { ControllerRunner, type ControllerMetrics } from './runner.ts';
import type { ControllerConfig, ControllerDeps, ControllerFactory } from './types.ts';
import { WorkMetrics } from './work-metrics.ts';

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
  readonly #work = new WorkMetrics();

  constructor(deps: ControllerManagerDeps, config: ControllerConfig) {
    this.#deps = deps;
    this.#attention = new Attention({ clock: deps.clock, log: deps.log.child({ component: 'controllers' }) }, config.nodeMonitorGracePeriodMs);
    this.#runners = new Map(Object.entries(deps.controllers).map(([name, make]) => {
      const log = deps.log.child({ component: 'controllers', controller: name });
      const events = deps.recorder(components[name] ?? `${name}-controller`);
      return [name, new ControllerRunner({ ...deps, metrics: this.#work }, name, make({ ...deps, log, events, attention: this.#attention }, config))];
    }));
  }

  /** By controller. */
  get metrics(): Readonly<Record<string, ControllerMetrics>> {
    return Object.fromEntries([...this.#runners].map(([name, runner]) => [name, runner.metrics]));
  }

  /** The same under Kubernetes' names. */
  collect(): Iterable<Family> {
    return this.#work.collect(Object.entries(this.metrics));
  }

  /** Resolves when the signal has aborted and every controller has ended. */
  async start(signal: AbortSignal): Promise<void> {
    const unsubscribe = this.#deps.informers.informer(resourceQuotas).subscribe(({ object, old }) => {
      if (!object || (old && makesRoom(object, old))) for (const runner of this.#runners.values()) runner.roomIn((object ?? old)?.metadata?.namespace ?? '');
    });
    signal.addEventListener('abort', unsubscribe, { once: true });
    await Promise.all([this.#attention.start(signal), ...[...this.#runners].map(async ([name, runner]) => {
      try {
        await runner.start(signal);
      } catch (error) {
        this.#deps.log.error({ controller: name, err: messageOf(error) }, 'controller stopped');
      }
    })]);
  }
}

/** More is allowed, or less is used. Nobody should wait out a back-off for that. */
function makesRoom(now: ResourceQuota, before: ResourceQuota): boolean {
  const [hard, used] = [before.spec?.hard ?? {}, now.status?.used ?? {}];
  const less = (a: string | undefined, b: string | undefined): boolean => a !== undefined && b !== undefined && a !== b && parseQuantity(a) < parseQuantity(b);
  return Object.entries(hard).some(([name, amount]) => now.spec?.hard?.[name] === undefined || less(amount, now.spec.hard[name])) || Object.entries(used).some(([name, amount]) => less(amount, before.status?.used?.[name]));
}

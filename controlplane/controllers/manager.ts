import { messageOf } from '#common/errors.ts';
import type { Runnable } from '#common/lifecycle.ts';
import type { EventRecorder } from '../apiserver/types.ts';
import { ControllerRunner, type ControllerMetrics } from './runner.ts';
import type { ControllerConfig, ControllerDeps, ControllerFactory } from './types.ts';

export interface ControllerManagerDeps extends Omit<ControllerDeps, 'events'> {
  /** By name; `registry.ts` lists all there are. */
  readonly controllers: Readonly<Record<string, ControllerFactory>>;
  /** Records Events as the component. */
  readonly recorder: (component: string) => EventRecorder;
}

/** Who a controller's Events are from, as in Kubernetes; where nothing is said, its folder and `-controller`. */
const components: Readonly<Record<string, string>> = { 'node-lifecycle': 'node-controller', 'node-ipam': 'cidrAllocator' };

/** Runs controllers side by side; the failure of one to start is logged and leaves the others running. */
export class ControllerManager implements Runnable {
  readonly #runners: ReadonlyMap<string, ControllerRunner>;
  readonly #deps: ControllerManagerDeps;

  constructor(deps: ControllerManagerDeps, config: ControllerConfig) {
    this.#deps = deps;
    this.#runners = new Map(Object.entries(deps.controllers).map(([name, make]) => {
      const log = deps.log.child({ component: 'controllers', controller: name });
      const events = deps.recorder(components[name] ?? `${name}-controller`);
      return [name, new ControllerRunner(deps, name, make({ ...deps, log, events }, config))];
    }));
  }

  /** By controller. */
  get metrics(): Readonly<Record<string, ControllerMetrics>> {
    return Object.fromEntries([...this.#runners].map(([name, runner]) => [name, runner.metrics]));
  }

  /** Resolves when the signal has aborted and every controller has ended. */
  async start(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.#runners].map(async ([name, runner]) => {
      try {
        await runner.start(signal);
      } catch (error) {
        this.#deps.log.error({ controller: name, err: messageOf(error) }, 'controller stopped');
      }
    }));
  }
}

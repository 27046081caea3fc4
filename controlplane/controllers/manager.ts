import { messageOf } from '#common/errors.ts';
import type { Runnable } from '#common/lifecycle.ts';
import { ControllerRunner, type ControllerMetrics } from './runner.ts';
import type { ControllerConfig, ControllerDeps, ControllerFactory } from './types.ts';

export interface ControllerManagerDeps extends ControllerDeps {
  /** By name; `registry.ts` lists all there are. */
  readonly controllers: Readonly<Record<string, ControllerFactory>>;
}

/** Runs controllers side by side; the failure of one to start is logged and leaves the others running. */
export class ControllerManager implements Runnable {
  readonly #runners: ReadonlyMap<string, ControllerRunner>;
  readonly #deps: ControllerManagerDeps;

  constructor(deps: ControllerManagerDeps, config: ControllerConfig) {
    this.#deps = deps;
    this.#runners = new Map(Object.entries(deps.controllers).map(([name, make]) => {
      const log = deps.log.child({ component: 'controllers', controller: name });
      return [name, new ControllerRunner(deps, name, make({ ...deps, log }, config))];
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

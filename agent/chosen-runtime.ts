import { join, resolve } from 'node:path';
import { messageOf, StatusError } from '#common/errors.ts';
import { chooseRuntime, HostRuntime, rememberChoice, rememberedChoice, sameChoice, type HostRuntimeConfig, type HostRuntimeDeps, type RuntimeChoice } from './runtimes/host-runtime.ts';
import { releaseAllImageVolumes } from './pods/leftovers.ts';
import { removePods } from './teardown.ts';

export interface ChosenRuntimeConfig extends HostRuntimeConfig {
  /** As the flags ask for it. */
  readonly runtime: string;
  readonly endpoint: string;
}

/** Which container runtime this host's pods are on: chosen anew at each start, and remembered in between. */
export class ChosenRuntime {
  readonly #deps: HostRuntimeDeps;
  readonly #config: ChosenRuntimeConfig;

  constructor(deps: HostRuntimeDeps, config: ChosenRuntimeConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  /** What another one still runs for this host, under the name of `nodeName`, is ended first: a pod runs once. */
  async choose(nodeName: string, signal: AbortSignal): Promise<HostRuntime> {
    const { stateDir } = this.#config;
    const before = await rememberedChoice(stateDir);
    const choice = await this.#choice(before, signal);
    if (before && !sameChoice(before, choice)) {
      this.#deps.log.warn({ component: 'runtime', before, now: choice }, 'this host has another container runtime now; ending the pods of the one before');
      await this.endPods(this.#open(before), nodeName, signal).catch((error: unknown) => {
        throw new StatusError('ServiceUnavailable', `pods of this host still run on ${before.driver}${before.endpoint && ` (${before.endpoint})`}, and could not be ended: ${messageOf(error)}; start that once more, or, if it is gone for good, remove ${join(stateDir, 'agent/runtime.json')}`, { cause: error });
      });
    }
    await rememberChoice(stateDir, choice);
    return this.#open(choice);
  }

  /** The one that was chosen last. Undefined where there was none, as on the host of a control plane alone. */
  async last(signal: AbortSignal): Promise<HostRuntime | undefined> {
    const choice = await rememberedChoice(this.#config.stateDir) ?? (this.#config.endpoint === '' ? undefined : await this.#choice(undefined, signal));
    return choice && this.#open(choice);
  }

  /** Ends all pods of the node on a runtime, and the runtime where it is Cleat's own. Resolves with what was done, in words. */
  async endPods(runtime: HostRuntime, nodeName: string, signal: AbortSignal): Promise<string[]> {
    await runtime.containerd?.ensure(signal);
    const driver = await runtime.connect(nodeName);
    // Cleat's own, started just now, lists nothing before it has found again what runs. Another's may be gone for good.
    if (runtime.containerd) await runtime.untilAnswered(() => driver.list(signal), signal);
    const done = [`${String(await removePods(driver, signal))} pods removed`];
    await releaseAllImageVolumes(driver, resolve(this.#config.stateDir), signal);
    await driver.letGo?.(signal);
    driver.close?.();
    if (!runtime.containerd) return done;
    await runtime.containerd.stop(signal);
    return [...done, 'containerd stopped'];
  }

  #choice(before: RuntimeChoice | undefined, signal: AbortSignal): Promise<RuntimeChoice> {
    const { runtime, endpoint } = this.#config;
    return chooseRuntime(this.#deps, this.#config, { runtime, endpoint }, before, signal);
  }

  #open(choice: RuntimeChoice): HostRuntime {
    return new HostRuntime(this.#deps, this.#config, choice);
  }
}

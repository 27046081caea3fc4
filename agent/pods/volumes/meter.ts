import type { Pod } from '#api/gen/types.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import type { VolumeUsage } from '#agent/session/types.ts';
import { podPaths } from '../paths.ts';
import type { ObjectLookup } from '../spec/env.ts';
import { volumeUsage } from './stats.ts';

export interface VolumeMeterDeps { readonly clock: Clock; readonly log: Log; readonly lookup: ObjectLookup }

/** As long as kubelet takes a count for good. */
const freshMs = 60_000;
/** Whoever asks gets what is counted by then; counting goes on for the next one. */
const patienceMs = 4000;

/** What pods' volumes hold: counted when somebody asks, at most once a minute, one volume after the other. */
export class VolumeMeter {
  readonly #deps: VolumeMeterDeps;
  readonly #stateDir: string;
  #counted: ReadonlyMap<string, readonly VolumeUsage[]> = new Map();
  #countedMs = -Infinity;
  #counting: Promise<void> | undefined;

  constructor(deps: VolumeMeterDeps, { stateDir }: { readonly stateDir: string }) {
    this.#deps = deps;
    this.#stateDir = stateDir;
  }

  /** By pod uid. `lifetime` ends a count that outlives the question. */
  async read(pods: readonly Pod[], signal: AbortSignal, lifetime: AbortSignal): Promise<ReadonlyMap<string, readonly VolumeUsage[]>> {
    const { clock } = this.#deps;
    if (clock.monotonic() - this.#countedMs < freshMs) return this.#counted;
    this.#counting ??= this.#count(pods, lifetime).finally(() => { this.#counting = undefined; });
    const enough = new AbortController();
    await Promise.race([this.#counting, clock.sleep(patienceMs, AbortSignal.any([signal, enough.signal])).catch(() => undefined)]);
    enough.abort();
    return this.#counted;
  }

  async #count(pods: readonly Pod[], signal: AbortSignal): Promise<void> {
    // Until this one is done the one before is the best that there is, but for pods that it does not know.
    const found = new Map(this.#counted);
    this.#counted = found;
    for (const pod of pods) {
      const { uid = '', namespace = '', name = '' } = pod.metadata ?? {};
      const paths = podPaths(this.#stateDir, { uid, namespace, name });
      const volumes: VolumeUsage[] = [];
      for (const volume of pod.spec?.volumes ?? []) {
        if (signal.aborted) return;
        try {
          const usage = await volumeUsage(pod, volume, paths, this.#deps.lookup, signal);
          if (usage) volumes.push(usage);
        } catch (error) {
          this.#deps.log.debug({ uid, volume: volume.name, err: messageOf(error) }, 'a volume cannot be counted');
        }
      }
      found.set(uid, volumes);
    }
    for (const uid of found.keys()) if (!pods.some(({ metadata }) => metadata?.uid === uid)) found.delete(uid);
    this.#countedMs = this.#deps.clock.monotonic();
  }
}

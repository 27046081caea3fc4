import { join } from 'node:path';
import type { Pod } from '#api/gen/types.ts';
import type { Clock } from '#common/clock.ts';
import { diskUsage, type DiskUsage } from '#common/disk-usage.ts';
import { messageOf } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import type { VolumeUsage } from '#agent/session/types.ts';
import { podPaths, type PodPlaces } from '../paths.ts';
import { allContainersOf } from '../spec/containers.ts';
import type { ObjectLookup } from '../spec/env.ts';
import { volumeUsage } from './stats.ts';

export interface VolumeMeterDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly lookup: ObjectLookup;
  /** What is in the writable layers of all containers, by container id; absent where the runtime tells them by itself. */
  readonly written?: (signal: AbortSignal) => Promise<ReadonlyMap<string, DiskUsage>>;
}

/** What pods hold on the host's disk. */
export interface Held {
  /** By pod uid. */
  readonly pods: ReadonlyMap<string, PodHoldings>;
  /** By container id. */
  readonly written: ReadonlyMap<string, DiskUsage>;
}

export interface PodHoldings {
  readonly volumes: readonly VolumeUsage[];
  /** By container name. */
  readonly logs: ReadonlyMap<string, DiskUsage>;
}

/** As long as kubelet takes a count for good. */
const freshMs = 60_000;
/** Whoever asks gets what is counted by then; counting goes on for the next one. */
const patienceMs = 4000;

/** What pods' volumes hold: counted when somebody asks, at most once a minute, one volume after the other. */
export class VolumeMeter {
  readonly #deps: VolumeMeterDeps;
  readonly #places: PodPlaces;
  #counted: Held = { pods: new Map(), written: new Map() };
  #countedMs = -Infinity;
  #counting: Promise<void> | undefined;

  constructor(deps: VolumeMeterDeps, places: PodPlaces) {
    this.#deps = deps;
    this.#places = places;
  }

  /** `lifetime` ends a count that outlives the question. */
  async read(pods: readonly Pod[], signal: AbortSignal, lifetime: AbortSignal): Promise<Held> {
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
    const found = new Map(this.#counted.pods);
    this.#counted = { pods: found, written: this.#counted.written };
    for (const pod of pods) {
      const { uid = '', namespace = '', name = '' } = pod.metadata ?? {};
      const paths = podPaths(this.#places, { uid, namespace, name });
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
      const logs = new Map<string, DiskUsage>();
      for (const { name: container } of allContainersOf(pod)) logs.set(container, await diskUsage(join(paths.logs, container), signal));
      found.set(uid, { volumes, logs });
    }
    this.#counted = { pods: found, written: await this.#written(signal) };
    for (const uid of found.keys()) if (!pods.some(({ metadata }) => metadata?.uid === uid)) found.delete(uid);
    this.#countedMs = this.#deps.clock.monotonic();
  }

  async #written(signal: AbortSignal): Promise<ReadonlyMap<string, DiskUsage>> {
    try {
      return await this.#deps.written?.(signal) ?? new Map();
    } catch (error) {
      this.#deps.log.debug({ err: messageOf(error) }, 'what containers wrote cannot be counted');
      return new Map();
    }
  }
}

import { statfs } from 'node:fs/promises';
import { pods } from '#api/kinds/resources.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import { isAbort, type Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import { Limit } from '#common/limit.ts';
import { imagesOf } from '#agent/pods/spec/containers.ts';
import { canonicalReference } from '#agent/runtimes/image-reference.ts';
import type { ListedImage, RuntimeDriver } from '#agent/runtimes/types.ts';
import { nodeEvent } from '#agent/session/node-event.ts';
import type { AgentEvents } from '#agent/session/types.ts';
import type { DesiredState } from '#agent/state/types.ts';
import type { ImageRecords } from './records.ts';

export interface Disk { readonly totalBytes: number; readonly availableBytes: number }

export interface ImageCollectorDeps {
  readonly driver: Pick<RuntimeDriver, 'listImages' | 'removeImage' | 'imagesInUse' | 'imageFolder' | 'sharesImages'>;
  readonly state: Pick<DesiredState, 'list' | 'known' | 'reliable'>;
  readonly records: ImageRecords;
  readonly clock: Clock;
  readonly events: AgentEvents;
  readonly log: Log;
  /** The file system that a folder is on; the system's own when absent. */
  readonly disk?: (folder: string) => Promise<Disk>;
}

export interface ImageCollectorConfig {
  readonly nodeName: string;
  /** The node's own: sandboxes are made from them. */
  readonly systemImages: readonly string[];
  readonly highPercent: number;
  readonly lowPercent: number;
  readonly minAgeMs: number;
  /** 0 for no limit. */
  readonly maxAgeMs: number;
  readonly periodMs: number;
}

export const imageCollectorDefaults = { highPercent: 85, lowPercent: 80, minAgeMs: 120_000, maxAgeMs: 0, periodMs: 300_000 } as const;

/** Why an image stays; undefined for one that may go. */
export type KeptFor = 'system' | 'pod' | 'loaded' | 'runtime' | 'other' | undefined;

export interface KnownImage extends ListedImage {
  readonly keptFor: KeptFor;
  /** Somebody brought it here, whether or not a pod needs it, too. */
  readonly isLoaded: boolean;
}

interface Seen { firstMs: number; usedMs: number }

/**
 * Removes images that nobody needs, as kubelet does: the longest unused first, when the disk is nearly full or they are
 * too old. Never those of the system, those that somebody loaded, and those that a pod of this node names, whether it
 * runs or not. Where people keep images beside, only what was pulled for pods may go.
 */
export class ImageCollector implements Runnable {
  readonly #deps: ImageCollectorDeps;
  readonly #config: ImageCollectorConfig;
  readonly #system: ReadonlySet<string>;
  readonly #seen = new Map<string, Seen>();
  /** One at a time: two that free the same image would count it twice. */
  readonly #turn = new Limit(1);
  #startedMs = 0;

  constructor(deps: ImageCollectorDeps, config: ImageCollectorConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#system = new Set(config.systemImages.map(canonicalReference));
  }

  async start(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    this.#startedMs = clock.monotonic();
    try {
      // What is here already has been here for long enough.
      await this.#guarded(async () => { this.#note(await this.list(signal), -Infinity); }, signal);
      for (;;) {
        await clock.sleep(this.#config.periodMs, signal);
        await this.#guarded(() => this.#turn.run(() => this.#collect(signal), signal), signal);
      }
    } catch (error) {
      if (!isAbort(error, signal)) throw error;
    }
  }

  /** All images with the reason why each stays. */
  async list(signal: AbortSignal): Promise<KnownImage[]> {
    const { driver, state, records } = this.#deps;
    const [images, inUse] = await Promise.all([driver.listImages(signal), driver.imagesInUse(signal)]);
    const desired = new Set(state.list(pods).flatMap((pod) => imagesOf(pod).map(canonicalReference)));
    return images.map((image): KnownImage => {
      const { id, names, pinned = false } = image;
      const whole = names.map(canonicalReference);
      const isLoaded = whole.some((name) => records.isLoaded(name));
      const isNeeded = [id, ...names, ...whole].some((name) => inUse.has(name) || desired.has(name));
      // A name that somebody has given it makes it his.
      const others = driver.sharesImages && (![id, ...whole].some((name) => records.isPulled(name)) || whole.some((name) => !name.includes('@') && !records.isPulled(name)));
      const keptFor = whole.some((name) => this.#system.has(name)) ? 'system' : isNeeded ? 'pod' : isLoaded ? 'loaded' : pinned ? 'runtime' : others ? 'other' : undefined;
      return { ...image, keptFor, isLoaded };
    });
  }

  /** All that may go goes: the disk is short of space. Resolves with true when something was freed. */
  async reclaim(signal: AbortSignal): Promise<boolean> {
    return this.#turn.run(async () => {
      const images = await this.#look(signal);
      return await this.#free(this.#candidates(images), Infinity, signal) > 0;
    }, signal);
  }

  /** Removes at once what no pod needs, or with `dryRun` only says what that is; with `loaded` also what somebody loaded. Resolves with what went. */
  async prune({ dryRun, loaded }: { readonly dryRun: boolean; readonly loaded: boolean }, signal: AbortSignal): Promise<KnownImage[]> {
    if (!this.#isSure) throw new StatusError('ServiceUnavailable', 'this node has not heard yet which pods it is to run; try again when it is connected');
    return this.#turn.run(async () => {
      const { driver, records } = this.#deps;
      const gone: KnownImage[] = [];
      const failures: string[] = [];
      for (const image of await this.list(signal)) {
        if (image.keptFor !== undefined && !(loaded && image.keptFor === 'loaded')) continue;
        try {
          if (!dryRun) {
            await driver.removeImage(image, signal);
            await records.forget([image.id, ...image.names.map(canonicalReference)]);
          }
          gone.push(image);
        } catch (error) {
          if (isAbort(error, signal)) throw error;
          failures.push(`${image.names[0] ?? image.id} was not: ${messageOf(error)}`);
        }
      }
      if (failures.length > 0) throw new StatusError('Conflict', `${String(gone.length)} images were removed, and ${failures.join('; ')}`);
      return gone;
    }, signal);
  }

  /** Before the first word of the control plane nobody knows what pods need. */
  get #isSure(): boolean { return this.#deps.state.known && this.#deps.state.reliable; }

  async #collect(signal: AbortSignal): Promise<void> {
    const images = await this.#look(signal);
    if (!this.#isSure) return;
    const { highPercent, lowPercent, maxAgeMs } = this.#config;
    const nowMs = this.#deps.clock.monotonic();
    // Nothing is known of the time before this process.
    if (maxAgeMs > 0 && nowMs - this.#startedMs > maxAgeMs) {
      const old = this.#candidates(images).filter(({ id }) => nowMs - Math.max(this.#startedMs, this.#seen.get(id)?.usedMs ?? 0, this.#seen.get(id)?.firstMs ?? 0) > maxAgeMs);
      await this.#free(old, Infinity, signal);
    }
    const { totalBytes, availableBytes } = await this.#disk(signal);
    if (totalBytes <= 0 || 100 * (1 - availableBytes / totalBytes) < highPercent) return;
    const wantedBytes = Math.max(0, Math.ceil((totalBytes * (100 - lowPercent)) / 100) - availableBytes);
    this.#deps.log.info({ usedPercent: Math.round(100 * (1 - availableBytes / totalBytes)), highPercent, wantedBytes }, 'the disk is nearly full; removing images');
    const freedBytes = await this.#free(this.#candidates(await this.list(signal)), wantedBytes, signal);
    if (freedBytes < wantedBytes) this.#emit('FreeDiskSpaceFailed', `Failed to garbage collect required amount of images. Attempted to free ${String(wantedBytes)} bytes, but only found ${String(freedBytes)} bytes eligible to free.`);
  }

  /** Removes until so much is free. Resolves with how much was freed. */
  async #free(candidates: readonly KnownImage[], wantedBytes: number, signal: AbortSignal): Promise<number> {
    const { driver, records, log } = this.#deps;
    let freedBytes = 0;
    for (const image of candidates) {
      if (freedBytes >= wantedBytes) break;
      try {
        await driver.removeImage(image, signal);
        await records.forget([image.id, ...image.names.map(canonicalReference)]);
        this.#seen.delete(image.id);
        freedBytes += image.sizeBytes;
        log.info({ image: image.names[0] ?? image.id, bytes: image.sizeBytes }, 'removed an image that no pod needs');
      } catch (error) {
        if (isAbort(error, signal)) throw error;
        log.warn({ image: image.names[0] ?? image.id, err: messageOf(error) }, 'an image could not be removed');
      }
    }
    return freedBytes;
  }

  /** Those that may go and are old enough, the longest unused first. */
  #candidates(images: readonly KnownImage[]): KnownImage[] {
    if (!this.#isSure) return [];
    const nowMs = this.#deps.clock.monotonic();
    const seen = ({ id }: KnownImage): Seen => this.#seen.get(id) ?? { firstMs: nowMs, usedMs: -Infinity };
    return images.filter((image) => image.keptFor === undefined && nowMs - seen(image).firstMs >= this.#config.minAgeMs)
      .sort((a, b) => order(seen(a).usedMs, seen(b).usedMs) || order(seen(a).firstMs, seen(b).firstMs));
  }

  async #look(signal: AbortSignal): Promise<KnownImage[]> {
    const images = await this.list(signal);
    this.#note(images, this.#deps.clock.monotonic());
    return images;
  }

  #note(images: readonly KnownImage[], firstMs: number): void {
    const nowMs = this.#deps.clock.monotonic();
    const present = new Set(images.map(({ id }) => id));
    for (const id of this.#seen.keys()) if (!present.has(id)) this.#seen.delete(id);
    for (const { id, keptFor } of images) {
      const seen = this.#seen.get(id) ?? { firstMs, usedMs: -Infinity };
      this.#seen.set(id, seen);
      if (keptFor === 'pod') seen.usedMs = nowMs;
    }
  }

  async #disk(signal: AbortSignal): Promise<Disk> {
    const { driver, disk = diskOf } = this.#deps;
    return disk(await driver.imageFolder(signal));
  }

  async #guarded(work: () => Promise<void>, signal: AbortSignal): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (isAbort(error, signal)) throw error;
      this.#deps.log.warn({ err: messageOf(error) }, 'images cannot be collected; trying again');
      this.#emit('ImageGCFailed', messageOf(error));
    }
  }

  #emit(reason: string, message: string): void {
    const { nodeName } = this.#config;
    this.#deps.events.emit(nodeEvent(nodeName, this.#deps.clock, 'Warning', reason, message));
  }
}

/** Infinities are equal to themselves. */
function order(a: number, b: number): number {
  return a === b ? 0 : a < b ? -1 : 1;
}

async function diskOf(folder: string): Promise<Disk> {
  const { bsize, blocks, bavail } = await statfs(folder);
  return { totalBytes: blocks * bsize, availableBytes: bavail * bsize };
}

import type { Clock } from '#common/clock.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import { isAbort } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import { Limit } from '#common/limit.ts';
import { canonicalReference, parseReference } from '#agent/runtimes/image-reference.ts';
import type { PulledImage, PullProgress, RegistryAuth, RuntimeDriver } from '#agent/runtimes/types.ts';
import { authsFor, type Keyring } from './credentials.ts';
import type { ImageRecords } from './records.ts';
import { noRegistries, nodeKeyring, type Registries } from './registries.ts';

export interface ImagePullerDeps {
  readonly driver: RuntimeDriver;
  readonly clock: Clock;
  readonly log: Log;
  /** Absent where images are never removed. */
  readonly records?: ImageRecords;
  /** Images that are in no registry: asked for, they are made on this host, by name. */
  readonly localImages?: ReadonlyMap<string, (driver: RuntimeDriver, signal: AbortSignal) => Promise<void>>;
}

export interface ImagePullerConfig {
  /** Pulls at once; the others wait in order. */
  readonly maxParallel: number;
  readonly registries: Registries;
  /** A download of which nothing comes for so long is given up, to be begun again where it stands. */
  readonly stallMs: number;
}

export const imagePullerDefaults: ImagePullerConfig = { maxParallel: 3, registries: noRegistries, stallMs: 300_000 };

export interface PullRequest {
  readonly image: string;
  /** The pod's own credentials; those of the node come after them. */
  readonly keyring: Keyring;
  /** What came while this waited for its turn will do. */
  readonly presentWillDo: boolean;
  /** Called now and then while a pull takes long. */
  readonly progress?: (progress: PullProgress, elapsedMs: number) => void;
}

export interface PullOutcome extends PulledImage {
  /** Without the wait for its turn. */
  readonly tookMs: number;
}

/** A pull is looked at so often. */
const tickMs = 5000;
const firstReportMs = 10_000;
const maxReportMs = 600_000;
const silentMs = 3 * 3_600_000;

/** Brings images here: few at once, one image once at a time, with whatever credentials fit. */
export class ImagePuller {
  readonly #deps: ImagePullerDeps;
  readonly #config: ImagePullerConfig;
  readonly #limit: Limit;
  /** Who wants the same image waits for whoever was first, without holding a place. */
  readonly #turns = new Map<string, { readonly limit: Limit; users: number }>();
  readonly #listeners = new Set<() => void>();

  constructor(deps: ImagePullerDeps, config: ImagePullerConfig = imagePullerDefaults) {
    this.#deps = deps;
    this.#config = config;
    this.#limit = new Limit(config.maxParallel);
  }

  /** `arrived` is called when images have come without having been asked for here. Returns what ends that. */
  subscribe(arrived: () => void): () => void {
    this.#listeners.add(arrived);
    return () => { this.#listeners.delete(arrived); };
  }

  /** Somebody has brought images: who waits for one need not wait longer. */
  noteArrival(): void {
    for (const arrived of this.#listeners) arrived();
  }

  async pull(request: PullRequest, signal: AbortSignal): Promise<PullOutcome> {
    const { driver, clock, localImages } = this.#deps;
    const make = localImages?.get(request.image);
    if (make) {
      const began = clock.monotonic();
      await make(driver, signal);
      return { id: await driver.imageId(request.image, signal) ?? '', sizeBytes: 0, tookMs: clock.monotonic() - began };
    }
    const name = canonicalReference(request.image);
    const turn = this.#turns.get(name) ?? { limit: new Limit(1), users: 0 };
    this.#turns.set(name, turn);
    turn.users++;
    try {
      return await turn.limit.run(async () => {
        const present = request.presentWillDo ? await driver.imageId(request.image, signal) : undefined;
        if (present !== undefined) return { id: present, sizeBytes: 0, tookMs: 0 };
        return this.#limit.run(() => this.#pull(request, name, signal), signal);
      }, signal);
    } finally {
      if (--turn.users === 0) this.#turns.delete(name);
    }
  }

  async #pull(request: PullRequest, name: string, signal: AbortSignal): Promise<PullOutcome> {
    const { driver, records, clock } = this.#deps;
    const began = clock.monotonic();
    // Where people keep images, too, only what was not here before is ours to remove, and what a name of ours stood for until now.
    const shared = driver.sharesImages ? records : undefined;
    const former = shared && await driver.imageId(request.image, signal);
    const pulled = await this.#withAny(request, signal);
    if (shared && former === undefined) await shared.notePulled(name);
    else if (shared?.isPulled(name) && former !== undefined && former !== pulled.id) await shared.notePulled(former);
    if (pulled.architectures) await records?.noteMadeFor(name, { image: request.image, architectures: pulled.architectures });
    return { ...pulled, tookMs: clock.monotonic() - began };
  }

  /** Without credentials only where there are none that fit. Rejects with the last answer when all are refused. */
  async #withAny({ image, keyring, progress }: PullRequest, signal: AbortSignal): Promise<PulledImage> {
    const { registry, repository } = parseReference(image);
    const auths: (RegistryAuth | undefined)[] = [keyring, nodeKeyring(this.#config.registries)].flatMap((ring) => authsFor(`${registry}/${repository}`, ring));
    let failure: unknown;
    for (const auth of auths.length > 0 ? auths : [undefined]) {
      try {
        return await this.#watched(image, auth, progress, signal);
      } catch (error) {
        if (isAbort(error, signal)) throw error;
        failure = error;
      }
    }
    throw failure;
  }

  async #watched(image: string, auth: RegistryAuth | undefined, progress: PullRequest['progress'], signal: AbortSignal): Promise<PulledImage> {
    const { driver, log } = this.#deps;
    const over = new AbortController();
    const watch = new PullWatch();
    const stalled = new AbortController();
    const watching = this.#watch(watch, progress, stalled, AbortSignal.any([signal, over.signal]));
    watching.catch((error: unknown) => { if (!over.signal.aborted && !signal.aborted) log.warn({ image, err: messageOf(error) }, 'a pull is not looked at any more'); });
    try {
      return await driver.pullImage(image, { auth, progress: (known) => { watch.latest = known; } }, AbortSignal.any([signal, stalled.signal]));
    } catch (error) {
      if (stalled.signal.aborted && !signal.aborted) throw stalled.signal.reason;
      throw error;
    } finally {
      over.abort();
    }
  }

  async #watch(watch: PullWatch, progress: PullRequest['progress'], stalled: AbortController, signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    const began = clock.monotonic();
    let reportMs = firstReportMs;
    for (;;) {
      await clock.sleep(tickMs, signal);
      const nowMs = clock.monotonic();
      // Of some runtimes nobody hears anything before the end.
      if (watch.stalledMs(nowMs) >= this.#config.stallMs || (watch.latest === undefined && nowMs - began >= silentMs)) {
        stalled.abort(new StatusError('Timeout', `nothing came of the download for ${String(Math.round((watch.latest ? this.#config.stallMs : silentMs) / 1000))} s; it is begun again where it stands`));
        return;
      }
      if (watch.latest === undefined || nowMs - began < reportMs) continue;
      progress?.(watch.latest, nowMs - began);
      reportMs += Math.min(reportMs, maxReportMs);
    }
  }
}

/** Whether a download gets on. */
class PullWatch {
  latest: PullProgress | undefined;
  #bytes = -1;
  #movedMs = 0;

  /** 0 while nothing is known, and while what has come is unpacked: that takes as long as it takes. */
  stalledMs(nowMs: number): number {
    if (!this.latest || this.latest.doneBytes >= this.latest.totalBytes) return 0;
    if (this.latest.doneBytes !== this.#bytes) {
      this.#bytes = this.latest.doneBytes;
      this.#movedMs = nowMs;
    }
    return nowMs - this.#movedMs;
  }
}

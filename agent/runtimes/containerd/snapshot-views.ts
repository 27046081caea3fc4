import { isStatus } from '#common/errors.ts';
import type { Ctr } from './ctr.ts';
import { mountAsTold } from './mount-as-told.ts';

/** What keeps containerd from collecting a snapshot that nothing of its own names. */
const rootLabel = 'containerd.io/gc.root';
const removeMs = 120_000;

/** Read-only views of what images unpack to, for others than containers. */
export class SnapshotViews {
  readonly #ctr: Ctr;
  readonly #snapshotter: (signal: AbortSignal) => Promise<string>;

  constructor(ctr: Ctr, snapshotter: (signal: AbortSignal) => Promise<string>) {
    this.#ctr = ctr;
    this.#snapshotter = snapshotter;
  }

  /** Mounts what is called `chainId`, or what an earlier view by this key shows. It stays, whatever becomes of its image, until it is released. */
  async mount(chainId: string, key: string, dir: string, signal: AbortSignal): Promise<void> {
    await this.#run(['view', key, chainId], signal).catch((error: unknown) => { if (!isStatus(error, 'AlreadyExists')) throw error; });
    // A lease could not hold it by what `ctr` can say. It may be collected until now: then this fails, and is tried again.
    await this.#run(['label', key, `${rootLabel}=${new Date().toISOString()}`], signal);
    await mountAsTold(await this.#run(['mounts', dir, key], signal), signal, ['ro']);
  }

  /** Once it is mounted nowhere. Idempotent. */
  async release(key: string, signal: AbortSignal): Promise<void> {
    await this.#run(['rm', key], signal, removeMs).catch((error: unknown) => { if (!isStatus(error, 'NotFound')) throw error; });
  }

  async #run(args: readonly string[], signal: AbortSignal, timeoutMs?: number): Promise<string> {
    return this.#ctr.run(['snapshots', '--snapshotter', await this.#snapshotter(signal), ...args], signal, timeoutMs);
  }
}

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
    await mountAsTold(await this.#view(chainId, key, dir, signal), signal, ['ro']);
  }

  /** The folders, topmost first, that an overlay of what is called `chainId` has below; they stay likewise. Undefined where it is kept in another way. */
  async folders(chainId: string, key: string, signal: AbortSignal): Promise<readonly string[] | undefined> {
    const [words = [], ...more] = (await this.#view(chainId, key, '/', signal)).trim().split('\n').map((line) => line.split(' '));
    const [, , type, source = '', , , options = ''] = words;
    if (more.length > 0 || words[0] !== 'mount') return undefined;
    // One layer alone is not laid over anything.
    if (type === 'bind') return [source];
    return type === 'overlay' ? options.split(',').find((option) => option.startsWith('lowerdir='))?.slice('lowerdir='.length).split(':') : undefined;
  }

  async keys(signal: AbortSignal): Promise<readonly string[]> {
    return (await this.#run(['ls'], signal)).split('\n').slice(1).map((line) => line.split(' ')[0] ?? '').filter(Boolean);
  }

  /** Resolves with what `ctr` says of how to mount it at `dir`. */
  async #view(chainId: string, key: string, dir: string, signal: AbortSignal): Promise<string> {
    await this.#run(['view', key, chainId], signal).catch((error: unknown) => { if (!isStatus(error, 'AlreadyExists')) throw error; });
    // A lease could not hold it by what `ctr` can say. It may be collected until now: then this fails, and is tried again.
    await this.#run(['label', key, `${rootLabel}=${new Date().toISOString()}`], signal);
    return this.#run(['mounts', dir, key], signal);
  }

  /** Once it is mounted nowhere. Idempotent. */
  async release(key: string, signal: AbortSignal): Promise<void> {
    await this.#run(['rm', key], signal, removeMs).catch((error: unknown) => { if (!isStatus(error, 'NotFound')) throw error; });
  }

  async #run(args: readonly string[], signal: AbortSignal, timeoutMs?: number): Promise<string> {
    return this.#ctr.run(['snapshots', '--snapshotter', await this.#snapshotter(signal), ...args], signal, timeoutMs);
  }
}

import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, rmdir, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { Blob } from '#common/archive-parts.ts';
import type { Clock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';

/** So that a push that was cut off goes on where it was. */
const keepMs = 3_600_000;
/** What the disk must have left for others. */
const spareBytes = 64 << 20;

/**
 * Blobs of images on their way to this host: files named by their digest, whole or not there. They are not synced:
 * the folder is that of one boot, and what another boot left is not trusted, but removed.
 */
export class ReceivedBlobs {
  readonly #clock: Clock;
  readonly #root: string;
  readonly #folder: string;
  /** How many pushes under way need a blob. */
  readonly #needed = new Map<string, number>();
  readonly #arriving = new Set<string>();
  #sweeping: (() => void) | undefined;

  /** `root`: a folder of this alone. `bootId` may be any name. */
  constructor(clock: Clock, root: string, bootId: string) {
    this.#clock = clock;
    this.#root = root;
    this.#folder = join(root, bootId);
  }

  async has({ digest, size }: Blob): Promise<boolean> {
    return (await stat(this.#path(digest)).catch(() => undefined))?.size === size;
  }

  read(digest: string): AsyncIterable<Uint8Array> {
    return createReadStream(this.#path(digest), { highWaterMark: 256 << 10 }) as AsyncIterable<Uint8Array>;
  }

  /** Keeps what comes if it is what its digest says; rejects with `Invalid` if not. `ReceivedBlobs` has all of it or nothing. */
  async receive({ digest, size }: Blob, source: AsyncIterable<Uint8Array>): Promise<void> {
    const name = `${digest.slice('sha256:'.length)}.${randomBytes(6).toString('hex')}`;
    this.#arriving.add(name);
    const path = join(this.#folder, name);
    try {
      await this.makeFolder();
      const { bavail, bsize } = await statfs(this.#folder);
      if (bavail * bsize < size + spareBytes) throw new StatusError('InternalError', `no room for ${String(size)} bytes of an image in ${this.#root}; free some, or see cleat image prune`);
      const file = await open(path, 'wx', 0o600);
      try {
        const hash = createHash('sha256');
        let bytes = 0;
        for await (const chunk of source) {
          bytes += chunk.length;
          if (bytes > size) throw notWhat(digest);
          hash.update(chunk);
          await file.writeFile(chunk);
        }
        if (bytes !== size || `sha256:${hash.digest('hex')}` !== digest) throw notWhat(digest);
      } finally {
        await file.close();
      }
      await rename(path, this.#path(digest));
    } finally {
      await rm(path, { force: true });
      this.#arriving.delete(name);
    }
  }

  /** Resolves with the folder, which is there as long as something is in it, or held. */
  async makeFolder(): Promise<string> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    return this.#folder;
  }

  /** They stay until `release`. */
  hold(digests: Iterable<string>): void {
    for (const digest of digests) this.#needed.set(digest, (this.#needed.get(digest) ?? 0) + 1);
  }

  /** `done`: the image is made; else they stay for a while, for another try. */
  async release(digests: Iterable<string>, done: boolean): Promise<void> {
    for (const digest of digests) {
      const needed = (this.#needed.get(digest) ?? 1) - 1;
      if (needed > 0) this.#needed.set(digest, needed);
      else {
        this.#needed.delete(digest);
        if (done) await rm(this.#path(digest), { force: true });
      }
    }
    await this.sweep();
  }

  /** Removes what no push needs and nobody came back for, and looks again later while something is left. */
  async sweep(): Promise<void> {
    this.#sweeping?.();
    this.#sweeping = undefined;
    try {
      const folders = await readdir(this.#root).catch(() => []);
      await Promise.all(folders.map((name) => join(this.#root, name)).filter((path) => path !== this.#folder).map((path) => rm(path, { recursive: true, force: true })));
      const names = await readdir(this.#folder).catch(() => []);
      await Promise.all(names.map((name) => this.#sweep(name)));
      if (this.#arriving.size > 0 || this.#needed.size > 0) return;
      // These fail while something is left.
      for (const folder of [this.#folder, this.#root]) await rmdir(folder).catch((error: unknown) => { if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error; });
    } catch {
      this.#sweeping = this.#clock.after(keepMs, () => { this.#sweeping = undefined; void this.sweep(); });
    }
  }

  async #sweep(name: string): Promise<void> {
    if (this.#arriving.has(name) || this.#needed.has(`sha256:${name}`)) return;
    const path = join(this.#folder, name);
    const ageMs = name.includes('.') ? Infinity : this.#clock.now() - ((await stat(path).catch(() => undefined))?.mtimeMs ?? -Infinity);
    // A clock that was set back must not keep them for ever.
    if (ageMs >= keepMs || ageMs < -keepMs) await rm(path, { force: true });
  }

  #path(digest: string): string { return join(this.#folder, digest.slice('sha256:'.length)); }
}

function notWhat(digest: string): StatusError {
  return new StatusError('Invalid', `what came is not ${digest}`);
}

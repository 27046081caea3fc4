import { createHash, randomBytes, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, rmdir, stat, statfs, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import type { Blob } from '#common/archive-parts.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf, StatusError } from '#common/errors.ts';

/** So that a push that was cut off goes on where it was. */
const keepMs = 3_600_000;
/** What the disk must have left for others. */
const spareBytes = 64 << 20;

/**
 * Blobs of images on their way to this host: files named by their digest, which are whole, and by their digest and a
 * word of chance, which are not yet. They are not synced: the folder is that of one boot, and what another boot left is
 * not trusted, but removed.
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

  read(digest: string, from = 0): AsyncIterable<Uint8Array> {
    return createReadStream(this.#path(digest), { start: from, highWaterMark: 256 << 10 }) as AsyncIterable<Uint8Array>;
  }

  /** How much came of blobs whose senders broke off; those of which nothing did are absent. */
  async begun(digests: Iterable<string>): Promise<Map<string, number>> {
    const names = await readdir(this.#folder).catch(() => []);
    const found = await Promise.all([...digests].map(async (digest) => [digest, (await this.#partsOf(digest, names))[0]?.size ?? 0] as const));
    return new Map(found.filter(([, size]) => size > 0));
  }

  /**
   * Keeps what comes if it is what its digest says; rejects with `Invalid` if not. `from`: what `begun` said of it, after
   * which the source goes on; rejects with `Conflict` when that is not here any more. What breaks off is kept to go on with.
   */
  async receive({ digest, size }: Blob, source: AsyncIterable<Uint8Array>, from = 0): Promise<void> {
    const name = `${hexOf(digest)}.${randomBytes(6).toString('hex')}`;
    const path = join(await this.makeFolder(), name);
    this.#arriving.add(name);
    let isToKeep = false;
    try {
      const { bavail, bsize } = await statfs(this.#folder);
      if (bavail * bsize < size - from + spareBytes) throw new StatusError('InternalError', `no room for ${String(size - from)} bytes of an image in ${this.#root}; free some, or see cleat image prune`);
      const hash = from > 0 ? await this.#goOn(digest, path, from) : createHash('sha256');
      const file = await open(path, from > 0 ? 'a' : 'wx', 0o600);
      try {
        let bytes = from;
        isToKeep = bytes > 0;
        for await (const chunk of source) {
          isToKeep = false;
          bytes += chunk.length;
          if (bytes > size) throw notWhat(digest);
          hash.update(chunk);
          await file.writeFile(chunk);
          isToKeep = true;
        }
        isToKeep = false;
        if (bytes !== size || `sha256:${hash.digest('hex')}` !== digest) throw notWhat(digest);
      } finally {
        await file.close();
      }
      await rename(path, this.#path(digest));
    } finally {
      if (!isToKeep) await rm(path, { force: true });
      this.#arriving.delete(name);
      // One that has come is enough, and the most of one that has not.
      const others = await this.#partsOf(digest);
      for (const other of isToKeep ? others.slice(1) : await this.has({ digest, size }) ? others : []) await rm(other.path, { force: true });
    }
  }

  /** Takes over what another try left of a blob, as `path`; resolves with the hash of its first `from` bytes. */
  async #goOn(digest: string, path: string, from: number): Promise<Hash> {
    const [most] = await this.#partsOf(digest);
    try {
      if (!most || most.size < from) throw new Error('there is less of it');
      await rename(most.path, path);
      await truncate(path, from);
    } catch (error) {
      throw new StatusError('Conflict', `what came of ${digest} before is not here any more: ${messageOf(error)}`, { cause: error });
    }
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(path, { highWaterMark: 256 << 10 }) as AsyncIterable<Uint8Array>) hash.update(chunk);
    return hash;
  }

  /** What others left of a blob that did not come whole, the most first. */
  async #partsOf(digest: string, names?: readonly string[]): Promise<{ path: string; size: number }[]> {
    const own = (names ?? await readdir(this.#folder).catch(() => [])).filter((name) => name.startsWith(`${hexOf(digest)}.`) && !this.#arriving.has(name));
    const parts = await Promise.all(own.map((name) => join(this.#folder, name)).map(async (path) => ({ path, size: (await stat(path).catch(() => undefined))?.size ?? 0 })));
    return parts.sort((a, b) => b.size - a.size);
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
        if (done) for (const path of [this.#path(digest), ...(await this.#partsOf(digest)).map((part) => part.path)]) await rm(path, { force: true });
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
    if (this.#arriving.has(name) || this.#needed.has(`sha256:${name.split('.')[0] ?? ''}`)) return;
    const path = join(this.#folder, name);
    const ageMs = this.#clock.now() - ((await stat(path).catch(() => undefined))?.mtimeMs ?? -Infinity);
    // A clock that was set back must not keep them for ever.
    if (ageMs >= keepMs || ageMs < -keepMs) await rm(path, { force: true });
  }

  #path(digest: string): string { return join(this.#folder, hexOf(digest)); }
}

function hexOf(digest: string): string { return digest.slice('sha256:'.length); }

function notWhat(digest: string): StatusError {
  return new StatusError('Invalid', `what came is not ${digest}`);
}

import { open, rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';

/** What opening may write: the logs of two write buffers and what a large batch adds to one. */
const roomBytes = 8 << 20;
/** Also wanted free before anything is written on a disk that was full. */
const spareBytes = 2 << 20;
const chunk = Buffer.alloc(256 << 10);

/**
 * Room kept aside in the database's folder. LevelDB writes when it opens, so on a full disk a database could not
 * even be read after a restart. Then this is given up for it, and nothing is written until it is there again.
 */
export class Room {
  readonly #dir: string;
  readonly #path: string;
  #shortage: Error | undefined;

  constructor(dir: string) {
    this.#dir = dir;
    this.#path = join(dir, 'ROOM');
  }

  /** Why nothing may be written: the room is not there. */
  get shortage(): Error | undefined { return this.#shortage; }

  /** Takes the room unless it is taken; rejects when the disk has not that much. */
  async keep(): Promise<void> {
    const held = await stat(this.#path).then(({ size }) => size === roomBytes, () => false);
    try {
      const { bavail, bsize } = await statfs(this.#dir);
      const wanted = (held ? 0 : roomBytes) + spareBytes;
      if (bavail * bsize < wanted) throw new Error(`no space left: ${String((bavail * bsize) >> 10)} KiB are free, ${String(wanted >> 10)} are needed`);
      if (!held) await this.#take();
      this.#shortage = undefined;
    } catch (error) {
      if (!held) this.#shortage = error instanceof Error ? error : new Error(String(error));
      throw error;
    }
  }

  /** False when there was none. */
  async giveUp(): Promise<boolean> {
    const held = await stat(this.#path).then(() => true, () => false);
    if (held) await rm(this.#path);
    return held;
  }

  /** Not synced: it is the file system's promise of room that counts, not what is in it. */
  async #take(): Promise<void> {
    const file = await open(this.#path, 'w', 0o600);
    try {
      for (let written = 0; written < roomBytes; written += chunk.length) await file.writeFile(chunk);
    } catch (error) {
      await rm(this.#path, { force: true });
      throw error;
    } finally {
      await file.close();
    }
  }
}

import { closeSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import type { HeadNote } from '../../types.ts';

const size = 64;

/**
 * The newest acknowledged revision in 64 bytes beside the database. LevelDB drops a damaged end of its log
 * without a word; this file tells. It is overwritten in place after each batch and not synced: it survives
 * the death of the process, and after a power cut it can only be behind the log, never ahead of it.
 */
export class HeadFile {
  readonly #fd: number;

  constructor(path: string) {
    this.#fd = open(path);
  }

  write({ head, reserved }: HeadNote): void {
    const text = `${String(head)} ${String(reserved)}`;
    writeSync(this.#fd, `${text} ${crc32(text).toString(16)}\n`.padEnd(size), 0);
  }

  /** Undefined when it is new or not what was written. */
  read(): HeadNote | undefined {
    const bytes = Buffer.alloc(size);
    readSync(this.#fd, bytes, 0, size, 0);
    const [head = '', reserved = '', crc] = bytes.toString('latin1').trim().split(' ');
    return crc === crc32(`${head} ${reserved}`).toString(16) ? { head: Number(head), reserved: Number(reserved) } : undefined;
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** Opens for reading and writing; a new file gets its one block now, so that a full disk cannot refuse it later. */
function open(path: string): number {
  try {
    return openSync(path, 'r+', 0o600);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
  const fd = openSync(path, 'w+', 0o600);
  writeSync(fd, ' '.repeat(size), 0);
  fsyncSync(fd);
  return fd;
}

import { open, readdir, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Clock } from '#common/clock.ts';
import { messageOf } from '#common/errors.ts';
import type { Log } from '#common/log.ts';

export interface LogFileConfig {
  readonly path: string;
  /** A file that has grown beyond this is moved aside. */
  readonly maxBytes: number;
  /** Files moved aside that are kept: how many, and for how long. 0: without that limit. */
  readonly maxBackups: number;
  readonly maxAgeMs: number;
}

/** Lines that wait for the disk; more are dropped, and counted. */
const maxWaitingBytes = 8 << 20;

/**
 * Lines appended to a file that is rotated by size. One loop writes; what comes meanwhile goes out in one write. The
 * disk never holds anybody up: a line that cannot be written is dropped and counted.
 */
export class LogFile {
  readonly #deps: { readonly clock: Clock; readonly log: Log };
  readonly #config: LogFileConfig;
  #lines: string[] = [];
  #waiting = 0;
  #loop: Promise<void> | undefined;
  #file: FileHandle | undefined;
  #size = 0;
  #failing = false;
  /** Lines that are lost. */
  dropped = 0;

  constructor(deps: { readonly clock: Clock; readonly log: Log }, config: LogFileConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  /** Rejects when the file cannot be written. */
  async open(): Promise<void> {
    this.#file = await open(this.#config.path, 'a', 0o600);
    this.#size = (await this.#file.stat()).size;
  }

  write(line: string): void {
    if (this.#waiting + line.length > maxWaitingBytes) {
      this.dropped++;
      return;
    }
    this.#lines.push(line);
    this.#waiting += line.length;
    this.#loop ??= this.#run();
  }

  /** Waits until all is written. */
  async close(): Promise<void> {
    await this.#loop;
    await this.#file?.close();
    this.#file = undefined;
  }

  async #run(): Promise<void> {
    while (this.#lines.length > 0) {
      const lines = this.#lines.splice(0);
      this.#waiting = 0;
      try {
        await this.#append(`${lines.join('\n')}\n`);
        this.#failing = false;
      } catch (error) {
        this.dropped += lines.length;
        if (!this.#failing) this.#deps.log.error({ path: this.#config.path, err: messageOf(error) }, 'audit log cannot be written: what happens is not recorded');
        this.#failing = true;
      }
    }
    this.#loop = undefined;
  }

  async #append(text: string): Promise<void> {
    if (this.#size >= this.#config.maxBytes) await this.#rotate();
    if (!this.#file) await this.open();
    await this.#file?.appendFile(text);
    this.#size += Buffer.byteLength(text);
  }

  /** `audit.log` becomes `audit-2026-01-31T12-00-00.000.log`. */
  async #rotate(): Promise<void> {
    const { path } = this.#config;
    await this.#file?.close();
    this.#file = undefined;
    const { stem, extension } = partsOf(path);
    const time = new Date(this.#deps.clock.now()).toISOString().slice(0, -1).replaceAll(':', '-');
    await rename(path, join(dirname(path), `${stem}-${time}${extension}`));
    await this.#forgetOld();
  }

  async #forgetOld(): Promise<void> {
    const { path, maxBackups, maxAgeMs } = this.#config;
    const { stem, extension } = partsOf(path);
    const backups = (await readdir(dirname(path))).filter((name) => name.startsWith(`${stem}-`) && name.endsWith(extension) && /\d{4}-\d\d-\d\dT/.test(name)).sort().reverse();
    for (const [i, name] of backups.entries()) {
      const file = join(dirname(path), name);
      const tooOld = maxAgeMs > 0 && this.#deps.clock.now() - (await stat(file)).mtimeMs > maxAgeMs;
      if (tooOld || (maxBackups > 0 && i >= maxBackups)) await rm(file, { force: true });
    }
  }
}

function partsOf(path: string): { readonly stem: string; readonly extension: string } {
  const name = basename(path);
  const dot = name.lastIndexOf('.');
  return dot > 0 ? { stem: name.slice(0, dot), extension: name.slice(dot) } : { stem: name, extension: '' };
}

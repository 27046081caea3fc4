import { constants, closeSync, openSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { execOk } from '#common/exec.ts';
import { shellWord } from '../containerd/shell-word.ts';

/**
 * What a command in a container says, through named pipes that a shim's logger writes into. The pipes that `ctr` makes
 * itself are of no use: it closes them when the command has ended, whether or not all is read.
 */
export class ExecPipes {
  readonly stdout: Socket;
  readonly stderr: Socket;
  /** For `ctr tasks exec --log-uri`. */
  readonly uri: string;
  readonly #dir: string;
  #held: number[];

  private constructor(dir: string, [out, err]: readonly [string, string]) {
    this.#dir = dir;
    this.uri = `binary:///bin/sh?-c=${encodeURIComponent(loggerScript(out, err))}`;
    // Without a writer of our own they would look closed until the logger comes.
    this.#held = [out, err].map((path) => openSync(path, constants.O_RDWR | constants.O_NONBLOCK));
    [this.stdout, this.stderr] = [readerOf(out), readerOf(err)];
  }

  static async open(dir: string): Promise<ExecPipes> {
    const paths = [join(dir, 'stdout'), join(dir, 'stderr')] as const;
    await mkdir(dir, { recursive: true, mode: 0o700 });
    await execOk('mkfifo', ['-m', '600', ...paths]);
    return new ExecPipes(dir, paths);
  }

  /** To be called when `ctr` has ended: from then on they end when all is read. */
  release(): void {
    for (const fd of this.#held.splice(0)) closeSync(fd);
  }

  /** Resolves when both have been read to their ends, or have been destroyed. */
  async drained(): Promise<void> {
    await Promise.all([this.stdout, this.stderr].map((stream) => finished(stream, { writable: false }).catch(() => undefined)));
  }

  async remove(): Promise<void> {
    this.release();
    this.stdout.destroy();
    this.stderr.destroy();
    await rm(this.#dir, { recursive: true, force: true });
  }
}

/**
 * Two `cat`s that a shell leaves behind: the shim waits for the shell alone, and would end it after some seconds, however
 * slowly somebody reads. The pipes are open before the shim is told to go on (5), so that nobody takes them for closed.
 */
function loggerScript(out: string, err: string): string {
  return `trap '' TERM; exec 6<>${shellWord(out)} 7<>${shellWord(err)} 5>&-; cat <&3 >&6 & exec 3<&-; cat <&4 >&7 & exit 0`;
}

function readerOf(path: string): Socket {
  return new Socket({ fd: openSync(path, constants.O_RDONLY | constants.O_NONBLOCK), readable: true, writable: false }).unref();
}

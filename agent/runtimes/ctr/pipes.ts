import { constants, closeSync, openSync } from 'node:fs';
import { mkdir, rm, stat } from 'node:fs/promises';
import { Socket } from 'node:net';
import { join } from 'node:path';
import type { Clock } from '#common/clock.ts';
import { messageOf } from '#common/errors.ts';
import { execOk } from '#common/exec.ts';
import type { Log } from '#common/log.ts';
import { shellWord } from '../containerd/shell-word.ts';
import { LogWriter } from '../sandbox/log-writer.ts';
import type { LogEntry } from '../types.ts';

const streams = ['stdout', 'stderr'] as const;
type Stream = LogEntry['stream'];

/** Takes what a program writes while somebody is attached to it. A promise says: no more until it resolves. */
export type Listener = (stream: Stream, bytes: Buffer) => Promise<void> | undefined;

export interface PipesDeps { readonly clock: Clock; readonly log: Log }

/**
 * The outputs of one container, through named pipes that whoever writes into them keeps open himself: what is written
 * while nobody reads waits there, and what is not read by an agent is read by the next. They end in a log file, and
 * with those who are attached.
 */
export class Pipes {
  readonly #dir: string;
  readonly #deps: PipesDeps;
  readonly #writer: LogWriter;
  readonly #listeners = new Set<Listener>();
  #pumps: Promise<void> | undefined;
  #held: number[] = [];

  /** `dir` is the folder of the pipes. */
  constructor(deps: PipesDeps, dir: string, logPath: string) {
    this.#deps = deps;
    this.#dir = dir;
    this.#writer = new LogWriter(logPath, deps.clock);
  }

  pipe(name: Stream | 'stdin'): string {
    return join(this.#dir, name);
  }

  /** Makes the pipes, and keeps them from looking closed until `listen`. */
  async prepare(): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    const missing = [];
    for (const name of ['stdin', ...streams] as const) if (!await stat(this.pipe(name)).catch(() => undefined)) missing.push(this.pipe(name));
    if (missing.length > 0) await execOk('mkfifo', ['-m', '600', ...missing]);
    // A log is there from the beginning, however long its program is silent.
    await this.#writer.reopen();
    // Those of a start that failed for a reason that is over.
    this.#letGo();
    this.#held = streams.map((stream) => openSync(this.pipe(stream), constants.O_RDWR | constants.O_NONBLOCK));
  }

  /** Reads from now on, until the other end is closed. */
  listen(): void {
    this.#pumps ??= Promise.all(streams.map((stream) => this.#pump(stream))).then(() => this.#writer.close()).catch((error: unknown) => {
      this.#deps.log.warn({ err: messageOf(error), dir: this.#dir }, 'the log of a container ends early');
    });
    // Now that both ends are really there, the end of the writer is seen.
    this.#letGo();
  }

  /** Resolves when all is read and written. */
  async drained(): Promise<void> {
    this.listen();
    await this.#pumps;
  }

  /** Until the returned function is called. */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => { this.#listeners.delete(listener); };
  }

  reopen(): Promise<void> {
    return this.#writer.reopen();
  }

  async remove(): Promise<void> {
    this.#letGo();
    // Where nobody ever listened, because the program could not be started, its log is still open.
    if (!this.#pumps) await this.#writer.close();
    await rm(this.#dir, { recursive: true, force: true });
  }

  #letGo(): void {
    for (const fd of this.#held.splice(0)) closeSync(fd);
  }

  async #pump(stream: Stream): Promise<void> {
    let fd: number;
    try {
      fd = openSync(this.pipe(stream), constants.O_RDONLY | constants.O_NONBLOCK);
    } catch {
      return; // It never had one, or a reboot took it.
    }
    // An agent that ends leaves them to the next one.
    const socket = new Socket({ fd, readable: true, writable: false }).unref();
    let failed = false;
    for await (const bytes of socket as AsyncIterable<Buffer>) {
      try {
        await this.#writer.write(stream, bytes);
        failed = false;
      } catch (error) {
        // A full disk must not stop the program: what cannot be kept is dropped.
        if (!failed) this.#deps.log.warn({ err: messageOf(error), dir: this.#dir }, 'a log cannot be written; dropping what comes');
        failed = true;
      }
      for (const listener of this.#listeners) await listener(stream, bytes);
    }
  }
}

/**
 * The URI by which a shim starts the program that takes a container's outputs: a shell with two `cat`s, since they must
 * live as long as the container and cost next to nothing. Each keeps its pipe open for reading too, so that no agent
 * need be there; SIGTERM comes before the last words are through, so it is not heard.
 */
export function loggerUri(pipes: Pipes): string {
  const [out, err] = streams.map((stream) => shellWord(pipes.pipe(stream)));
  const script = `trap '' TERM; exec 5>&-; cat <&3 1<>${out ?? ''} & exec 3<&-; exec cat <&4 1<>${err ?? ''}`;
  return `binary:///bin/sh?-c=${encodeURIComponent(script)}`;
}

import type { Readable } from 'node:stream';

/** What a command may touch of the world outside. */
export interface Io {
  /** False when the reader is slow: wait for `drain` of standard output. */
  out(text: string | Uint8Array): boolean;
  readonly err: (text: string) => unknown;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdin: Readable;
  /** True when standard output is a terminal. */
  readonly terminal: boolean;
  /** Aborts on SIGINT and SIGTERM. */
  readonly interrupted: AbortSignal;
}

export interface Command {
  /** `argv`: the words after the verb, where that has verbs of its own. */
  help(argv?: readonly string[]): string | Promise<string>;
  /** Resolves with the exit code: 0, or 1 for any failure, as kubectl has it. */
  run(argv: readonly string[], io: Io): Promise<number>;
}

/** Verbs, each loaded when it is asked for. */
export type Commands = Readonly<Record<string, () => Promise<{ readonly command: Command }>>>;

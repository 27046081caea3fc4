import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { eventually } from './eventually.ts';

export interface Exit { readonly code: number | null; readonly signal: NodeJS.Signals | null }

/** A long-running process in a lab host. Standard output and error go to a file, so nothing is lost when the test dies. */
export class LabProcess {
  readonly name: string;
  readonly logPath: string;
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess;
  readonly #logStart: number;
  #exit: Exit | undefined;

  constructor(name: string, logPath: string, command: string, args: readonly string[]) {
    this.name = name;
    this.logPath = logPath;
    const fd = openSync(logPath, 'a');
    this.#logStart = readFileSync(logPath).length;
    this.#child = spawn(command, args, { stdio: ['ignore', fd, fd] });
    closeSync(fd);
    this.exited = new Promise((resolve) => {
      this.#child.once('error', () => { resolve(this.#exit = { code: 127, signal: null }); });
      this.#child.once('exit', (code, signal) => { resolve(this.#exit = { code, signal }); });
    });
  }

  get running(): boolean { return this.#exit === undefined; }

  /** What this process has written so far (an earlier process of the same name is left out). */
  output(): string {
    return readFileSync(this.logPath).subarray(this.#logStart).toString('utf8');
  }

  /** The process id as the machine sees it: the command itself, not the tools that brought it into the host. */
  async pid(): Promise<number> {
    return eventually(() => {
      const outer = this.#child.pid;
      if (outer === undefined || !this.running) throw new Error(`${this.name} is not running:\n${this.output().slice(-4000)}`);
      return firstChild(outer);
    }, { what: `process ${this.name}`, timeoutMs: 5000, intervalMs: 2 });
  }

  /** Signals the command and resolves when it has ended. Does nothing when it has. */
  async kill(signal: NodeJS.Signals = 'SIGTERM'): Promise<Exit> {
    if (this.running) {
      try {
        process.kill(await this.pid(), signal);
      } catch (error) {
        if (this.running) throw error;
      }
    }
    return this.exited;
  }

  /** Waits until the output matches; fails at once when the process ends first. */
  async waitForOutput(pattern: RegExp | string, timeoutMs = 10_000): Promise<void> {
    const matches = (): boolean => {
      const text = this.output();
      return typeof pattern === 'string' ? text.includes(pattern) : pattern.test(text);
    };
    await eventually(() => matches() || !this.running, {
      what: `${String(pattern)} from ${this.name}`, timeoutMs, explain: () => this.output().slice(-4000),
    });
    if (!matches()) throw new Error(`${this.name} ended (${JSON.stringify(this.#exit)}) before it said ${String(pattern)}:\n${this.output().slice(-4000)}`);
  }
}

/** The process id of the first child, 0 for none. */
export function firstChild(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${String(pid)}/task/${String(pid)}/children`, 'utf8').trim().split(' ')[0]);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  // A kernel without CONFIG_PROC_CHILDREN, as User-Mode Linux is.
  const parentOf = (name: string): string | undefined => {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1];
    } catch {
      return undefined;
    }
  };
  return Number(readdirSync('/proc').find((name) => /^\d+$/.test(name) && parentOf(name) === String(pid)) ?? 0);
}

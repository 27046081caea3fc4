import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import type { Clock } from './clock.ts';
import { messageOf, StatusError } from './errors.ts';

export interface ExecOptions {
  /** Given to the command on standard input. */
  readonly input?: string | Uint8Array;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly timeoutMs?: number;
  /** Measures that; real time when absent. */
  readonly clock?: Clock;
  readonly signal?: AbortSignal;
  /** Most bytes kept of each output stream; the default is 4 MiB. */
  readonly maxBytes?: number;
}

export interface ExecResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** How a command is run, for those that are given it. */
export type Exec = (command: string, args: readonly string[], options?: ExecOptions) => Promise<ExecResult>;

/** Runs a command to its end. A non-zero exit is a result; a command that cannot be run or ran too long is a StatusError. */
export async function exec(command: string, args: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
  const { timeoutMs = 30_000, maxBytes = 4 << 20, input, env, cwd, signal, clock } = options;
  // The command line and the API server run no commands: they need not hold the library.
  const { execa } = await import('execa');
  const running = execa(command, [...args], {
    reject: false,
    // Its own way of collecting output makes 64 KB of queues for each command, which outlive the young generation.
    buffer: false,
    ...(!clock && { timeout: timeoutMs }),
    // Whoever does not end in time may not hear a gentler signal either.
    killSignal: 'SIGKILL',
    ...(input === undefined ? { stdin: 'ignore' as const } : { input }),
    ...(env && { env }),
    ...(cwd !== undefined && { cwd }),
    ...(signal && { cancelSignal: signal }),
  });
  const [stdout, stderr] = [running.stdout, running.stderr].map((stream) => collect(stream, maxBytes, () => running.kill('SIGKILL')));
  let late = false;
  const cancel = clock?.after(timeoutMs, () => { late = running.kill('SIGKILL'); });
  const result = await running;
  cancel?.();
  if (late || result.timedOut) throw new StatusError('Timeout', `${command} ${args.join(' ')} did not end within ${String(timeoutMs)} ms`);
  if (stdout?.isTooMuch || stderr?.isTooMuch) throw new StatusError('InternalError', `${command} ${args.join(' ')} said more than ${String(maxBytes)} bytes`);
  if (result.exitCode === undefined) {
    throw new StatusError('InternalError', `cannot run ${command}: ${result.signal === undefined ? messageOf(result.cause ?? result.message) : `it was ended by ${result.signal}`}`, { cause: result.cause });
  }
  return { exitCode: result.exitCode, stdout: stdout?.text() ?? '', stderr: stderr?.text() ?? '' };
}

/** What a stream says; `full` is called when that is more than the limit. */
function collect(stream: Readable, maxBytes: number, full: () => void): { readonly isTooMuch: boolean; text(): string } {
  const chunks: Buffer[] = [];
  let bytes = 0;
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= maxBytes) { chunks.push(chunk); return; }
    // Others that the command started may hold the other end open.
    stream.destroy();
    full();
  });
  return { get isTooMuch() { return bytes > maxBytes; }, text: () => Buffer.concat(chunks).toString() };
}

/** Like `exec`, but a non-zero exit is a StatusError that carries the command's own words. Returns standard output. */
export async function execOk(command: string, args: readonly string[], options: ExecOptions = {}): Promise<string> {
  const { exitCode, stdout, stderr } = await exec(command, args, options);
  if (exitCode !== 0) {
    throw new StatusError('InternalError', `${command} ${args.join(' ')} exited with ${String(exitCode)}: ${(stderr || stdout).trim().slice(0, 2000)}`);
  }
  return stdout;
}

export interface OpenCommand {
  readonly pid: number;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Its exit code, or 128 and the signal that ended it; rejects when it cannot be run. */
  readonly ended: Promise<number>;
  kill(): void;
}

/** A command whose three streams are the caller's, for as long as it takes. */
export function openCommand(command: string, args: readonly string[]): OpenCommand {
  const child = spawn(command, [...args], { stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.on('error', () => undefined); // how it ended says more
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', (error) => { reject(new StatusError('InternalError', `cannot run ${command}: ${error.message}`, { cause: error })); });
    child.once('close', (code, signal) => { resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])); });
  });
  ended.catch(() => undefined);
  return { pid: child.pid ?? 0, stdin: child.stdin, stdout: child.stdout, stderr: child.stderr, ended, kill: () => { child.kill('SIGKILL'); } };
}

export interface PipedCommand {
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** Rejects with the command's own words when it fails. */
  readonly ended: Promise<void>;
  kill(): void;
}

/** A command whose input and output are streamed, for as long as it takes. */
export function pipeCommand(command: string, args: readonly string[]): PipedCommand {
  const child = spawn(command, [...args], { stdio: ['pipe', 'pipe', 'pipe'] });
  let words = '';
  child.stderr.on('data', (chunk: Buffer) => { words = (words + chunk.toString()).slice(-2000); });
  child.stdin.on('error', () => undefined); // how it ended says more
  const ended = new Promise<void>((resolve, reject) => {
    child.once('error', (error) => { reject(new StatusError('InternalError', `cannot run ${command}: ${error.message}`, { cause: error })); });
    child.once('close', (code, signal) => {
      if (code === 0) resolve();
      else reject(new StatusError('InternalError', `${command} ${args.join(' ')} ended with ${signal ?? `exit code ${String(code)}`}: ${words.trim()}`));
    });
  });
  ended.catch(() => undefined);
  return { stdin: child.stdin, stdout: child.stdout, ended, kill: () => { child.kill('SIGKILL'); } };
}

export interface Daemon {
  readonly pid: number;
  /** Resolves when it has ended, with what it ended by: an exit code or a signal's name. */
  readonly ended: Promise<string>;
}

/**
 * Starts a program that outlives this process, in a session of its own. `logFd` takes both its output streams.
 * Rejects when it cannot be started at all.
 */
export async function spawnDaemon(command: string, args: readonly string[], logFd: number | 'ignore'): Promise<Daemon> {
  const child = spawn(command, [...args], { detached: true, stdio: ['ignore', logFd, logFd] });
  child.unref();
  const ended = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => { resolve(signal ?? `exit code ${String(code)}`); });
  });
  return new Promise((resolve, reject) => {
    child.once('error', (error) => { reject(new StatusError('InternalError', `cannot run ${command}: ${error.message}`, { cause: error })); });
    child.once('spawn', () => { resolve({ pid: child.pid ?? 0, ended }); });
  });
}

/** A command that a person works with, such as an editor: it has this process's terminal. Resolves with its exit code. */
export function runInTerminal(command: string, args: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    spawn(command, [...args], { stdio: 'inherit' }).once('error', reject).once('exit', (code) => { resolve(code ?? 1); });
  });
}

import { readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { constants } from 'node:os';
import type { Clock } from '#common/clock.ts';

/** A process and the moment it started: a reused pid is not the same process. */
export interface ProcessRef { readonly pid: number; readonly startTime: string }

/** The process with `pid`, if it runs (zombies do not). */
export async function processRef(pid: number): Promise<ProcessRef | undefined> {
  try {
    const stat = await readFile(`/proc/${String(pid)}/stat`, 'utf8');
    // The command may contain spaces and brackets; fields count from behind it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : { pid, startTime: fields[19] ?? '' };
  } catch {
    return undefined;
  }
}

/** Nothing happens when there is no such process any more. */
export function sendSignal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** What programs may use of the signals without a meaning, as runtimes count: the C library keeps the first two. */
const realTime = { first: 34, last: 64 } as const;

/** Of a name such as `SIGTERM`, or `SIGRTMIN+3`, which Node does not know. Undefined when there is none. */
export function signalNumber(name: string): number | undefined {
  const [, end, steps = '0'] = /^SIGRT(MIN(?=$|\+)|MAX(?=$|-))([+-]\d{1,2})?$/.exec(name) ?? [];
  if (end === undefined) return Object.entries(constants.signals).find(([known]) => known === name)?.[1];
  const number = (end === 'MIN' ? realTime.first : realTime.last) + Number(steps);
  return number >= realTime.first && number <= realTime.last ? number : undefined;
}

/** What a process has started itself and what has not ended. */
export async function childrenOf(pid: number): Promise<number[]> {
  const listed = await readFile(`/proc/${String(pid)}/task/${String(pid)}/children`, 'utf8').catch(() => undefined);
  if (listed !== undefined) return listed.trim().split(' ').filter(Boolean).map(Number);
  // A kernel may keep no such list: then each process is asked for its parent.
  const others = (await readdir('/proc')).map(Number).filter((other) => other > 1);
  const parents = await Promise.all(others.map(async (other) => Number(/^.*\) \S (\d+) /s.exec(await readFile(`/proc/${String(other)}/stat`, 'utf8').catch(() => ''))?.[1])));
  return others.filter((_other, i) => parents[i] === pid);
}

/** A process that sees the same files as this one and whose command line ends with `args`. */
export async function findProcess(args: readonly string[]): Promise<ProcessRef | undefined> {
  const mounts = await readlink('/proc/self/ns/mnt');
  const end = `\0${args.join('\0')}\0`;
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (command.endsWith(end) && await readlink(`/proc/${pid}/ns/mnt`).catch(() => '') === mounts) return processRef(Number(pid));
  }
  return undefined;
}

export async function readPidFile(path: string): Promise<ProcessRef | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch {
    return undefined;
  }
  const [pid, startTime] = text.trim().split(' ');
  const running = await processRef(Number(pid));
  return running && running.startTime === startTime ? running : undefined;
}

export async function writePidFile(path: string, ref: ProcessRef): Promise<void> {
  await writeFile(path, `${String(ref.pid)} ${ref.startTime}\n`);
}

/** SIGTERM, then SIGKILL after five seconds; resolves when it is gone. */
export async function endProcess(ref: ProcessRef, clock: Clock, signal: AbortSignal): Promise<void> {
  const deadline = clock.monotonic() + 5000;
  for (let sent: NodeJS.Signals | undefined; ;) {
    const wanted = clock.monotonic() < deadline ? 'SIGTERM' : 'SIGKILL';
    const running = await processRef(ref.pid);
    if (running?.startTime !== ref.startTime) return;
    if (sent !== wanted) process.kill(ref.pid, sent = wanted);
    await clock.sleep(20, signal);
  }
}

/** A connection to a unix socket; undefined when nobody listens. */
export function dial(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => { resolve(socket); });
    socket.once('error', () => { resolve(undefined); });
  });
}

export async function removeSockets(...paths: string[]): Promise<void> {
  await Promise.all(paths.map((path) => rm(path, { force: true })));
}

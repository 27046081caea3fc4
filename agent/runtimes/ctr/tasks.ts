import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '#common/clock.ts';
import { isStatus, StatusError } from '#common/errors.ts';
import { spawnDaemon } from '#common/exec.ts';
import { processRef, type ProcessRef } from '../process.ts';
import { shellWord } from '../containerd/shell-word.ts';
import { loggerUri, type Pipes } from './pipes.ts';
import { fromCtr, type Ctr } from '../containerd/ctr.ts';
import type { ContainerRecord } from './records.ts';

const startMs = 120_000;
const deleteMs = 20_000;

export interface TaskDeps { readonly ctr: Ctr; readonly clock: Clock }

/** containerd's tasks: the processes of containers. */
export class Tasks {
  readonly #ctr: Ctr;
  readonly #clock: Clock;

  constructor({ ctr, clock }: TaskDeps) {
    this.#ctr = ctr;
    this.#clock = clock;
  }

  /** Ids and process ids of those that containerd has. */
  async list(signal: AbortSignal): Promise<Map<string, number>> {
    const rows = (await this.#ctr.run(['tasks', 'ls'], signal)).split('\n').slice(1).map((line) => line.trim().split(/\s+/));
    return new Map(rows.flatMap(([id = '', pid = '']) => (/^\d+$/.test(pid) ? [[id, Number(pid)] as const] : [])));
  }

  /** Starts a container's program with its outputs on the pipes. Resolves with its process, which may have ended already. */
  async start({ id, streams, handler }: ContainerRecord, dir: string, pipes: Pipes, signal: AbortSignal): Promise<ProcessRef> {
    const start = handler ? ['run', '--config', join(dir, 'config.json'), ...handler, ...(streams.tty ? ['--tty'] : [])] : ['tasks', 'start'];
    const pidFile = join(dir, 'pid');
    await rm(pidFile, { force: true });
    await pipes.prepare();
    if (streams.stdin || streams.tty) await this.#startAttached([...start, '--pid-file', pidFile, id], dir, pipes, streams, signal);
    else await this.#ctr.run([...start, '--detach', '--pid-file', pidFile, '--log-uri', loggerUri(pipes), id], signal, startMs);
    pipes.listen();
    return refOf(pidFile);
  }

  /**
   * A program with an input or a terminal needs a `ctr` beside it for as long as it lives; nothing else connects them.
   * It outlives the agent, like the pipes that it reads and writes, and leaves the program's exit code in a file.
   */
  async #startAttached(command: readonly string[], dir: string, pipes: Pipes, { stdinOnce, tty }: ContainerRecord['streams'], signal: AbortSignal): Promise<void> {
    await rm(join(dir, 'exit'), { force: true });
    const start = ['ctr', ...this.#ctr.arguments(command)].map(shellWord).join(' ');
    const attached = tty ? `script -qefc ${shellWord(`stty -echo -onlcr; exec ${start}`)} /dev/null` : start;
    const [stdin, stdout, stderr] = (['stdin', 'stdout', 'stderr'] as const).map((name) => shellWord(pipes.pipe(name)));
    // An input that is closed after its first use ends with it; any other is kept open from here.
    const input = stdinOnce ? `cat ${stdin ?? ''} | ${attached}` : `${attached} 0<>${stdin ?? ''}`;
    const exit = shellWord(join(dir, 'exit'));
    const script = `exec 1<>${stdout ?? ''} 2<>${stderr ?? ''}; ${input}; echo $? >${exit}.new; mv ${exit}.new ${exit}`;
    const daemon = await spawnDaemon('sh', ['-c', script], 'ignore');
    let ended = false;
    void daemon.ended.then(() => { ended = true; });
    const deadlineMs = this.#clock.monotonic() + startMs;
    while (!ended) {
      if (this.#clock.monotonic() > deadlineMs) {
        endSession(daemon.pid);
        throw new StatusError('Timeout', `containerd has not started it within ${String(startMs / 1000)} s; check that it is not stuck (systemctl status containerd)`);
      }
      const pid = Number(await readFile(join(dir, 'pid'), 'utf8').catch(() => '0'));
      // Made, but not begun, is a process that waits in the runtime's own program.
      if (pid > 1 && await isProgram(pid)) return;
      await this.#clock.sleep(10, signal);
    }
    if (await readFile(join(dir, 'pid'), 'utf8').catch(() => '') === '') throw new StatusError('InternalError', 'containerd did not start it; its log says why');
  }

  /** False when it runs no more. */
  async kill(id: string, name: string, signal: AbortSignal, everything = false): Promise<boolean> {
    try {
      await this.#ctr.run(['tasks', 'kill', ...(everything ? ['--all'] : []), '--signal', name, id], signal);
      return true;
    } catch (error) {
      if (isStatus(error, 'NotFound')) return false;
      throw error;
    }
  }

  /** Lets go of what containerd holds of an ended task. Resolves with its exit code; undefined when nothing is known of it. */
  async delete(id: string, signal: AbortSignal): Promise<number | undefined> {
    const deadlineMs = this.#clock.monotonic() + deleteMs;
    for (let waitMs = 10; ; waitMs = Math.min(2 * waitMs, 500)) {
      const { exitCode, stderr } = await this.#ctr.attempt(['tasks', 'delete', id], signal);
      // Its own exit code is the program's, or its words tell that; anything else that it says is why it failed.
      const told = /exit with non-zero exit code (\d+)/.exec(stderr)?.[1];
      if (told !== undefined) return Number(told);
      if (!/^ctr: |level=error/m.test(stderr)) return exitCode;
      const error = fromCtr(this.#ctr.endpoint, stderr);
      if (error.code === 'NotFound') return undefined;
      // The process has ended a moment ago, and its shim has not noticed.
      if (!/must be stopped|failed precondition/.test(error.message) || this.#clock.monotonic() > deadlineMs) throw error;
      await this.#clock.sleep(waitMs, signal);
    }
  }

  /** What a `ctr` beside the program has left; undefined when it left nothing. */
  async attachedExit(dir: string, waitMs: number, signal: AbortSignal): Promise<number | undefined> {
    const deadlineMs = this.#clock.monotonic() + waitMs;
    for (;;) {
      const text = await readFile(join(dir, 'exit'), 'utf8').catch(() => '');
      if (text !== '') return Number(text);
      if (this.#clock.monotonic() > deadlineMs) return undefined;
      await this.#clock.sleep(20, signal);
    }
  }
}

/** Rejects when nobody has written down a process there. */
export async function refOf(pidFile: string, who = 'containerd'): Promise<ProcessRef> {
  const text = await readFile(pidFile, 'utf8').catch(() => '');
  const pid = Number(text);
  if (!/^\d+$/.test(text.trim()) || pid < 2) throw new StatusError('InternalError', `${who} says that it has started the program, and does not tell its process (${JSON.stringify(text.slice(0, 50))}); look at ${who === 'containerd' ? 'containerd\'s log' : 'what it says when started by hand'}`);
  return await processRef(pid) ?? { pid, startTime: '' };
}

/** With all that it has started. */
function endSession(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}

async function isProgram(pid: number): Promise<boolean> {
  const command = await readFile(`/proc/${String(pid)}/cmdline`, 'utf8').catch(() => undefined);
  return command === undefined || !/^(?:\S*\/)?runc\0init\0/.test(command);
}

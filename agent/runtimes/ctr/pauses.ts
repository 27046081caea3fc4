import { constants, openSync } from 'node:fs';
import { access, mkdir, readFile, rm } from 'node:fs/promises';
import { Socket } from 'node:net';
import { join } from 'node:path';
import type { Clock } from '#common/clock.ts';
import { isStatus, StatusError } from '#common/errors.ts';
import { exec } from '#common/exec.ts';
import { sendSignal, type ProcessRef } from '../process.ts';
import { isAlive } from './records.ts';
import { refOf } from './tasks.ts';

export interface PausesConfig {
  /** Gone after a reboot: what runc notes of them, and their pipes. */
  readonly runDir: string;
}

const startMs = 120_000;
const deleteMs = 30_000;
const maxWords = 2000;

const shmOptions = 'mode=1777,size=65536k,nosuid,noexec,nodev';

/**
 * Starts one with the writing end of a pipe that nothing else holds, and mounts what goes with it: a process that a shell starts
 * costs a fifth of one that this process does. Nothing of a service's own may reach it: runc would wait for a program to
 * say that it is ready.
 */
const script = `exec 2>"$6"
unset NOTIFY_SOCKET LISTEN_FDS LISTEN_PID LISTEN_FDNAMES
[ -p "$1" ] || mkfifo -m 600 "$1" || exit
[ -z "$7" ] || mount -t tmpfs -o ${shmOptions} shm "$7" || exit
exec runc --root "$2" run --detach --pid-file "$3" --bundle "$4" "$5" 1<>"$1"`;

/** What is mounted goes first: then the folder tells whether there is something to take back. */
const endScript = `umount -l "$1" 2>/dev/null; rmdir "$1" 2>/dev/null
[ -z "$2" ] || exec runc --root "$2" delete --force "$3"`;

/** What a pause program is started with. */
export interface PauseSetup {
  /** A folder with `config.json`. */
  readonly bundle: string;
  /** Where the pod's shared memory is mounted; absent where it has the host's. */
  readonly shm?: string;
}

/**
 * The pause programs that hold the namespaces of pods. runc starts them by itself: as tasks of containerd's, each would
 * have a shim beside it, a hundred times as large as itself, to tell how it ends. A pipe tells that too: it is closed then.
 */
export class Pauses {
  readonly #clock: Clock;
  readonly #config: PausesConfig;
  readonly #watched = new Map<string, Socket>();
  readonly #listeners = new Set<(id: string) => void>();

  constructor({ clock }: { readonly clock: Clock }, config: PausesConfig) {
    this.#clock = clock;
    this.#config = config;
  }

  /** Resolves with its process. */
  async start(id: string, { bundle, shm = '' }: PauseSetup, signal: AbortSignal): Promise<ProcessRef> {
    const [pidFile, words] = [join(bundle, 'pid'), join(bundle, 'runc.err')];
    await mkdir(join(this.#config.runDir, id), { recursive: true, mode: 0o711 });
    await rm(pidFile, { force: true });
    const args = [this.#pipe(id), this.#root(id), pidFile, bundle, id, words, shm];
    const { exitCode } = await this.#runc(() => exec('sh', ['-c', script, 'sh', ...args], { signal, clock: this.#clock, timeoutMs: startMs }));
    if (exitCode !== 0) throw failed('made', exitCode, await readFile(words, 'utf8').catch(() => ''));
    const process = await refOf(pidFile, 'runc');
    this.watch(id);
    return process;
  }

  /** Ends it where it runs, with what runc has of it and with what is mounted at `shm`. Nothing when there is nothing. */
  async end(id: string, process: ProcessRef | undefined, shm: string, signal: AbortSignal): Promise<void> {
    this.#unwatch(id);
    if (process && await isAlive(process)) sendSignal(process.pid, 'SIGKILL');
    for (let waitMs = 1; await isAlive(process); waitMs = Math.min(2 * waitMs, 200)) await this.#clock.sleep(waitMs, signal);
    // Also one of which only runc knows: who started it was killed before it was written down.
    const [known, shared] = await Promise.all([join(this.#root(id), id), shm].map((path) => access(path).then(() => true, () => false)));
    if (!known && !shared) return;
    const { exitCode, stderr } = await this.#runc(() => exec('sh', ['-c', endScript, 'sh', shm, known ? this.#root(id) : '', id], { signal, clock: this.#clock, timeoutMs: deleteMs }));
    if (exitCode !== 0) throw failed('taken down', exitCode, stderr);
  }

  /** Tells when it ends, from now on. Nothing where a reboot has taken it. */
  watch(id: string): void {
    if (this.#watched.has(id)) return;
    let fd: number;
    try {
      fd = openSync(this.#pipe(id), constants.O_RDONLY | constants.O_NONBLOCK);
    } catch {
      return;
    }
    const socket = new Socket({ fd, readable: true, writable: false }).unref();
    this.#watched.set(id, socket);
    const ended = (): void => {
      if (this.#watched.get(id) !== socket) return;
      this.#unwatch(id);
      for (const tell of this.#listeners) tell(id);
    };
    // A pause program says nothing; whoever writes there in its stead is not listened to any longer.
    socket.on('data', ended).on('end', ended).on('error', ended);
  }

  /** Calls back with the id of one that has ended by itself, until the returned function is called. */
  subscribe(listener: (id: string) => void): () => void {
    this.#listeners.add(listener);
    return () => { this.#listeners.delete(listener); };
  }

  async #runc<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      if (isStatus(error, 'InternalError') && error.message.includes('ENOENT')) throw notInstalled(error);
      if (!isStatus(error, 'Timeout')) throw error;
      throw new StatusError('Timeout', 'runc, which makes the namespaces of pods, has not done so in time; check what it waits for (ps -ef | grep runc)', { cause: error });
    }
  }

  #unwatch(id: string): void {
    this.#watched.get(id)?.destroy();
    this.#watched.delete(id);
  }

  #pipe(id: string): string {
    return join(this.#config.runDir, id, 'pause');
  }

  /** A folder each, which goes with the sandbox's other things. */
  #root(id: string): string {
    return join(this.#config.runDir, id, 'runc');
  }
}

function failed(what: 'made' | 'taken down', exitCode: number, words: string): StatusError {
  if (exitCode === 127 && /runc: (?:command )?not found/.test(words)) return notInstalled();
  return new StatusError('InternalError', `the pod's namespaces cannot be ${what}: ${words.trim().slice(-maxWords) || `exit code ${String(exitCode)}`}`);
}

function notInstalled(cause?: unknown): StatusError {
  return new StatusError('ServiceUnavailable', 'runc, by which containerd too runs containers, is not installed; install it (Debian and Ubuntu: apt-get install runc)', { cause });
}

import { mkdir, open, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Socket } from 'node:net';
import { backoffMs } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import { spawnDaemon } from '#common/exec.ts';
import { TaskGroup, type Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import { containerdConfig } from './config.ts';
import { installedHandlers } from './handlers.ts';
import { mayLowerOomScore } from '../oom-score.ts';
import { findCniBinDir, findProgram, overlayWorks } from './host.ts';
import { containerdPaths, type ContainerdPaths } from './paths.ts';
import { noteInherited, removeInherited, removeTornResults } from './half-made.ts';
import { endStrayShims } from './stray-shims.ts';
import { dial, endProcess, findProcess, processRef, readPidFile, removeSockets, writePidFile } from '../process.ts';

export interface ManagedContainerdDeps { readonly clock: Clock; readonly log: Log }

export interface ManagedContainerdConfig {
  readonly stateDir: string;
  readonly sandboxImage: string;
  /** The environment's PATH. */
  readonly searchPath: string;
  readonly cniBinDirs?: readonly string[];
  readonly runRoot?: string;
  /** Put before the command, e.g. `nsenter --net=/run/netns/x` for a host that is a network namespace. */
  readonly launcher?: readonly string[];
  /** From the start of containerd, or its adoption, to the look for shims that were left behind. */
  readonly sweepAfterMs?: number;
}

const retry = { baseMs: 500, maxMs: 30_000, jitter: 0.2 };
const sweepAfterMs = 15_000;
/** A shim may be left behind later, too: by a pod that could only be ended once containerd was back. */
const longestSweepMs = 3_600_000;
const sweepGrowth = 4;
const stillThereMs = 1000;
const readyMs = 20_000;
const maxLogBytes = 4 << 20;

/**
 * A containerd of our own. It survives this process and is adopted at the next start, so that containers, and
 * pulls under way, do not notice that Cleat was restarted.
 */
export class ManagedContainerd implements Runnable {
  readonly paths: ContainerdPaths;
  readonly #deps: ManagedContainerdDeps;
  readonly #config: ManagedContainerdConfig;
  #snapshotter: 'overlayfs' | 'native' = 'overlayfs';

  constructor(deps: ManagedContainerdDeps, config: ManagedContainerdConfig) {
    this.#deps = deps;
    this.#config = config;
    this.paths = containerdPaths(config.stateDir, config.runRoot);
  }

  /** The socket that serves CRI. */
  get endpoint(): string { return this.paths.socket; }

  /** What images are unpacked with; known after `ensure`. */
  get snapshotter(): string { return this.#snapshotter; }

  /** Resolves when containerd answers: one that runs already with our configuration, or a new one. */
  async ensure(signal: AbortSignal): Promise<void> {
    if (process.getuid?.() !== 0) throw new StatusError('Forbidden', 'running containers needs root; start Cleat with sudo');
    const program = await findProgram('containerd', this.#config.searchPath);
    await findProgram('runc', this.#config.searchPath);
    const changed = await this.#writeConfig();
    // A start that was killed may not have written down what it started.
    const running = await readPidFile(this.paths.pidFile) ?? await findProcess(['-c', this.paths.config]);
    if (running) {
      await writePidFile(this.paths.pidFile, running);
      const socket = await dial(this.paths.socket);
      socket?.destroy();
      if (socket && !changed) {
        this.#deps.log.info({ pid: running.pid }, 'adopted running containerd');
        return;
      }
      await endProcess(running, this.#deps.clock, signal);
    }
    await this.#launch(program, signal);
  }

  /** Keeps containerd running until aborted; then leaves it running. */
  async start(signal: AbortSignal): Promise<void> {
    const tasks = new TaskGroup(this.#deps.log);
    await this.#keepRunning(tasks, signal);
    await tasks.drain();
  }

  async #keepRunning(tasks: TaskGroup, signal: AbortSignal): Promise<void> {
    let sweeping = new AbortController();
    for (let failures = 0; !signal.aborted;) {
      try {
        await this.ensure(signal);
        sweeping.abort();
        sweeping = new AbortController();
        const untilNext = AbortSignal.any([signal, sweeping.signal]);
        tasks.run('remains', untilNext, () => this.#removeRemains(untilNext));
        const watch = await dial(this.paths.ttrpcSocket);
        if (watch) {
          failures = 0;
          await closed(watch, signal);
          if (signal.aborted) return;
          this.#deps.log.warn({}, 'containerd ended; starting it again');
        }
      } catch (error) {
        if (signal.aborted) return;
        this.#deps.log.warn({ err: messageOf(error) }, 'containerd cannot be started; trying again');
      }
      failures++;
      await this.#deps.clock.sleep(backoffMs(retry, failures, Math.random), signal).catch(() => undefined);
    }
  }

  /** Ends containerd. Containers go on; their shims are adopted by the next one. */
  async stop(signal: AbortSignal): Promise<void> {
    const running = await readPidFile(this.paths.pidFile);
    if (running) await endProcess(running, this.#deps.clock, signal);
    await removeSockets(this.paths.socket, this.paths.ttrpcSocket, this.paths.pidFile);
  }

  /** First when what an earlier agent or containerd had under way is over, then with growing waits. */
  async #removeRemains(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    const firstMs = this.#config.sweepAfterMs ?? sweepAfterMs;
    for (let afterMs = firstMs; !signal.aborted; afterMs = Math.min(longestSweepMs, afterMs * sweepGrowth)) {
      await clock.sleep(afterMs, signal);
      try {
        await endStrayShims(this.paths.socket, log, () => clock.sleep(stillThereMs, signal));
        if (afterMs === firstMs) await removeInherited(this.paths, clock.now() - firstMs, log);
      } catch (error) {
        if (!signal.aborted) log.info({ err: messageOf(error) }, 'could not look for what was left behind');
      }
    }
  }

  /** True when the file changed. */
  async #writeConfig(): Promise<boolean> {
    const { paths } = this;
    for (const dir of [dirname(paths.config), paths.root, paths.opt, paths.cniConfDir]) await mkdir(dir, { recursive: true, mode: 0o711 });
    await mkdir(paths.runDir, { recursive: true, mode: 0o711 });
    const before = await readFile(paths.config, 'utf8').catch(() => undefined);
    // A snapshotter, once used, stays: images are unpacked in it.
    const chosen = /^\s*snapshotter = "(overlayfs|native)"$/m.exec(before ?? '')?.[1] as 'overlayfs' | 'native' | undefined;
    this.#snapshotter = chosen ?? (await overlayWorks(paths.root) ? 'overlayfs' : 'native');
    const text = containerdConfig({
      paths,
      handlers: await installedHandlers(this.#config.searchPath),
      sandboxImage: this.#config.sandboxImage,
      cniBinDir: await findCniBinDir(this.#config.cniBinDirs ?? ['/opt/cni/bin', '/usr/lib/cni', '/usr/libexec/cni']),
      snapshotter: this.#snapshotter,
      mayLowerOomScore: await mayLowerOomScore(),
    });
    if (before === text) return false;
    await writeFile(`${paths.config}.new`, text);
    await rename(`${paths.config}.new`, paths.config);
    return true;
  }

  async #launch(program: string, signal: AbortSignal): Promise<void> {
    const { paths } = this;
    await removeSockets(paths.socket, paths.ttrpcSocket, paths.pidFile);
    await noteInherited(paths, this.#deps.clock.now());
    await removeTornResults(this.#deps.log);
    const size = await stat(paths.log).then((s) => s.size, () => 0);
    if (size > maxLogBytes) await rename(paths.log, join(dirname(paths.log), 'containerd.log.1'));
    const log = await open(paths.log, 'a', 0o600);
    try {
      const command = [program, '-c', paths.config];
      const [launcher, ...launcherArgs] = this.#config.launcher ?? [];
      const daemon = launcher === undefined
        ? await spawnDaemon(program, command.slice(1), log.fd)
        : await spawnDaemon(launcher, [...launcherArgs, ...command], log.fd);
      const ref = await processRef(daemon.pid);
      if (ref) await writePidFile(paths.pidFile, ref);
      let end: string | undefined;
      void daemon.ended.then((how) => { end = how; });
      const deadline = this.#deps.clock.monotonic() + readyMs;
      while (end === undefined && this.#deps.clock.monotonic() < deadline) {
        const socket = await dial(paths.socket);
        if (socket) {
          socket.destroy();
          this.#deps.log.info({ pid: daemon.pid }, 'started containerd');
          return;
        }
        await this.#deps.clock.sleep(20, signal);
      }
      throw new StatusError('ServiceUnavailable', `containerd ${end === undefined ? `does not listen after ${String(readyMs)} ms` : `ended with ${end}`}; its log is ${paths.log}: ${await lastLines(paths.log)}`);
    } finally {
      await log.close();
    }
  }
}

function closed(socket: Socket, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => { socket.destroy(); };
    socket.once('close', () => { signal.removeEventListener('abort', end); resolve(); });
    socket.on('error', end);
    signal.addEventListener('abort', end, { once: true });
    if (signal.aborted) end();
    socket.resume();
  });
}

async function lastLines(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.trimEnd().split('\n').slice(-3).join(' | ').slice(-1000);
}

import { randomBytes } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';
import { isStatus, messageOf, StatusError } from '#common/errors.ts';
import { exec } from '#common/exec.ts';
import { groupsOomKills, hasController, killProcesses, limitsSwap, ranOutOfMemory, removeCgroup, unifiedCgroups } from '../cgroups.ts';
import { minOomScoreAdj } from '../oom-score.ts';
import { ownLabels, podLabels } from '../pod-labels.ts';
import { processRef, sendSignal } from '../process.ts';
import { boundingSet, capabilitiesOf } from '../sandbox/capabilities.ts';
import { deviceAt, hostDevices, userOf } from '../sandbox/image-files.ts';
import { withCdiDevices, type CdiHook } from '../sandbox/cdi.ts';
import { containerSpec } from '../sandbox/oci-spec.ts';
import type { Records } from '../sandbox/records.ts';
import type { ContainerConfig, DriverDeps, SandboxConfig } from '../types.ts';
import { nvidiaHandler, nvidiaHook } from './nvidia.ts';
import { runcType } from '../containerd/handlers.ts';
import { mountAsTold } from '../containerd/mount-as-told.ts';
import { appArmorOf } from './apparmor.ts';
import type { Layers } from './layers.ts';
import { Pipes } from './pipes.ts';
import type { Ctr } from '../containerd/ctr.ts';
import type { CtrImages, LocalImage } from './images.ts';
import { within } from './within.ts';
import { cgroupOf, isAlive, pauseOf, type ContainerRecord, type CtrSandboxRecord } from './records.ts';
import { seccompOf } from './seccomp.ts';
import type { Tasks } from './tasks.ts';

export interface ContainerDeps extends DriverDeps {
  readonly ctr: Ctr;
  readonly tasks: Tasks;
  readonly images: CtrImages;
  readonly layers: Layers;
  readonly records: Records<ContainerRecord>;
  readonly snapshotter: (signal: AbortSignal) => Promise<string>;
}

export interface ContainerDirs {
  /** Gone after a reboot: pipes. */
  readonly runDir: string;
  readonly owner: string;
}

/** What a container has of its pod: files to mount, and how `ctr run` is told to run it. */
export interface PodPlace { readonly shm: string; readonly resolvConf: string; readonly hostnameFile: string; readonly handler: readonly string[] }

/** How a container ended, as an event tells it. */
export interface KnownEnd { readonly exitCode: number; readonly atMs: number }

const drainMs = 10_000;
const attachedExitMs = 10_000;
/** Of a program of which nobody knows how it ended. */
const unknownExitCode = 255;

/** The containers of pods, from their root file systems to their exit codes. */
export class Containers {
  readonly #deps: ContainerDeps;
  readonly #dirs: ContainerDirs;
  readonly #pipes = new Map<string, Pipes>();
  /** Ends that are being looked into. */
  readonly #ending = new Map<string, Promise<void>>();

  constructor(deps: ContainerDeps, dirs: ContainerDirs) {
    this.#deps = deps;
    this.#dirs = dirs;
  }

  async create(sandboxRecord: CtrSandboxRecord, sandbox: SandboxConfig, config: ContainerConfig, place: PodPlace, signal: AbortSignal): Promise<string> {
    const { images, records, clock } = this.#deps;
    const image = await images.get(config.image, signal);
    const id = randomBytes(32).toString('hex');
    let record: ContainerRecord = {
      id, layers: image.chainId, sandboxId: sandboxRecord.id, podUid: sandbox.podUid, name: config.name, attempt: config.attempt, image: config.image, imageId: image.id, specHash: config.specHash,
      createdAtMs: clock.now(), startedAtMs: 0, finishedAtMs: 0, exitCode: 0, logPath: join(sandbox.logDirectory, config.logFile), graceSeconds: config.graceSeconds,
      made: false, stopSignal: config.stopSignal ?? image.config.StopSignal ?? 'SIGTERM', streams: { stdin: config.stdin, stdinOnce: config.stdinOnce, tty: config.tty }, cgroup: cgroupOf(sandbox, id), handler: [...place.handler, ...labelArgs(this.#labels(sandbox, config.name))],
    };
    await records.write(record);
    try {
      await mkdir(this.rootfs(id), { recursive: true });
      record = await this.#mountRoot(record, image, signal);
      const spec = await this.#spec(record, sandboxRecord, sandbox, config, image, place, signal);
      await records.writeFile(id, 'config.json', JSON.stringify(spec));
      await records.write({ ...record, made: true });
      return id;
    } catch (error) {
      await this.remove(id, AbortSignal.timeout(drainMs)).catch(() => undefined);
      throw error;
    }
  }

  /** Resolves with the record, which tells who made it. */
  async #mountRoot(record: ContainerRecord, { chainId }: LocalImage, signal: AbortSignal): Promise<ContainerRecord> {
    const { ctr, layers, records, snapshotter } = this.#deps;
    const rootfs = this.rootfs(record.id);
    if (chainId !== '' && await layers.mount(chainId, record.id, rootfs, signal)) return record;
    const { layers: _layers, ...other } = record;
    // Before there is a snapshot, so that it is not forgotten.
    await records.write(other);
    await mountAsTold(await ctr.run(['snapshots', '--snapshotter', await snapshotter(signal), 'prepare', '--target', rootfs, record.id, chainId], signal), signal);
    return other;
  }

  async start(id: string, signal: AbortSignal): Promise<void> {
    const { tasks, records, clock } = this.#deps;
    const record = await this.get(id);
    const startedAtMs = clock.now();
    try {
      const process = await tasks.start(record, records.folder(id), this.#pipesOf(record), signal);
      await records.write({ ...record, startedAtMs, process });
    } catch (error) {
      if (!signal.aborted && !isStatus(error, 'ServiceUnavailable')) await this.#failedToStart(record, messageOf(error), signal);
      throw error;
    }
  }

  /** Rejects with `NotFound` when there is none of this id. */
  async get(id: string): Promise<ContainerRecord> {
    const record = (await this.#deps.records.all()).get(id);
    if (!record) throw new StatusError('NotFound', `container ${id} not found`);
    return record;
  }

  /** Rejects when it does not run. */
  async running(id: string): Promise<ContainerRecord> {
    const record = await this.get(id);
    if (record.end || !await isAlive(record.process)) throw new StatusError('InternalError', 'container is not running');
    return record;
  }

  async stop(id: string, graceSeconds: number, signal: AbortSignal): Promise<void> {
    const { tasks, clock } = this.#deps;
    const record = (await this.#deps.records.all()).get(id);
    if (!record?.process || record.end) return;
    const deadlineMs = clock.monotonic() + graceSeconds * 1000;
    if (graceSeconds > 0 && await isAlive(record.process) && !send(record, record.stopSignal)) await tasks.kill(id, record.stopSignal, signal);
    for (let waitMs = 1; await isAlive(record.process) && clock.monotonic() < deadlineMs; waitMs = Math.min(2 * waitMs, 200)) {
      await clock.sleep(Math.min(waitMs, Math.max(1, deadlineMs - clock.monotonic())), signal);
    }
    if (await isAlive(record.process)) await this.kill(record, signal);
    await this.settle(record, undefined, signal);
  }

  async remove(id: string, signal: AbortSignal): Promise<void> {
    const { ctr, tasks, layers, records, snapshotter } = this.#deps;
    const record = (await records.all()).get(id);
    if (!record) return;
    if (record.process) {
      await this.stop(id, 0, signal);
    } else if (!record.end) {
      // Nobody knows whether it was started.
      await tasks.kill(id, 'SIGKILL', signal, true);
      await tasks.delete(id, signal);
    }
    await exec('umount', ['-l', this.rootfs(id)]);
    const used = [['containers', 'rm', id], ...(record.layers === undefined ? [['snapshots', '--snapshotter', await snapshotter(signal), 'rm', id]] : [])];
    const removals = await Promise.allSettled(used.map((words) => absentIsFine(ctr.run(words, signal))));
    for (const removal of removals) if (removal.status === 'rejected') throw removal.reason;
    await this.#pipesOf(record).remove();
    this.#pipes.delete(id);
    await removeCgroup(record.cgroup);
    await records.remove(id);
    if (record.layers !== undefined) layers.leave(record.layers, id);
  }

  /** What is true of it now. When its program has ended, that is found out and written down first. */
  async look(record: ContainerRecord, signal: AbortSignal): Promise<ContainerRecord> {
    if (record.process && !record.end && !await isAlive(record.process)) await this.settle(record, undefined, signal);
    return (await this.#deps.records.all()).get(record.id) ?? record;
  }

  /** Writes down how a program that has ended did so, with all that it said in its log. Once for all who ask at the same time. */
  settle(record: ContainerRecord, known: KnownEnd | undefined, signal: AbortSignal): Promise<void> {
    const { id } = record;
    const present = this.#ending.get(id);
    if (present) return present;
    const work = this.#settle(id, known, signal).finally(() => { this.#ending.delete(id); });
    this.#ending.set(id, work);
    return work;
  }

  /** After a restart of the agent: reads on what those say that still run. */
  async adopt(record: ContainerRecord, pid: number | undefined, signal: AbortSignal): Promise<void> {
    const { records, clock, tasks, layers } = this.#deps;
    if (record.layers !== undefined) layers.use(record.layers, record.id);
    if (!record.made) return this.remove(record.id, signal);
    if (record.end) return;
    if (record.process) return this.#pipesOf(record).listen();
    if (pid === undefined) return;
    // Started by an agent that ended before it could write that down.
    const process = await processRef(pid) ?? { pid, startTime: '' };
    if (await readFile(`/proc/${String(pid)}/cmdline`, 'utf8').then((text) => text.includes('runc\0init'), () => false)) {
      await tasks.kill(record.id, 'SIGKILL', signal);
      await tasks.delete(record.id, signal);
      return;
    }
    await records.write({ ...record, startedAtMs: clock.now(), process });
    this.#pipesOf(record).listen();
  }

  pipesOf(record: ContainerRecord): Pipes {
    return this.#pipesOf(record);
  }

  async #settle(id: string, known: KnownEnd | undefined, signal: AbortSignal): Promise<void> {
    const { tasks, records, clock, log } = this.#deps;
    const record = (await records.all()).get(id);
    if (!record || record.end) return;
    const pipes = this.#pipesOf(record);
    pipes.listen();
    const oom = await ranOutOfMemory(record.cgroup);
    const attached = record.streams.stdin || record.streams.tty;
    const left = attached ? await tasks.attachedExit(records.folder(id), attachedExitMs, signal) : undefined;
    const deleted = await tasks.delete(id, signal);
    const exitCode = known?.exitCode ?? left ?? deleted;
    if (!await within(pipes.drained(), drainMs, clock)) log.warn({ container: id }, 'the log of an ended container does not end');
    const reason = exitCode === undefined ? 'ContainerStatusUnknown' : exitCode === 0 ? 'Completed' : oom ? 'OOMKilled' : 'Error';
    await records.write({ ...record, exitCode: exitCode ?? unknownExitCode, finishedAtMs: Math.max(record.startedAtMs, known?.atMs ?? clock.now()), end: { reason, message: '' } });
    await pipes.remove();
    this.#pipes.delete(id);
  }

  async #failedToStart(record: ContainerRecord, message: string, signal: AbortSignal): Promise<void> {
    const { tasks, records, clock } = this.#deps;
    // As long as containerd cannot be asked it may run: then it is neither started nor ended, and whoever starts it again finds that out.
    const unlessAway = (error: unknown): void => { if (isStatus(error, 'ServiceUnavailable', 'Timeout')) throw error; };
    await tasks.kill(record.id, 'SIGKILL', signal, true).catch(unlessAway);
    await tasks.delete(record.id, signal).catch(unlessAway);
    await this.#pipesOf(record).remove();
    this.#pipes.delete(record.id);
    await records.write({ ...record, exitCode: 128, finishedAtMs: clock.now(), end: { reason: 'StartError', message } });
  }

  /** With all that it has started, and until that is so: what runs beside it in its cgroup would keep its task from ending. */
  async kill(record: ContainerRecord, signal: AbortSignal): Promise<void> {
    for (let waitMs = 1; await isAlive(record.process); waitMs = Math.min(2 * waitMs, 500)) {
      if (send(record, 'SIGKILL')) await killProcesses(record.cgroup);
      else if (!await this.#deps.tasks.kill(record.id, 'SIGKILL', signal, true)) return;
      await this.#deps.clock.sleep(waitMs, signal);
    }
  }

  #pipesOf(record: ContainerRecord): Pipes {
    let pipes = this.#pipes.get(record.id);
    if (!pipes) this.#pipes.set(record.id, pipes = new Pipes(this.#deps, join(this.#dirs.runDir, record.id), record.logPath));
    return pipes;
  }

  #labels({ podUid, podName, podNamespace }: SandboxConfig, container: string): Record<string, string> {
    return { [ownLabels.owner]: this.#dirs.owner, [podLabels.uid]: podUid, [podLabels.name]: podName, [podLabels.namespace]: podNamespace, [podLabels.container]: container };
  }

  /** Where its root file system is mounted. */
  rootfs(id: string): string {
    return join(this.#deps.records.folder(id), 'rootfs');
  }

  async #spec(record: ContainerRecord, sandboxRecord: CtrSandboxRecord, sandbox: SandboxConfig, asked: ContainerConfig, image: LocalImage, { handler, ...files }: PodPlace, signal: AbortSignal): Promise<object> {
    const pause = pauseOf(sandboxRecord);
    if (!pause || !await isAlive(pause)) throw new StatusError('InternalError', `sandbox ${sandboxRecord.id} is not running`);
    const { config, hooks: named } = await withCdiDevices(asked);
    const nvidia = sandbox.runtimeHandler === nvidiaHandler && handler.length === 0 ? await nvidiaHook() : undefined;
    const hooks = nvidia ? [nvidia, ...named] : named;
    const { security, targetContainerId, devices = [] } = config;
    const own = (await Promise.all(devices.map(async ({ hostPath, containerPath, permissions }) => (await deviceAt(hostPath, containerPath)).map((device) => ({ ...device, permissions }))))).flat();
    const rootfs = this.rootfs(record.id);
    const capabilities = capabilitiesOf(security, boundingSet(await readFile('/proc/self/status', 'utf8')));
    const seccomp = await seccompOf(this.#deps.ctr, security, capabilities, this.#dirs.runDir, signal);
    const appArmor = await appArmorOf(this.#deps.ctr, security, this.#dirs.runDir, signal);
    return containerSpec(sandbox, config, {
      rootfs, cgroup: record.cgroup, pausePid: pause.pid, image: image.config, capabilities, ...files, ...(seccomp && { seccomp }), ...(appArmor !== undefined && { appArmor }),
      ...(targetContainerId !== undefined && { targetPid: (await this.running(targetContainerId)).process?.pid ?? 0 }),
      user: await userOf(rootfs, { image: image.config.User ?? '', runAsUser: security.runAsUser, runAsUserName: security.runAsUserName, runAsGroup: security.runAsGroup, supplementalGroups: security.supplementalGroups, strictGroups: security.strictGroups ?? false }),
      // What is asked for by name comes last: of two in one place the last is made.
      devices: [...security.privileged ? (await hostDevices()).filter(({ path }) => !own.some((device) => device.path === path)) : [], ...own],
      ...(hooks.length > 0 && { hooks: ociHooks(hooks) }),
      unifiedCgroups: await unifiedCgroups(), oomGroup: await groupsOomKills(), limitsHugePages: await hasController('hugetlb'), limitsSwap: await limitsSwap(sandbox.cgroupParent), minOomScoreAdj: await minOomScoreAdj(),
    });
  }
}

/** By the time at which they are run. */
function ociHooks(hooks: readonly CdiHook[]): object {
  return Object.fromEntries([...Map.groupBy(hooks, ({ hookName }) => hookName)].map(([name, list]) => [name, list.map(({ hookName: _name, ...hook }) => hook)]));
}

/**
 * To a program that was alive a moment ago: a command of containerd's would take 20 ms of CPU for that. False where only
 * that can: for a signal by a name that Node has not (`SIGRTMIN+3`), and for a program in a virtual machine.
 */
function send({ process: program, handler }: ContainerRecord, name: string): boolean {
  const pid = program?.pid ?? 0;
  const runtime = handler?.[handler.indexOf('--runtime') + 1] ?? '';
  if (pid < 2 || !handler || (handler.includes('--runtime') && runtime !== runcType) || !Object.hasOwn(constants.signals, name)) return false;
  sendSignal(pid, name as NodeJS.Signals);
  return true;
}

export function labelArgs(labels: Readonly<Record<string, string>>): string[] {
  return Object.entries(labels).flatMap(([key, value]) => ['--label', `${key}=${value}`]);
}

export async function absentIsFine<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (isStatus(error, 'NotFound')) return undefined;
    throw error;
  }
}

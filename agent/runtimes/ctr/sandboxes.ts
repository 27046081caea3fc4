import { randomBytes } from 'node:crypto';
import { mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '#common/atomic-file.ts';
import type { Clock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { pauseProgram } from '#install/images-pause.ts';
import { hostArchitecture } from '#install/images.ts';
import { removeCgroup } from '../cgroups.ts';
import { minOomScoreAdj } from '../oom-score.ts';
import type { ProcessRef } from '../process.ts';
import type { Cni } from '../sandbox/cni.ts';
import { cniTarget } from '../sandbox/networks.ts';
import { sandboxSpec } from '../sandbox/oci-spec.ts';
import { resolvConf, sandboxRecord, type Records } from '../sandbox/records.ts';
import type { Sandbox, SandboxConfig } from '../types.ts';
import { absentIsFine } from './containers.ts';
import type { Ctr } from '../containerd/ctr.ts';
import { cgroupOf, isAlive, pauseOf, type CtrSandboxRecord } from './records.ts';
import type { Pauses } from './pauses.ts';
import type { Tasks } from './tasks.ts';

export interface SandboxDeps {
  readonly ctr: Ctr;
  readonly tasks: Tasks;
  readonly pauses: Pauses;
  readonly cni: Cni;
  readonly clock: Clock;
  readonly records: Records<CtrSandboxRecord>;
}

export interface SandboxDirs {
  readonly runDir: string;
  /** Where the pause program is kept. */
  readonly pauseDir: string;
}

const cleanUpMs = 30_000;

/** Sandboxes: a pause program that holds a pod's namespaces, its network by CNI, and the files that its containers share. */
export class Sandboxes {
  readonly #deps: SandboxDeps;
  readonly #dirs: SandboxDirs;

  constructor(deps: SandboxDeps, dirs: SandboxDirs) {
    this.#deps = deps;
    this.#dirs = dirs;
  }

  async run(config: SandboxConfig, signal: AbortSignal): Promise<string> {
    const { pauses, cni, records, clock } = this.#deps;
    const network = config.hostNetwork ? undefined : await cni.network();
    if (!network && !config.hostNetwork) throw new StatusError('InternalError', 'there is no CNI configuration, so the pod would have no network');
    const id = randomBytes(32).toString('hex');
    const record: CtrSandboxRecord = { ...sandboxRecord(id, config, network, clock.now()), cgroup: cgroupOf(config, id), keeper: 'runc', hostIpc: config.hostIpc, hostNetwork: config.hostNetwork };
    await records.write(record);
    try {
      await records.writeFile(id, 'resolv.conf', await resolvConf(config.dns));
      await records.writeFile(id, 'hostname', `${config.hostname}\n`);
      const spec = sandboxSpec(config, await this.#pauseRoot(), record.cgroup, await minOomScoreAdj());
      await records.writeFile(id, 'config.json', JSON.stringify(spec));
      if (!config.hostIpc) await mkdir(this.#shm(id), { recursive: true, mode: 0o711 });
      const pause = await pauses.start(id, { bundle: records.folder(id), ...(!config.hostIpc && { shm: this.#shm(id) }) }, signal);
      const ips = network ? await cni.add(network, cniTarget(record, pause.pid), signal) : [];
      await records.write({ ...record, made: { startedAt: `${String(pause.pid)} ${pause.startTime}`, ips } });
      return id;
    } catch (error) {
      // Where this fails too, or the process ends here, the next look finds a sandbox that is not ready.
      const late = AbortSignal.timeout(cleanUpMs);
      await this.stop(id, late).then(() => this.remove(id, late)).catch(() => undefined);
      throw error;
    }
  }

  /** Gives its network back, and ends what holds the namespaces; its containers have ended before. */
  async stop(id: string, signal: AbortSignal): Promise<void> {
    const { pauses, cni, records } = this.#deps;
    const record = (await records.all()).get(id);
    if (!record) return;
    const pause = pauseOf(record);
    const alive = await isAlive(pause);
    if (record.network && !record.disconnected) {
      await cni.remove(record.network, cniTarget(record, alive && pause ? pause.pid : 0), signal);
      await records.write({ ...record, disconnected: true });
    }
    if (record.keeper !== 'runc') await this.#endTask(id, pause, signal);
    await pauses.end(id, pause, this.#shm(id), signal);
  }

  async remove(id: string, signal: AbortSignal): Promise<void> {
    const { records } = this.#deps;
    const record = (await records.all()).get(id);
    if (!record) return;
    await this.stop(id, signal);
    await removeCgroup(record.cgroup);
    await rm(join(this.#dirs.runDir, id), { recursive: true, force: true });
    await records.remove(id);
  }

  async toSandbox({ id, podUid, podNamespace, podName, attempt, createdAtMs, made, ...rest }: CtrSandboxRecord): Promise<Sandbox> {
    const ready = made !== undefined && await isAlive(pauseOf({ id, podUid, podNamespace, podName, attempt, createdAtMs, made, ...rest }));
    return { id, podUid, podNamespace, podName, attempt, createdAtMs, state: ready ? 'ready' : 'not-ready', ips: ready ? made.ips : [] };
  }

  /** What containers mount. */
  files({ id, hostIpc, hostNetwork }: CtrSandboxRecord): { shm: string; resolvConf: string; hostnameFile: string } {
    const folder = this.#deps.records.folder(id);
    return { shm: hostIpc ? '/dev/shm' : this.#shm(id), resolvConf: join(folder, 'resolv.conf'), hostnameFile: hostNetwork ? '/etc/hostname' : join(folder, 'hostname') };
  }

  /** One that a version before made. */
  async #endTask(id: string, pause: ProcessRef | undefined, signal: AbortSignal): Promise<void> {
    const { ctr, tasks, clock } = this.#deps;
    await tasks.kill(id, 'SIGKILL', signal, true);
    for (let waitMs = 5; await isAlive(pause); waitMs = Math.min(2 * waitMs, 200)) await clock.sleep(waitMs, signal);
    await tasks.delete(id, signal);
    await absentIsFine(ctr.run(['containers', 'rm', id], signal));
  }

  #shm(id: string): string {
    return join(this.#dirs.runDir, id, 'shm');
  }

  /** One read-only folder for all: the program, and places for the kernel's file systems. */
  async #pauseRoot(): Promise<string> {
    const { pauseDir } = this.#dirs;
    for (const dir of ['dev', 'proc', 'sys']) await mkdir(join(pauseDir, dir), { recursive: true });
    const path = join(pauseDir, 'pause');
    const program = pauseProgram(hostArchitecture());
    // Half of it, as a killed agent or a power cut may leave it, would keep every pod from starting.
    if ((await stat(path).catch(() => undefined))?.size !== program.length) await writeFileAtomic(path, program, 0o755);
    return pauseDir;
  }
}

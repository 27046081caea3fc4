import { watch } from 'node:fs';
import { mkdir, readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { equal } from '#api/meta/equal.ts';
import { volumeInUse } from '#api/volumes/csi.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import { onAbort, TaskGroup, untilAborted, type Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import type { Ledger } from '#agent/node/ledger.ts';
import type { AgentEvents, VolumeAmounts, VolumeExpansion } from '#agent/session/types.ts';
import type { DesiredState } from '#agent/state/types.ts';
import type { Drivers } from './drivers.ts';
import { podRecords, podsDir, podVolumeFolder, registryDir, targetPath } from './layout.ts';
import { csiVolume } from './requests.ts';
import type { DriverReport, PodCsi, PodVolume } from './types.ts';
import type { CsiVolumes } from './volumes.ts';

export interface NodeCsiDeps {
  readonly state: DesiredState;
  readonly clock: Clock;
  readonly log: Log;
  readonly ledger: Pick<Ledger, 'record'>;
  /** Where what became of volumes that grow is told; nowhere when absent. */
  readonly events?: AgentEvents;
  /** Called when `report` would say something else. */
  readonly reported: () => void;
}

export interface NodeCsiConfig {
  readonly nodeName: string;
  /** The kubelet's folder, by which drivers find us; empty for none. */
  readonly kubeletDir: string;
}

interface Parts { readonly drivers: Drivers; readonly volumes: CsiVolumes }

const settleMs = 50;
/** Folders that drivers' pods expect of a node. */
const folders = ['plugins_registry', 'plugins', 'pods'];

/** CSI drivers of this host. What speaks to them is loaded with the first one, or with what an earlier agent left mounted. */
export class NodeCsi implements PodCsi, Runnable {
  readonly #deps: NodeCsiDeps;
  readonly #config: NodeCsiConfig;
  readonly #tasks: TaskGroup;
  readonly #listeners = new Set<() => void>();
  #parts: Promise<Parts> | undefined;
  #drivers: Drivers | undefined;
  #inUse: readonly string[] = [];
  #expansions: readonly VolumeExpansion[] = [];
  #isPresent: ((podUid: string) => boolean) | undefined;
  #signal: AbortSignal = AbortSignal.abort();
  #cleaning: Promise<void> = Promise.resolve();

  constructor(deps: NodeCsiDeps, config: NodeCsiConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#tasks = new TaskGroup(deps.log);
  }

  async start(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    const { kubeletDir } = this.#config;
    if (kubeletDir !== '') {
      try {
        await this.#makeFolders();
        await this.#noteInUse();
        await this.#follow(registryDir(kubeletDir), signal);
      } catch (error) {
        if (!signal.aborted) this.#deps.log.warn({ err: messageOf(error) }, 'CSI drivers cannot be followed on this host');
      }
    }
    await untilAborted(signal);
    await this.#tasks.drain();
    await this.#drivers?.drain();
  }

  /** Undefined where there never was a driver. */
  report(): DriverReport | undefined {
    if (!this.#drivers) return this.#inUse.length > 0 ? { drivers: [], gone: [], topology: {}, volumesInUse: this.#inUse, expansions: [] } : undefined;
    const drivers = this.#drivers.all();
    return {
      drivers: drivers.map(({ name, nodeId, maxVolumes, topology }) => ({ name, nodeID: nodeId, topologyKeys: Object.keys(topology).sort(), ...(maxVolumes > 0 && { allocatable: { count: maxVolumes } }) })),
      gone: this.#drivers.gone, topology: Object.assign({}, ...drivers.map(({ topology }) => topology)) as Record<string, string>, volumesInUse: this.#inUse, expansions: this.#expansions,
    };
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  path(about: PodVolume): string {
    return targetPath(podVolumeFolder(this.#config.kubeletDir, about.pod.metadata?.uid ?? '', csiVolume(about).specName));
  }

  async ensure(about: PodVolume, begins: boolean, signal: AbortSignal): Promise<number | undefined> {
    if (this.#config.kubeletDir === '') throw new StatusError('Invalid', 'this host has no folder for CSI drivers: --device-plugin-dir is empty');
    return (await this.#load()).volumes.ensure(about, begins, signal);
  }

  async stats(about: PodVolume, signal: AbortSignal): Promise<VolumeAmounts | undefined> {
    return (await this.#parts)?.volumes.stats(about, signal);
  }

  async release(podUid: string, signal: AbortSignal): Promise<void> {
    const { kubeletDir } = this.#config;
    if (kubeletDir === '' || !await stat(join(podsDir(kubeletDir), podUid)).catch(() => undefined)) return;
    if ((await podRecords(kubeletDir, podUid)).length > 0) await (await this.#load()).volumes.release(podUid, signal);
  }

  retain(isPresent: (podUid: string) => boolean): void {
    this.#isPresent = isPresent;
    if (this.#drivers) this.#clean();
  }

  /** One after the other; beside everything else, since drivers may be slow. */
  #clean(): void {
    const isPresent = this.#isPresent;
    if (!isPresent || this.#signal.aborted) return;
    const turn = async (): Promise<void> => { await (await this.#load()).volumes.clean(isPresent, this.#signal); };
    this.#cleaning = this.#cleaning.then(turn, turn);
    this.#tasks.run('csi leftovers', this.#signal, () => this.#cleaning);
  }

  async #makeFolders(): Promise<void> {
    const { kubeletDir } = this.#config;
    const make = async (folder: string): Promise<void> => {
      if (await stat(folder).catch(() => undefined)) return;
      if (dirname(folder) !== folder) await make(dirname(folder));
      await this.#deps.ledger.record({ kind: 'directory', target: folder, before: null, after: null });
      await mkdir(folder, { mode: 0o750 }).catch((error: NodeJS.ErrnoException) => { if (error.code !== 'EEXIST') throw error; });
    };
    for (const name of folders) await make(join(kubeletDir, name));
  }

  /** Looks whenever a socket comes or goes. */
  async #follow(folder: string, signal: AbortSignal): Promise<void> {
    let noted = false;
    let looking = false;
    const look = async (): Promise<void> => {
      looking = true;
      try {
        while (noted && !signal.aborted) {
          noted = false;
          if (this.#drivers ?? (await readdir(folder)).length > 0) await (await this.#load()).drivers.look(signal);
          // A socket appears before its program listens.
          await this.#deps.clock.sleep(settleMs, signal);
        }
      } finally {
        looking = false;
      }
    };
    const note = (): void => {
      noted = true;
      if (!looking && !signal.aborted) this.#tasks.run('csi registry', signal, look);
    };
    const watcher = watch(folder, note);
    watcher.on('error', (error) => { this.#deps.log.warn({ folder, err: messageOf(error) }, 'the folder of CSI drivers cannot be followed'); });
    onAbort(signal, () => { watcher.close(); });
    note();
  }

  #load(): Promise<Parts> {
    return this.#parts ??= (async () => {
      const [{ Drivers: LoadedDrivers }, { CsiVolumes: LoadedVolumes }, { csiCalls }] = await Promise.all([import('./drivers.ts'), import('./volumes.ts'), import('./contract.ts')]);
      const { clock, log, state, ledger, events } = this.#deps;
      const call = csiCalls();
      await ledger.record({ kind: 'csi-volumes', target: this.#config.kubeletDir, before: null, after: null });
      const drivers = new LoadedDrivers({ call, clock, log, changed: () => { this.#driversChanged(); } }, registryDir(this.#config.kubeletDir));
      const volumes = new LoadedVolumes({ state, call, clock, log, events, driver: (name) => drivers.get(name), changed: () => { this.#tasks.run('csi volumes in use', this.#signal, () => this.#noteInUse()); } }, this.#config);
      this.#drivers = drivers;
      return { drivers, volumes };
    })();
  }

  async #noteInUse(): Promise<void> {
    const records = (await podRecords(this.#config.kubeletDir)).filter(({ volumeLifecycleMode }) => volumeLifecycleMode === 'Persistent');
    const inUse = [...new Set(records.map(({ driverName, volumeHandle }) => volumeInUse(driverName, volumeHandle)))].sort();
    const expansions = (await this.#parts)?.volumes.expansions ?? [];
    if (inUse.join() === this.#inUse.join() && equal(expansions, this.#expansions)) return;
    this.#inUse = inUse;
    this.#expansions = expansions;
    this.#deps.reported();
  }

  #driversChanged(): void {
    this.#deps.reported();
    this.#clean();
    for (const listener of this.#listeners) listener();
  }
}

import { join } from 'node:path';
import type { LayerName } from '#common/archive-parts.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import type { Channels } from '#common/streams/channels.ts';
import type { CommandStreams } from '#common/streams/relay.ts';
import { limitCgroup, usageOf } from '../cgroups.ts';
import { canonicalReference } from '../image-reference.ts';
import { imageUserOf } from '../image-user.ts';
import { ownLabels } from '../pod-labels.ts';
import type { SnapshotViews } from '../containerd/snapshot-views.ts';
import { Cni } from '../sandbox/cni.ts';
import { RecordedNetworks } from '../sandbox/networks.ts';
import { Records } from '../sandbox/records.ts';
import type { ContainerConfig, DriverConfig, DriverDeps, HeldLayer, ImageUser, ListedImage, PulledImage, PullOptions, RuntimeDriver, RuntimeSetup, RuntimeSnapshot, SandboxConfig } from '../types.ts';
import { Commands } from './commands.ts';
import { Containers, type KnownEnd } from './containers.ts';
import { Ctr } from '../containerd/ctr.ts';
import { podEvents } from './events.ts';
import { CtrImages } from './images.ts';
import { CtrHandlers } from './handlers.ts';
import { isAlive, pauseOf, toContainer, type ContainerRecord, type CtrSandboxRecord } from './records.ts';
import { Layers } from './layers.ts';
import { Pauses } from './pauses.ts';
import { Sandboxes } from './sandboxes.ts';
import { Snapshotter } from './snapshotter.ts';
import { Tasks } from './tasks.ts';

export interface CtrConfig extends DriverConfig {
  /** For tests: plugins and pulls are run by this, to have the host of pods elsewhere. */
  readonly cniLauncher?: readonly string[];
}

/** containerd's namespace that is Cleat's: what others have on the same containerd cannot be seen from there. */
const namespace = 'cleat';

/**
 * containerd through its own command line, for hosts where its CRI is switched off. containerd runs single containers;
 * what makes pods of them - namespaces, network, logs, exit codes - is kept here, in records beside them.
 */
export class CtrDriver implements RuntimeDriver {
  readonly name = 'ctr';
  /** What people have is in other namespaces of that containerd. */
  readonly sharesImages = false;
  readonly networks: RecordedNetworks;
  readonly #deps: DriverDeps;
  readonly #config: CtrConfig;
  readonly #ctr: Ctr;
  readonly #tasks: Tasks;
  readonly #pauses: Pauses;
  readonly #images: CtrImages;
  readonly #layers: Layers;
  readonly #cni: Cni;
  readonly #handlers: CtrHandlers;
  readonly #sandboxRecords: Records<CtrSandboxRecord>;
  readonly #containerRecords: Records<ContainerRecord>;
  readonly #sandboxes: Sandboxes;
  readonly #containers: Containers;
  readonly #commands: Commands;
  readonly #snapshotter: Snapshotter;
  #adopted: Promise<void> | undefined;

  constructor(deps: DriverDeps, config: CtrConfig) {
    const base = join(config.stateDir, 'ctr');
    const runDir = join(config.runDir, 'ctr');
    const { clock } = deps;
    const ctr = new Ctr({ clock }, config.endpoint, namespace);
    this.#deps = deps;
    this.#config = config;
    this.#ctr = ctr;
    this.#snapshotter = new Snapshotter(ctr, config.snapshotter);
    this.#tasks = new Tasks({ ctr, clock });
    this.#pauses = new Pauses({ clock }, { runDir });
    this.#images = new CtrImages(ctr, (signal) => this.#snapshotter.name(signal), config.registryHostsDir, config.cniLauncher);
    this.#layers = new Layers({ log: deps.log, owner: config.owner, views: async (signal) => (await this.#snapshotter.name(signal) === 'overlayfs' ? this.#views() : undefined) });
    this.#cni = new Cni({ clock }, { ...config.cni, ...(config.cniLauncher && { launcher: config.cniLauncher }) });
    this.#handlers = new CtrHandlers(ctr.endpoint);
    this.#sandboxRecords = new Records(join(base, 'sandboxes'));
    this.#containerRecords = new Records(join(base, 'containers'));
    this.networks = new RecordedNetworks({
      cni: this.#cni, records: this.#sandboxRecords, list: (signal) => this.list(signal),
      pidOf: async (record) => { const pause = pauseOf(record); return pause && await isAlive(pause) ? pause.pid : 0; },
    });
    this.#sandboxes = new Sandboxes({ ctr, clock, tasks: this.#tasks, pauses: this.#pauses, cni: this.#cni, records: this.#sandboxRecords }, { runDir, pauseDir: join(base, 'pause') });
    this.#containers = new Containers(
      { ...deps, ctr, tasks: this.#tasks, images: this.#images, layers: this.#layers, records: this.#containerRecords, snapshotter: (signal) => this.#snapshotter.name(signal) },
      { runDir, owner: config.owner },
    );
    this.#commands = new Commands({ ctr, clock, tasks: this.#tasks }, { execDir: join(runDir, 'exec') });
  }

  async version(signal: AbortSignal): Promise<string> {
    const text = await this.#ctr.run(['version'], signal);
    const version = /^Server:\s+Version:\s+v?(\d[^~\s]*)/m.exec(text)?.[1];
    if (version === undefined) throw new StatusError('InternalError', `ctr does not tell containerd's version: ${text.slice(0, 200)}`);
    return `containerd://${version}`;
  }

  async setup(): Promise<RuntimeSetup> {
    return { sandboxImage: this.#config.sandboxImage, cniConfDir: this.#config.cni.confDir, handlers: await this.#handlers.list(), strictGroups: true };
  }

  async notReady(signal: AbortSignal): Promise<readonly string[]> {
    await this.version(signal);
    return await this.#cni.network() ? [] : [`NetworkReady: NetworkPluginNotReady: there is no CNI configuration in ${this.#config.cni.confDir} yet`];
  }

  async list(signal: AbortSignal, podUid?: string): Promise<RuntimeSnapshot> {
    await this.#adopt(signal);
    const ofPod = <T extends { podUid: string }>(all: ReadonlyMap<string, T>): T[] => [...all.values()].filter((record) => podUid === undefined || record.podUid === podUid);
    const [sandboxes, containers] = await Promise.all([
      Promise.all(ofPod(await this.#sandboxRecords.all()).map((record) => this.#sandboxes.toSandbox(record))),
      Promise.all(ofPod(await this.#containerRecords.all()).filter(({ made }) => made).map((record) => this.#containers.look(record, signal))),
    ]);
    return { sandboxes, containers: containers.map(toContainer) };
  }

  async runSandbox(config: SandboxConfig, signal: AbortSignal): Promise<string> {
    // Before anything is made: whether there is such a runtime at all.
    await this.#handlers.args(config.runtimeHandler);
    return this.#sandboxes.run(config, signal);
  }

  async stopSandbox(id: string, signal: AbortSignal): Promise<void> {
    await Promise.all((await this.#inside(id)).map((record) => this.#containers.stop(record.id, 0, signal)));
    await this.#sandboxes.stop(id, signal);
  }

  async removeSandbox(id: string, signal: AbortSignal): Promise<void> {
    const inside = await this.#inside(id);
    // What runs ends before its namespaces do; the rest takes its time, side by side.
    await Promise.all(inside.map((record) => this.#containers.kill(record, signal)));
    await Promise.all([...inside.map((record) => this.#containers.remove(record.id, signal)), this.#sandboxes.remove(id, signal)]);
  }

  async createContainer(sandboxId: string, sandbox: SandboxConfig, config: ContainerConfig, signal: AbortSignal): Promise<string> {
    const record = (await this.#sandboxRecords.all()).get(sandboxId);
    if (!record) throw new StatusError('NotFound', `sandbox ${sandboxId} not found`);
    const place = { ...this.#sandboxes.files(record), handler: await this.#handlers.args(sandbox.runtimeHandler) };
    return this.#containers.create(record, sandbox, config, place, signal);
  }

  startContainer(id: string, signal: AbortSignal): Promise<void> {
    return this.#containers.start(id, signal);
  }

  async updateContainer(id: string, resources: ContainerConfig['resources'], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await limitCgroup((await this.#containers.running(id)).cgroup, { ...resources, noSwap: true });
  }

  stopContainer(id: string, graceSeconds: number, signal: AbortSignal): Promise<void> {
    return this.#containers.stop(id, graceSeconds, signal);
  }

  removeContainer(id: string, signal: AbortSignal): Promise<void> {
    return this.#containers.remove(id, signal);
  }

  async reopenLog(id: string): Promise<void> {
    await this.#containers.pipesOf(await this.#containers.get(id)).reopen();
  }

  async exec(containerId: string, command: readonly string[], timeoutMs: number, signal: AbortSignal): Promise<{ exitCode: number; output: string }> {
    return this.#commands.run(await this.#containers.running(containerId), command, timeoutMs, signal);
  }

  async execStream(containerId: string, command: readonly string[], streams: CommandStreams): Promise<Channels> {
    return this.#commands.stream(await this.#containers.running(containerId), command, streams);
  }

  async attach(containerId: string, streams: CommandStreams): Promise<Channels> {
    const record = await this.#containers.running(containerId);
    return this.#commands.attach(record, this.#containers.pipesOf(record), streams);
  }

  async portForward(sandboxId: string, port: number): Promise<Channels> {
    const record = (await this.#sandboxRecords.all()).get(sandboxId);
    const pause = record && pauseOf(record);
    if (!pause || !await isAlive(pause)) throw new StatusError('ServiceUnavailable', 'the pod is not running');
    return (await import('../sandbox/port.ts')).dialInNetworkOf(pause.pid, port);
  }

  /** Whoever looks for images to remove comes by here: what they had before, and nobody has now, goes as well. */
  listImages(signal: AbortSignal): Promise<readonly ListedImage[]> { return this.#changing(this.#images.list(signal), signal); }

  async imageId(image: string, signal: AbortSignal): Promise<string | undefined> {
    // The pause program is kept beside the sandboxes; its image is nothing that anybody could run.
    if (image === this.#config.sandboxImage) return image;
    return (await this.#images.find(image, signal))?.id;
  }

  async imageUser(image: string, signal: AbortSignal): Promise<ImageUser> {
    return imageUserOf((await this.#images.get(image, signal)).config.User ?? '');
  }

  pullImage(image: string, options: PullOptions, signal: AbortSignal): Promise<PulledImage> { return this.#changing(this.#images.pull(image, options, signal), signal); }
  importImage(archive: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<readonly string[]> { return this.#changing(this.#images.load(archive, signal), signal); }
  heldLayers(images: readonly (readonly LayerName[])[]): Promise<ReadonlyMap<string, HeldLayer>> { return this.#images.held(images); }
  exportImage(image: string, signal: AbortSignal): AsyncIterable<Uint8Array> { return this.#images.save(image, signal); }

  /** Its layers are let go of before, so that they are gone with it. */
  async removeImage({ names }: ListedImage, signal: AbortSignal): Promise<void> {
    await this.#layers.release(signal);
    await this.#images.remove(names, signal);
  }

  letGo(signal: AbortSignal): Promise<void> { return this.#layers.release(signal); }

  async imagesInUse(): Promise<ReadonlySet<string>> {
    return new Set([...(await this.#containerRecords.all()).values()].map(({ image }) => canonicalReference(image)));
  }

  async mountImage(image: string, key: string, dir: string, signal: AbortSignal): Promise<void> {
    const { chainId } = await this.#images.get(image, signal);
    await (await this.#views()).mount(chainId, key, dir, signal);
  }

  async releaseImage(key: string, signal: AbortSignal): Promise<void> { await (await this.#views()).release(key, signal); }

  imageFolder(signal: AbortSignal): Promise<string> { return this.#snapshotter.folder(signal); }

  events(signal: AbortSignal): AsyncIterable<{ podUid: string | undefined }> {
    return podEvents({ ...this.#deps, ctr: this.#ctr, pauses: this.#pauses, ended: (id, end) => this.#ended(id, end, signal), imagesChanged: (isHeard) => { this.#images.changed(isHeard); } }, namespace, signal);
  }

  async stats(): ReturnType<RuntimeDriver['stats']> {
    const running = [...(await this.#containerRecords.all()).values()].filter(({ process, end }) => process && !end);
    const usages = await Promise.all(running.map(async ({ id, process }) => [id, process && await isAlive(process) ? await usageOf(process.pid) : undefined] as const));
    return new Map(usages.flatMap(([id, usage]) => (usage ? [[id, usage] as const] : [])));
  }

  async written(ids: readonly string[], signal: AbortSignal): ReturnType<NonNullable<RuntimeDriver['written']>> {
    return (await import('./written.ts')).writtenIn(new Map(ids.map((id) => [this.#containers.rootfs(id), id])), this.#config.stateDir, signal);
  }

  /** What was an image's before may be nobody's then. */
  async #changing<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
    const result = await work;
    await this.#layers.release(signal);
    return result;
  }

  async #inside(sandboxId: string): Promise<ContainerRecord[]> {
    return [...(await this.#containerRecords.all()).values()].filter((record) => record.sandboxId === sandboxId);
  }

  async #ended(id: string, end: KnownEnd | undefined, signal: AbortSignal): Promise<string | undefined> {
    const record = (await this.#containerRecords.all()).get(id);
    if (record) {
      // One that ends at once is noted as started a moment later, by whoever starts it; its end is then found by looking.
      if (record.process) await this.#containers.settle(record, end, signal);
      return record.podUid;
    }
    return (await this.#sandboxRecords.all()).get(id)?.podUid;
  }

  /** Once, before the first look: takes over what runs, and removes what an agent that was killed had half made. */
  #adopt(signal: AbortSignal): Promise<void> {
    this.#adopted ??= this.#takeOver(signal).catch((error: unknown) => {
      this.#adopted = undefined;
      throw error;
    });
    return this.#adopted;
  }

  async #takeOver(signal: AbortSignal): Promise<void> {
    const [tasks, containers, sandboxes] = [await this.#tasks.list(signal), await this.#containerRecords.all(), await this.#sandboxRecords.all()];
    for (const { id } of sandboxes.values()) this.#pauses.watch(id);
    for (const record of Array.from(containers.values())) await this.#containers.adopt(record, tasks.get(record.id), signal);
    const listed = (await this.#ctr.run(['containers', 'ls', '-q', `labels."${ownLabels.owner}"==${this.#config.owner}`], signal)).split('\n').filter(Boolean);
    for (const id of listed.filter((name) => !containers.has(name) && !sandboxes.has(name))) {
      this.#deps.log.info({ container: id }, 'removing a container of which nothing is known any more');
      await this.#tasks.kill(id, 'SIGKILL', signal, true);
      await this.#tasks.delete(id, signal);
      await this.#ctr.run(['containers', 'rm', id], signal);
    }
    // Pods need not wait for that to be possible.
    await this.#layers.adopt(signal).catch((error: unknown) => { this.#deps.log.warn({ err: messageOf(error) }, 'what containerd holds of layers cannot be looked at'); });
    await this.#layers.release(signal);
  }

  /** Loaded when first used: few pods have volumes of images. */
  async #views(): Promise<SnapshotViews> {
    const { SnapshotViews: Loaded } = await import('../containerd/snapshot-views.ts');
    return new Loaded(this.#ctr, (signal) => this.#snapshotter.name(signal));
  }
}

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { LayerName } from '#common/archive-parts.ts';
import { diskUsage, type DiskUsage } from '#common/disk-usage.ts';
import { isStatus, StatusError } from '#common/errors.ts';
import type { Channels } from '#common/streams/channels.ts';
import { exitStatus } from '#common/streams/exit-status.ts';
import type { CommandStreams } from '#common/streams/relay.ts';
import { groupOomKills, groupsOomKills, usageOf } from '../cgroups.ts';
import { minOomScoreAdj } from '../oom-score.ts';
import { ownLabels } from '../pod-labels.ts';
import { kernelCan } from '../recursive-read-only.ts';
import { Cni } from '../sandbox/cni.ts';
import { cniTarget, RecordedNetworks } from '../sandbox/networks.ts';
import { Records, resolvConf, sandboxRecord, type SandboxRecord } from '../sandbox/records.ts';
import type { Container, ContainerConfig, DriverConfig, DriverDeps, HeldLayer, ImageUser, ListedImage, LogEntry, LogOptions, PulledImage, PullOptions, RuntimeDriver, RuntimeSetup, RuntimeSnapshot, Sandbox, SandboxConfig } from '../types.ts';
import { DockerEngine } from './engine.ts';
import { podEvents } from './events.ts';
import { DockerExec } from './exec.ts';
import type { ImageMounts } from './image-mounts.ts';
import { DockerImages } from './images.ts';
import { containerName, containerRequest, holdsImage, isSandbox, labelFilter, sandboxRequest, toContainer, toSandbox, updateRequest, type EngineFacts } from './mapping.ts';
import type { EngineInfo, EngineVersion, InspectedContainer, ListedContainer } from './messages.ts';
import { MissedEnds } from './missed-ends.ts';
import { OomKills } from './oom-kills.ts';

export interface DockerConfig extends DriverConfig {
  /** For tests: plugins are run by this, to have the host of pods elsewhere. */
  readonly cniLauncher?: readonly string[];
}

const resolvConfName = 'resolv.conf';
/** Of the API's version 1: Docker 25, which knows of mounts inside of mounts. */
const recursiveMinor = 44;
const versionAnswer = { has: ['Version', 'ApiVersion'] };
const inspectAnswer = { has: ['Id', 'State', 'Config'] };
const listAnswer = { has: ['Id', 'State'], isList: true };
const slowMs = 120_000;
const cleanUpMs = 30_000;

/**
 * Docker Engine over its socket. A sandbox is a container of ours that sleeps; Docker gives it no network, CNI does.
 * Containers are told apart by labels, and nothing without ours is ever touched.
 */
export class DockerDriver implements RuntimeDriver {
  readonly name = 'docker';
  readonly sharesImages = true;
  readonly networks: RecordedNetworks;
  readonly #deps: DriverDeps;
  readonly #config: DockerConfig;
  readonly #engine: DockerEngine;
  readonly #images: DockerImages;
  readonly #exec: DockerExec;
  readonly #cni: Cni;
  readonly #records: Records<SandboxRecord>;
  /** Details that only an inspection gives. They change with the state alone, so one for each state is enough. */
  readonly #inspected = new Map<string, { state: string; details: InspectedContainer }>();
  readonly #oomKills: OomKills;
  readonly #missedEnds: MissedEnds;
  #facts: Promise<EngineFacts> | undefined;

  constructor(deps: DriverDeps, config: DockerConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#engine = new DockerEngine(config.endpoint, deps.clock);
    this.#images = new DockerImages(this.#engine);
    this.#exec = new DockerExec(this.#engine, deps.clock);
    this.#oomKills = new OomKills({ engine: this.#engine, log: deps.log });
    this.#missedEnds = new MissedEnds({ ...deps, engine: this.#engine });
    this.#cni = new Cni({ clock: deps.clock }, { ...config.cni, ...(config.cniLauncher && { launcher: config.cniLauncher }) });
    this.#records = new Records(join(config.stateDir, 'docker', 'sandboxes'));
    this.networks = new RecordedNetworks({
      cni: this.#cni, records: this.#records, list: (signal) => this.list(signal),
      pidOf: async ({ id }, signal) => { const state = (await this.#inspectById(id, signal))?.State; return state?.Running ? state.Pid : 0; },
    });
  }

  async version(signal: AbortSignal): Promise<string> {
    const { Version } = await this.#engine.call<EngineVersion>('GET', '/version', versionAnswer, signal);
    return `docker://${/^\d[^+]*/.exec(Version)?.[0] ?? Version}`;
  }

  async setup(signal: AbortSignal): Promise<RuntimeSetup> {
    const [{ Runtimes }, { recursiveReadOnly }] = await Promise.all([this.#engine.call<EngineInfo>('GET', '/info', { has: ['DockerRootDir'] }, signal), this.#engineFacts(signal)]);
    const handlers = ['', ...Object.keys(Runtimes ?? {})].map((name) => ({ name, recursiveReadOnly: recursiveReadOnly && (name === '' || name.includes('runc')) }));
    return { sandboxImage: this.#config.sandboxImage, cniConfDir: this.#config.cni.confDir, handlers };
  }

  async notReady(signal: AbortSignal): Promise<readonly string[]> {
    await this.#engine.call('GET', '/version', versionAnswer, signal);
    return await this.#cni.network() ? [] : [`NetworkReady: NetworkPluginNotReady: there is no CNI configuration in ${this.#config.cni.confDir} yet`];
  }

  async list(signal: AbortSignal, podUid?: string): Promise<RuntimeSnapshot> {
    const listed = (await this.#listed(labelFilter(this.#config.owner, podUid), signal)).filter((item) => !holdsImage(item));
    if (podUid === undefined) this.#forget(new Set(listed.map(({ Id }) => Id)));
    const records = await this.#records.all();
    const known = await Promise.all(listed.map(async (item) => ({ item, details: await this.#inspect(item, signal) })));
    const present = known.flatMap(({ item, details }) => (details ? [{ item, details }] : []));
    await Promise.all(present.map(({ details }) => this.#missedEnds.look(details, signal)));
    const sandboxes = present.filter(({ item }) => isSandbox(item)).map(({ item, details }) => toSandbox(item, details, records.get(item.Id)));
    // Removed by somebody else: its address is still taken, so it is to be stopped and removed like any other.
    const ids = new Set(listed.map(({ Id }) => Id));
    const lost = [...records.values()].filter((record) => !ids.has(record.id) && (podUid === undefined || record.podUid === podUid));
    return {
      sandboxes: [...sandboxes, ...lost.map((record): Sandbox => ({ ...record, state: 'not-ready', ips: [] }))],
      containers: await Promise.all(present.filter(({ item }) => !isSandbox(item)).map(({ item, details }) => this.#container(item, details, signal))),
    };
  }

  async runSandbox(config: SandboxConfig, signal: AbortSignal): Promise<string> {
    const network = config.hostNetwork ? undefined : await this.#cni.network();
    if (!network && !config.hostNetwork) throw new StatusError('InternalError', `there is no CNI configuration in ${this.#config.cni.confDir}, so the pod would have no network`);
    const request = sandboxRequest(this.#config.owner, this.#config.sandboxImage, config, await this.#engineFacts(signal));
    const id = await this.#create(containerName(config, 'POD', config.attempt), request, signal);
    const record = sandboxRecord(id, config, network, this.#deps.clock.now());
    try {
      await this.#records.write(record);
      await this.#records.writeFile(id, resolvConfName, await resolvConf(config.dns));
      await this.#start(id, signal);
      const { State: state } = await this.#engine.call<InspectedContainer>('GET', `/containers/${id}/json`, inspectAnswer, signal);
      if (!state.Running) throw new StatusError('InternalError', `the sandbox ended at once, with exit code ${String(state.ExitCode)}: ${state.Error}`);
      const ips = network ? await this.#cni.add(network, cniTarget(record, state.Pid), signal) : [];
      await this.#records.write({ ...record, made: { startedAt: state.StartedAt, ips } });
      return id;
    } catch (error) {
      // Where this fails too, or the process ends here, the next look finds a sandbox that is not ready.
      const late = AbortSignal.timeout(cleanUpMs);
      await this.stopSandbox(id, late).then(() => this.removeSandbox(id, late)).catch(() => undefined);
      throw error;
    }
  }

  async stopSandbox(id: string, signal: AbortSignal): Promise<void> {
    const inside = await this.#listed([...labelFilter(this.#config.owner), `${ownLabels.sandbox}=${id}`], signal);
    await Promise.all(inside.filter(({ State }) => State === 'running' || State === 'paused').map(({ Id }) => this.#stop(Id, 0, signal)));
    const pause = await this.#inspectById(id, signal);
    await this.#disconnect(id, pause, signal);
    if (pause?.State.Running) await this.#stop(id, 0, signal);
  }

  async removeSandbox(id: string, signal: AbortSignal): Promise<void> {
    const inside = await this.#listed([...labelFilter(this.#config.owner), `${ownLabels.sandbox}=${id}`], signal);
    const pause = await this.#inspectById(id, signal);
    await Promise.all([...inside.map(({ Id }) => this.removeContainer(Id, signal)), this.#disconnect(id, pause, signal)]);
    if (pause) await this.removeContainer(id, signal);
    await this.#records.remove(id);
  }

  async createContainer(sandboxId: string, sandbox: SandboxConfig, config: ContainerConfig, signal: AbortSignal): Promise<string> {
    const { privileged, seccomp: { type, reference } } = config.security;
    const seccompProfile = type === 'Localhost' && !privileged ? await seccompText(reference ?? '') : undefined;
    const place = { owner: this.#config.owner, sandboxId, sandbox, resolvConf: join(this.#records.folder(sandboxId), resolvConfName), seccompProfile };
    const facts = await this.#engineFacts(signal);
    const resolved = config.cdiDevices && !facts.cdi ? await (await import('../sandbox/cdi.ts')).withoutHooks(config, 'this Docker') : config;
    return this.#create(containerName(sandbox, config.name, config.attempt), containerRequest(place, resolved, facts), signal);
  }

  async startContainer(id: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#start(id, signal);
      if (await groupsOomKills()) await groupOomKills((await this.#inspectById(id, signal))?.State.Pid ?? 0);
    } finally {
      // Whether it runs or cannot be started is known by looking again.
      this.#inspected.delete(id);
    }
  }

  async updateContainer(id: string, resources: ContainerConfig['resources'], signal: AbortSignal): Promise<void> {
    await this.#engine.call('POST', `/containers/${id}/update`, { json: updateRequest(resources), timeoutMs: slowMs }, signal);
  }

  async stopContainer(id: string, graceSeconds: number, signal: AbortSignal): Promise<void> {
    await this.#stop(id, graceSeconds, signal);
  }

  async removeContainer(id: string, signal: AbortSignal): Promise<void> {
    for (let waitMs = 20; ; waitMs *= 2) {
      try {
        // `v`: volumes that its image asked for, which nobody else has.
        await absentIsFine(this.#engine.call('DELETE', `/containers/${id}`, { query: { force: true, v: true }, timeoutMs: slowMs }, signal));
        return;
      } catch (error) {
        // Somebody removes it already; it is gone when that is over.
        if (!isStatus(error, 'Conflict') || waitMs > 5000) throw error;
        await this.#deps.clock.sleep(waitMs, signal);
      }
    }
  }

  readLog(id: string, options: LogOptions, signal: AbortSignal): AsyncIterable<LogEntry> {
    return this.#exec.log(id, options, signal);
  }

  /** Docker rotates by itself. */
  reopenLog(): Promise<void> { return Promise.resolve(); }

  exec(containerId: string, command: readonly string[], timeoutMs: number, signal: AbortSignal): Promise<{ exitCode: number; output: string }> {
    return this.#exec.run(containerId, command, timeoutMs, signal);
  }

  execStream(containerId: string, command: readonly string[], streams: CommandStreams, signal: AbortSignal): Promise<Channels> {
    return this.#exec.stream(containerId, command, streams, signal);
  }

  async attach(containerId: string, streams: CommandStreams, signal: AbortSignal): Promise<Channels> {
    return this.#exec.attach(containerId, streams, () => exitStatus(0), signal);
  }

  async portForward(sandboxId: string, port: number, signal: AbortSignal): Promise<Channels> {
    const { State: state } = await this.#engine.call<InspectedContainer>('GET', `/containers/${sandboxId}/json`, inspectAnswer, signal);
    if (!state.Running) throw new StatusError('ServiceUnavailable', 'the pod is not running');
    return (await import('../sandbox/port.ts')).dialInNetworkOf(state.Pid, port);
  }

  listImages(signal: AbortSignal): Promise<readonly ListedImage[]> {
    return this.#images.list(signal);
  }

  imageId(image: string, signal: AbortSignal): Promise<string | undefined> {
    return this.#images.id(image, signal);
  }

  imageUser(image: string, signal: AbortSignal): Promise<ImageUser> {
    return this.#images.user(image, signal);
  }

  pullImage(image: string, options: PullOptions, signal: AbortSignal): Promise<PulledImage> { return this.#images.pull(image, options, signal); }
  importImage(archive: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<readonly string[]> { return this.#images.load(archive, signal); }
  heldLayers(images: readonly (readonly LayerName[])[], signal: AbortSignal): Promise<ReadonlyMap<string, HeldLayer>> { return this.#images.held(images, signal); }
  exportImage(image: string, signal: AbortSignal): AsyncIterable<Uint8Array> { return this.#images.save(image, signal); }
  removeImage(image: ListedImage, signal: AbortSignal): Promise<void> { return this.#images.remove(image, signal); }
  async mountImage(image: string, key: string, dir: string, signal: AbortSignal): Promise<void> { await (await this.#imageMounts()).mount(image, key, dir, signal); }
  async releaseImage(key: string, signal: AbortSignal): Promise<void> { await (await this.#imageMounts()).release(key, signal); }
  imagesInUse(signal: AbortSignal): Promise<ReadonlySet<string>> { return this.#images.inUse(signal); }

  async imageFolder(signal: AbortSignal): Promise<string> {
    return (await this.#engine.call<EngineInfo>('GET', '/info', { has: ['DockerRootDir'] }, signal)).DockerRootDir;
  }

  events(signal: AbortSignal): AsyncIterable<{ podUid: string | undefined }> {
    return podEvents({
      engine: this.#engine, ...this.#deps,
      // An inspection waits for the lock that Docker holds until it has written everything down.
      settle: async (id, action, stop) => {
        if (action === 'oom') this.#oomKills.add(id);
        await this.#inspectById(id, stop);
      },
    }, labelFilter(this.#config.owner), signal);
  }

  async stats(signal: AbortSignal): Promise<ReadonlyMap<string, { cpuNanos: bigint; memoryBytes: number }>> {
    const listed = await this.#listed([...labelFilter(this.#config.owner), `${ownLabels.kind}=container`], signal);
    const usages = await Promise.all(listed.filter(({ State }) => State === 'running').map(async (item) => {
      const details = await this.#inspect(item, signal);
      return [item.Id, details?.State.Running ? await usageOf(details.State.Pid) : undefined] as const;
    }));
    return new Map(usages.flatMap(([id, usage]) => (usage ? [[id, usage] as const] : [])));
  }

  async written(ids: readonly string[], signal: AbortSignal): ReturnType<NonNullable<RuntimeDriver['written']>> {
    const found = new Map<string, DiskUsage>();
    for (const id of ids) {
      const layers = (await this.#inspectById(id, signal))?.GraphDriver;
      const upper = layers?.Name === 'overlay2' ? layers.Data?.['UpperDir'] : undefined;
      const usage = upper === undefined ? undefined : await diskUsage(upper, signal);
      if (usage && usage.inodes > 0) found.set(id, usage);
    }
    const others = ids.filter((id) => !found.has(id));
    if (others.length === 0) return found;
    // Docker walks through the layers that only it knows, and counts no inodes.
    const listed = await this.#engine.call<ListedContainer[]>('GET', '/containers/json', { query: { size: true, filters: JSON.stringify({ id: others }) }, timeoutMs: slowMs, ...listAnswer }, signal);
    for (const { Id, SizeRw = 0 } of listed) found.set(Id, { bytes: SizeRw, inodes: 0 });
    return found;
  }

  /** Loaded when first used: few pods have volumes of images. */
  async #imageMounts(): Promise<ImageMounts> {
    const { ImageMounts: Loaded } = await import('./image-mounts.ts');
    return new Loaded(this.#engine, this.#config.owner);
  }

  async #listed(labels: readonly string[], signal: AbortSignal): Promise<readonly ListedContainer[]> {
    return this.#engine.call<ListedContainer[]>('GET', '/containers/json', { query: { all: true, filters: JSON.stringify({ label: labels }) }, ...listAnswer }, signal);
  }

  /** Undefined when it is gone in the meantime. */
  async #inspect({ Id, State }: ListedContainer, signal: AbortSignal): Promise<InspectedContainer | undefined> {
    const known = this.#inspected.get(Id);
    // One that could not be started stays `created`, and only an inspection tells.
    if (known?.state === State && State !== 'created') return known.details;
    const details = await this.#inspectById(Id, signal);
    if (!details) return undefined;
    await this.#oomKills.learn(details, signal);
    this.#inspected.set(Id, { state: details.State.Status, details });
    return details;
  }

  #inspectById(id: string, signal: AbortSignal): Promise<InspectedContainer | undefined> {
    return absentIsFine(this.#engine.call<InspectedContainer>('GET', `/containers/${id}/json`, inspectAnswer, signal));
  }

  async #container(item: ListedContainer, details: InspectedContainer, signal: AbortSignal): Promise<Container> {
    return toContainer(item, details, await this.#images.ref(details.Image, signal), this.#oomKills.has(item.Id));
  }

  /** Whoever made one of this name was killed before it was known: it is removed, and made again. */
  async #create(name: string, request: object, signal: AbortSignal): Promise<string> {
    const create = async (): Promise<string> => (await this.#engine.call<{ Id: string }>('POST', '/containers/create', { query: { name }, json: request, timeoutMs: slowMs, has: ['Id'] }, signal)).Id;
    try {
      return await create();
    } catch (error) {
      if (!isStatus(error, 'Conflict')) throw error;
      const present = await this.#inspectById(name, signal);
      if (present?.Config.Labels?.[ownLabels.owner] !== this.#config.owner) throw error;
      if (present.Config.Labels[ownLabels.kind] === 'sandbox') await this.removeSandbox(present.Id, signal);
      else await this.removeContainer(present.Id, signal);
      return create();
    }
  }

  async #start(id: string, signal: AbortSignal): Promise<void> {
    await this.#engine.call('POST', `/containers/${id}/start`, { timeoutMs: slowMs }, signal);
  }

  async #stop(id: string, graceSeconds: number, signal: AbortSignal): Promise<void> {
    await absentIsFine(this.#engine.call('POST', `/containers/${id}/stop`, { query: { t: graceSeconds }, timeoutMs: graceSeconds * 1000 + slowMs }, signal));
  }

  /** Gives links and address back, also of a sandbox that nothing is known of but that it exists. */
  async #disconnect(id: string, pause: InspectedContainer | undefined, signal: AbortSignal): Promise<void> {
    const record = (await this.#records.all()).get(id);
    const labels = pause?.Config.Labels ?? {};
    if ((!record && labels[ownLabels.kind] !== 'sandbox') || labels[ownLabels.network] === 'host') return;
    if (record?.disconnected) return;
    const network = record ? record.network : await this.#cni.network();
    if (network) await this.#cni.remove(network, cniTarget(record ?? { id, podUid: '', podNamespace: '', podName: '' }, pause?.State.Running ? pause.State.Pid : 0), signal);
    if (network && record) await this.#records.write({ ...record, disconnected: true });
  }

  #forget(present: ReadonlySet<string>): void {
    for (const id of this.#inspected.keys()) if (!present.has(id)) this.#inspected.delete(id);
    this.#oomKills.retain(present);
    this.#missedEnds.retain(present);
  }

  #engineFacts(signal: AbortSignal): Promise<EngineFacts> {
    this.#facts ??= this.#askFacts(signal).catch((error: unknown) => {
      this.#facts = undefined;
      throw error;
    });
    return this.#facts;
  }

  async #askFacts(signal: AbortSignal): Promise<EngineFacts> {
    const [{ CgroupDriver, CDISpecDirs }, { ApiVersion }] = await Promise.all([this.#engine.call<EngineInfo>('GET', '/info', { has: ['DockerRootDir'] }, signal), this.#engine.call<EngineVersion>('GET', '/version', versionAnswer, signal)]);
    return { recursiveReadOnly: Number(ApiVersion.split('.')[1] ?? 0) >= recursiveMinor && kernelCan(), systemdCgroups: CgroupDriver === 'systemd', cdi: (CDISpecDirs ?? []).length > 0, minOomScoreAdj: await minOomScoreAdj() };
  }
}

async function seccompText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new StatusError('Invalid', `the seccomp profile ${path} cannot be read; put it there, or name another`, { cause: error });
  }
}

async function absentIsFine<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (isStatus(error, 'NotFound')) return undefined;
    throw error;
  }
}

import type { LayerName } from '#common/archive-parts.ts';
import type { Clock } from '#common/clock.ts';
import { isStatus, messageOf, StatusError } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import type { Channels } from '#common/streams/channels.ts';
import type { CommandStreams } from '#common/streams/relay.ts';
import { Wakeup } from '#common/wakeup.ts';
import type { Container, ContainerConfig, HeldLayer, ImageUser, ListedImage, PulledImage, PullOptions, RuntimeDriver, RuntimeSetup, RuntimeSnapshot, Sandbox, SandboxConfig } from '../types.ts';
import { CriConnection, type ContainerEvent } from './connection.ts';
import { podEvents, type Settled } from './events.ts';
import { CriImages } from './images.ts';
import { groupsOomKills } from '../cgroups.ts';
import { containerMessage, resourcesMessage, sandboxMessage, selector, stopSignal, toContainer, toSandbox } from './mapping.ts';
import type { ContainerStatusMessage, CriCalls, ListedContainer, ListedSandbox, SandboxStatusMessage } from './messages.ts';
import { setupOf } from './setup.ts';
import type { StreamConnect, StreamingServer } from './streaming.ts';

export interface CriDeps { readonly clock: Clock; readonly log: Log }

export interface CriConfig {
  /** Path of the runtime's socket, with or without `unix://`. */
  readonly endpoint: string;
  /** Tells the sandboxes of several agents apart that share one runtime; the node's name. */
  readonly owner: string;
  /** Used for unpacking imported images; the runtime's default when absent. */
  readonly snapshotter?: string;
  /** On the file system that images are unpacked to, where that is ours to sync: with `snapshotter`. */
  readonly stateDir?: string;
  /** How the runtime's streaming server is reached; by plain TCP when absent. */
  readonly connectStream?: StreamConnect;
}

const quickMs = 10_000;
const slowMs = 120_000;
/** Between looks at what has ended and is not written down: while the runtime holds its process, after it let go of that, and at most. */
const [unreleasedMs, releasedMs, longestMs] = [100, 2, 1000];

/** Speaks CRI `runtime.v1` over a unix socket. */
export class CriDriver implements RuntimeDriver {
  readonly name = 'cri';
  /** A runtime of CRI has what pods need, as kubelet has it, too. */
  readonly sharesImages = false;
  readonly #connection: CriConnection;
  readonly #deps: CriDeps;
  readonly #config: CriConfig;
  readonly #images: CriImages;
  /** As it calls itself; empty before it was asked. */
  #runtimeName = '';
  readonly #podOf = new Map<string, string>();
  /** Details that only a status call gives. They change with the state alone, so one call per state is enough. */
  readonly #containerStatus = new Map<string, { state: string; status: ContainerStatusMessage }>();
  /** Containers that something was killed in because memory ran out. That is told beside the exit, and containerd may have written the exit down first. */
  readonly #oomKilled = new Set<string>();
  /** Has whoever waits for the end of a container, or of a sandbox, to be written down look again. */
  readonly #settling = new Map<string, () => void>();
  readonly #sandboxStatus = new Map<string, { state: string; status: SandboxStatusMessage | undefined }>();

  constructor(deps: CriDeps, config: CriConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#connection = new CriConnection(config.endpoint, deps.clock);
    this.#images = new CriImages({ ...deps, connection: this.#connection }, config.snapshotter, config.snapshotter === undefined ? undefined : config.stateDir);
  }

  async version(signal: AbortSignal): Promise<string> {
    const { runtimeName, runtimeVersion } = await this.#connection.call('Version', {}, quickMs, signal);
    this.#runtimeName = runtimeName;
    return `${runtimeName}://${/^v?([0-9][^~]*)/.exec(runtimeVersion)?.[1] ?? runtimeVersion}`;
  }

  async setup(signal: AbortSignal): Promise<RuntimeSetup> {
    const { info, ...told } = await this.#connection.call('Status', { verbose: true }, quickMs, signal);
    return setupOf(info['config'], told);
  }

  async notReady(signal: AbortSignal): Promise<readonly string[]> {
    const { status } = await this.#connection.call('Status', {}, quickMs, signal);
    return (status?.conditions ?? []).filter((c) => !c.status).map((c) => `${c.type}: ${c.reason}: ${c.message}`);
  }

  async list(signal: AbortSignal, podUid?: string): Promise<RuntimeSnapshot> {
    const filter = { labelSelector: selector(this.#config.owner, podUid) };
    const before = podUid === undefined ? this.#known() : [];
    const [{ items }, { containers }] = await Promise.all([
      this.#connection.call('ListPodSandbox', { filter }, quickMs, signal),
      this.#connection.call('ListContainers', { filter }, quickMs, signal),
    ]);
    const present = new Set([...items, ...containers].map(({ id }) => id));
    // What was made since the runtime was asked is not in its answer.
    if (podUid === undefined) this.#forget(before.filter((id) => !present.has(id)));
    const [sandboxes, known] = await Promise.all([
      Promise.all(items.map((item) => this.#sandbox(item, signal))),
      Promise.all(containers.map((item) => this.#container(item, signal))),
    ]);
    return { sandboxes: sandboxes.filter((s) => s !== undefined), containers: known.filter((c) => c !== undefined) };
  }

  async runSandbox(config: SandboxConfig, signal: AbortSignal): Promise<string> {
    const request = { config: sandboxMessage(this.#config.owner, config), runtimeHandler: config.runtimeHandler };
    const { podSandboxId } = await this.#connection.call('RunPodSandbox', request, slowMs, signal);
    this.#podOf.set(podSandboxId, config.podUid);
    return podSandboxId;
  }

  async stopSandbox(id: string, signal: AbortSignal): Promise<void> {
    await absentIsFine(this.#connection.call('StopPodSandbox', { podSandboxId: id }, slowMs, signal));
  }

  /** A runtime may count on it that a sandbox was stopped before (CRI's api.proto). containerd stops it by itself: asked for both, it gives the network back twice. */
  async removeSandbox(id: string, signal: AbortSignal): Promise<void> {
    if (await this.#name(signal) !== 'containerd') await this.stopSandbox(id, signal);
    await absentIsFine(this.#connection.call('RemovePodSandbox', { podSandboxId: id }, slowMs, signal));
  }

  async createContainer(sandboxId: string, sandbox: SandboxConfig, config: ContainerConfig, signal: AbortSignal): Promise<string> {
    const { containerId } = await this.#connection.call('CreateContainer', {
      podSandboxId: sandboxId,
      config: containerMessage(this.#config.owner, sandbox, await this.#resolved(config, signal), await groupsOomKills()),
      sandboxConfig: sandboxMessage(this.#config.owner, sandbox),
    }, slowMs, signal);
    this.#podOf.set(containerId, sandbox.podUid);
    return containerId;
  }

  /** CDI devices are left to a runtime that says that it resolves them. */
  async #resolved(config: ContainerConfig, signal: AbortSignal): Promise<ContainerConfig> {
    if (!config.cdiDevices || (await this.setup(signal)).resolvesCdi) return config;
    return (await import('../sandbox/cdi.ts')).withoutHooks(config, 'this containerd');
  }

  async startContainer(id: string, signal: AbortSignal): Promise<void> {
    await this.#connection.call('StartContainer', { containerId: id }, slowMs, signal);
  }

  async updateContainer(id: string, resources: ContainerConfig['resources'], signal: AbortSignal): Promise<void> {
    await this.#connection.call('UpdateContainerResources', { containerId: id, linux: resourcesMessage(resources) }, slowMs, signal);
  }

  async stopContainer(id: string, graceSeconds: number, signal: AbortSignal): Promise<void> {
    const ownSignal = this.#containerStatus.get(id)?.status.annotations[stopSignal] !== undefined;
    const status = (): Promise<CriCalls['ContainerStatus'][1] | undefined> => optional(this.#connection.call('ContainerStatus', { containerId: id, verbose: true }, quickMs, signal));
    const timeout = ownSignal ? await (await import('./stop-signal.ts')).stopBySignal(status, graceSeconds, this.#deps.clock, signal) : graceSeconds;
    await absentIsFine(this.#connection.call('StopContainer', { containerId: id, timeout }, timeout * 1000 + slowMs, signal));
  }

  async removeContainer(id: string, signal: AbortSignal): Promise<void> {
    await absentIsFine(this.#connection.call('RemoveContainer', { containerId: id }, slowMs, signal));
  }

  async reopenLog(id: string, signal: AbortSignal): Promise<void> {
    await this.#connection.call('ReopenContainerLog', { containerId: id }, quickMs, signal);
  }

  async exec(containerId: string, command: readonly string[], timeoutMs: number, signal: AbortSignal): Promise<{ exitCode: number; output: string }> {
    const timeout = Math.max(1, Math.ceil(timeoutMs / 1000));
    const started = this.#deps.clock.monotonic();
    try {
      const result = await this.#connection.call('ExecSync', { containerId, cmd: command, timeout }, timeout * 1000 + quickMs, signal);
      return { exitCode: result.exitCode, output: Buffer.concat([result.stdout, result.stderr]).toString('utf8') };
    } catch (error) {
      signal.throwIfAborted();
      const passedMs = this.#deps.clock.monotonic() - started;
      // containerd 1.6 waits for whatever the command left behind to close its output, and has no limit to that. Nor has a runtime that is stuck, of which the container knows nothing.
      const unanswered = isStatus(error, 'Timeout') && passedMs >= timeout * 1000 + quickMs / 2;
      if (unanswered) await this.#checkAnswers(signal);
      // It reports its own time limit as an unknown error.
      if (unanswered || (isStatus(error, 'InternalError') && passedMs >= timeout * 1000)) {
        throw new StatusError('Timeout', `command ${JSON.stringify(command)} timed out after ${String(timeout)}s: ${error.message}`, { cause: error });
      }
      // Without the id that each run of a command has, the same failure reads the same and is counted as one Event.
      if (isStatus(error, 'InternalError')) throw new StatusError(error.code, error.message.replaceAll(/exec "[0-9a-f]{64}"/g, 'exec'), { cause: error });
      throw error;
    }
  }

  async execStream(containerId: string, command: readonly string[], streams: CommandStreams, signal: AbortSignal): Promise<Channels> {
    const { url } = await this.#connection.call('Exec', { containerId, cmd: command, ...streams }, quickMs, signal);
    return (await this.#streaming()).command(url, streams, signal);
  }

  async attach(containerId: string, streams: CommandStreams, signal: AbortSignal): Promise<Channels> {
    const { url } = await this.#connection.call('Attach', { containerId, ...streams }, quickMs, signal);
    return (await this.#streaming()).command(url, streams, signal);
  }

  async portForward(sandboxId: string, port: number, signal: AbortSignal): Promise<Channels> {
    const { url } = await this.#connection.call('PortForward', { podSandboxId: sandboxId, port: [port] }, quickMs, signal);
    return (await this.#streaming()).port(url, port, signal);
  }

  listImages(signal: AbortSignal): Promise<readonly ListedImage[]> { return this.#images.list(signal); }
  imageId(image: string, signal: AbortSignal): Promise<string | undefined> { return this.#images.id(image, signal); }
  imageUser(image: string, signal: AbortSignal): Promise<ImageUser> { return this.#images.user(image, signal); }
  pullImage(image: string, options: PullOptions, signal: AbortSignal): Promise<PulledImage> { return this.#images.pull(image, options, signal); }
  importImage(archive: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<readonly string[]> { return this.#images.import(archive, signal); }
  heldLayers(images: readonly (readonly LayerName[])[]): Promise<ReadonlyMap<string, HeldLayer>> { return this.#images.held(images); }
  exportImage(image: string, signal: AbortSignal): AsyncIterable<Uint8Array> { return this.#images.export(image, signal); }
  removeImage({ id }: ListedImage, signal: AbortSignal): Promise<void> { return this.#images.remove(id, signal); }
  mountImage(image: string, key: string, dir: string, signal: AbortSignal): Promise<void> { return this.#images.mount(image, key, dir, signal); }
  releaseImage(key: string, signal: AbortSignal): Promise<void> { return this.#images.release(key, signal); }
  imagesInUse(signal: AbortSignal): Promise<ReadonlySet<string>> { return this.#images.inUse(signal); }
  imageFolder(signal: AbortSignal): Promise<string> { return this.#images.folder(signal); }

  events(signal: AbortSignal): AsyncIterable<{ podUid: string | undefined }> {
    return podEvents({ connection: this.#connection, ...this.#deps, settle: (event, maxMs, stop) => this.#settle(event, maxMs, stop), released: (id) => this.#settling.get(id)?.() }, signal);
  }

  async stats(signal: AbortSignal): ReturnType<RuntimeDriver['stats']> {
    const filter = { labelSelector: selector(this.#config.owner) };
    const { stats } = await this.#connection.call('ListContainerStats', { filter }, quickMs, signal);
    return new Map(stats.map((s) => [s.attributes?.id ?? '', {
      cpuNanos: BigInt(s.cpu?.usageCoreNanoSeconds?.value ?? 0),
      memoryBytes: Number(s.memory?.workingSetBytes?.value ?? 0),
      writable: { bytes: Number(s.writableLayer?.usedBytes?.value ?? 0), inodes: Number(s.writableLayer?.inodesUsed?.value ?? 0) },
    }]));
  }

  /** Ends the connection; calls under way fail. */
  close(): void {
    this.#images.close();
    this.#connection.close();
  }

  async #sandbox(listed: ListedSandbox, signal: AbortSignal): Promise<Sandbox | undefined> {
    this.#podOf.set(listed.id, listed.metadata?.uid ?? '');
    let known = this.#sandboxStatus.get(listed.id);
    if (known?.state !== listed.state) {
      let status;
      try {
        status = await optional(this.#connection.call('PodSandboxStatus', { podSandboxId: listed.id }, quickMs, signal));
      } catch (error) {
        if (!isStatus(error, 'InternalError')) throw error;
        // One broken sandbox (its namespace was removed by hand, say) must not hide all the others: of no use, to be replaced.
        this.#deps.log.warn({ sandbox: listed.id, err: error.message }, 'the runtime cannot tell the state of a sandbox; taking it for lost');
        return toSandbox({ ...listed, state: 'SANDBOX_NOTREADY' }, undefined);
      }
      if (!status?.status) return undefined;
      known = { state: listed.state, status: status.status };
      this.#sandboxStatus.set(listed.id, known);
    }
    return toSandbox(listed, known.status);
  }

  async #container(listed: ListedContainer, signal: AbortSignal): Promise<Container | undefined> {
    let known = this.#containerStatus.get(listed.id);
    if (known?.state !== listed.state) {
      let status;
      try {
        status = await optional(this.#connection.call('ContainerStatus', { containerId: listed.id }, quickMs, signal));
      } catch (error) {
        if (!isStatus(error, 'InternalError')) throw error;
        this.#deps.log.warn({ container: listed.id, err: error.message }, 'the runtime cannot tell the state of a container');
        return toContainer(listed, { ...unknownStatus, state: listed.state });
      }
      if (!status?.status) return undefined;
      known = { state: status.status.state, status: status.status };
      this.#containerStatus.set(listed.id, known);
    }
    const container = toContainer(listed, known.status, this.#oomKilled.has(listed.id));
    this.#podOf.set(listed.id, container.podUid);
    return container;
  }

  /** Loaded when first used: few pods are ever looked into. */
  async #streaming(): Promise<StreamingServer> {
    const { StreamingServer: Loaded } = await import('./streaming.ts');
    return new Loaded(this.#config.connectStream);
  }

  async #checkAnswers(signal: AbortSignal): Promise<void> {
    try {
      await this.version(signal);
    } catch (error) {
      signal.throwIfAborted();
      throw new StatusError('ServiceUnavailable', `the container runtime did not answer ExecSync, nor what it is: ${messageOf(error)}`, { cause: error });
    }
  }

  async #name(signal: AbortSignal): Promise<string> {
    if (this.#runtimeName === '') await this.version(signal);
    return this.#runtimeName;
  }

  #known(): string[] {
    return [this.#podOf, this.#containerStatus, this.#sandboxStatus, this.#oomKilled].flatMap((map) => [...map.keys()]);
  }

  #forget(ids: Iterable<string>): void {
    for (const id of ids) for (const map of [this.#podOf, this.#containerStatus, this.#sandboxStatus, this.#oomKilled]) map.delete(id);
  }

  /**
   * An exit event overtakes the runtime's own bookkeeping, by a tenth of a second where it is busy. Waits for it; false
   * when it has not been written down within `maxMs`. containerd tells by another event when it is about to.
   */
  async #settle({ containerId: id, oomKilled }: ContainerEvent, maxMs: number, signal: AbortSignal): Promise<Settled> {
    // Undefined for what another program made, or an earlier life of this one: then everything is looked at.
    const podUid = this.#podOf.get(id);
    if (oomKilled) {
      this.#oomKilled.add(id);
      return { podUid, settled: true };
    }
    const { clock } = this.#deps;
    const wakeup = new Wakeup();
    const beganMs = clock.monotonic();
    let [fromMs, leastMs] = [beganMs, unreleasedMs];
    const released = (): void => {
      [fromMs, leastMs] = [clock.monotonic(), releasedMs];
      wakeup.notify();
    };
    this.#settling.set(id, released);
    try {
      while (await this.#lives(id, signal)) {
        const nowMs = clock.monotonic();
        if (nowMs - beganMs >= maxMs) return { podUid, settled: false };
        // By a third later than it is by now: of that, nobody notices more.
        await wakeup.waitAtMost(Math.min(longestMs, Math.max(leastMs, (nowMs - fromMs) / 3)), clock, signal);
      }
      return { podUid, settled: true };
    } finally {
      if (this.#settling.get(id) === released) this.#settling.delete(id);
    }
  }

  /** A container, or a sandbox, as the runtime has it; what is not known yet may be either. */
  async #lives(id: string, signal: AbortSignal): Promise<boolean> {
    const [container, sandbox] = await Promise.all([
      this.#sandboxStatus.has(id) ? undefined : optional(this.#connection.call('ContainerStatus', { containerId: id }, quickMs, signal)),
      this.#containerStatus.has(id) ? undefined : optional(this.#connection.call('PodSandboxStatus', { podSandboxId: id }, quickMs, signal)),
    ]);
    // One that ends at once may have ended before the runtime has written down that it runs.
    return container?.status?.state === 'CONTAINER_RUNNING' || container?.status?.state === 'CONTAINER_CREATED' || sandbox?.status?.state === 'SANDBOX_READY';
  }
}

/** Of a container that the runtime lists but cannot say more about. */
const unknownStatus: Omit<ContainerStatusMessage, 'state'> = { startedAt: '0', finishedAt: '0', exitCode: 255, image: null, imageRef: '', reason: 'ContainerStatusUnknown', message: '', annotations: {}, logPath: '' };

async function absentIsFine(call: Promise<unknown>): Promise<void> {
  await optional(call);
}

async function optional<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (isStatus(error, 'NotFound')) return undefined;
    throw error;
  }
}

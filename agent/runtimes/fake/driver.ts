import { writeFile, appendFile, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Clock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { commandChannels, type Channels } from '#common/streams/channels.ts';
import { exitStatus } from '#common/streams/exit-status.ts';
import { channelPair } from '#common/streams/pair.ts';
import { channelsOf, type CommandStreams } from '#common/streams/relay.ts';
import { wrongArchitecture } from '../image-architecture.ts';
import type { Container, ContainerConfig, ImageUser, ListedImage, PulledImage, PullOptions, RuntimeDriver, RuntimeSetup, RuntimeSnapshot, Sandbox, SandboxConfig } from '../types.ts';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type FakeContainer = Mutable<Container> & { readonly config: ContainerConfig };

export interface FakeDriverConfig {
  /** Written to disk as a runtime would; off for tests that do not look at logs. */
  readonly writeLogs?: boolean;
  /** Called when a container starts; what a program of that image would do at once. */
  readonly onStart?: (container: Container, config: ContainerConfig, driver: FakeDriver) => void;
}

/** A container runtime in memory, for tests and simulations. Containers run until told otherwise. */
export class FakeDriver implements RuntimeDriver {
  readonly name = 'fake';
  /** Calls that changed something, in order: `run-sandbox web`, `create app#0`, … */
  readonly calls: string[] = [];
  /** Of the sandboxes that were asked for, in order. */
  readonly sandboxConfigs: SandboxConfig[] = [];
  /** Images that are present: name → id. */
  readonly images = new Map<string, string>();
  /** Users of images; root for any other. */
  readonly imageUsers = new Map<string, ImageUser>();
  /** Images that a pull brings: name → id. */
  readonly registry = new Map<string, string>();
  /** What a pull of an image waits for, by name. */
  readonly pulling = new Map<string, (options: PullOptions, signal: AbortSignal) => Promise<void>>();
  /** Ids of images that are held for volumes, by key. */
  readonly held = new Map<string, string>();
  sharesImages = false;
  /** Rejects the next calls of a method, in order. */
  readonly failures = new Map<string, StatusError[]>();
  /** Commands that exec answers, by container name; absent means exit code 0. */
  readonly execResults = new Map<string, { exitCode: number; output: string }>();
  /** Containers that do not end on SIGTERM, by name. */
  readonly stubborn = new Set<string>();
  readonly #clock: Clock;
  readonly #config: FakeDriverConfig;
  readonly #sandboxes = new Map<string, Mutable<Sandbox>>();
  readonly #containers = new Map<string, FakeContainer>();
  readonly #listeners = new Set<(uid: string | undefined) => void>();
  #next = 1;

  constructor(clock: Clock, config: FakeDriverConfig = {}) {
    this.#clock = clock;
    this.#config = config;
  }

  // --- what a test does to the world

  /** The container's program ends by itself. */
  exit(id: string, exitCode: number, reason = exitCode === 0 ? 'Completed' : 'Error'): void {
    this.#end(this.#container(id), exitCode, reason);
  }

  /** The sandbox's process dies, as after an OOM kill of the pause program. */
  loseSandbox(id: string): void {
    const sandbox = this.#sandbox(id);
    for (const c of this.#containers.values()) if (c.sandboxId === id && c.state === 'running') this.#end(c, 137, 'Error');
    sandbox.state = 'not-ready';
    sandbox.ips = [];
    this.#tell(sandbox.podUid);
  }

  /** Everything is gone, as after the loss of the runtime's disk. */
  wipe(): void {
    this.#sandboxes.clear();
    this.#containers.clear();
    this.#tell(undefined);
  }

  /** Living containers of a pod by name. */
  running(podUid: string): readonly Container[] {
    return [...this.#containers.values()].filter((c) => c.podUid === podUid && c.state === 'running');
  }

  configOf(id: string): ContainerConfig { return this.#container(id).config; }

  // --- RuntimeDriver

  version(): Promise<string> { return Promise.resolve('fake://1.0.0'); }
  setup(): Promise<RuntimeSetup> { return Promise.resolve({}); }

  notReady(): Promise<readonly string[]> { return Promise.resolve([]); }

  async list(_signal: AbortSignal, podUid?: string): Promise<RuntimeSnapshot> {
    await this.#enter('list');
    const mine = <T extends { podUid: string }>(all: Iterable<T>): T[] => [...all].filter((x) => podUid === undefined || x.podUid === podUid).map((x) => ({ ...x }));
    return { sandboxes: mine(this.#sandboxes.values()), containers: mine(this.#containers.values()) };
  }

  async runSandbox(config: SandboxConfig): Promise<string> {
    await this.#enter('runSandbox', `run-sandbox ${config.podName}`);
    this.sandboxConfigs.push(config);
    const id = this.#id('sandbox');
    this.#sandboxes.set(id, {
      id, podUid: config.podUid, podNamespace: config.podNamespace, podName: config.podName, attempt: config.attempt,
      state: 'ready', createdAtMs: this.#clock.now(), ips: config.hostNetwork ? [] : [`10.42.0.${String(this.#next)}`],
    });
    return id;
  }

  async stopSandbox(id: string): Promise<void> {
    const sandbox = this.#sandboxes.get(id);
    await this.#enter('stopSandbox', `stop-sandbox ${sandbox?.podName ?? id}`);
    if (sandbox) this.loseSandbox(id);
  }

  async removeSandbox(id: string): Promise<void> {
    const sandbox = this.#sandboxes.get(id);
    await this.#enter('removeSandbox', `remove-sandbox ${sandbox?.podName ?? id}`);
    for (const c of this.#containers.values()) if (c.sandboxId === id) this.#containers.delete(c.id);
    this.#sandboxes.delete(id);
  }

  async createContainer(sandboxId: string, sandbox: SandboxConfig, config: ContainerConfig): Promise<string> {
    await this.#enter('createContainer', `create ${config.name}#${String(config.attempt)}`);
    if (this.#sandbox(sandboxId).state !== 'ready') throw new StatusError('InternalError', `sandbox ${sandboxId} is not running`);
    const imageId = this.images.get(config.image);
    if (imageId === undefined) throw new StatusError('NotFound', `image ${config.image} not found`);
    const id = this.#id(config.name);
    this.#containers.set(id, {
      id, sandboxId, podUid: sandbox.podUid, name: config.name, attempt: config.attempt, image: config.image, imageId,
      specHash: config.specHash, state: 'created', createdAtMs: this.#clock.now(), startedAtMs: 0, finishedAtMs: 0, exitCode: 0,
      reason: '', message: '', logPath: join(sandbox.logDirectory, config.logFile), graceSeconds: config.graceSeconds, config,
    });
    return id;
  }

  async startContainer(id: string): Promise<void> {
    const container = this.#container(id);
    try {
      await this.#enter('startContainer', `start ${container.name}#${String(container.attempt)}`);
    } catch (error) {
      this.#end(container, 128, 'StartError');
      throw error;
    }
    container.state = 'running';
    container.startedAtMs = this.#clock.now();
    if (this.#config.writeLogs) {
      await mkdir(dirname(container.logPath), { recursive: true });
      await writeFile(container.logPath, '');
    }
    this.#config.onStart?.(container, container.config, this);
  }

  async updateContainer(id: string, resources: ContainerConfig['resources']): Promise<void> {
    const container = this.#container(id);
    await this.#enter('updateContainer', `update ${container.name} cpu=${String(resources.cpuShares)}/${String(resources.cpuQuotaMicros)} memory=${String(resources.memoryLimitBytes)}`);
    if (container.state !== 'running') throw new StatusError('InternalError', 'container is not running');
  }

  async stopContainer(id: string, graceSeconds: number, signal: AbortSignal): Promise<void> {
    const container = this.#containers.get(id);
    await this.#enter('stopContainer', `stop ${container?.name ?? id} ${String(graceSeconds)}s`);
    if (!container || container.state === 'exited') return;
    const stubborn = this.stubborn.has(container.name) || graceSeconds === 0;
    if (stubborn && graceSeconds > 0) await this.#clock.sleep(graceSeconds * 1000, signal);
    this.#end(container, stubborn ? 137 : 143, 'Error');
  }

  async removeContainer(id: string): Promise<void> {
    const container = this.#containers.get(id);
    await this.#enter('removeContainer', `remove ${container ? `${container.name}#${String(container.attempt)}` : id}`);
    this.#containers.delete(id);
  }

  async reopenLog(): Promise<void> { await this.#enter('reopenLog', 'reopen-log'); }

  async exec(containerId: string, command: readonly string[]): Promise<{ exitCode: number; output: string }> {
    const container = this.#container(containerId);
    await this.#enter('exec', `exec ${container.name} ${command.join(' ')}`);
    if (container.state !== 'running') throw new StatusError('InternalError', 'container is not running');
    return this.execResults.get(container.name) ?? { exitCode: 0, output: '' };
  }

  /** Says what `execResults` has, then all that it is sent. */
  async execStream(containerId: string, command: readonly string[], streams: CommandStreams): Promise<Channels> {
    const { exitCode, output } = await this.exec(containerId, command);
    return this.#echo(streams, output, exitCode);
  }

  async attach(containerId: string, streams: CommandStreams): Promise<Channels> {
    const container = this.#container(containerId);
    await this.#enter('attach', `attach ${container.name}`);
    if (container.state !== 'running') throw new StatusError('InternalError', 'container is not running');
    return this.#echo(streams, '', 0);
  }

  /** A port that answers with what it is sent. */
  async portForward(sandboxId: string, port: number): Promise<Channels> {
    await this.#enter('portForward', `port-forward ${this.#sandbox(sandboxId).podName} ${String(port)}`);
    const [near, far] = channelPair([0]);
    const echo = async (): Promise<void> => {
      for await (const chunk of far.channel(0)) await far.channel(0).write(chunk);
      await far.channel(0).end();
    };
    echo().catch(() => { far.close(); });
    return near;
  }

  async listImages(): Promise<readonly ListedImage[]> {
    await this.#enter('listImages');
    const byId = new Map<string, string[]>();
    for (const [name, id] of this.images) byId.set(id, [...byId.get(id) ?? [], name]);
    return [...byId].map(([id, names]) => ({ id, names, sizeBytes: 1 << 20 }));
  }

  async imageId(image: string): Promise<string | undefined> {
    await this.#enter('imageId');
    return this.images.get(image);
  }

  async imageUser(image: string): Promise<ImageUser> {
    await this.#enter('imageUser');
    return this.imageUsers.get(image) ?? { uid: 0, name: '' };
  }

  async pullImage(image: string, options: PullOptions, signal: AbortSignal): Promise<PulledImage> {
    await this.#enter('pullImage', `pull ${image}`);
    await this.pulling.get(image)?.(options, signal);
    signal.throwIfAborted();
    const id = this.registry.get(image);
    if (id === undefined) throw new StatusError('NotFound', `failed to resolve reference "${image}": not found`);
    this.images.set(image, id);
    return { id, sizeBytes: 1 << 20 };
  }

  async importImage(archive: AsyncIterable<Uint8Array>): Promise<readonly string[]> {
    await this.#enter('importImage', 'import');
    const chunks: Uint8Array[] = [];
    for await (const chunk of archive) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString('latin1');
    const name = /"io\.containerd\.image\.name":"([^"]+)"/.exec(text)?.[1];
    if (name === undefined) throw new StatusError('Invalid', 'this is no image archive');
    const wrong = wrongArchitecture(name, [/"architecture":"([^"]+)"/.exec(text)?.[1] ?? '']);
    if (wrong) throw wrong;
    this.images.set(name, `sha256:${this.#id('image')}`);
    return [name];
  }

  async *exportImage(image: string): AsyncGenerator<Uint8Array, void, undefined> {
    await this.#enter('exportImage', `export ${image}`);
    if (!this.images.has(image)) throw new StatusError('NotFound', `image ${image} not found`);
    yield Buffer.from(`{"io.containerd.image.name":"${image}"}`);
  }

  async removeImage({ id, names }: ListedImage): Promise<void> {
    await this.#enter('removeImage', `remove-image ${names[0] ?? id}`);
    for (const [name, has] of this.images) if (has === id) this.images.delete(name);
  }

  async mountImage(image: string, key: string, dir: string): Promise<void> {
    await this.#enter('mountImage', `mount-image ${image}`);
    const id = this.held.get(key) ?? this.images.get(image);
    if (id === undefined) throw new StatusError('NotFound', `image ${image} not found`);
    this.held.set(key, id);
    // Nothing is really mounted; a file says what would be there.
    await writeFile(join(dir, 'image'), id);
  }

  async releaseImage(key: string): Promise<void> {
    await this.#enter('releaseImage', `release-image ${key}`);
    this.held.delete(key);
  }

  async imagesInUse(): Promise<ReadonlySet<string>> {
    await this.#enter('imagesInUse');
    return new Set([...this.#containers.values()].map(({ imageId }) => imageId));
  }

  imageFolder(): Promise<string> { return Promise.resolve('/'); }

  async *events(signal: AbortSignal): AsyncIterable<{ podUid: string | undefined }> {
    const pending = new Set<string | undefined>([undefined]);
    let wake: () => void = () => undefined;
    const listener = (uid: string | undefined): void => { pending.add(uid); wake(); };
    this.#listeners.add(listener);
    const onAbort = (): void => { wake(); };
    signal.addEventListener('abort', onAbort);
    try {
      while (!signal.aborted) {
        for (const podUid of pending) {
          pending.delete(podUid);
          yield { podUid };
        }
        if (pending.size === 0 && !signal.aborted) await new Promise<void>((resolve) => { wake = resolve; });
      }
    } finally {
      this.#listeners.delete(listener);
      signal.removeEventListener('abort', onAbort);
    }
  }

  stats(): Promise<ReadonlyMap<string, { cpuNanos: bigint; memoryBytes: number }>> {
    const cpuNanos = BigInt(Math.round(this.#clock.now())) * 100_000n;
    return Promise.resolve(new Map([...this.#containers.values()].filter((c) => c.state === 'running').map((c) => [c.id, { cpuNanos, memoryBytes: 1 << 20 }])));
  }

  /** Appends a line to a container's log. */
  async print(id: string, line: string): Promise<void> {
    const { logPath } = this.#container(id);
    await appendFile(logPath, `${new Date(this.#clock.now()).toISOString().replace('Z', '000000Z')} stdout F ${line}\n`);
  }

  #echo(streams: CommandStreams, output: string, exitCode: number): Channels {
    const { stdin, stdout, status } = commandChannels;
    const [near, far] = channelPair(channelsOf(streams));
    const run = async (): Promise<void> => {
      if (streams.stdout) await far.channel(stdout).write(Buffer.from(output));
      if (streams.stdin) for await (const chunk of far.channel(stdin)) if (streams.stdout) await far.channel(stdout).write(chunk);
      await far.channel(status).write(Buffer.from(JSON.stringify(exitStatus(exitCode))));
      far.close();
    };
    run().catch(() => { far.close(); });
    return near;
  }

  #end(container: FakeContainer, exitCode: number, reason: string): void {
    container.state = 'exited';
    container.exitCode = exitCode;
    container.reason = reason;
    container.finishedAtMs = this.#clock.now();
    this.#tell(container.podUid);
  }

  #tell(uid: string | undefined): void {
    for (const listener of this.#listeners) listener(uid);
  }

  #sandbox(id: string): Mutable<Sandbox> {
    const sandbox = this.#sandboxes.get(id);
    if (!sandbox) throw new StatusError('NotFound', `sandbox ${id} not found`);
    return sandbox;
  }

  #container(id: string): FakeContainer {
    const container = this.#containers.get(id);
    if (!container) throw new StatusError('NotFound', `container ${id} not found`);
    return container;
  }

  #id(prefix: string): string { return `${prefix}-${String(this.#next++)}`; }

  async #enter(method: string, call?: string): Promise<void> {
    if (call !== undefined) this.calls.push(call);
    await Promise.resolve();
    const failure = this.failures.get(method)?.shift();
    if (failure) throw failure;
  }
}

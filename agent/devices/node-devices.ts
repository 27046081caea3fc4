import type { Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { deviceClassesMap } from '#api/devices/device-class.ts';
import type { Pod } from '#api/gen/types.ts';
import { configMaps, pods } from '#api/kinds/resources.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf } from '#common/errors.ts';
import { kernelBootId } from '#common/kernel-file.ts';
import { TaskGroup, untilAborted, type Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import type { Ledger } from '#agent/node/ledger.ts';
import type { Rejection } from '#agent/pods/spec/admission.ts';
import { nodeEvent } from '#agent/session/node-event.ts';
import type { AgentEvents } from '#agent/session/types.ts';
import type { DesiredState } from '#agent/state/types.ts';
import { Allocator } from './allocator.ts';
import { Inventory } from './inventory.ts';
import { DeviceRecord, type PodAllocations } from './record.ts';
import { serveHostSocket } from './socket.ts';
import type { Topology } from './topology.ts';
import type { ContainerParts, DeviceAmounts, DeviceHealth, PodDevices } from './types.ts';

export interface NodeDevicesDeps {
  readonly state: DesiredState;
  readonly clock: Clock;
  readonly log: Log;
  readonly events: AgentEvents;
  readonly ledger: Pick<Ledger, 'record'>;
}

export interface NodeDevicesConfig {
  readonly nodeName: string;
  /** Where plugins look for `kubelet.sock` and put their own sockets; empty for nowhere. */
  readonly pluginDir: string;
  /** The file in which is kept what pods have. */
  readonly recordPath: string;
  readonly topology: Topology;
}

type Speaker = (socket: Socket) => void;

/**
 * The devices of this host, as extended resources: those of device plugins, which find us at the kubelet's socket, and
 * those of the cluster's device classes, which we find ourselves. Says how many there are, and which pod has which.
 */
export class NodeDevices implements PodDevices, Runnable {
  readonly #deps: NodeDevicesDeps;
  readonly #config: NodeDevicesConfig;
  readonly #inventory: Inventory;
  readonly #allocator: Allocator;
  readonly #record: DeviceRecord;
  readonly #bootId: string;
  readonly #listeners = new Set<() => void>();
  #writing: Promise<void> = Promise.resolve();

  private constructor(deps: NodeDevicesDeps, config: NodeDevicesConfig, record: DeviceRecord, recorded: Awaited<ReturnType<DeviceRecord['read']>>, bootId: string) {
    this.#deps = deps;
    this.#config = config;
    this.#record = record;
    this.#bootId = bootId;
    this.#inventory = new Inventory(deps.clock, (ids) => { this.#changed(ids); });
    this.#allocator = new Allocator({ ...deps, topology: config.topology, inventory: this.#inventory, save: () => this.#save(), bootId }, recorded);
    if (recorded) this.#inventory.restore(recorded.resources);
  }

  /** Reads what an earlier agent wrote down, so that who has what is known before any pod is looked at. */
  static async open(deps: NodeDevicesDeps, config: NodeDevicesConfig): Promise<NodeDevices> {
    const record = new DeviceRecord(config.recordPath);
    return new NodeDevices(deps, config, record, await record.read(deps.log), kernelBootId());
  }

  async start(signal: AbortSignal): Promise<void> {
    const tasks = new TaskGroup(this.#deps.log);
    const { pluginDir } = this.#config;
    if (pluginDir !== '') {
      tasks.run('device plugins', signal, () => this.#serve(join(pluginDir, 'kubelet.sock'), true, (stop) => this.#speakToPlugins(stop), signal));
      // Where the kubelet has it: beside the folder of plugins.
      tasks.run('pod resources', signal, () => this.#serve(join(dirname(pluginDir), 'pod-resources', 'kubelet.sock'), false, (stop) => this.#speakToMonitors(stop), signal));
    }
    const stopWaiting = this.#classesAre(() => { tasks.run('device classes', signal, () => this.#followClasses(signal)); });
    await tasks.drain();
    await untilAborted(signal);
    stopWaiting();
    await tasks.drain();
    await this.#writing.catch(() => undefined);
  }

  admit(pod: Pod, signal: AbortSignal): Promise<Rejection | undefined> { return this.#allocator.admit(pod, signal); }
  parts(pod: Pod, container: string, signal: AbortSignal): Promise<ContainerParts | undefined> { return this.#allocator.parts(pod, container, signal); }
  outdated(podUid: string): ReadonlySet<string> { return this.#allocator.outdated(podUid); }
  health(podUid: string): ReadonlyMap<string, readonly DeviceHealth[]> { return this.#allocator.health(podUid); }
  ending(podUid: string): void { this.#allocator.ending(podUid); }
  release(podUid: string): void { this.#allocator.release(podUid); }
  retain(podUids: ReadonlySet<string>): void { this.#allocator.retain(podUids); }
  manages(resource: string): boolean { return this.#inventory.has(resource); }
  amounts(): DeviceAmounts { return this.#inventory.amounts(); }
  get pods(): ReadonlyMap<string, PodAllocations> { return this.#allocator.pods; }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async #speakToPlugins(signal: AbortSignal): Promise<Speaker> {
    const { PluginRegistration } = await import('./plugins/registration.ts');
    const tell = (reason: string, message: string): void => { this.#tell(reason, message); };
    const registration = new PluginRegistration({ sink: this.#inventory, log: this.#deps.log, tell, record: (path) => this.#recordPath('file', path) }, this.#config.pluginDir, signal);
    return (socket) => { registration.accept(socket); };
  }

  async #speakToMonitors(signal: AbortSignal): Promise<Speaker> {
    const { servePodResources } = await import('./plugins/pod-resources.ts');
    const present = (): readonly Pod[] => this.#deps.state.list(pods).filter(({ status }) => status?.phase !== 'Succeeded' && status?.phase !== 'Failed');
    return servePodResources({ pods: present, allocations: () => this.#allocator.pods, devices: () => this.#inventory.all() }, signal);
  }

  /** `load` is called with the first client. */
  async #serve(path: string, clear: boolean, load: (signal: AbortSignal) => Promise<Speaker>, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    let speaker: Promise<Speaker> | undefined;
    await serveHostSocket({ clock, log, record: (kind, target) => this.#recordPath(kind, target), speaker: () => speaker ??= load(signal) }, path, { clear }, signal);
  }

  #recordPath(kind: 'file' | 'directory', target: string): Promise<void> {
    return this.#deps.ledger.record({ kind, target, before: null, after: null });
  }

  /** Calls once when the cluster has classes of devices: most have none, and do without all of that. */
  #classesAre(then: () => void): () => void {
    const { state } = this.#deps;
    let done = false;
    const look = (): void => {
      if (done || !state.get(configMaps, deviceClassesMap.namespace, deviceClassesMap.name)) return;
      done = true;
      then();
    };
    const unsubscribe = state.subscribe(look);
    look();
    return unsubscribe;
  }

  async #followClasses(signal: AbortSignal): Promise<void> {
    const { DeviceClasses } = await import('./classes/classes.ts');
    await new DeviceClasses({ ...this.#deps, sink: this.#inventory, tell: (reason, message) => { this.#tell(reason, message); } }).start(signal);
  }

  #changed(ids: boolean): void {
    if (ids) this.#save().catch((error: unknown) => { this.#deps.log.warn({ err: messageOf(error) }, 'it cannot be written down which devices there are; done with the next change'); });
    this.#allocator.poke();
    for (const listener of this.#listeners) listener();
  }

  /** Calls that wait for one that is under way are done by one more. */
  #save(): Promise<void> {
    const write = async (): Promise<void> => { await this.#record.write({ bootId: this.#bootId, resources: this.#inventory.ids(), pods: this.#allocator.pods }); };
    const turn = this.#writing.then(write, write);
    this.#writing = turn;
    turn.catch(() => undefined);
    return turn;
  }

  #tell(reason: string, message: string): void {
    const { nodeName } = this.#config;
    this.#deps.events.emit(nodeEvent(nodeName, this.#deps.clock, 'Warning', reason, message));
  }
}

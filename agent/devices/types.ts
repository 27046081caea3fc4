import type { Pod } from '#api/gen/types.ts';
import type { Rejection } from '#agent/pods/spec/admission.ts';
import type { ContainerConfig } from '#agent/runtimes/types.ts';

/** One unit of an extended resource. */
export interface Device {
  readonly id: string;
  readonly healthy: boolean;
  /** Empty when it is no nearer to one than to another. */
  readonly numaNodes: readonly number[];
  /** Its nodes and their numbers: a container that was made with others cannot reach it. Absent where nobody knows. */
  readonly nodes?: string;
}

/** What a container gets besides its own, so that it can use its devices. */
export interface ContainerParts {
  readonly env: Readonly<Record<string, string>>;
  readonly mounts: readonly { readonly containerPath: string; readonly hostPath: string; readonly readOnly: boolean }[];
  readonly devices: NonNullable<ContainerConfig['devices']>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Qualified names: `vendor.com/class=name`. */
  readonly cdiDevices: readonly string[];
}

export const noParts: ContainerParts = { env: {}, mounts: [], devices: [], annotations: {}, cdiDevices: [] };

/** The one that was named first wins where both name the same: plugins of one maker often bring the same library, or control node. */
export function joinedParts(a: ContainerParts, b: ContainerParts): ContainerParts {
  return {
    env: { ...b.env, ...a.env }, annotations: { ...b.annotations, ...a.annotations }, mounts: firstByPath([...a.mounts, ...b.mounts]), devices: firstByPath([...a.devices, ...b.devices]),
    cdiDevices: [...new Set([...a.cdiDevices, ...b.cdiDevices])],
  };
}

function firstByPath<T extends { readonly containerPath: string }>(parts: readonly T[]): T[] {
  return parts.filter(({ containerPath }, at) => parts.findIndex((part) => part.containerPath === containerPath) === at);
}

/** Where the devices of one resource come from: a device plugin, or a class of devices that Cleat finds by itself. */
export interface DeviceSource {
  /** True where `allocate` is cheap and its answer changes with the host: then it is asked before each start of a container. */
  readonly fresh: boolean;
  /** Rejects with `NotFound` when a device is not there now. */
  allocate(ids: readonly string[], signal: AbortSignal): Promise<ContainerParts>;
  /** Which it would choose; absent where it does not mind. */
  readonly prefer?: ((available: readonly string[], mustInclude: readonly string[], size: number, signal: AbortSignal) => Promise<readonly string[]>) | undefined;
  /** Called before each start of a container that has the devices. */
  readonly prepare?: ((ids: readonly string[], signal: AbortSignal) => Promise<void>) | undefined;
}

/** What device sources are told to. Synchronous. */
export interface DeviceSink {
  /** From now on this is the resource's source; an earlier one is forgotten. */
  offer(resource: string, source: DeviceSource): void;
  /** Ignored from a source that is not the resource's any more. */
  update(resource: string, source: DeviceSource, devices: readonly Device[]): void;
  /** It has ended. With `forGood` its devices go at once; otherwise they are unhealthy until it comes back, or for some minutes. */
  lose(resource: string, source: DeviceSource, forGood?: boolean): void;
}

/** The pods' side. */
export interface PodDevices {
  /** Gives a new pod the devices that its containers ask for; resolves with why it cannot have them. Done before: nothing happens. */
  admit(pod: Pod, signal: AbortSignal): Promise<Rejection | undefined>;
  /** What the container is to be made with. Rejects with `NotFound` while a device is not there. */
  parts(pod: Pod, container: string, signal: AbortSignal): Promise<ContainerParts | undefined>;
  /** Containers that were made with a device which is another node by now: plugged in again, say. */
  outdated(podUid: string): ReadonlySet<string>;
  /** How the devices are that a pod's containers have, by container. */
  health(podUid: string): ReadonlyMap<string, readonly DeviceHealth[]>;
  /** The pod is being ended: what it has will soon be free. */
  ending(podUid: string): void;
  /** Nothing of the pod runs any more. */
  release(podUid: string): void;
  /** Only these pods are left. */
  retain(podUids: ReadonlySet<string>): void;
  /** Resources that are handed out here and nowhere else. */
  manages(resource: string): boolean;
  /** Called when devices came, went, or changed their health. */
  subscribe(listener: () => void): () => void;
}

/** As in `allocatedResourcesStatus` of a container's status. */
export interface DeviceHealth {
  readonly name: string;
  readonly resources: readonly { readonly resourceID: string; readonly health: 'Healthy' | 'Unhealthy' | 'Unknown' }[];
}

/** Of the node's status. */
export interface DeviceAmounts {
  readonly capacity: Readonly<Record<string, string>>;
  readonly allocatable: Readonly<Record<string, string>>;
}

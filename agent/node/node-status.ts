import type { NodeCondition, NodeStatus } from '#api/gen/types.ts';
import { cpuMillis, quantityValue } from '#api/meta/quantity.ts';
import { rfc3339 } from '#common/time.ts';
import { kubernetesVersion } from '#common/version.ts';
import type { RuntimeSetup } from '#agent/runtimes/types.ts';
import type { HostIdentity, HostReadings } from './readings.ts';
import { conditionOf, crossed, defaultThresholds, keptBack, type EvictionSignal, type PressureCondition, type Threshold } from './thresholds.ts';

/** Everything that one NodeStatus is made of. */
export interface NodeStatusInput {
  readonly nodeName: string;
  readonly version: string;
  readonly maxPods: number;
  readonly identity: HostIdentity;
  readonly readings: HostReadings;
  readonly containerRuntimeVersion: string;
  /** What the runtime says of itself; absent while it has not been asked. */
  readonly runtime?: Pick<RuntimeSetup, 'handlers' | 'strictGroups'>;
  readonly images: NonNullable<NodeStatus['images']>;
  /** Why pods cannot run here; empty when they can. */
  readonly notReady: readonly string[];
  readonly nowMs: number;
  /** Where pressure begins; the usual ones when absent. */
  readonly thresholds?: readonly Threshold[];
  /** What there is too little of, or was a moment ago; found out by the readings when absent. */
  readonly pressed?: ReadonlySet<EvictionSignal>;
  /** Extended resources that are handed out here; none when absent. */
  readonly devices?: { readonly capacity: Readonly<Record<string, string>>; readonly allocatable: Readonly<Record<string, string>> };
  /** Kept for the system, by resource; nothing when absent. */
  readonly reserved?: Readonly<Record<string, string>>;
}

/**
 * The status of this node in Kubernetes' words. `previous` gives the conditions their transition times, and pressures
 * their hysteresis. Pure.
 */
export function nodeStatus(input: NodeStatusInput, previous: NodeStatus | undefined): NodeStatus {
  const { readings, identity, thresholds = defaultThresholds, reserved = {} } = input;
  const capacity = {
    cpu: cpu(readings.cpuMillis),
    memory: kib(readings.memoryBytes),
    'ephemeral-storage': kib(readings.disk.totalBytes),
    pods: String(input.maxPods),
    ...hugePages(readings.hugePages),
    ...input.devices?.capacity,
  };
  const hugeBytes = Object.values(readings.hugePages).reduce((a, b) => a + b, 0);
  return {
    capacity,
    allocatable: {
      ...capacity,
      ...input.devices?.allocatable,
      cpu: cpu(Math.max(0, readings.cpuMillis - cpuMillis(reserved['cpu'] ?? '0'))),
      memory: kib(Math.max(0, readings.memoryBytes - keptBack(thresholds, 'memory.available', readings.memoryBytes) - quantityValue(reserved['memory'] ?? '0') - hugeBytes)),
      'ephemeral-storage': kib(Math.max(0, readings.disk.totalBytes - keptBack(thresholds, 'nodefs.available', readings.disk.totalBytes) - quantityValue(reserved['ephemeral-storage'] ?? '0'))),
    },
    addresses: [
      ...(readings.nodeIp === undefined ? [] : [{ type: 'InternalIP', address: readings.nodeIp }]),
      { type: 'Hostname', address: identity.hostname },
    ],
    nodeInfo: {
      machineID: identity.machineId, systemUUID: identity.systemUuid, bootID: identity.bootId,
      kernelVersion: identity.kernelVersion, osImage: identity.osImage, operatingSystem: 'linux', architecture: identity.architecture,
      containerRuntimeVersion: input.containerRuntimeVersion,
      kubeletVersion: kubernetesVersion(input.version), kubeProxyVersion: '',
    },
    ...(input.runtime && runtimeStatus(input.runtime)),
    ...(input.images.length > 0 && { images: input.images }),
    conditions: conditions(input, previous),
  };
}

/** What the runtime can do, by handler; the usual one, which has no name, first. */
export function runtimeStatus({ handlers, strictGroups = false }: Pick<RuntimeSetup, 'handlers' | 'strictGroups'>): Pick<NodeStatus, 'runtimeHandlers' | 'features'> {
  const all = handlers?.some(({ name }) => name === '') ? handlers : [{ name: '' }, ...handlers ?? []];
  const sorted = all.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  return {
    ...(handlers && { runtimeHandlers: sorted.map(({ name, recursiveReadOnly = false, userNamespaces = false }) => ({ name, features: { recursiveReadOnlyMounts: recursiveReadOnly, userNamespaces } })) }),
    features: { supplementalGroupsPolicy: strictGroups },
  };
}

const maxImages = 50;
const maxNames = 5;

/** The largest images, as the kubelet reports them: no more, and with no more names, than do the scheduler good. */
export function reportedImages(images: readonly { readonly names: readonly string[]; readonly sizeBytes: number }[]): NonNullable<NodeStatus['images']> {
  return images.filter(({ names }) => names.length > 0)
    .map(({ names, sizeBytes }) => ({ names: names.slice(0, maxNames), sizeBytes }))
    .sort((a, b) => b.sizeBytes - a.sizeBytes || (a.names.join() < b.names.join() ? -1 : 1)).slice(0, maxImages);
}

/** True when two statuses say the same apart from heartbeat times. */
export function sameStatus(a: NodeStatus, b: NodeStatus): boolean {
  const plain = (s: NodeStatus): string => JSON.stringify({ ...s, conditions: s.conditions?.map((c) => ({ ...c, lastHeartbeatTime: '' })) });
  return plain(a) === plain(b);
}

function conditions(input: NodeStatusInput, previous: NodeStatus | undefined): NodeCondition[] {
  const { readings } = input;
  const had = ({ signal }: Threshold): boolean => previous?.conditions?.some((c) => c.type === conditionOf[signal] && c.status === 'True') === true;
  const signals = input.pressed ?? new Set(crossed(input.thresholds ?? defaultThresholds, readings, had).map(({ signal }) => signal));
  const short = (type: PressureCondition): boolean => [...signals].some((signal) => conditionOf[signal] === type);
  const [memory, pid] = [short('MemoryPressure'), short('PIDPressure')];
  const inodes = signals.has('nodefs.inodesFree') || signals.has('imagefs.inodesFree');
  const reasons = readings.nodeIp === undefined ? ['this host has no address that others could reach; connect it or pass --node-ip', ...input.notReady] : input.notReady;

  const make = (type: string, status: boolean, reason: string, message: string): NodeCondition => {
    const old = previous?.conditions?.find((c) => c.type === type);
    const now = rfc3339(input.nowMs);
    const text = status ? 'True' : 'False';
    return { type, status: text, lastHeartbeatTime: now, lastTransitionTime: old?.status === text ? old.lastTransitionTime ?? now : now, reason, message };
  };
  return [
    memory ? make('MemoryPressure', true, 'KubeletHasInsufficientMemory', `${mib(readings.memoryAvailableBytes)} of memory are available`)
      : make('MemoryPressure', false, 'KubeletHasSufficientMemory', 'enough memory is available'),
    short('DiskPressure') ? make('DiskPressure', true, 'KubeletHasDiskPressure', inodes ? 'the disk is running out of inodes' : 'the disk is nearly full')
      : make('DiskPressure', false, 'KubeletHasNoDiskPressure', 'enough disk space is available'),
    pid ? make('PIDPressure', true, 'KubeletHasInsufficientPID', pidsText(readings.pids))
      : make('PIDPressure', false, 'KubeletHasSufficientPID', 'enough process ids are available'),
    reasons.length > 0 ? make('Ready', false, 'KubeletNotReady', reasons.join('; ')) : make('Ready', true, 'KubeletReady', 'pods can run here'),
  ];
}

function pidsText({ limit, used, pods }: HostReadings['pids']): string {
  const ofPods = pods && pods.limit - pods.used < limit - used ? ` and pods have ${String(pods.used)} of the ${String(pods.limit)} that they may have` : '';
  return `${String(used)} of ${String(limit)} process ids are used${ofPods}`;
}

function cpu(millis: number): string {
  return millis % 1000 === 0 ? String(millis / 1000) : `${String(millis)}m`;
}

function kib(bytes: number): string {
  return `${String(Math.floor(bytes / 1024))}Ki`;
}

function mib(bytes: number): string {
  // In steps of 16 MiB: a message that changes with every reading would be a change to report.
  return `less than ${String((Math.floor(bytes / (16 * 1024 ** 2)) + 1) * 16)} MiB`;
}

/** `hugepages-2Mi`, `hugepages-1Gi`, as Kubernetes names them. */
function hugePages(sizes: Readonly<Record<number, number>>): Record<string, string> {
  return Object.fromEntries(Object.entries(sizes).map(([size, bytes]) => {
    const k = Number(size);
    const name = k % 1024 ** 2 === 0 ? `${String(k / 1024 ** 2)}Gi` : k % 1024 === 0 ? `${String(k / 1024)}Mi` : `${String(k)}Ki`;
    return [`hugepages-${name}`, bytes === 0 ? '0' : kib(bytes)];
  }));
}

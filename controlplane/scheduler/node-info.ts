import type { Node, Taint } from '#api/gen/types.ts';
import { quantityValue } from '#api/meta/quantity.ts';
import { addResources, emptyResources, parseResources, type MutableResources } from './requests.ts';
import type { HostPort, NodeInfo, PodInfo, Resources } from './types.ts';

/** Pods leave out the registry that is meant when none is given; runtimes do not. */
function withShortNames(name: string): string[] {
  const prefix = ['docker.io/library/', 'docker.io/'].find((one) => name.startsWith(one));
  return prefix === undefined ? [name] : [name, name.slice(prefix.length)];
}

const noTaints: readonly Taint[] = Object.freeze([]);

/** The one mutable NodeInfo: kept current by the cache as nodes and pods change, at a cost of the change only. */
export class NodeRecord implements NodeInfo {
  readonly name: string;
  readonly pods = new Map<string, PodInfo>();
  readonly requested: MutableResources = emptyResources();
  scoredCpuMillis = 0;
  scoredMemoryBytes = 0;
  hostPorts: readonly HostPort[] = [];
  node: Node;
  labels: Readonly<Record<string, string>> = {};
  unschedulable = false;
  hardTaints: readonly Taint[] = noTaints;
  softTaints: readonly Taint[] = noTaints;
  allocatable: Resources = emptyResources();
  allocatablePods = 0;
  images: ReadonlyMap<string, number> = new Map();

  constructor(name: string) {
    this.name = name;
    this.node = { metadata: { name } };
  }

  /** A copy that may be changed without the original noticing. */
  static copyOf(from: NodeInfo): NodeRecord {
    const copy = new NodeRecord(from.name);
    copy.node = from.node;
    copy.labels = from.labels;
    copy.unschedulable = from.unschedulable;
    copy.hardTaints = from.hardTaints;
    copy.softTaints = from.softTaints;
    copy.allocatable = from.allocatable;
    copy.allocatablePods = from.allocatablePods;
    copy.images = from.images;
    copy.hostPorts = from.hostPorts;
    copy.scoredCpuMillis = from.scoredCpuMillis;
    copy.scoredMemoryBytes = from.scoredMemoryBytes;
    for (const [uid, pod] of from.pods) copy.pods.set(uid, pod);
    addResources(copy.requested, from.requested, 1);
    return copy;
  }

  /** The node as it would be with these pods on it too. */
  static with(from: NodeInfo, pods: readonly PodInfo[]): NodeInfo {
    const copy = NodeRecord.copyOf(from);
    for (const pod of pods) copy.addPod(pod);
    return copy;
  }

  /** The node as it would be without pods of lower priority. */
  static withoutLower(from: NodeInfo, priority: number): NodeInfo {
    const copy = NodeRecord.copyOf(from);
    for (const pod of from.pods.values()) if (pod.priority < priority) copy.removePod(pod.uid);
    return copy;
  }

  setNode(node: Node): void {
    this.node = node;
    this.labels = node.metadata?.labels ?? {};
    this.unschedulable = node.spec?.unschedulable === true;
    const taints = node.spec?.taints ?? noTaints;
    this.hardTaints = taints.length === 0 ? noTaints : taints.filter(({ effect }) => effect === 'NoSchedule' || effect === 'NoExecute');
    this.softTaints = taints.length === 0 ? noTaints : taints.filter(({ effect }) => effect === 'PreferNoSchedule');
    this.allocatable = parseResources(node.status?.allocatable);
    this.allocatablePods = quantityValue(node.status?.allocatable?.pods ?? '0');
    this.images = new Map((node.status?.images ?? []).flatMap(({ names, sizeBytes }) => (names ?? []).flatMap(withShortNames).map((name) => [name, sizeBytes ?? 0] as const)));
  }

  addPod(pod: PodInfo): void {
    this.pods.set(pod.uid, pod);
    this.#count(pod, 1);
    if (pod.hostPorts.length > 0) this.hostPorts = [...this.hostPorts, ...pod.hostPorts];
  }

  removePod(uid: string): void {
    const pod = this.pods.get(uid);
    if (!pod) return;
    this.pods.delete(uid);
    this.#count(pod, -1);
    if (pod.hostPorts.length > 0) this.hostPorts = this.hostPorts.filter((port) => !pod.hostPorts.includes(port));
  }

  #count(pod: PodInfo, sign: 1 | -1): void {
    addResources(this.requested, pod.requests, sign);
    this.scoredCpuMillis += sign * pod.scoredCpuMillis;
    this.scoredMemoryBytes += sign * pod.scoredMemoryBytes;
  }
}

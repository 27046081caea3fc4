import type { Node } from '#api/gen/types.ts';
import { quantityValue } from '#api/meta/quantity.ts';
import { addResources, emptyResources, parseResources, type MutableResources } from './requests.ts';
import type { HostPort, NodeInfo, PodInfo, Resources } from './types.ts';

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

  setNode(node: Node): void {
    this.node = node;
    this.labels = node.metadata?.labels ?? {};
    this.allocatable = parseResources(node.status?.allocatable);
    this.allocatablePods = quantityValue(node.status?.allocatable?.pods ?? '0');
    this.images = new Map((node.status?.images ?? []).flatMap(({ names, sizeBytes }) => (names ?? []).map((name) => [name, sizeBytes ?? 0] as const)));
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

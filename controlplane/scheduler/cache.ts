import type { Node } from '#api/gen/types.ts';
import { imagePlatformsAnnotation, pulledPlatformsAnnotation } from '#api/images/platforms.ts';
import type { Namespace } from '#api/gen/types.ts';
import { equal } from '#api/meta/equal.ts';
import { systemClock, type Clock } from '#common/clock.ts';
import type { Lister } from '../cache/types.ts';
import { ClassIndex } from './class-index.ts';
import { ImagePlatforms } from './image-platforms.ts';
import { NodeRecord } from './node-info.ts';
import type { ClusterEventType, NodeInfo, PodClass, PodInfo, Snapshot } from './types.ts';

interface Placed {
  pod: PodInfo;
  readonly node: NodeRecord;
  readonly podClass: PodClass;
  /** True until the informer shows the pod on its node. */
  assumed: boolean;
}

export interface CacheDeps {
  readonly clock?: Pick<Clock, 'monotonic' | 'now'>;
  readonly namespaces: Pick<Lister<Namespace>, 'get'>;
  /** 0 to 1. */
  readonly random: () => number;
}

/**
 * What is on which node: confirmed by the informer, or assumed by a cycle whose binding is under way. Every
 * change costs what the change costs, whatever the size of the cluster. It is its own Snapshot, because a
 * cycle is synchronous.
 */
export class SchedulerCache implements Snapshot {
  readonly #deps: CacheDeps;
  readonly #records = new Map<string, NodeRecord>();
  /** Nodes that exist, in random order, so that a run of neighbours is a fair sample of the cluster. */
  readonly #nodes: NodeRecord[] = [];
  readonly #positions = new Map<NodeRecord, number>();
  readonly #placed = new Map<string, Placed>();
  readonly #classes = new ClassIndex();
  readonly #imageCounts = new Map<string, number>();
  readonly #labelCounts = new Map<string, number>();
  /** Pods by `namespace/claim`. */
  readonly #claimCounts = new Map<string, number>();
  #nodesVersion = 0;
  #unschedulable = 0;
  #tainted = 0;
  #softTainted = 0;

  readonly images: ImagePlatforms;

  constructor(deps: CacheDeps) {
    this.#deps = deps;
    this.images = new ImagePlatforms(deps.clock ?? systemClock);
  }

  get nodes(): readonly NodeInfo[] { return this.#nodes; }
  get nodesVersion(): number { return this.#nodesVersion; }
  get unschedulableNodes(): number { return this.#unschedulable; }
  get taintedNodes(): number { return this.#tainted; }
  get softTaintedNodes(): number { return this.#softTainted; }
  node(name: string): NodeInfo | undefined { const record = this.#records.get(name); return record && this.#positions.has(record) ? record : undefined; }
  classes(): Iterable<PodClass> { return this.#classes.all(); }
  classesIn(namespace: string): Iterable<PodClass> { return this.#classes.in(namespace); }
  classesOf(ownerUid: string): Iterable<PodClass> { return this.#classes.of(ownerUid); }
  classesWithAffinity(): Iterable<PodClass> { return this.#classes.withAffinity(); }
  nodesWithImage(image: string): number { return this.#imageCounts.get(image) ?? 0; }
  podsWithClaim(namespace: string, claimName: string): number { return this.#claimCounts.get(`${namespace}/${claimName}`) ?? 0; }
  hasLabelKey(key: string): boolean { return this.#labelCounts.has(key); }
  namespaceLabels(namespace: string): Readonly<Record<string, string>> | undefined { return this.#deps.namespaces.get(undefined, namespace)?.metadata?.labels; }

  /** Adds or updates a node; says what about it changed. */
  setNode(node: Node): ClusterEventType[] {
    const record = this.#recordOf(node.metadata?.name ?? '');
    const known = this.#positions.has(record);
    const old = record.node;
    this.#tally(record, -1);
    record.setNode(node);
    this.images.setNode(record.name, node);
    this.#tally(record, 1);
    const changes = known ? nodeChanges(old, node) : ['node-added' as const];
    if (changes.some((change) => change !== 'node-allocatable-changed' && change !== 'node-images-changed')) this.#nodesVersion++;
    if (record.pods.size > 0 && !equal(old.metadata?.labels, node.metadata?.labels)) this.#classes.forgetDomains();
    if (!known) this.#insert(record);
    return changes;
  }

  /** The node is gone; pods that are still on it stay counted until they are gone too. */
  removeNode(name: string): void {
    const record = this.#records.get(name);
    const position = record && this.#positions.get(record);
    if (!record || position === undefined) return;
    this.#tally(record, -1);
    record.setNode({ metadata: { name } });
    this.images.setNode(name, record.node);
    this.#nodesVersion++;
    this.#classes.forgetDomains();
    const last = this.#nodes.pop();
    if (last && last !== record) this.#place(last, position);
    this.#positions.delete(record);
    this.#forgetEmpty(record);
  }

  /** What the informer says about a pod on a node; confirms an assumed pod. */
  setPod(pod: PodInfo, nodeName: string): void {
    this.removePod(pod.uid);
    this.#add(pod, nodeName, false);
  }

  removePod(uid: string): boolean {
    const placed = this.#placed.get(uid);
    if (!placed) return false;
    this.#placed.delete(uid);
    placed.node.removePod(uid);
    for (const name of placed.pod.claimNames) count(this.#claimCounts, `${placed.pod.namespace}/${name}`, -1);
    this.#classes.remove(placed.podClass, placed.node);
    this.#forgetEmpty(placed.node);
    return true;
  }

  /** Counts the pod on the node before the API knows; `forget` undoes it. */
  assume(pod: PodInfo, nodeName: string): void {
    this.#add(pod, nodeName, true);
  }

  /** Takes an assumed pod off its node again. False when it is not assumed (any more). */
  forget(uid: string): boolean {
    return this.isAssumed(uid) && this.removePod(uid);
  }

  isAssumed(uid: string): boolean {
    return this.#placed.get(uid)?.assumed ?? false;
  }

  /** The pod as it is counted, if it is. */
  pod(uid: string): PodInfo | undefined {
    return this.#placed.get(uid)?.pod;
  }

  /** The node that the pod is counted on. */
  nodeOf(uid: string): NodeInfo | undefined {
    return this.#placed.get(uid)?.node;
  }

  #add(pod: PodInfo, nodeName: string, assumed: boolean): void {
    const node = this.#recordOf(nodeName);
    node.addPod(pod);
    for (const name of pod.claimNames) count(this.#claimCounts, `${pod.namespace}/${name}`, 1);
    this.#placed.set(pod.uid, { pod, node, podClass: this.#classes.add(pod, node), assumed });
  }

  #recordOf(name: string): NodeRecord {
    let record = this.#records.get(name);
    if (!record) {
      record = new NodeRecord(name);
      this.#records.set(name, record);
    }
    return record;
  }

  #forgetEmpty(record: NodeRecord): void {
    if (record.pods.size === 0 && !this.#positions.has(record)) this.#records.delete(record.name);
  }

  #insert(record: NodeRecord): void {
    const position = Math.floor(this.#deps.random() * (this.#nodes.length + 1));
    const displaced = this.#nodes[position];
    if (displaced) this.#place(displaced, this.#nodes.length);
    this.#place(record, position);
  }

  #place(record: NodeRecord, position: number): void {
    this.#nodes[position] = record;
    this.#positions.set(record, position);
  }

  #tally(record: NodeRecord, by: 1 | -1): void {
    if (record.unschedulable) this.#unschedulable += by;
    if (record.hardTaints.length > 0) this.#tainted += by;
    if (record.softTaints.length > 0) this.#softTainted += by;
    for (const image of record.images.keys()) count(this.#imageCounts, image, by);
    for (const key of Object.keys(record.labels)) count(this.#labelCounts, key, by);
  }
}

function count(counts: Map<string, number>, key: string, by: 1 | -1): void {
  const left = (counts.get(key) ?? 0) + by;
  if (left === 0) counts.delete(key);
  else counts.set(key, left);
}

function nodeChanges(old: Node, now: Node): ClusterEventType[] {
  const events: ClusterEventType[] = [];
  if (!equal(old.status?.allocatable, now.status?.allocatable)) events.push('node-allocatable-changed');
  if (!equal(old.metadata?.labels, now.metadata?.labels)) events.push('node-labels-changed');
  if (!equal(old.spec?.taints, now.spec?.taints) || old.spec?.unschedulable !== now.spec?.unschedulable) events.push('node-taints-changed');
  if ([imagePlatformsAnnotation, pulledPlatformsAnnotation].some((key) => old.metadata?.annotations?.[key] !== now.metadata?.annotations?.[key])) events.push('node-images-changed');
  return events;
}

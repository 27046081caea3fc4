import type { DomainCounts, NodeInfo, PodClass, PodInfo } from './types.ts';

interface MutableCounts extends DomainCounts {
  readonly byValue: Map<string, number>;
  total: number;
}

/** A class with, by topology key, its pods in each domain: counted when first asked for, and kept current from then on. */
class MutableClass implements PodClass {
  readonly key: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly ownerUid: string;
  readonly terminating: boolean;
  readonly affinity: PodClass['affinity'];
  readonly antiAffinity: PodClass['antiAffinity'];
  readonly nodes = new Map<NodeInfo, number>();
  readonly #domains = new Map<string, MutableCounts>();

  constructor(key: string, pod: PodInfo) {
    this.key = key;
    this.namespace = pod.namespace;
    this.labels = pod.labels;
    this.ownerUid = pod.ownerUid;
    this.terminating = isTerminating(pod);
    this.affinity = pod.affinity;
    this.antiAffinity = pod.antiAffinity;
  }

  domains(topologyKey: string): DomainCounts {
    let counts = this.#domains.get(topologyKey);
    if (!counts) {
      counts = { byValue: new Map(), total: 0 };
      for (const [node, pods] of this.nodes) count(counts, node.labels[topologyKey], pods);
      this.#domains.set(topologyKey, counts);
    }
    return counts;
  }

  /** Counts one pod more, or less, on the node. */
  move(node: NodeInfo, sign: 1 | -1): void {
    const left = (this.nodes.get(node) ?? 0) + sign;
    if (left > 0) this.nodes.set(node, left);
    else this.nodes.delete(node);
    for (const [topologyKey, counts] of this.#domains) count(counts, node.labels[topologyKey], sign);
  }

  /** Labels of nodes have changed. */
  forgetDomains(): void {
    this.#domains.clear();
  }
}

function count(counts: MutableCounts, value: string | undefined, pods: number): void {
  if (value === undefined) return;
  const left = (counts.byValue.get(value) ?? 0) + pods;
  if (left === 0) counts.byValue.delete(value);
  else counts.byValue.set(value, left);
  counts.total += pods;
}

/** Counts pods per node by class, and finds classes by namespace, by owner and by having affinity terms. */
export class ClassIndex {
  readonly #byKey = new Map<string, MutableClass>();
  readonly #byNamespace = new Map<string, Set<MutableClass>>();
  readonly #byOwner = new Map<string, Set<MutableClass>>();
  readonly #withAffinity = new Set<MutableClass>();

  all(): Iterable<PodClass> { return this.#byKey.values(); }
  in(namespace: string): Iterable<PodClass> { return this.#byNamespace.get(namespace) ?? []; }
  of(ownerUid: string): Iterable<PodClass> { return this.#byOwner.get(ownerUid) ?? []; }
  withAffinity(): Iterable<PodClass> { return this.#withAffinity; }

  /** To be called when labels of a node with pods change. */
  forgetDomains(): void {
    for (const one of this.#byKey.values()) one.forgetDomains();
  }

  /** Counts the pod on the node; what is returned takes it off again through `remove`. */
  add(pod: PodInfo, node: NodeInfo): PodClass {
    const key = classKey(pod);
    let found = this.#byKey.get(key);
    if (!found) {
      found = new MutableClass(key, pod);
      this.#byKey.set(key, found);
      addTo(this.#byNamespace, found.namespace, found);
      if (found.ownerUid !== '') addTo(this.#byOwner, found.ownerUid, found);
      if (hasTerms(found)) this.#withAffinity.add(found);
    }
    found.move(node, 1);
    return found;
  }

  remove(podClass: PodClass, node: NodeInfo): void {
    const found = podClass as MutableClass;
    found.move(node, -1);
    if (found.nodes.size > 0) return;
    this.#byKey.delete(found.key);
    removeFrom(this.#byNamespace, found.namespace, found);
    removeFrom(this.#byOwner, found.ownerUid, found);
    this.#withAffinity.delete(found);
  }
}

function classKey(pod: PodInfo): string {
  const { podAffinity, podAntiAffinity } = pod.pod.spec?.affinity ?? {};
  return JSON.stringify([pod.namespace, pod.ownerUid, isTerminating(pod), pod.labels, podAffinity, podAntiAffinity]);
}

function isTerminating(pod: PodInfo): boolean {
  return pod.pod.metadata?.deletionTimestamp !== undefined;
}

function hasTerms({ affinity, antiAffinity }: PodClass): boolean {
  return affinity.required.length + affinity.preferred.length + antiAffinity.required.length + antiAffinity.preferred.length > 0;
}

function addTo<V>(index: Map<string, Set<V>>, key: string, value: V): void {
  const set = index.get(key);
  if (set) set.add(value);
  else index.set(key, new Set([value]));
}

function removeFrom<V>(index: Map<string, Set<V>>, key: string, value: V): void {
  const set = index.get(key);
  if (set?.delete(value) && set.size === 0) index.delete(key);
}

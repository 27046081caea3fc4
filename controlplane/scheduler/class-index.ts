import type { NodeInfo, PodClass, PodInfo } from './types.ts';

interface MutableClass extends PodClass {
  readonly key: string;
  readonly nodes: Map<NodeInfo, number>;
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

  /** Counts the pod on the node; what is returned takes it off again through `remove`. */
  add(pod: PodInfo, node: NodeInfo): PodClass {
    const key = classKey(pod);
    let found = this.#byKey.get(key);
    if (!found) {
      found = newClass(key, pod);
      this.#byKey.set(key, found);
      addTo(this.#byNamespace, found.namespace, found);
      if (found.ownerUid !== '') addTo(this.#byOwner, found.ownerUid, found);
      if (hasTerms(found)) this.#withAffinity.add(found);
    }
    found.nodes.set(node, (found.nodes.get(node) ?? 0) + 1);
    return found;
  }

  remove(podClass: PodClass, node: NodeInfo): void {
    const found = podClass as MutableClass;
    const left = (found.nodes.get(node) ?? 0) - 1;
    if (left > 0) { found.nodes.set(node, left); return; }
    found.nodes.delete(node);
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

function newClass(key: string, pod: PodInfo): MutableClass {
  return {
    key, namespace: pod.namespace, labels: pod.labels, ownerUid: pod.ownerUid, terminating: isTerminating(pod),
    affinity: pod.affinity, antiAffinity: pod.antiAffinity, nodes: new Map(),
  };
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

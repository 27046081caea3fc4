import { matchesLabels } from '#api/meta/selectors.ts';
import type { AffinityTerm, DomainCounts, NodeInfo, PodClass, Snapshot } from '../../types.ts';

/** What a term looks at: a pod, or a class of pods. */
export interface Selected {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

export function matchesTerm(term: AffinityTerm, of: Selected, snapshot: Snapshot): boolean {
  const inNamespace = term.namespaces.has(of.namespace)
    || (term.namespaceSelector !== undefined && matchesLabels(term.namespaceSelector, snapshot.namespaceLabels(of.namespace)));
  return inNamespace && matchesLabels(term.selector, of.labels);
}

/** The classes that a term can match, by namespace. */
export function* classesFor(terms: readonly AffinityTerm[], snapshot: Snapshot): Iterable<PodClass> {
  if (terms.some((term) => term.namespaceSelector !== undefined)) { yield* snapshot.classes(); return; }
  for (const namespace of new Set(terms.flatMap((term) => [...term.namespaces]))) yield* snapshot.classesIn(namespace);
}

/** Above this many classes under one key, their counts are added up once instead of at every look. */
const maxParts = 4;

interface Part { readonly counts: DomainCounts; readonly weight: number }

interface KeyTally {
  parts: Part[];
  readonly sums: Map<string, number>;
  /** Of everything, by which an empty tally is known. */
  total: number;
}

/** A number for each value of each topology key. Classes are counted by reference: adding one costs the same on any number of nodes. */
export class TopologyTally {
  readonly #byKey = new Map<string, KeyTally>();

  /** True when nothing was counted anywhere; for weights of one sign. */
  get isEmpty(): boolean {
    for (const { total } of this.#byKey.values()) if (total !== 0) return false;
    return true;
  }

  /** True when nothing was ever added. */
  get isUntouched(): boolean { return this.#byKey.size === 0; }

  get(key: string, node: NodeInfo): number {
    const value = node.labels[key];
    const tally = this.#byKey.get(key);
    return value === undefined || tally === undefined ? 0 : numberAt(tally, value);
  }

  /** Adds `weight` for every pod of the class, in the domain of the node it is on. */
  add(key: string, podClass: PodClass, weight: number): void {
    const counts = podClass.domains(key);
    if (counts.total === 0) return;
    const tally = this.#at(key);
    tally.total += weight * counts.total;
    tally.parts.push({ counts, weight });
    if (tally.parts.length <= maxParts) return;
    for (const part of tally.parts) for (const [value, pods] of part.counts.byValue) addTo(tally.sums, value, part.weight * pods);
    tally.parts = [];
  }

  /** Adds for one pod on the node. */
  addOne(key: string, node: NodeInfo, weight: number): void {
    const value = node.labels[key];
    if (value === undefined) return;
    const tally = this.#at(key);
    tally.total += weight;
    addTo(tally.sums, value, weight);
  }

  /** Some key has a domain with a number above zero on this node. */
  isPositiveAnywhere(node: NodeInfo): boolean {
    for (const [key, tally] of this.#byKey) {
      const value = node.labels[key];
      if (value !== undefined && numberAt(tally, value) > 0) return true;
    }
    return false;
  }

  /** Sum over all keys for one node. */
  total(node: NodeInfo): number {
    let total = 0;
    for (const [key, tally] of this.#byKey) {
      const value = node.labels[key];
      if (value !== undefined) total += numberAt(tally, value);
    }
    return total;
  }

  #at(key: string): KeyTally {
    let tally = this.#byKey.get(key);
    if (!tally) {
      tally = { parts: [], sums: new Map(), total: 0 };
      this.#byKey.set(key, tally);
    }
    return tally;
  }
}

function numberAt({ parts, sums }: KeyTally, value: string): number {
  let number = sums.get(value) ?? 0;
  for (const { counts, weight } of parts) number += weight * (counts.byValue.get(value) ?? 0);
  return number;
}

function addTo(sums: Map<string, number>, value: string, amount: number): void {
  sums.set(value, (sums.get(value) ?? 0) + amount);
}

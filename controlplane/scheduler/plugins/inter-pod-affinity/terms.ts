import { matchesLabels } from '#api/meta/selectors.ts';
import type { AffinityTerm, NodeInfo, PodClass, Snapshot } from '../../types.ts';

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

/** A number for each value of each topology key. */
export class TopologyTally {
  readonly #byKey = new Map<string, Map<string, number>>();

  get isEmpty(): boolean { return this.#byKey.size === 0; }

  get(key: string, node: NodeInfo): number {
    const value = node.labels[key];
    return value === undefined ? 0 : this.#byKey.get(key)?.get(value) ?? 0;
  }

  /** Adds `weight` for every pod of the class, in the domain of the node it is on. */
  add(key: string, podClass: PodClass, weight: number): void {
    for (const [node, pods] of podClass.nodes) {
      const value = node.labels[key];
      if (value === undefined) continue;
      let values = this.#byKey.get(key);
      if (!values) {
        values = new Map();
        this.#byKey.set(key, values);
      }
      values.set(value, (values.get(value) ?? 0) + weight * pods);
    }
  }

  /** Sum over all keys for one node. */
  total(node: NodeInfo): number {
    let total = 0;
    for (const [key, values] of this.#byKey) {
      const value = node.labels[key];
      if (value !== undefined) total += values.get(value) ?? 0;
    }
    return total;
  }
}

import { fenceOf } from '#api/disconnect/policy.ts';
import type { Node, Pod } from '#api/gen/types.ts';

/** Remembers which pods each fence found on its node. */
export class Fences {
  readonly #fences = new Map<string, { readonly id: string; readonly pods: ReadonlySet<string> }>();

  /** A fence was there when the node was last looked at. */
  has(name: string): boolean { return this.#fences.has(name); }

  forget(name: string): void { this.#fences.delete(name); }

  /** Uids of the pods that were bound when the node's present fence was first seen; `found` is called then. */
  podsOf(node: Node, bound: readonly Pod[], found: (fence: string) => void): ReadonlySet<string> {
    const name = node.metadata?.name ?? '';
    const id = fenceOf(node);
    const known = this.#fences.get(name);
    if (known && known.id === id) return known.pods;
    this.#fences.delete(name);
    if (id === undefined) return new Set();
    found(id);
    const pods = new Set(bound.map((pod) => pod.metadata?.uid ?? ''));
    this.#fences.set(name, { id, pods });
    return pods;
  }
}

import type { PodInfo } from './types.ts';

/** Which node each waiting pod has had room made on. Others count such pods as if they were there. */
export class Nominator {
  readonly #byUid = new Map<string, { readonly pod: PodInfo; readonly nodeName: string }>();
  readonly #byNode = new Map<string, Map<string, PodInfo>>();

  get size(): number { return this.#byUid.size; }

  set(pod: PodInfo, nodeName: string): void {
    this.delete(pod.uid);
    this.#byUid.set(pod.uid, { pod, nodeName });
    const onNode = this.#byNode.get(nodeName);
    if (onNode) onNode.set(pod.uid, pod);
    else this.#byNode.set(nodeName, new Map([[pod.uid, pod]]));
  }

  /** False when there was no nomination. */
  delete(uid: string): boolean {
    const known = this.#byUid.get(uid);
    if (!known) return false;
    this.#byUid.delete(uid);
    const onNode = this.#byNode.get(known.nodeName);
    if (onNode?.delete(uid) && onNode.size === 0) this.#byNode.delete(known.nodeName);
    return true;
  }

  nodeOf(uid: string): string | undefined {
    return this.#byUid.get(uid)?.nodeName;
  }

  /** Pods nominated to the node that `pod` must leave room for: others of at least its priority. */
  before(pod: PodInfo, nodeName: string): readonly PodInfo[] {
    const onNode = this.#byNode.get(nodeName);
    return onNode === undefined ? [] : [...onNode.values()].filter((other) => other.uid !== pod.uid && other.priority >= pod.priority);
  }

  /** Pods nominated to the node that give way to `pod`. */
  after(pod: PodInfo, nodeName: string): readonly PodInfo[] {
    return [...this.#byNode.get(nodeName)?.values() ?? []].filter((other) => other.priority < pod.priority);
  }
}

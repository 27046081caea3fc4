import { NodeRecord } from './node-info.ts';
import type { Nominator } from './nominator.ts';
import type { CycleState, NodeInfo, Plugin, PodInfo, Rejection, Snapshot, Trial } from './types.ts';

export type FilterPlugin = Plugin & Required<Pick<Plugin, 'filter'>>;

export interface Refusal {
  readonly plugin: string;
  readonly rejection: Rejection;
}

export interface NodeFilterDeps {
  /** Those that have something to say about this pod. */
  readonly filters: readonly FilterPlugin[];
  readonly pod: PodInfo;
  readonly snapshot: Snapshot;
  readonly state: CycleState;
  readonly nominator: Nominator;
}

/** Asks the Filter plugins of one cycle about nodes: as they are, with nominated pods on them, and as if. */
export class NodeFilter {
  readonly #deps: NodeFilterDeps;
  readonly #counting: readonly Plugin[];

  constructor(deps: NodeFilterDeps) {
    this.#deps = deps;
    this.#counting = deps.filters.filter((plugin) => plugin.addPod !== undefined || plugin.removePod !== undefined);
  }

  /**
   * Why the pod does not fit. It must fit beside the pods nominated to the node, because they are about to come, and
   * without them, because they may not: another's affinity must not rest on them.
   */
  check(node: NodeInfo): Refusal | undefined {
    const { nominator, pod } = this.#deps;
    if (nominator.size > 0) {
      const nominated = nominator.before(pod, node.name);
      if (nominated.length > 0) {
        const refusal = this.#as(node, (trial) => {
          for (const other of nominated) trial.add(other);
          return trial.run();
        });
        if (refusal) return refusal;
      }
    }
    return this.#run(node);
  }

  tryOn<T>(node: NodeInfo, work: (trial: Trial) => T): T {
    return this.#as(node, work);
  }

  #as<T>(node: NodeInfo, work: (trial: NodeTrial) => T): T {
    const trial = new NodeTrial({ ...this.#deps, counting: this.#counting, check: (copy) => this.check(copy), run: (copy) => this.#run(copy) }, node);
    try {
      return work(trial);
    } finally {
      trial.undo();
    }
  }

  #run(node: NodeInfo): Refusal | undefined {
    const { filters, pod, state } = this.#deps;
    for (const plugin of filters) {
      const rejection = plugin.filter(pod, node, state);
      if (rejection) return { plugin: plugin.name, rejection };
    }
    return undefined;
  }
}

interface TrialDeps {
  readonly pod: PodInfo;
  readonly snapshot: Snapshot;
  readonly state: CycleState;
  readonly counting: readonly Plugin[];
  readonly check: (node: NodeInfo) => Refusal | undefined;
  readonly run: (node: NodeInfo) => Refusal | undefined;
}

/** A copy of the node, and the cycle's state moved along with it. */
class NodeTrial implements Trial {
  readonly node: NodeRecord;
  readonly #deps: TrialDeps;
  /** What was put on, and what was taken off, against the real node. */
  readonly #changed = new Map<PodInfo, 1 | -1>();

  constructor(deps: TrialDeps, node: NodeInfo) {
    this.#deps = deps;
    this.node = NodeRecord.copyOf(node);
  }

  add(pod: PodInfo): void {
    this.node.addPod(pod);
    this.#count(pod, 1);
  }

  remove(pod: PodInfo): void {
    this.node.removePod(pod.uid);
    this.#count(pod, -1);
  }

  check(): Rejection | undefined {
    return this.#deps.check(this.node)?.rejection;
  }

  /** As `check`, without the pods nominated to the node. */
  run(): Refusal | undefined {
    return this.#deps.run(this.node);
  }

  undo(): void {
    for (const [pod, sign] of this.#changed) this.#move(pod, sign === 1 ? -1 : 1);
    this.#changed.clear();
  }

  #count(pod: PodInfo, sign: 1 | -1): void {
    this.#move(pod, sign);
    if (this.#changed.get(pod) === (sign === 1 ? -1 : 1)) this.#changed.delete(pod);
    else this.#changed.set(pod, sign);
  }

  #move(other: PodInfo, sign: 1 | -1): void {
    const { counting, pod, snapshot, state } = this.#deps;
    for (const plugin of counting) {
      if (sign === 1) plugin.addPod?.(pod, other, this.node, state, snapshot);
      else plugin.removePod?.(pod, other, this.node, state, snapshot);
    }
  }
}

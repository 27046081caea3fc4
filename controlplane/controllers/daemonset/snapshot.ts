import type { DaemonSet, Node, Pod } from '#api/gen/types.ts';
import { isTerminal, isTerminating } from '../pod-state.ts';
import { revisionLabel } from '../revision-history.ts';
import { generationLabel, targetNode, templateGeneration } from './nodes.ts';

export interface DaemonSnapshot {
  readonly daemonSet: DaemonSet;
  readonly nodes: readonly Node[];
  /** Those it controls, ending and ended ones included. */
  readonly pods: readonly Pod[];
  /** Of the current revision. */
  readonly hash: string;
  readonly nowMs: number;
  /** Most pods made or removed in one step. */
  readonly burst: number;
  /** How long a pod that failed on this node is left alone, in milliseconds. */
  readonly failureDelayMs: (nodeName: string) => number;
}

/** By the node that each is on or meant for; what has ended and is ending too is as good as gone. */
export function podsByNode({ pods }: DaemonSnapshot): Map<string, Pod[]> {
  const byNode = new Map<string, Pod[]>();
  for (const pod of pods) {
    const name = targetNode(pod);
    if (name === undefined || (isTerminal(pod) && isTerminating(pod))) continue;
    byNode.set(name, [...byNode.get(name) ?? [], pod]);
  }
  return byNode;
}

/** On a node before waiting for one, then oldest first. */
export function byAge(a: Pod, b: Pod): number {
  const rank = ({ spec, metadata }: Pod): string => `${spec?.nodeName ? 0 : 1} ${metadata?.creationTimestamp ?? ''} ${metadata?.name ?? ''}`;
  return rank(a) < rank(b) ? -1 : 1;
}

export function minReadySeconds(daemonSet: DaemonSet): number {
  return daemonSet.spec?.minReadySeconds ?? 0;
}

export function isUpdated({ daemonSet, hash }: Pick<DaemonSnapshot, 'daemonSet' | 'hash'>, { metadata }: Pod): boolean {
  const generation = templateGeneration(daemonSet);
  return metadata?.labels?.[revisionLabel] === hash || (generation !== undefined && metadata?.labels?.[generationLabel] === generation);
}

import type { NodeInfo, Plugin, PodInfo, Rejection } from '../../types.ts';
import { maxScore } from '../../scores.ts';

/** The node has room for what the pod requests; the emptier the node, the better (LeastAllocated). */
export function nodeResourcesFit(): Plugin {
  return {
    name: 'NodeResourcesFit',
    events: ['node-added', 'node-allocatable-changed', 'assigned-pod-deleted'],
    filter(pod, node) {
      const short = shortages(pod, node);
      return short === undefined ? undefined : rejection(short, pod, node);
    },
    score: (pod, node) => (free(node.allocatable.cpuMillis, node.scoredCpuMillis + pod.scoredCpuMillis)
      + free(node.allocatable.memoryBytes, node.scoredMemoryBytes + pod.scoredMemoryBytes)) / 2,
  };
}

function free(capacity: number, used: number): number {
  return capacity <= 0 || used > capacity ? 0 : ((capacity - used) * maxScore) / capacity;
}

/** Undefined, the usual case, costs no allocation. */
function shortages({ requests }: PodInfo, node: NodeInfo): string[] | undefined {
  let short: string[] | undefined;
  const { allocatable, requested } = node;
  if (node.pods.size + 1 > node.allocatablePods) short = [tooManyPods];
  if (exceeds(requests.cpuMillis, allocatable.cpuMillis, requested.cpuMillis)) (short ??= []).push('Insufficient cpu');
  if (exceeds(requests.memoryBytes, allocatable.memoryBytes, requested.memoryBytes)) (short ??= []).push('Insufficient memory');
  if (exceeds(requests.ephemeralBytes, allocatable.ephemeralBytes, requested.ephemeralBytes)) (short ??= []).push('Insufficient ephemeral-storage');
  for (const [name, amount] of requests.scalars) {
    if (exceeds(amount, allocatable.scalars.get(name) ?? 0, requested.scalars.get(name) ?? 0)) (short ??= []).push(`Insufficient ${name}`);
  }
  return short;
}

const tooManyPods = 'Too many pods';

function exceeds(request: number, allocatable: number, requested: number): boolean {
  return request > 0 && request > allocatable - requested;
}

/** Removing pods helps only where the node would be large enough when empty. */
function rejection(reasons: string[], { requests }: PodInfo, { allocatable, allocatablePods }: NodeInfo): Rejection {
  const fitsEmpty = allocatablePods > 0 && requests.cpuMillis <= allocatable.cpuMillis && requests.memoryBytes <= allocatable.memoryBytes
    && requests.ephemeralBytes <= allocatable.ephemeralBytes
    && [...requests.scalars].every(([name, amount]) => amount <= (allocatable.scalars.get(name) ?? 0));
  return { reasons, resolvable: fitsEmpty };
}

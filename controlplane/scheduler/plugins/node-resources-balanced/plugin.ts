import type { NodeInfo, Plugin, PodInfo } from '../../types.ts';
import { maxScore } from '../../scores.ts';

/** Prefers nodes whose CPU and memory would be used in like proportion, so that neither is left stranded. */
export function nodeResourcesBalanced(): Plugin {
  return {
    name: 'NodeResourcesBalancedAllocation',
    events: [],
    preScore: ({ requests }) => (requests.cpuMillis === 0 && requests.memoryBytes === 0 ? 'skip' : undefined),
    score: (pod, node) => maxScore * (1 - imbalance(pod, node)),
  };
}

/** Standard deviation of the two fractions. */
function imbalance({ requests }: PodInfo, { requested, allocatable }: NodeInfo): number {
  const cpu = fraction(requested.cpuMillis + requests.cpuMillis, allocatable.cpuMillis);
  const memory = fraction(requested.memoryBytes + requests.memoryBytes, allocatable.memoryBytes);
  return Math.abs(cpu - memory) / 2;
}

function fraction(used: number, capacity: number): number {
  return capacity <= 0 ? 1 : Math.min(1, used / capacity);
}

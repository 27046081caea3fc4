import type { Pod } from '#api/gen/types.ts';
import { isActive, isReady, readySinceMs } from './pod-state.ts';

const deletionCostAnnotation = 'controller.kubernetes.io/pod-deletion-cost';

/**
 * `count` pods whose loss hurts least, in Kubernetes' order: not assigned to a node; pending before unknown
 * before running; not ready; lower deletion cost; on the node with most siblings; ready for a shorter time;
 * more restarts; younger. Times compare by powers of two, so that pods of about the same age are equals.
 * `siblings` are the pods of all ReplicaSets of the same owner: they say how crowded a node is.
 */
export function podsToDelete(pods: readonly Pod[], siblings: readonly Pod[], count: number, nowMs: number): Pod[] {
  if (count >= pods.length) return [...pods];
  const crowd = new Map<string, number>();
  for (const pod of siblings) {
    const node = pod.spec?.nodeName;
    if (node && isActive(pod)) crowd.set(node, (crowd.get(node) ?? 0) + 1);
  }
  return pods.map((pod) => ({ pod, rank: rankOf(pod, crowd, nowMs) }))
    .sort((a, b) => compareRanks(a.rank, b.rank) || ((a.pod.metadata?.uid ?? '') < (b.pod.metadata?.uid ?? '') ? -1 : 1))
    .slice(0, count).map(({ pod }) => pod);
}

/** Lower numbers go first. */
function rankOf(pod: Pod, crowd: ReadonlyMap<string, number>, nowMs: number): number[] {
  const ready = isReady(pod);
  const phases: Readonly<Record<string, number>> = { Pending: 0, Unknown: 1, Running: 2 };
  return [
    pod.spec?.nodeName ? 1 : 0,
    phases[pod.status?.phase ?? 'Pending'] ?? 1,
    ready ? 1 : 0,
    deletionCost(pod),
    -(crowd.get(pod.spec?.nodeName ?? '') ?? 0),
    ready ? magnitude(readySinceMs(pod), nowMs) : 0,
    -Math.max(0, ...(pod.status?.containerStatuses ?? []).map((container) => container.restartCount)),
    magnitude(Date.parse(pod.metadata?.creationTimestamp ?? ''), nowMs),
  ];
}

function compareRanks(a: readonly number[], b: readonly number[]): number {
  for (const [i, value] of a.entries()) {
    const difference = value - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function deletionCost(pod: Pod): number {
  const text = pod.metadata?.annotations?.[deletionCostAnnotation] ?? '0';
  return /^-?\d{1,10}$/.test(text) ? Number(text) : 0;
}

/** Age as a power of two of seconds; unknown counts as just now. */
function magnitude(sinceMs: number | undefined, nowMs: number): number {
  const seconds = sinceMs === undefined || Number.isNaN(sinceMs) ? 0 : Math.max(0, (nowMs - sinceMs) / 1000);
  return Math.floor(Math.log2(seconds + 1));
}

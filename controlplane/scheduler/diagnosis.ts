import type { Rejection } from './types.ts';

/** `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) ...`: every reason with its count, sorted as text. */
export function unavailable(nodeCount: number, rejections: Iterable<Rejection>): string {
  const counts = new Map<string, number>();
  for (const { reasons } of rejections) {
    for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  const parts = [...counts].map(([reason, count]) => `${String(count)} ${reason}`).sort();
  return `0/${String(nodeCount)} nodes are available: ${parts.join(', ')}`;
}

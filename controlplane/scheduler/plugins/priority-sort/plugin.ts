import type { Plugin } from '../../types.ts';

/** Pods of higher priority go first, and among equals those that became ready first. */
export function prioritySort(): Plugin {
  return {
    name: 'PrioritySort',
    events: [],
    queueSort(a, b) {
      if (a.pod.priority !== b.pod.priority) return a.pod.priority > b.pod.priority;
      return a.readyAtMs < b.readyAtMs || (a.readyAtMs === b.readyAtMs && a.sequence < b.sequence);
    },
  };
}

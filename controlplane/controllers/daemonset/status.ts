import type { DaemonSetStatus, Pod } from '#api/gen/types.ts';
import { omitZero } from '../omit-zero.ts';
import { availableInMs, isReady } from '../pod-state.ts';
import { fitOf } from './nodes.ts';
import { byAge, isUpdated, minReadySeconds, podsByNode, type DaemonSnapshot } from './snapshot.ts';

/** How many nodes should run a pod, do, and do well. Of several pods on a node the oldest counts. */
export function daemonSetStatus(snapshot: DaemonSnapshot, observe: boolean): { status: DaemonSetStatus; afterMs: number | undefined } {
  const { daemonSet, nodes, nowMs } = snapshot;
  const byNode = podsByNode(snapshot);
  const fits = nodes.map((node) => ({ run: fitOf(daemonSet, node).run, pods: byNode.get(node.metadata?.name ?? '') ?? [] }));
  const first = fits.flatMap(({ run, pods }) => (run ? [...pods].sort(byAge).slice(0, 1) : []));
  const desired = fits.filter(({ run }) => run).length;
  const waits = first.map((pod) => availableInMs(pod, minReadySeconds(daemonSet), nowMs));
  const available = waits.filter((ms) => ms === 0).length;
  const count = (test: (pod: Pod) => boolean): number => first.filter(test).length;
  const before = daemonSet.status;
  const coming = waits.filter((ms) => ms !== undefined && ms > 0);
  return {
    status: {
      currentNumberScheduled: first.length, numberMisscheduled: fits.filter(({ run, pods }) => !run && pods.length > 0).length, desiredNumberScheduled: desired, numberReady: count(isReady),
      observedGeneration: observe ? daemonSet.metadata?.generation : before?.observedGeneration,
      updatedNumberScheduled: omitZero(count((pod) => isUpdated(snapshot, pod))), numberAvailable: omitZero(available), numberUnavailable: omitZero(desired - available),
      collisionCount: before?.collisionCount, conditions: before?.conditions,
    },
    afterMs: coming.length > 0 ? Math.min(...coming as number[]) : undefined,
  };
}

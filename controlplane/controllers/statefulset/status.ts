import type { Pod, StatefulSetStatus } from '#api/gen/types.ts';
import { omitZero } from '../omit-zero.ts';
import { availableInMs, isReady, isTerminating } from '../pod-state.ts';
import { nameOf, revisionOf, specReplicas } from './identity.ts';
import type { StatefulSnapshot } from './reconcile.ts';

/** Counts of pods by state and by revision. An update that has reached every pod makes its revision the current one. */
export function statefulSetStatus({ set, pods, current, update, nowMs }: StatefulSnapshot): { status: StatefulSetStatus; afterMs: number | undefined } {
  const count = (test: (pod: Pod) => boolean, of: readonly Pod[] = pods): number => of.filter(test).length;
  const ready = pods.filter((pod) => pod.status?.phase === 'Running' && isReady(pod));
  const waits = ready.map((pod) => availableInMs(pod, set.spec?.minReadySeconds ?? 0, nowMs));
  const coming = waits.filter((ms) => ms !== undefined && ms > 0);
  const made = (name: string): number => count((pod) => !isTerminating(pod) && revisionOf(pod) === name);
  const updated = made(nameOf(update));
  const wanted = specReplicas(set);
  const complete = set.spec?.updateStrategy?.type !== 'OnDelete' && [updated, ready.length, pods.length].every((n) => n === wanted);
  return {
    status: {
      observedGeneration: set.metadata?.generation, replicas: pods.length, readyReplicas: omitZero(ready.length), availableReplicas: waits.filter((ms) => ms === 0).length,
      currentReplicas: omitZero(complete ? updated : made(nameOf(current))), updatedReplicas: omitZero(updated),
      currentRevision: nameOf(complete ? update : current), updateRevision: nameOf(update), collisionCount: set.status?.collisionCount ?? 0,
      conditions: set.status?.conditions,
    },
    afterMs: coming.length > 0 ? Math.min(...coming as number[]) : undefined,
  };
}

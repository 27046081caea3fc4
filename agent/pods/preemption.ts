import type { Pod } from '#api/gen/types.ts';
import type { Clock } from '#common/clock.ts';
import type { NodeCapacity } from './allocation/capacity.ts';
import { isCritical } from './eviction/rank.ts';
import type { EvictablePod } from './eviction/evictor.ts';
import type { Rejection } from './spec/admission.ts';
import { graceSecondsOf } from './spec/containers.ts';
import { qosClassOf } from './spec/qos.ts';

export interface PreemptionDeps {
  readonly pods: () => readonly EvictablePod[];
  readonly capacity: NodeCapacity;
  readonly clock: Clock;
}

const qosOrder = ['BestEffort', 'Burstable', 'Guaranteed'];

/**
 * Lets in a pod of the system, or of a file, that the node has no room for: others go, as few as will do, the least guaranteed and
 * least important first. Resolves when they have gone; with why the pod cannot come where that would not help.
 */
export async function admitCritical(pod: Pod, { pods, capacity, clock }: PreemptionDeps, signal: AbortSignal): Promise<Rejection | undefined> {
  const victims = victimsFor(pod, pods(), (without) => capacity.fits(pod, without));
  if (!victims) return capacity.admit(pod);
  for (const victim of victims) {
    victim.evict({
      reason: 'Preempting', message: 'Preempted in order to admit critical pod', graceSeconds: graceSecondsOf(victim.pod),
      disruption: { reason: 'TerminationByKubelet', message: 'Pod was preempted by Kubelet to accommodate a critical pod.' },
    });
  }
  for (let waitMs = 50; ; waitMs = Math.min(2 * waitMs, 1000)) {
    const rejection = capacity.admit(pod);
    // Somebody else may have taken the room.
    if (!rejection || victims.every(hasEnded)) return rejection;
    await clock.sleep(waitMs, signal);
  }
}

/** Who has to go, and who goes anyway, so that the pod fits; undefined when it does not even then. */
export function victimsFor<P extends Pick<EvictablePod, 'uid' | 'pod' | 'isEnding'>>(pod: Pod, others: readonly P[], fits: (without: ReadonlySet<string>) => boolean): readonly P[] | undefined {
  const candidates = others.filter((other) => other.isEnding || mayPreempt(pod, other.pod)).sort((a, b) => valueOf(a) - valueOf(b) || (a.pod.spec?.priority ?? 0) - (b.pod.spec?.priority ?? 0));
  const gone = new Set(candidates.map(({ uid }) => uid));
  if (!fits(gone)) return undefined;
  // Whoever can stay does, the most valuable first.
  for (const { uid } of candidates.toReversed()) {
    gone.delete(uid);
    if (!fits(gone)) gone.add(uid);
  }
  return candidates.filter(({ uid }) => gone.has(uid));
}

/** Its part of the node is free then. */
function hasEnded({ status }: EvictablePod): boolean {
  return status?.phase === 'Failed' || status?.phase === 'Succeeded';
}

function mayPreempt(pod: Pod, other: Pod): boolean {
  return !isCritical(other) || (pod.spec?.priority ?? 0) > (other.spec?.priority ?? 0);
}

/** Those that end anyway cost nothing. */
function valueOf({ pod, isEnding }: Pick<EvictablePod, 'pod' | 'isEnding'>): number {
  return isEnding ? -1 : qosOrder.indexOf(qosClassOf(pod));
}

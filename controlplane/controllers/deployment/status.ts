import type { Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet } from '#api/gen/types.ts';
import { getCondition } from '#api/meta/conditions.ts';
import { rfc3339 } from '#common/time.ts';
import { omitZero } from '../omit-zero.ts';
import type { Draft } from './draft.ts';
import { limitsOf, specReplicas, total } from './limits.ts';

/** Reasons and texts are Kubernetes': `kubectl rollout status` and `kubectl wait` read them. */
export const newSetAvailable = 'NewReplicaSetAvailable';
export const timedOut = 'ProgressDeadlineExceeded';
/** How a deployment without a deadline is written. */
const noDeadline = 2 ** 31 - 1;

export function hasProgressDeadline(deployment: Deployment): boolean {
  const deadline = deployment.spec?.progressDeadlineSeconds;
  return deadline !== undefined && deadline !== noDeadline;
}

type NewCondition = Pick<DeploymentCondition, 'type' | 'status' | 'reason' | 'message'>;

/** Nothing changes while status and reason stay the same, so that an idle deployment is not written. */
function withCondition(conditions: readonly DeploymentCondition[], condition: NewCondition, now: string): readonly DeploymentCondition[] {
  const old = getCondition(conditions, condition.type);
  if (old !== undefined && old.status === condition.status && old.reason === condition.reason) return conditions;
  const lastTransitionTime = old !== undefined && old.status === condition.status ? old.lastTransitionTime : now;
  return [...conditions.filter((c) => c !== old), { ...condition, lastUpdateTime: now, lastTransitionTime }];
}

export function setProgressing(draft: Draft, status: string, reason: string, message: string): void {
  draft.conditions = withCondition(draft.conditions, { type: 'Progressing', status, reason, message }, rfc3339(draft.nowMs));
}

/** Pausing stops the progress deadline, resuming starts it again. A deadline that was missed stays missed. */
export function checkPaused(draft: Draft): void {
  const { deployment } = draft;
  const current = getCondition(draft.conditions, 'Progressing');
  if (!hasProgressDeadline(deployment) || current?.reason === timedOut) return;
  const known = current?.reason === 'DeploymentPaused';
  if (deployment.spec?.paused && !known) setProgressing(draft, 'Unknown', 'DeploymentPaused', 'Deployment is paused');
  else if (!deployment.spec?.paused && known) setProgressing(draft, 'Unknown', 'DeploymentResumed', 'Deployment is resumed');
}

/** Counts and the Available condition; other conditions are the draft's. */
export function baseStatus(draft: Draft): DeploymentStatus {
  const { deployment, sets, newSet } = draft;
  const status = (of: (status: NonNullable<ReplicaSet['status']>) => number | undefined) =>
    (set: ReplicaSet): number => (set.status ? of(set.status) ?? 0 : 0);
  const availableReplicas = total(sets, status((s) => s.availableReplicas));
  const enough = availableReplicas >= specReplicas(deployment) - limitsOf(deployment).maxUnavailable;
  const available: NewCondition = enough
    ? { type: 'Available', status: 'True', reason: 'MinimumReplicasAvailable', message: 'Deployment has minimum availability.' }
    : { type: 'Available', status: 'False', reason: 'MinimumReplicasUnavailable', message: 'Deployment does not have minimum availability.' };
  return {
    observedGeneration: deployment.metadata?.generation,
    replicas: omitZero(total(sets, status((s) => s.replicas))),
    updatedReplicas: omitZero(newSet ? total([newSet], status((s) => s.replicas)) : 0),
    readyReplicas: omitZero(total(sets, status((s) => s.readyReplicas))),
    availableReplicas: omitZero(availableReplicas),
    unavailableReplicas: omitZero(Math.max(0, total(sets, specReplicas) - availableReplicas)),
    collisionCount: deployment.status?.collisionCount,
    conditions: [...withCondition(draft.conditions, available, rfc3339(draft.nowMs))],
  };
}

/** Every updated pod is there and available, and no other pod is left. */
export function isComplete(deployment: Deployment, status: DeploymentStatus): boolean {
  const { updatedReplicas = 0, replicas = 0, availableReplicas = 0 } = status;
  return [updatedReplicas, replicas, availableReplicas].every((count) => count === specReplicas(deployment))
    && (status.observedGeneration ?? 0) >= (deployment.metadata?.generation ?? 0);
}

function hasProgressed(old: DeploymentStatus, next: DeploymentStatus): boolean {
  const oldPods = (s: DeploymentStatus): number => (s.replicas ?? 0) - (s.updatedReplicas ?? 0);
  return (next.updatedReplicas ?? 0) > (old.updatedReplicas ?? 0) || oldPods(next) < oldPods(old)
    || (next.readyReplicas ?? 0) > (old.readyReplicas ?? 0) || (next.availableReplicas ?? 0) > (old.availableReplicas ?? 0);
}

function deadlineMs(deployment: Deployment, progressing: DeploymentCondition): number {
  const from = Date.parse(progressing.lastUpdateTime ?? progressing.lastTransitionTime ?? '');
  return Number.isNaN(from) ? Infinity : from + (deployment.spec?.progressDeadlineSeconds ?? 0) * 1000;
}

function hasTimedOut(deployment: Deployment, progressing: DeploymentCondition | undefined, nowMs: number): boolean {
  if (progressing === undefined || progressing.reason === newSetAvailable) return false;
  return progressing.reason === timedOut || deadlineMs(deployment, progressing) < nowMs;
}

/** Status during a rollout: counts, and how far it is. */
export function rolloutStatus(draft: Draft): DeploymentStatus {
  const { deployment } = draft;
  const status = baseStatus(draft);
  const now = rfc3339(draft.nowMs);
  let conditions: readonly DeploymentCondition[] = status.conditions ?? [];
  const current = getCondition(conditions, 'Progressing');
  const done = status.replicas === status.updatedReplicas && current?.reason === newSetAvailable;
  if (!hasProgressDeadline(deployment)) {
    conditions = conditions.filter((c) => c.type !== 'Progressing');
  } else if (!done) {
    const subject = draft.newSet ? `ReplicaSet "${draft.newSet.metadata?.name ?? ''}"` : `Deployment "${deployment.metadata?.name ?? ''}"`;
    const progressing = (value: string, reason: string, text: string): NewCondition => ({ type: 'Progressing', status: value, reason, message: `${subject} ${text}` });
    if (isComplete(deployment, status)) {
      conditions = withCondition(conditions, progressing('True', newSetAvailable, 'has successfully progressed.'), now);
    } else if (hasProgressed(deployment.status ?? {}, status)) {
      // Every step forward starts the deadline again, so the time is renewed even when nothing else changes.
      const lastTransitionTime = current?.status === 'True' ? current.lastTransitionTime : now;
      conditions = [...conditions.filter((c) => c !== current), { ...progressing('True', 'ReplicaSetUpdated', 'is progressing.'), lastUpdateTime: now, lastTransitionTime }];
    } else if (hasTimedOut(deployment, current, draft.nowMs)) {
      conditions = withCondition(conditions, progressing('False', timedOut, 'has timed out progressing.'), now);
    }
  }
  return { ...status, conditions: [...withFailures(conditions, draft, now)] };
}

/** A ReplicaSet that cannot make pods is the deployment's trouble too; the newest one's comes first. */
function withFailures(conditions: readonly DeploymentCondition[], draft: Draft, now: string): readonly DeploymentCondition[] {
  const failure = [...(draft.newSet ? [draft.newSet] : []), ...draft.oldSets]
    .map((set) => getCondition(set.status?.conditions, 'ReplicaFailure')).find((c) => c !== undefined);
  if (failure === undefined) return conditions.filter((c) => c.type !== 'ReplicaFailure');
  return withCondition(conditions, { type: 'ReplicaFailure', status: failure.status, reason: failure.reason, message: failure.message }, now);
}

/** When the progress deadline ends, in milliseconds from now; undefined while none runs. */
export function deadlineInMs(deployment: Deployment, status: DeploymentStatus, nowMs: number): number | undefined {
  const current = getCondition(status.conditions, 'Progressing');
  if (!hasProgressDeadline(deployment) || current === undefined || current.reason === timedOut || isComplete(deployment, status)) return undefined;
  if (current.reason === newSetAvailable || deployment.spec?.paused) return undefined;
  const at = deadlineMs(deployment, current);
  // Timestamps are in whole seconds: one more, so that the deadline has passed for certain.
  return at === Infinity ? undefined : Math.max(0, at - nowMs) + 1000;
}

/** Status after the new ReplicaSet could not be made. */
export function createFailedStatus(deployment: Deployment, message: string, nowMs: number): DeploymentStatus {
  const conditions = withCondition(deployment.status?.conditions ?? [], { type: 'Progressing', status: 'False', reason: 'ReplicaSetCreateError', message }, rfc3339(nowMs));
  return { ...deployment.status, conditions: [...conditions] };
}

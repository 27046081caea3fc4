import type { Deployment, ReplicaSet } from '#api/gen/types.ts';
import { specReplicas } from './limits.ts';

export const revisionAnnotation = 'deployment.kubernetes.io/revision';
const revisionHistoryAnnotation = 'deployment.kubernetes.io/revision-history';
export const desiredReplicasAnnotation = 'deployment.kubernetes.io/desired-replicas';
export const maxReplicasAnnotation = 'deployment.kubernetes.io/max-replicas';
const maxHistoryLength = 2000;

/** What a deployment's annotations do not hand down to its ReplicaSets. */
const ownAnnotations: ReadonlySet<string> = new Set([
  'kubectl.kubernetes.io/last-applied-configuration', 'deprecated.deployment.rollback.to',
  revisionAnnotation, revisionHistoryAnnotation, desiredReplicasAnnotation, maxReplicasAnnotation,
]);

type Annotations = Record<string, string>;

/** The whole number that an annotation holds. */
export function numberAnnotation(set: ReplicaSet, name: string): number | undefined {
  const text = set.metadata?.annotations?.[name];
  return text !== undefined && /^-?\d{1,15}$/.test(text) ? Number(text) : undefined;
}

export function revisionOf(set: ReplicaSet): number {
  return numberAnnotation(set, revisionAnnotation) ?? 0;
}

/**
 * Annotations of the new ReplicaSet: the deployment's, and its revision when that has risen; a revision left
 * behind (by a rollback) goes into the history. Sizes are set by `sizeAnnotations`.
 */
export function newSetAnnotations(deployment: Deployment, current: Annotations | undefined, revision: number): Annotations {
  const next: Annotations = { ...current };
  for (const [key, value] of Object.entries(deployment.metadata?.annotations ?? {})) {
    if (!ownAnnotations.has(key)) next[key] = value;
  }
  const old = Number(current?.[revisionAnnotation] ?? 0);
  if (old >= revision) return next;
  next[revisionAnnotation] = String(revision);
  if (old > 0) next[revisionHistoryAnnotation] = appendHistory(current?.[revisionHistoryAnnotation], old);
  return next;
}

function appendHistory(history: string | undefined, revision: number): string {
  let entries = [...(history ? history.split(',') : []), String(revision)];
  while (entries.join(',').length > maxHistoryLength) entries = entries.slice(1);
  return entries.join(',');
}

/** What proportional scaling needs to know later: how large the deployment was, and might have been, at this size. */
export function sizeAnnotations(deployment: Deployment, maxSurge: number): Annotations {
  const replicas = specReplicas(deployment);
  return { [desiredReplicasAnnotation]: String(replicas), [maxReplicasAnnotation]: String(replicas + maxSurge) };
}

import type { Deployment, PodTemplateSpec, ReplicaSet } from '#api/gen/types.ts';
import { equal } from '#api/meta/equal.ts';

/** Label that keeps the pods of one template apart from those of another. */
export const hashLabel = 'pod-template-hash';

/** True when both make the same pods, the hash label aside. */
export function sameTemplate(a: PodTemplateSpec | undefined, b: PodTemplateSpec | undefined): boolean {
  return equal(comparable(a), comparable(b));
}

function comparable(template: PodTemplateSpec | undefined): unknown {
  const { [hashLabel]: _, ...labels } = template?.metadata?.labels ?? {};
  return { ...template, metadata: { ...template?.metadata, labels, creationTimestamp: undefined } };
}

/** The ReplicaSet that makes the deployment's pods: the oldest of those with its template. */
export function findNewReplicaSet(deployment: Deployment, sets: readonly ReplicaSet[]): ReplicaSet | undefined {
  return byAge(sets).find((set) => sameTemplate(set.spec?.template, deployment.spec?.template));
}

/** Oldest first. */
export function byAge(sets: readonly ReplicaSet[]): ReplicaSet[] {
  return [...sets].sort((a, b) => compare(a.metadata?.creationTimestamp ?? '', b.metadata?.creationTimestamp ?? '') || compare(a.metadata?.name ?? '', b.metadata?.name ?? ''));
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

import type { Deployment, ReplicaSet } from '#api/gen/types.ts';
import { apiVersionOf, deployments, replicaSets } from '#api/kinds/resources.ts';
import { controllerReference, withMetadata } from '../owner-refs.ts';
import { newSetAnnotations, revisionAnnotation, revisionOf, sizeAnnotations } from './annotations.ts';
import type { Draft } from './draft.ts';
import { limitsOf, nextNewSize } from './limits.ts';
import { setProgressing, hasProgressDeadline } from './status.ts';
import { templateHash } from '../template-hash.ts';
import { hashLabel } from './template.ts';

function nextRevision(draft: Draft): number {
  return Math.max(0, ...draft.oldSets.map(revisionOf)) + 1;
}

/**
 * Gives the new ReplicaSet its revision, annotations and minReadySeconds; makes it when `create`.
 * True when there was something to write: sizes wait for the next look, as they need the result.
 */
export function syncNewReplicaSet(draft: Draft, create: boolean): boolean {
  const existing = draft.newSet;
  if (existing !== undefined) return refresh(draft, existing);
  if (!create) return false;
  const set = makeReplicaSet(draft);
  draft.create(set);
  if (hasProgressDeadline(draft.deployment)) setProgressing(draft, 'True', 'NewReplicaSetCreated', `Created new replica set "${set.metadata?.name ?? ''}"`);
  return true;
}

function refresh(draft: Draft, set: ReplicaSet): boolean {
  const { deployment } = draft;
  if (hasProgressDeadline(deployment) && !draft.conditions.some((c) => c.type === 'Progressing')) {
    setProgressing(draft, 'True', 'FoundNewReplicaSet', `Found new replica set "${set.metadata?.name ?? ''}"`);
  }
  const annotations = newSetAnnotations(deployment, set.metadata?.annotations, nextRevision(draft));
  const minReadySeconds = deployment.spec?.minReadySeconds;
  const old = set.metadata?.annotations ?? {};
  const sameAnnotations = Object.entries(annotations).every(([key, value]) => old[key] === value);
  if (!set.spec || (sameAnnotations && (set.spec.minReadySeconds ?? 0) === (minReadySeconds ?? 0))) return false;
  draft.replace({ ...withMetadata(set, { annotations }), spec: { ...set.spec, minReadySeconds } });
  return true;
}

function makeReplicaSet(draft: Draft): ReplicaSet {
  const { deployment } = draft;
  const spec = deployment.spec ?? { selector: {}, template: {} };
  const hash = templateHash(spec.template, deployment.status?.collisionCount);
  const labels = { ...spec.template.metadata?.labels, [hashLabel]: hash };
  const { maxSurge } = limitsOf(deployment);
  return {
    apiVersion: apiVersionOf(replicaSets), kind: replicaSets.kind,
    metadata: {
      name: `${deployment.metadata?.name ?? ''}-${hash}`,
      namespace: deployment.metadata?.namespace,
      labels,
      annotations: { ...newSetAnnotations(deployment, undefined, nextRevision(draft)), ...sizeAnnotations(deployment, maxSurge) },
      ownerReferences: [controllerReference(deployments, deployment)],
    },
    spec: {
      replicas: nextNewSize(deployment, draft.oldSets, 0),
      ...(spec.minReadySeconds !== undefined && { minReadySeconds: spec.minReadySeconds }),
      selector: { ...spec.selector, matchLabels: { ...spec.selector.matchLabels, [hashLabel]: hash } },
      template: { ...spec.template, metadata: { ...spec.template.metadata, labels } },
    },
  };
}

/** The deployment's own revision annotation, when it has to change. */
export function revisionToWrite(draft: Draft): string | undefined {
  const revision = draft.newSet?.metadata?.annotations?.[revisionAnnotation];
  return revision !== undefined && draft.deployment.metadata?.annotations?.[revisionAnnotation] !== revision ? revision : undefined;
}

/** Old ReplicaSets beyond the history limit, lowest revision first; only those that are done and empty. */
export function surplusHistory(deployment: Deployment, oldSets: readonly ReplicaSet[]): ReplicaSet[] {
  const limit = deployment.spec?.revisionHistoryLimit ?? 10;
  const alive = oldSets.filter((set) => set.metadata?.deletionTimestamp === undefined);
  const surplus = [...alive].sort((a, b) => revisionOf(a) - revisionOf(b)).slice(0, Math.max(0, alive.length - limit));
  return surplus.filter((set) => set.status?.replicas === 0 && set.spec?.replicas === 0
    && (set.metadata?.generation ?? 0) <= (set.status.observedGeneration ?? 0));
}

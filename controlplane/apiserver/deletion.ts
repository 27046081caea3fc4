import { qualifiedName } from '#api/kinds/resources.ts';
import type { KindDefinition } from '#api/kinds/types.ts';
import type { Namespace, Pod } from '#api/gen/types.ts';
import { copyJson } from '#api/meta/json.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { rfc3339 } from '#common/time.ts';
import { conflict } from './api-errors.ts';
import { metaOf } from './encoding.ts';
import type { DeleteRequest } from './types.ts';
import { orphansByDefault } from './write-rules.ts';

/** What a DELETE does to an object: takes it away, marks it (and others finish the job), or nothing that is not done already. */
export type DeletionPlan =
  | { readonly action: 'remove' }
  | { readonly action: 'mark'; readonly object: KubeObject }
  | { readonly action: 'none' };

const foreground = 'foregroundDeletion';
const orphan = 'orphan';

export function checkPreconditions(kind: KindDefinition, object: KubeObject, { preconditions }: DeleteRequest): void {
  const name = object.metadata?.name ?? '';
  const { uid, resourceVersion } = object.metadata ?? {};
  if (preconditions?.uid !== undefined && preconditions.uid !== uid) {
    throw conflict(kind.resource, name, `the UID in the precondition (${preconditions.uid}) does not match the UID in record (${uid ?? ''}). The object might have been deleted and then recreated`);
  }
  if (preconditions?.resourceVersion !== undefined && preconditions.resourceVersion !== resourceVersion) {
    throw conflict(kind.resource, name, `the ResourceVersion in the precondition (${preconditions.resourceVersion}) does not match the ResourceVersion in record (${resourceVersion ?? ''}). The object might have been modified`);
  }
}

/** Kubernetes' rules of finalizers and grace periods. Never changes `object`. */
export function planDeletion(kind: KindDefinition, object: KubeObject, request: DeleteRequest, nowMs: number): DeletionPlan {
  const grace = graceSeconds(kind, object, request);
  const { deletionTimestamp, deletionGracePeriodSeconds = 0 } = object.metadata ?? {};
  const marked = deletionTimestamp !== undefined;
  const finalizers = [...new Set([...finalizersFor(kind, object, request.propagationPolicy), ...(marked || !kind.deletionFinalizer ? [] : [kind.deletionFinalizer])])];
  // A repeated delete may only shorten the wait.
  const nextGrace = marked ? Math.min(grace, deletionGracePeriodSeconds) : grace;
  if (nextGrace === 0 && finalizers.length === 0 && !held(object)) return { action: 'remove' };
  const sameFinalizers = finalizers.join() === (object.metadata?.finalizers ?? []).join();
  if (marked && nextGrace === deletionGracePeriodSeconds && sameFinalizers) return { action: 'none' };
  const next = copyJson(object);
  const meta = metaOf(next);
  if (!marked || nextGrace !== deletionGracePeriodSeconds) {
    const startMs = marked ? Date.parse(deletionTimestamp) - deletionGracePeriodSeconds * 1000 : nowMs;
    meta.deletionTimestamp = rfc3339((nextGrace === 0 ? nowMs : startMs) + nextGrace * 1000);
    meta.deletionGracePeriodSeconds = nextGrace;
  }
  if (!marked && meta.generation !== undefined) meta.generation += 1;
  if (finalizers.length > 0) meta.finalizers = finalizers;
  else delete meta.finalizers;
  if (isNamespace(kind)) (next as Namespace).status = { ...(next as Namespace).status, phase: 'Terminating' };
  return { action: 'mark', object: next };
}

/** True when an update left a deleted object with nothing to wait for: it goes now. */
export function finished(object: KubeObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds, finalizers } = object.metadata ?? {};
  return deletionTimestamp !== undefined && !deletionGracePeriodSeconds && !finalizers?.length && !held(object);
}

function isNamespace(kind: KindDefinition): boolean {
  return qualifiedName(kind.resource) === 'namespaces';
}

/** A namespace stays while `spec.finalizers` names whoever still empties it. */
function held(object: KubeObject): boolean {
  return object.kind === 'Namespace' && ((object as Namespace).spec?.finalizers?.length ?? 0) > 0;
}

/** What becomes of the dependents is said by the request, else by the finalizers that are there, else by the kind. */
function finalizersFor(kind: KindDefinition, object: KubeObject, policy: DeleteRequest['propagationPolicy']): string[] {
  const kept = object.metadata?.finalizers ?? [];
  const said = kept.includes(orphan) || kept.includes(foreground);
  const wanted = policy ?? (!said && orphansByDefault(kind) ? 'Orphan' : undefined);
  if (wanted === undefined) return [...kept];
  const others = kept.filter((name) => name !== foreground && name !== orphan);
  if (wanted === 'Orphan') return [...others, orphan];
  return wanted === 'Foreground' ? [...others, foreground] : others;
}

function graceSeconds(kind: KindDefinition, object: KubeObject, request: DeleteRequest): number {
  if (!kind.deletionGraceSeconds) return 0;
  const seconds = request.gracePeriodSeconds ?? kind.deletionGraceSeconds(object);
  if (qualifiedName(kind.resource) === 'pods') {
    const { spec, status } = object as Pod;
    // Nothing of it runs anywhere, so nobody would confirm.
    if (!spec?.nodeName || status?.phase === 'Succeeded' || status?.phase === 'Failed') return 0;
  }
  return seconds < 0 ? 1 : seconds;
}

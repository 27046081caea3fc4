import type { ClusterRole, ClusterRoleBinding, ObjectMeta, PolicyRule, Role, RoleBinding, Subject } from '#api/gen/types.ts';
import { equal } from '#api/meta/equal.ts';
import { missingRights } from '../auth/rbac/rules.ts';

const labels = { 'kubernetes.io/bootstrapping': 'rbac-defaults' };
const autoUpdate = 'rbac.authorization.k8s.io/autoupdate';

/** A default object as it is made. */
export function marked<T extends { metadata?: ObjectMeta | undefined }>(object: T): T {
  const { metadata = {} } = object;
  return { ...object, metadata: { ...metadata, labels: { ...labels, ...metadata.labels }, annotations: { ...metadata.annotations, [autoUpdate]: 'true' } } };
}

/** What is there with what it lacks of the default; what was added by hand stays. Undefined: nothing to do, or not wanted. */
export function updatedRole<T extends Role | ClusterRole>(current: T, wanted: T): T | undefined {
  if (current.metadata?.annotations?.[autoUpdate] !== 'true') return undefined;
  const selectors = 'aggregationRule' in wanted ? wanted.aggregationRule?.clusterRoleSelectors : undefined;
  const had = 'aggregationRule' in current ? current.aggregationRule?.clusterRoleSelectors ?? [] : [];
  const lacking = (selectors ?? []).filter((selector) => !had.some((one) => equal(one, selector)));
  const next = {
    ...current, metadata: mergedMetadata(current.metadata, wanted.metadata),
    // The rules of an aggregated role are not ours.
    ...(selectors ? { aggregationRule: { clusterRoleSelectors: [...had, ...lacking] } } : { rules: withMissing(current.rules ?? [], wanted.rules ?? []) }),
  };
  return equal(next, current) ? undefined : next;
}

function withMissing(rules: readonly PolicyRule[], wanted: readonly PolicyRule[]): PolicyRule[] {
  return [...rules, ...wanted.filter((rule) => missingRights(rules, [rule]).length > 0)];
}

/** As above; `replace` when it is bound to another role, which no update may change. */
export function updatedBinding<T extends RoleBinding | ClusterRoleBinding>(current: T, wanted: T): { readonly object: T; readonly replace: boolean } | undefined {
  if (current.metadata?.annotations?.[autoUpdate] !== 'true') return undefined;
  if (!equal(current.roleRef, wanted.roleRef)) return { object: wanted, replace: true };
  const same = (a: Subject, b: Subject): boolean => a.kind === b.kind && a.name === b.name && (a.namespace ?? '') === (b.namespace ?? '');
  const subjects = current.subjects ?? [];
  const lacking = (wanted.subjects ?? []).filter((subject) => !subjects.some((one) => same(one, subject)));
  const object = { ...current, metadata: mergedMetadata(current.metadata, wanted.metadata), ...(lacking.length > 0 && { subjects: [...subjects, ...lacking] }) };
  return equal(object, current) ? undefined : { object, replace: false };
}

function mergedMetadata(current: ObjectMeta, wanted: ObjectMeta | undefined): ObjectMeta {
  return { ...current, labels: { ...current.labels, ...wanted?.labels }, annotations: { ...wanted?.annotations, ...current.annotations } };
}

/** What the conditions of every kind have in common. */
export interface ConditionLike {
  type: string;
  status: string;
  reason?: string | undefined;
  message?: string | undefined;
  lastTransitionTime?: string | undefined;
}

export function getCondition<C extends ConditionLike>(conditions: readonly C[] | undefined, type: string): C | undefined {
  return conditions?.find((condition) => condition.type === type);
}

export function isConditionTrue(conditions: readonly ConditionLike[] | undefined, type: string): boolean {
  return getCondition(conditions, type)?.status === 'True';
}

/**
 * A new list in which `condition` stands in the place of the one of its type, or last.
 * `lastTransitionTime` becomes `now` (RFC 3339) only when the status changes.
 */
export function setCondition<C extends ConditionLike>(conditions: readonly C[] | undefined, condition: C, now: string): C[] {
  const old = getCondition(conditions, condition.type);
  const lastTransitionTime = old !== undefined && old.status === condition.status ? old.lastTransitionTime ?? now : now;
  const next = { ...condition, lastTransitionTime };
  return old === undefined ? [...conditions ?? [], next] : (conditions ?? []).map((c) => (c === old ? next : c));
}

import type { Node, Pod, Taint } from '../gen/types.ts';
import { getCondition } from '../meta/conditions.ts';

/** What happens to a pod whose host disconnects. Annotations of a Pod, or of a Namespace for all pods made in it from then on. */
export const disconnectAnnotations = {
  /** `keep` or `replace`; without it Kubernetes' rules hold (`tolerationSeconds`). */
  policy: 'cleat.dev/disconnect-policy',
  /** With `replace`: how long after the host was found lost, e.g. `90s`. Default `5m`. */
  replaceAfter: 'cleat.dev/disconnect-replace-after',
  /** With `replace`: which one lives on when the host returns, `replacement` (the default) or `original`. */
  onReturn: 'cleat.dev/disconnect-on-return',
  /** With `replace`: `many` (the default), or `one`: the host ends its copy before a replacement may start. */
  copies: 'cleat.dev/disconnect-copies',
} as const;

/** Condition of a pod that is kept for its host's return while another runs in its stead. */
export const replacedCondition = 'cleat.dev/Replaced';
/** Annotation of that other pod: the uid of the one that it stands in for. */
export const replacesAnnotation = 'cleat.dev/replaces';
/** Annotation of a Node whose host was declared dead: the fence's id. The host ends its pods before this is taken off. */
export const fenceAnnotation = 'cleat.dev/fenced';
/** Kubernetes' taint for a host that is down for good: its pods are removed by force. */
export const outOfServiceTaint = 'node.kubernetes.io/out-of-service';

/** The same as it comes and goes with a fence; one that a person sets has another value. */
export const fencedTaint: Taint = { key: outOfServiceTaint, value: 'fenced', effect: 'NoExecute' };

/** The fence that a host has to carry out before it may do anything else; undefined when there is none. */
export function fenceOf(node: Node | undefined): string | undefined {
  return node?.metadata?.annotations?.[fenceAnnotation] || undefined;
}

export function isFencedTaint({ key, value }: Taint): boolean {
  return key === fencedTaint.key && value === fencedTaint.value;
}

export interface DisconnectPolicy {
  readonly action: 'keep' | 'replace';
  readonly replaceAfterMs: number;
  readonly onReturn: 'replacement' | 'original';
  readonly copies: 'many' | 'one';
}

const defaultReplaceAfterMs = 300_000;
/** Below this the time for a copy to end in order would be nothing. */
const shortestLeaseMs = 10_000;
const longestMs = 10 * 365 * 86_400_000;
const unitsMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Go's form of a duration, whole numbers only: `90s`, `1h30m`. Undefined for anything else. */
export function parseDurationMs(text: string): number | undefined {
  if (!/^(\d{1,9}(ms|s|m|h))+$/.test(text)) return undefined;
  const ms = [...text.matchAll(/(\d+)(ms|s|m|h)/g)].reduce((sum, [, amount, unit]) => sum + Number(amount) * (unitsMs[unit ?? ''] ?? 0), 0);
  return ms <= longestMs ? ms : undefined;
}

export type Annotations = Readonly<Record<string, string | undefined>> | undefined;

/** Says what is wrong with the annotations, by key; empty when nothing is. */
export function disconnectProblems(annotations: Annotations): { readonly key: string; readonly value: string; readonly problem: string }[] {
  const { policy, replaceAfter, onReturn, copies } = disconnectAnnotations;
  const given = (key: string): string | undefined => annotations?.[key];
  const problems: { key: string; value: string; problem: string }[] = [];
  const oneOf = (key: string, values: readonly string[]): void => {
    const value = given(key);
    if (value !== undefined && !values.includes(value)) problems.push({ key, value, problem: `must be ${values.map((v) => `"${v}"`).join(' or ')}` });
  };
  oneOf(policy, ['keep', 'replace']);
  oneOf(onReturn, ['replacement', 'original']);
  oneOf(copies, ['many', 'one']);
  const after = given(replaceAfter);
  const afterMs = after === undefined ? defaultReplaceAfterMs : parseDurationMs(after);
  if (afterMs === undefined) problems.push({ key: replaceAfter, value: after ?? '', problem: 'must be a duration such as "90s", "5m" or "1h30m"' });
  else if (given(copies) === 'one' && afterMs < shortestLeaseMs) problems.push({ key: replaceAfter, value: after ?? '', problem: `must be at least ${String(shortestLeaseMs / 1000)}s with ${copies}: one, since the host must have ended its copy by then` });
  if (given(copies) === 'one' && given(onReturn) === 'original') problems.push({ key: onReturn, value: 'original', problem: `cannot be combined with ${copies}: one: the original has ended before the replacement starts` });
  const companions = [replaceAfter, onReturn, copies].filter((key) => given(key) !== undefined);
  if (companions.length > 0 && given(policy) !== 'replace') problems.push({ key: companions[0] ?? '', value: given(companions[0] ?? '') ?? '', problem: `needs ${policy}: replace` });
  return problems;
}

/** The annotations among `annotations` that make up a policy. */
export function disconnectAnnotationsOf(annotations: Annotations): Record<string, string> {
  return Object.fromEntries(Object.values(disconnectAnnotations).flatMap((key) => (annotations?.[key] === undefined ? [] : [[key, annotations[key]]])));
}

/**
 * The policy of a pod; undefined where Kubernetes' rules hold. A pod of a StatefulSet has a name and often a volume that
 * only one may have: there is never more than one copy of it. An original can be kept only where its controller knows
 * how to stand in for it (ReplicaSet, ReplicationController); elsewhere keeping it means that it is not replaced.
 */
export function disconnectPolicyOf(pod: Pod): DisconnectPolicy | undefined {
  const annotations = pod.metadata?.annotations;
  const action = annotations?.[disconnectAnnotations.policy];
  if ((action !== 'keep' && action !== 'replace') || disconnectProblems(annotations).length > 0) return undefined;
  const owner = pod.metadata?.ownerReferences?.find((reference) => reference.controller === true)?.kind;
  const after = annotations?.[disconnectAnnotations.replaceAfter];
  const copies = annotations?.[disconnectAnnotations.copies] === 'one' || owner === 'StatefulSet' ? 'one' : 'many';
  const original = annotations?.[disconnectAnnotations.onReturn] === 'original' && copies === 'many';
  const replaceAfterMs = after === undefined ? defaultReplaceAfterMs : parseDurationMs(after) ?? defaultReplaceAfterMs;
  return {
    action: original && owner !== 'ReplicaSet' && owner !== 'ReplicationController' ? 'keep' : action,
    replaceAfterMs: copies === 'one' ? Math.max(shortestLeaseMs, replaceAfterMs) : replaceAfterMs,
    onReturn: original ? 'original' : 'replacement',
    copies,
  };
}

/** True for a pod of which two copies may never run at once, though it is replaced when its host is away. */
export function keepsOne(pod: Pod): boolean {
  const policy = disconnectPolicyOf(pod);
  return policy?.action === 'replace' && policy.copies === 'one';
}

/** True while another pod runs in this one's stead. */
export function isReplaced(pod: Pod): boolean {
  return getCondition(pod.status?.conditions, replacedCondition)?.status === 'True';
}

/** When a host without contact ends its copy of a pod that `keepsOne`. */
export interface LeaseEnd {
  /** From the last contact to the beginning of the end. */
  readonly beginMs: number;
  /** What is left for an orderly end. */
  readonly graceSeconds: number;
}

/**
 * The copy is dead at 85 % of the time after which a replacement may start, less a second: room for clocks that do
 * not run alike and for a runtime that takes its time to kill. At most half of what is before goes to the grace period.
 */
export function leaseEnd({ replaceAfterMs }: DisconnectPolicy, graceSeconds: number): LeaseEnd {
  const deadMs = replaceAfterMs * 0.85 - 1000;
  const grace = Math.floor(Math.min(graceSeconds, deadMs / 2000));
  return { beginMs: deadMs - grace * 1000, graceSeconds: grace };
}

import type { Condition, Pod, PodDisruptionBudget, PodDisruptionBudgetStatus } from '#api/gen/types.ts';
import { podDisruptionBudgets, pods as podResource } from '#api/kinds/resources.ts';
import { getCondition, setCondition } from '#api/meta/conditions.ts';
import { scaledValue } from '#api/meta/int-or-percent.ts';
import { rfc3339 } from '#common/time.ts';
import { eventAction } from '../execute.ts';
import { isReady, isTerminal, isTerminating } from '../pod-state.ts';
import type { Action, Decision } from '../types.ts';

/** How long an evicted pod counts as gone though nobody has deleted it yet. */
const evictionMs = 120_000;
/** How long a pod that was to be disrupted counts as such though nobody has deleted it. */
const staleMs = 120_000;

export interface DisruptionSnapshot {
  readonly budget: PodDisruptionBudget;
  /** Those that it selects. */
  readonly pods: readonly Pod[];
  /** How many pods the controllers of these pods want in all, or why that cannot be told. Asked only where it matters. */
  readonly wanted: () => Wanted;
  readonly nowMs: number;
}

export interface Wanted {
  readonly count: number;
  /** Pods without a controller. */
  readonly unmanaged: boolean;
  readonly problem?: string | undefined;
}

/**
 * How long until a pod's DisruptionTarget is not true any more: somebody meant to delete it, and has not. What then becomes
 * of it has other causes. Undefined where it stays: its end has begun, or its node decides when it does.
 */
export function staleDisruptionInMs({ metadata, status }: Pod, nowMs: number): number | undefined {
  const target = getCondition(status?.conditions, 'DisruptionTarget');
  if (target?.status !== 'True' || target.reason === 'TerminationByKubelet' || metadata?.deletionTimestamp !== undefined || isTerminal({ status })) return undefined;
  return Math.max(0, Date.parse(target.lastTransitionTime ?? '') + staleMs - nowMs) || 0;
}

/** How many of its pods a budget can spare now. */
export function reconcileDisruption(snapshot: DisruptionSnapshot): Decision & { readonly status: PodDisruptionBudgetStatus } {
  const { budget, pods, nowMs } = snapshot;
  const events: Action[] = [];
  const tell = (severity: 'Normal' | 'Warning', reason: string, message: string): void => { events.push(eventAction(podDisruptionBudgets, budget, severity, reason, message)); };
  if (pods.length === 0) tell('Normal', 'NoPods', 'No matching pods found');
  const { expected, desired, unmanaged, problem } = bounds(snapshot);
  if (problem !== undefined) {
    tell('Warning', 'CalculateExpectedPodCountFailed', `Failed to calculate the number of expected pods: ${problem}`);
    return { actions: events, status: { ...budget.status, disruptionsAllowed: 0, conditions: withCondition(budget, 'False', 'SyncFailed', problem, nowMs) } };
  }
  if (unmanaged) {
    tell('Warning', 'UnmanagedPods', `Pods selected by this PodDisruptionBudget (selector: ${JSON.stringify(budget.spec?.selector)}) were found to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.`);
  }
  const { disrupted, events: notDeleted, afterMs } = disruptedPods(snapshot);
  const healthy = pods.filter((pod) => !isTerminating(pod) && disrupted[pod.metadata?.name ?? ''] === undefined && isReady(pod)).length;
  const allowed = expected > 0 ? Math.max(0, healthy - desired) : 0;
  return {
    actions: [...events, ...notDeleted], afterMs,
    status: {
      observedGeneration: budget.metadata?.generation, currentHealthy: healthy, desiredHealthy: desired, expectedPods: expected, disruptionsAllowed: allowed,
      disruptedPods: Object.keys(disrupted).length > 0 ? disrupted : undefined,
      conditions: withCondition(budget, allowed > 0 ? 'True' : 'False', allowed > 0 ? 'SufficientPods' : 'InsufficientPods', '', nowMs),
    },
  };
}

function bounds({ budget, pods, wanted }: DisruptionSnapshot): { expected: number; desired: number; unmanaged: boolean; problem?: string | undefined } {
  const { maxUnavailable, minAvailable } = budget.spec ?? {};
  if (typeof minAvailable === 'number') return { expected: pods.length, desired: minAvailable, unmanaged: false };
  if (maxUnavailable === undefined && minAvailable === undefined) return { expected: 0, desired: 0, unmanaged: false };
  const { count, unmanaged, problem } = wanted();
  const desired = maxUnavailable === undefined ? scaledValue(minAvailable ?? 0, count, 'up') : Math.max(0, count - scaledValue(maxUnavailable, count, 'up'));
  return { expected: count, desired, unmanaged, problem };
}

/** Pods that were evicted and are still there: each is spared once, until it goes or its time is over. */
function disruptedPods({ budget, pods, nowMs }: DisruptionSnapshot): { disrupted: Record<string, string>; events: Action[]; afterMs: number | undefined } {
  const disrupted: Record<string, string> = {};
  const events: Action[] = [];
  const waits: number[] = [];
  for (const pod of pods) {
    const name = pod.metadata?.name ?? '';
    const since = budget.status?.disruptedPods?.[name];
    if (since === undefined || isTerminating(pod)) continue;
    const leftMs = Date.parse(since) + evictionMs - nowMs;
    if (leftMs > 0) {
      disrupted[name] = since;
      waits.push(leftMs);
    } else {
      events.push(eventAction(podResource, pod, 'Warning', 'NotDeleted', `Pod was expected by PDB ${budget.metadata?.namespace ?? ''}/${budget.metadata?.name ?? ''} to be deleted but it wasn't`));
    }
  }
  return { disrupted, events, afterMs: waits.length > 0 ? Math.min(...waits) : undefined };
}

function withCondition({ metadata, status }: PodDisruptionBudget, value: string, reason: string, message: string, nowMs: number): Condition[] {
  const now = rfc3339(nowMs);
  return setCondition<Condition>(status?.conditions, { type: 'DisruptionAllowed', status: value, reason, message, observedGeneration: metadata?.generation, lastTransitionTime: now }, now);
}

import type { PodDisruptionBudget } from '#api/gen/types.ts';
import { matchesLabels, requirementsOf } from '#api/meta/selectors.ts';
import type { PodInfo, Rejection, Trial } from '../../types.ts';

const noVictims: Rejection = { reasons: ['No preemption victims found for incoming pod'], resolvable: false };

/** The pods of one node that would have to go. */
export interface Candidate {
  readonly nodeName: string;
  /** The most important first. */
  readonly victims: readonly PodInfo[];
  /** How many of them a disruption budget cannot spare. */
  readonly violations: number;
}

/**
 * The fewest pods of lower priority without which `pod` fits: all are taken off, then each is put back if the pod
 * still fits, first those that a disruption budget cannot spare, and the more important before the less.
 */
export function selectVictims(trial: Trial, pod: PodInfo, budgets: readonly PodDisruptionBudget[]): Candidate | Rejection {
  const lower = [...trial.node.pods.values()].filter((other) => other.priority < pod.priority);
  if (lower.length === 0) return noVictims;
  for (const other of lower) trial.remove(other);
  const refused = trial.check();
  if (refused) return refused;
  lower.sort(byImportance);
  const { violating, sparable } = splitByBudget(lower, budgets);
  const victims: PodInfo[] = [];
  const isVictim = (other: PodInfo): boolean => {
    trial.add(other);
    if (!trial.check()) return false;
    trial.remove(other);
    victims.push(other);
    return true;
  };
  const violations = violating.filter(isVictim).length;
  for (const other of sparable) isVictim(other);
  if (victims.length === 0) return noVictims;
  return { nodeName: trial.node.name, victims: violations > 0 ? victims.sort(byImportance) : victims, violations };
}

/** Higher priority, then longer running. */
function byImportance(a: PodInfo, b: PodInfo): number {
  return b.priority - a.priority || startOf(a) - startOf(b);
}

/** When the pod began to run; a pod that has not begun counts as the youngest. */
function startOf({ pod }: PodInfo): number {
  const { startTime } = pod.status ?? {};
  return startTime === undefined ? Number.MAX_SAFE_INTEGER : Date.parse(startTime);
}

/** Takes from each budget what it can spare, in the order of `pods`. */
function splitByBudget(pods: readonly PodInfo[], budgets: readonly PodDisruptionBudget[]): { violating: PodInfo[]; sparable: PodInfo[] } {
  const left = budgets.map(({ metadata, spec, status }) => ({
    namespace: metadata?.namespace, requirements: requirementsOf(spec?.selector), disrupted: status?.disruptedPods ?? {}, allowed: status?.disruptionsAllowed ?? 0,
  }));
  const violating: PodInfo[] = [];
  const sparable: PodInfo[] = [];
  for (const pod of pods) {
    let violates = false;
    for (const budget of left) {
      // A budget that selects everything protects nothing here, as in Kubernetes.
      if (budget.namespace !== pod.namespace || budget.requirements.length === 0 || !matchesLabels(budget.requirements, pod.labels)) continue;
      // It is going already, and was counted when that was decided.
      if (Object.hasOwn(budget.disrupted, pod.name)) continue;
      if (--budget.allowed < 0) violates = true;
    }
    (violates ? violating : sparable).push(pod);
  }
  return { violating, sparable };
}

/**
 * The node whose victims are missed least: fewest budgets violated, then the lowest of highest priorities, then the
 * lowest sum of priorities, then the fewest victims, then the one whose most important victims began last.
 * Source: https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/
 */
export function pickCandidate(candidates: readonly Candidate[]): Candidate | undefined {
  let left = candidates;
  for (const cost of [violations, highestPriority, sumOfPriorities, count, lateness]) {
    if (left.length <= 1) break;
    const costs = left.map(cost);
    const least = Math.min(...costs);
    left = left.filter((_, i) => costs[i] === least);
  }
  return left[0];
}

const violations = (candidate: Candidate): number => candidate.violations;
const highestPriority = ({ victims }: Candidate): number => victims[0]?.priority ?? -Infinity;
/** Every victim costs something, those of negative priority too. */
const sumOfPriorities = ({ victims }: Candidate): number => victims.reduce((sum, { priority }) => sum + priority + 2 ** 31, 0);
const count = ({ victims }: Candidate): number => victims.length;
/** The earliest start among the victims of highest priority; later is cheaper. */
const lateness = ({ victims }: Candidate): number => -Math.min(...victims.filter(({ priority }) => priority === victims[0]?.priority).map(startOf));

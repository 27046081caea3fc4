import type { Pod } from '#api/gen/types.ts';
import { StatusError } from '#common/errors.ts';
import { isReady } from '../pod-state.ts';
import { groupPods, nameOf, type PodReading } from './pod-metrics.ts';

/** What is wanted of the pods on average: a share in percent of what they ask for, or an amount in thousandths. */
export type Target = { readonly utilization: number } | { readonly average: number };

/** How far from 1 a ratio is left alone. */
export interface Tolerances { readonly up: number; readonly down: number }

export interface ReplicasSnapshot {
  /** By uid of the pod. */
  readonly readings: ReadonlyMap<string, PodReading>;
  readonly isCpu: boolean;
  /** What the pods ask for, by name; asked only for a share of it. */
  readonly requests: () => ReadonlyMap<string, number>;
  readonly target: Target;
  readonly tolerances: Tolerances;
  readonly currentReplicas: number;
  /** Those that the scale's selector selects. */
  readonly pods: readonly Pod[];
  readonly nowMs: number;
}

export interface Proposal {
  readonly replicas: number;
  /** In percent of what the pods ask for, where that was asked about. */
  readonly utilization?: number | undefined;
  /** Thousandths per pod. */
  readonly average: number;
}

interface Reading extends Omit<Proposal, 'replicas'> { /** Of what is used to what is wanted. */ readonly ratio: number }

/**
 * How many pods would bring the average to the target. Pods that cannot be measured count as what makes the change
 * smaller, and never turn its direction. Throws when nothing can be said.
 */
export function proposeReplicas(snapshot: ReplicasSnapshot): Proposal {
  const { target, tolerances, currentReplicas, pods } = snapshot;
  if (pods.length === 0) throw noPods();
  const { values, unready, missing } = groupPods(pods, snapshot.readings, snapshot.isCpu, snapshot.nowMs);
  if (values.size === 0) throw unknown('did not receive metrics for targeted pods (pods might be unready)');
  const requests = 'utilization' in target ? snapshot.requests() : new Map<string, number>();
  const { ratio, ...reading } = read(values, requests, target);
  const stay = { replicas: currentReplicas, ...reading };
  const raisesUnready = unready.length > 0 && ratio > 1;
  if (!raisesUnready && missing.length === 0) return isNear(ratio, tolerances) ? stay : { replicas: ceil(ratio * values.size), ...reading };
  const filled = new Map(values);
  if (ratio !== 1) for (const pod of missing) filled.set(nameOf(pod), ratio < 1 ? fullUse(nameOf(pod), requests, target) : 0);
  if (raisesUnready) for (const pod of unready) filled.set(nameOf(pod), 0);
  const { ratio: careful } = read(filled, requests, target);
  if (isNear(careful, tolerances) || (ratio < 1) !== (careful < 1)) return stay;
  const replicas = ceil(careful * filled.size);
  const isTurned = careful < 1 ? replicas > currentReplicas : replicas < currentReplicas;
  return isTurned ? stay : { replicas, ...reading };
}

function read(values: ReadonlyMap<string, number>, requests: ReadonlyMap<string, number>, target: Target): Reading {
  const total = [...values.values()].reduce((a, b) => a + b, 0);
  const average = Math.trunc(total / values.size);
  if ('average' in target) return { ratio: average / target.average, average };
  const requested = [...values.keys()].reduce((sum, name) => sum + (requests.get(name) ?? 0), 0);
  if (requested === 0) throw unknown('no metrics returned matched known pods');
  const utilization = Math.trunc((total * 100) / requested);
  return { ratio: utilization / target.utilization, utilization, average };
}

/** What a pod that should not be missed is taken to use while there seem to be too many. */
function fullUse(pod: string, requests: ReadonlyMap<string, number>, target: Target): number {
  return 'average' in target ? target.average : ((requests.get(pod) ?? 0) * Math.max(100, target.utilization)) / 100;
}

function isNear(ratio: number, { up, down }: Tolerances): boolean {
  return ratio >= 1 - down && ratio <= 1 + up;
}

/** What a value that is not a pod's own (a queue's length, say) asks for: in all, or of each pod. All in thousandths. */
export interface ValueSnapshot {
  readonly value: number;
  readonly target: { readonly total: number } | { readonly perPod: number };
  readonly tolerances: Tolerances;
  readonly currentReplicas: number;
  /** As the scale's status counts them. */
  readonly statusReplicas: number;
  readonly pods: readonly Pod[];
}

/** How many pods would bring the value to its target, or what falls to each of them. Throws when nothing can be said. */
export function replicasByValue({ value, target, tolerances, currentReplicas, statusReplicas, pods }: ValueSnapshot): { replicas: number; perPod?: number } {
  if ('perPod' in target) {
    const isWell = statusReplicas > 0 && isNear(value / (target.perPod * statusReplicas), tolerances);
    return { replicas: isWell ? statusReplicas : ceil(value / target.perPod), perPod: statusReplicas === 0 ? 0 : ceil(value / statusReplicas) };
  }
  const ratio = value / target.total;
  if (currentReplicas === 0) return { replicas: ceil(ratio) };
  if (isNear(ratio, tolerances)) return { replicas: currentReplicas };
  if (pods.length === 0) throw noPods();
  return { replicas: ceil(ratio * pods.filter((pod) => pod.status?.phase === 'Running' && isReady(pod)).length) };
}

function noPods(): StatusError {
  return unknown('no pods returned by selector while calculating replica count');
}

/** Without the dust of floating point, which would cost a pod. */
function ceil(value: number): number {
  return Math.ceil(Number(value.toFixed(9)));
}

function unknown(message: string): StatusError {
  return new StatusError('ServiceUnavailable', message);
}

import type { Container, Pod, ResourceRequirements } from '#api/gen/types.ts';
import { getCondition } from '#api/meta/conditions.ts';
import { parseQuantity } from '#api/meta/quantity.ts';
import { StatusError } from '#common/errors.ts';
import { isTerminating } from '../pod-state.ts';

/** What one pod used of late. */
export interface PodUsage {
  readonly atMs: number;
  readonly windowMs: number;
  readonly containers: readonly { readonly name: string; readonly cpuMillis: number; readonly memoryBytes: number }[];
}

/** A resource of whole pods, or of the container of that name in each. */
export interface Measured {
  readonly resource: string;
  readonly container?: string | undefined;
}

/** One number about a pod, in thousandths, and when it was taken. */
export interface PodReading {
  readonly value: number;
  readonly atMs: number;
  readonly windowMs: number;
}

/** Pods by what their readings tell. Numbers are thousandths of the resource's unit. */
export interface PodGroups {
  /** Ready, and measured. */
  readonly values: ReadonlyMap<string, number>;
  /** May use much while they start, and serve nobody yet. */
  readonly unready: readonly Pod[];
  /** Nobody knows what they use. */
  readonly missing: readonly Pod[];
}

/** How long a new pod's processor time says nothing unless it was measured while ready, and how long it may first become ready. */
const cpuInitializationMs = 300_000;
const initialReadinessMs = 30_000;

/** What the pods use of a resource, by uid; those of which nobody knows are left out. */
export function readingsOf(usage: ReadonlyMap<string, PodUsage>, measured: Measured): ReadonlyMap<string, PodReading> {
  return new Map([...usage].flatMap(([uid, used]) => {
    const value = valueOf(used, measured);
    return value === undefined ? [] : [[uid, { value, atMs: used.atMs, windowMs: used.windowMs }] as const];
  }));
}

/** `readings` by uid. `isCpu`: a pod that starts may use much of it and serve nobody. */
export function groupPods(pods: readonly Pod[], readings: ReadonlyMap<string, PodReading>, isCpu: boolean, nowMs: number): PodGroups {
  const values = new Map<string, number>();
  const unready: Pod[] = [];
  const missing: Pod[] = [];
  for (const pod of pods) {
    if (isTerminating(pod) || pod.status?.phase === 'Failed') continue;
    const reading = readings.get(pod.metadata?.uid ?? '');
    if (pod.status?.phase === 'Pending') unready.push(pod);
    else if (reading === undefined) missing.push(pod);
    else if (isCpu && startsUp(pod, reading, nowMs)) unready.push(pod);
    else values.set(nameOf(pod), reading.value);
  }
  return { values, unready, missing };
}

function valueOf({ containers }: PodUsage, { resource, container }: Measured): number | undefined {
  if (resource !== 'cpu' && resource !== 'memory') return undefined;
  const counted = container === undefined ? containers : containers.filter(({ name }) => name === container);
  if (counted.length === 0) return undefined;
  return counted.reduce((sum, { cpuMillis, memoryBytes }) => sum + (resource === 'cpu' ? Math.round(cpuMillis) : Math.round(memoryBytes) * 1000), 0);
}

function startsUp({ status }: Pod, { atMs, windowMs }: PodReading, nowMs: number): boolean {
  const ready = getCondition(status?.conditions, 'Ready');
  if (ready === undefined || status?.startTime === undefined) return true;
  const startMs = Date.parse(status.startTime);
  const changedMs = Date.parse(ready.lastTransitionTime ?? status.startTime);
  const isUnready = ready.status === 'False';
  return startMs + cpuInitializationMs > nowMs ? isUnready || atMs < changedMs + windowMs : isUnready && startMs + initialReadinessMs > changedMs;
}

/** What the pods ask for, by name. A container that asks for none leaves nothing to compare its usage with. */
export function requestsOf(pods: readonly Pod[], { resource, container }: Measured): ReadonlyMap<string, number> {
  return new Map(pods.map((pod) => {
    const forPod = container === undefined ? request((pod.spec as { resources?: ResourceRequirements } | undefined)?.resources, resource) : undefined;
    return [nameOf(pod), forPod ?? ofContainers(pod, resource, container)];
  }));
}

function ofContainers(pod: Pod, resource: string, name: string | undefined): number {
  const sidecars = (pod.spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  const counted: readonly Container[] = [...pod.spec?.containers ?? [], ...sidecars].filter((container) => name === undefined || container.name === name);
  return counted.reduce((sum, container) => {
    const asked = request(container.resources, resource);
    if (asked === undefined) throw new StatusError('Invalid', `missing request for ${resource} in container ${container.name} of Pod ${nameOf(pod)}`);
    return sum + asked;
  }, 0);
}

function request(resources: ResourceRequirements | undefined, resource: string): number | undefined {
  const asked = resources?.requests?.[resource];
  return asked === undefined ? undefined : Number(parseQuantity(asked) / 1_000_000n);
}

export function nameOf(pod: Pod): string {
  return pod.metadata?.name ?? '';
}

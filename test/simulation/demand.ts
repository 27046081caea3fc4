import type { CrossVersionObjectReference, HorizontalPodAutoscaler, HPAScalingRules, MetricSpec, Scale } from '#api/gen/types.ts';
import { StatusError } from '#common/errors.ts';
import type { NodeUsage, ScaleClient } from '#controlplane/apiserver/types.ts';
import type { Autoscaling } from '#controlplane/controllers/types.ts';
import type { SimulatedHost } from './host.ts';

/** Ratios this near to 1 are left alone. */
const tolerance = 0.1;

export interface DemandDeps {
  readonly nowMs: () => number;
  readonly hosts: () => readonly SimulatedHost[];
  /** The one that scales this target, as the control plane knows it. */
  readonly autoscalerOf: (target: string) => HorizontalPodAutoscaler | undefined;
  readonly problem: (text: string) => void;
}

/** What an autoscaler went by and did since the control plane started. */
interface Course {
  /** As of when it last asked for its target's size, and that size. */
  autoscaler?: HorizontalPodAutoscaler | undefined;
  current: number;
  readonly readings: { readonly atMs: number; readonly value: number }[];
  readonly changes: { readonly atMs: number; readonly by: number }[];
}

/**
 * What the users of the cluster ask of two workloads, how their pods and an adapter tell of it, and what their
 * autoscalers may make of that: `calc` shares processor time between its pods, `queue` has a length that everyone sees.
 */
export class Demand {
  cpuMillis = 0;
  queueLength = 0;
  /** The adapter answers. */
  isTold = true;
  /** When one of these last changed. */
  changedMs = 0;
  readonly #deps: DemandDeps;
  readonly #courses = new Map<string, Course>();

  constructor(deps: DemandDeps) {
    this.#deps = deps;
  }

  change(to: Partial<Pick<Demand, 'cpuMillis' | 'queueLength' | 'isTold'>>): void {
    Object.assign(this, to);
    this.changedMs = this.#deps.nowMs();
  }

  /** Autoscalers remember in memory only. */
  forget(): void {
    this.#courses.clear();
  }

  /** What autoscalers are given, which watches what they do with `scales`. */
  autoscaling(scales: ScaleClient): Autoscaling {
    return {
      scales: { get: (target, namespace) => this.#look(scales, target, namespace), update: (target, scale) => this.#scale(scales, target, scale) },
      usage: (nodeName) => new Promise((resolve) => { resolve(this.#usage(nodeName)); }),
      metrics: (_group, path) => new Promise((resolve) => { resolve(this.#metric(path)); }),
    };
  }

  async #look(scales: ScaleClient, target: CrossVersionObjectReference, namespace: string): Promise<Scale> {
    const course = this.#courseOf(target.name);
    course.autoscaler = this.#deps.autoscalerOf(target.name);
    const scale = await scales.get(target, namespace);
    course.current = scale.spec?.replicas ?? 0;
    return scale;
  }

  async #scale(scales: ScaleClient, target: CrossVersionObjectReference, scale: Scale): Promise<void> {
    const course = this.#courseOf(target.name);
    const [atMs, to] = [this.#deps.nowMs(), scale.spec?.replicas ?? 0];
    for (const problem of faultsOf(course, to, atMs)) this.#deps.problem(`${target.name} is scaled from ${String(course.current)} to ${String(to)}: ${problem}`);
    const by = to - course.current;
    await scales.update(target, scale);
    course.changes.push({ atMs, by });
  }

  #courseOf(target: string): Course {
    const known = this.#courses.get(target) ?? { current: 0, readings: [], changes: [] };
    this.#courses.set(target, known);
    return known;
  }

  /** Of the pods that run there; each of `calc` has its share of the work. */
  #usage(nodeName: string): NodeUsage {
    const { hosts, nowMs } = this.#deps;
    const host = hosts().find(({ name }) => name === nodeName);
    if (host?.connected !== true || !host.online || !host.powered) throw new StatusError('ServiceUnavailable', `${nodeName} is not connected`);
    const sharers = hosts().flatMap(({ copies }) => [...copies.values()]).filter(({ pod }) => pod.metadata?.labels?.['app'] === 'calc').length;
    const pods = [...host.copies.values()].map(({ pod }) => {
      const cpuMillis = pod.metadata?.labels?.['app'] === 'calc' ? Math.floor(this.cpuMillis / sharers) : 1;
      return { namespace: 'default', name: pod.metadata?.name ?? '', uid: pod.metadata?.uid ?? '', containers: [{ name: 'c', cpuMillis, memoryBytes: 1 }] };
    });
    return { atMs: nowMs(), windowMs: 1000, node: { cpuMillis: 0, memoryBytes: 0 }, pods };
  }

  #metric(path: string): unknown {
    if (!this.isTold) throw new StatusError('ServiceUnavailable', 'the adapter does not answer');
    if (!path.endsWith('/queue_length')) throw new StatusError('NotFound', path);
    const course = this.#courseOf('queue');
    const { minReplicas = 1, maxReplicas = 0 } = course.autoscaler?.spec ?? {};
    // What is too small or too large, or switched off, is not a matter of readings.
    if (course.current > 0 && course.current >= minReplicas && course.current <= maxReplicas) course.readings.push({ atMs: this.#deps.nowMs(), value: this.queueLength });
    return { items: [{ value: String(this.queueLength) }] };
  }

  /** Why `replicas` is not what the demand needs, once all is quiet. */
  fault({ spec, status }: HorizontalPodAutoscaler, replicas: number): string | undefined {
    const { minReplicas = 1, maxReplicas, metrics: [metric] = [] } = spec;
    if (replicas === 0 && minReplicas > 0) return undefined; // Switched off by a user.
    const ratio = metric?.type === 'External' ? this.queueLength / (perPod(metric) * replicas) : utilization(this.cpuMillis, replicas, metric) / (metric?.resource?.target.averageUtilization ?? 1);
    const needed = ratio >= 1 - tolerance && ratio <= 1 + tolerance ? replicas : Math.ceil(Number((ratio * replicas).toFixed(9)));
    const should = Math.min(maxReplicas, Math.max(minReplicas, needed));
    if (replicas !== should) return `${spec.scaleTargetRef.name} has ${String(replicas)} replicas, and needs ${String(should)}`;
    return status?.desiredReplicas === should && status.currentReplicas === should ? undefined : `the autoscaler of ${spec.scaleTargetRef.name} tells ${JSON.stringify(status)} of ${String(should)} replicas`;
  }
}

/** How many milliseconds after the last change of demand an autoscaler may still hold on to what was. */
export function memoryMs({ spec: { behavior } }: HorizontalPodAutoscaler): number {
  return 1000 * Math.max(behavior?.scaleUp?.stabilizationWindowSeconds ?? 0, behavior?.scaleDown?.stabilizationWindowSeconds ?? 300);
}

/** What an autoscaler must not do, told from outside: by what it was given, and by nothing of how it works. */
function faultsOf({ autoscaler, current, readings, changes }: Course, to: number, nowMs: number): string[] {
  if (autoscaler === undefined) return ['nobody is to scale it'];
  const { minReplicas = 1, maxReplicas, behavior, metrics: [metric] = [] } = autoscaler.spec;
  if (to < minReplicas || to > maxReplicas) return [`that is not between ${String(minReplicas)} and ${String(maxReplicas)}`];
  if (current === 0 && minReplicas > 0) return ['it is switched off'];
  if (current < minReplicas || current > maxReplicas) return [];
  const rules: HPAScalingRules | undefined = to > current ? behavior?.scaleUp : behavior?.scaleDown;
  const windowMs = 1000 * (rules?.stabilizationWindowSeconds ?? (to > current ? 0 : 300));
  const faults = (rules?.policies ?? []).filter(({ type }) => type === 'Pods').flatMap(({ value, periodSeconds }) => {
    const before = changes.filter(({ atMs }) => atMs > nowMs - periodSeconds * 1000).reduce((sum, { by }) => sum + by, 0);
    const sign = Math.sign(to - current);
    return sign * (before + to - current) > value ? [`more than ${String(value)} within ${String(periodSeconds)} s`] : [];
  });
  if (metric?.type !== 'External') return faults;
  const held = readings.filter(({ atMs }, i) => atMs > nowMs - windowMs || i === readings.length - 1).map(({ value }) => value / perPod(metric));
  const isEarly = to < current ? held.some((need) => to < Math.min(maxReplicas, Math.ceil(need / (1 + tolerance)))) : held.some((need) => to > Math.max(minReplicas, Math.ceil(need), Math.floor(need / (1 - tolerance))));
  return isEarly ? [...faults, `readings of the last ${String(windowMs / 1000)} s were ${held.map((need) => need.toFixed(1)).join(', ')} pods' worth`] : faults;
}

function perPod({ external }: MetricSpec): number {
  return Number(external?.target.averageValue ?? 1);
}

/** In percent of the 50m that each pod asks for. */
function utilization(cpuMillis: number, replicas: number, metric: MetricSpec | undefined): number {
  return metric === undefined ? 0 : Math.trunc((Math.floor(cpuMillis / replicas) * 100) / 50);
}

import type { HorizontalPodAutoscaler, MetricSpec, Pod } from '#api/gen/types.ts';
import type { Resource } from '#api/kinds/resources.ts';
import type { LabelRequirement } from '#api/meta/selectors.ts';
import type { Clock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import type { NodeUsage } from '../../apiserver/types.ts';
import type { Autoscaling } from '../types.ts';
import { readCustomMetric, type CustomReading, type MetricsApi } from './custom-metrics.ts';
import type { PodUsage } from './pod-metrics.ts';

const timeoutMs = 5_000;
/** A node is asked once for all autoscalers that look at about the same time. */
const keepMs = 5_000;

export interface ReadingsDeps {
  readonly autoscaling: Autoscaling;
  readonly clock: Clock;
  /** Every resource that is served: what metrics of objects may be about. */
  readonly resources: () => readonly Resource[];
}

export interface Subject {
  readonly autoscaler: HorizontalPodAutoscaler;
  /** Of the scale, and the pods that it selects. */
  readonly podSelector: readonly LabelRequirement[];
  readonly pods: readonly Pod[];
}

/** What autoscalers go by, from nodes and adapters. Nobody is asked for what no metric is about. Signals are the controller's, one for all. */
export class Readings {
  readonly #deps: ReadingsDeps;
  readonly #nodes = new Map<string, { readonly atMs: number; readonly usage: Promise<NodeUsage> }>();

  constructor(deps: ReadingsDeps) {
    this.#deps = deps;
  }

  /** By uid of the pod. Nodes that do not answer are left out, as with metrics-server. */
  async usage({ autoscaler, pods }: Subject, signal: AbortSignal): Promise<ReadonlyMap<string, PodUsage>> {
    if (!(autoscaler.spec.metrics ?? []).some(isResource)) return new Map();
    const names = [...new Set(pods.flatMap(({ spec }) => spec?.nodeName ?? []))];
    const answers = await Promise.allSettled(names.map((name) => this.#node(name, signal)));
    signal.throwIfAborted();
    const wanted = new Set(pods.map(({ metadata }) => metadata?.uid));
    return new Map(answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []))
      .flatMap(({ atMs, windowMs, pods: used }) => used.filter(({ uid }) => wanted.has(uid)).map(({ uid, containers }) => [uid, { atMs, windowMs, containers }] as const)));
  }

  #node(name: string, signal: AbortSignal): Promise<NodeUsage> {
    const now = this.#deps.clock.monotonic();
    for (const [other, { atMs }] of this.#nodes) if (now - atMs >= keepMs) this.#nodes.delete(other);
    const known = this.#nodes.get(name);
    if (known) return known.usage;
    const usage = this.#deps.autoscaling.usage(name, AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]));
    this.#nodes.set(name, { atMs: now, usage });
    return usage;
  }

  /** Of each metric that is not a resource's: what an adapter tells, or why it does not. */
  async custom({ autoscaler: { metadata, spec }, podSelector, pods }: Subject, signal: AbortSignal): Promise<ReadonlyMap<MetricSpec, CustomReading | Error>> {
    const { autoscaling: { metrics }, resources } = this.#deps;
    const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
    const ask: MetricsApi = async (group, path) => {
      if (metrics === undefined) throw new StatusError('ServiceUnavailable', `nobody answers for ${group} here`);
      return metrics(group, path, limit);
    };
    const read = async (metric: MetricSpec): Promise<CustomReading | Error> => {
      try {
        return await readCustomMetric(ask, { metric, namespace: metadata?.namespace ?? '', podSelector, pods, resources: resources() });
      } catch (error) {
        signal.throwIfAborted();
        return error instanceof Error ? error : new Error(String(error));
      }
    };
    const wanted = (spec.metrics ?? []).filter((metric) => !isResource(metric));
    return new Map(await Promise.all(wanted.map(async (metric) => [metric, await read(metric)] as const)));
  }
}

function isResource({ type }: MetricSpec): boolean {
  return type === 'Resource' || type === 'ContainerResource';
}

import type { CrossVersionObjectReference, LabelSelector, MetricIdentifier, MetricSpec, Pod } from '#api/gen/types.ts';
import { qualifiedName, type Resource } from '#api/kinds/resources.ts';
import { parseQuantity } from '#api/meta/quantity.ts';
import { formatLabelSelector, requirementsOf, type LabelRequirement } from '#api/meta/selectors.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import type { PodReading } from './pod-metrics.ts';

/** What an adapter tells: of each pod, by uid, or one number in thousandths. */
export type CustomReading = { readonly byPod: ReadonlyMap<string, PodReading> } | { readonly value: number };

export interface CustomMetricsQuery {
  readonly metric: MetricSpec;
  readonly namespace: string;
  readonly podSelector: readonly LabelRequirement[];
  readonly pods: readonly Pod[];
  readonly resources: readonly Resource[];
}

/** Asks `path` below `/apis/GROUP/VERSION` of whoever answers for the group. */
export type MetricsApi = (group: string, path: string) => Promise<unknown>;

const custom = 'custom.metrics.k8s.io';
const external = 'external.metrics.k8s.io';
/** As in Kubernetes, where a metric does not say. */
const defaultWindowSeconds = 60;

/** An item of a MetricValueList or an ExternalMetricValueList, as far as it is read; v1beta1 calls `windowSeconds` `window`. Source: k8s.io/metrics. */
interface MetricValue { readonly describedObject?: { readonly name?: string }; readonly timestamp?: string; readonly windowSeconds?: number; readonly window?: number; readonly value?: string }

/** Reads a metric of type Pods, Object or External. Throws, in Kubernetes' words, when it cannot be had. */
export async function readCustomMetric(ask: MetricsApi, query: CustomMetricsQuery): Promise<CustomReading> {
  const { metric: { type, pods, object, external: other }, namespace } = query;
  if (type === 'Pods' && pods) return { byPod: await ofPods(ask, query, pods.metric) };
  if (type === 'Object' && object) return { value: await ofObject(ask, query, object.describedObject, object.metric) };
  if (type === 'External' && other) return { value: await ofNobody(ask, namespace, other.metric) };
  throw new StatusError('Invalid', `unknown metric source type ${JSON.stringify(type)}`);
}

async function ofPods(ask: MetricsApi, { namespace, podSelector, pods }: CustomMetricsQuery, metric: MetricIdentifier): Promise<ReadonlyMap<string, PodReading>> {
  try {
    const items = await list(ask, custom, `/namespaces/${namespace}/pods/*/${metric.name}`, { labelSelector: formatLabelSelector(podSelector), metricLabelSelector: selectorText(metric.selector) });
    const uids = new Map(pods.map(({ metadata }) => [metadata?.name ?? '', metadata?.uid ?? '']));
    return new Map(items.flatMap((item) => {
      const uid = uids.get(item.describedObject?.name ?? '');
      const { timestamp = '', windowSeconds = item.window ?? defaultWindowSeconds } = item;
      return uid === undefined ? [] : [[uid, { value: numberOf(item), atMs: Date.parse(timestamp), windowMs: windowSeconds * 1000 }] as const];
    }));
  } catch (error) {
    throw unavailable(`unable to get metric ${metric.name}: ${messageOf(error)}`, error);
  }
}

async function ofObject(ask: MetricsApi, { namespace, resources }: CustomMetricsQuery, about: CrossVersionObjectReference, metric: MetricIdentifier): Promise<number> {
  try {
    const group = about.apiVersion?.includes('/') ? about.apiVersion.split('/')[0] ?? '' : '';
    const resource = resources.find((one) => one.kind === about.kind && one.group === group);
    if (resource === undefined) throw new StatusError('NotFound', `no matches for kind ${JSON.stringify(about.kind)} in group ${JSON.stringify(group)}`);
    // A namespace has metrics of its own; what else is not in one has them at the root.
    const at = about.kind === 'Namespace' && group === '' ? `/namespaces/${about.name}/metrics` : `${resource.namespaced ? `/namespaces/${namespace}` : ''}/${qualifiedName(resource)}/${about.name}`;
    const [first] = await list(ask, custom, `${at}/${metric.name}`, { metricLabelSelector: selectorText(metric.selector) });
    return numberOf(first ?? {});
  } catch (error) {
    throw unavailable(`unable to get metric ${metric.name}: ${about.kind} on ${namespace} ${about.name}/${messageOf(error)}`, error);
  }
}

async function ofNobody(ask: MetricsApi, namespace: string, metric: MetricIdentifier): Promise<number> {
  try {
    const items = await list(ask, external, `/namespaces/${namespace}/${metric.name}`, { labelSelector: selectorText(metric.selector) });
    return items.reduce((sum, item) => sum + numberOf(item), 0);
  } catch (error) {
    throw unavailable(`unable to get external metric ${namespace}/${metric.name}/${selectorText(metric.selector)}: ${messageOf(error)}`, error);
  }
}

async function list(ask: MetricsApi, group: string, path: string, parameters: Readonly<Record<string, string>>): Promise<readonly MetricValue[]> {
  const what = `${group === custom ? 'custom' : 'external'} metrics API`;
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== '')).toString();
  let answer: unknown;
  try {
    answer = await ask(group, path + (query === '' ? '' : `?${query}`));
  } catch (error) {
    throw unavailable(`unable to fetch metrics from ${what}: ${messageOf(error)}`, error);
  }
  const items = (answer as { items?: unknown } | null)?.items;
  if (!Array.isArray(items) || items.length === 0) throw unavailable(`no metrics returned from ${what}`);
  return items as MetricValue[];
}

function numberOf({ value }: MetricValue): number {
  if (typeof value !== 'string') throw new StatusError('InternalError', 'an item of the answer has no value');
  return Number(parseQuantity(value)) / 1e6;
}

function selectorText(selector: LabelSelector | undefined): string {
  return selector === undefined ? '' : formatLabelSelector(requirementsOf(selector));
}

function unavailable(message: string, cause?: unknown): StatusError {
  return new StatusError('ServiceUnavailable', message, { cause });
}

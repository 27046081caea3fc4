import type { HorizontalPodAutoscaler, HorizontalPodAutoscalerV1, MetricSpec, MetricStatus, ObjectMeta } from '../../gen/types.ts';
import { isRecord, type JsonRecord } from '../../meta/json.ts';
import { metricFromV1, metricStatusFromV1, metricStatusToV1, metricToV1 } from './metrics.ts';

/** v1 has a field for the share of CPU only. What else there is it says by annotations, in the form that Kubernetes gives them. */
const annotations = {
  metrics: 'autoscaling.alpha.kubernetes.io/metrics',
  currentMetrics: 'autoscaling.alpha.kubernetes.io/current-metrics',
  conditions: 'autoscaling.alpha.kubernetes.io/conditions',
  behavior: 'autoscaling.alpha.kubernetes.io/behavior',
} as const;
export const roundTripAnnotations: readonly string[] = Object.values(annotations);
/** Those that tell of the status, which only its subresource changes. */
export const statusAnnotations: readonly string[] = [annotations.currentMetrics, annotations.conditions];
export const metricsAnnotation: string = annotations.metrics;

function isCpuShare({ resource, type }: MetricSpec): boolean {
  return type === 'Resource' && resource?.name === 'cpu' && resource.target?.averageUtilization !== undefined;
}

export function toV1({ metadata, spec, status, ...rest }: HorizontalPodAutoscaler): HorizontalPodAutoscalerV1 {
  const { behavior, metrics = [], ...common } = spec ?? { maxReplicas: 0, scaleTargetRef: { kind: '', name: '' } };
  const { conditions = [], currentMetrics = [], ...statusCommon } = status ?? { desiredReplicas: 0 };
  const added: Record<string, string> = {};
  const others = metrics.filter((metric) => !isCpuShare(metric));
  if (others.length > 0) added[annotations.metrics] = JSON.stringify(others.map(metricToV1));
  if (currentMetrics.length > 0) added[annotations.currentMetrics] = JSON.stringify(currentMetrics.map(metricStatusToV1));
  if (conditions.length > 0) added[annotations.conditions] = JSON.stringify(conditions);
  if (behavior !== undefined) added[annotations.behavior] = JSON.stringify(recased(behavior, (key) => key.charAt(0).toUpperCase() + key.slice(1)));
  const share = metrics.find(isCpuShare)?.resource?.target.averageUtilization;
  const used = currentMetrics.find(({ resource }) => resource?.name === 'cpu')?.resource?.current?.averageUtilization;
  return {
    ...rest, apiVersion: 'autoscaling/v1', metadata: withAnnotations(metadata, added),
    spec: { ...common, ...(share !== undefined && { targetCPUUtilizationPercentage: share }) },
    ...(status !== undefined && { status: { ...statusCommon, currentReplicas: status.currentReplicas ?? 0, ...(used !== undefined && { currentCPUUtilizationPercentage: used }) } }),
  };
}

export function fromV1({ metadata, spec, status, ...rest }: HorizontalPodAutoscalerV1): HorizontalPodAutoscaler {
  const { targetCPUUtilizationPercentage: share, ...common } = spec ?? { maxReplicas: 0, scaleTargetRef: { kind: '', name: '' } };
  const { currentCPUUtilizationPercentage: used, ...statusCommon } = status ?? { currentReplicas: 0, desiredReplicas: 0 };
  const read = (name: keyof typeof annotations): unknown => parsed(metadata?.annotations?.[annotations[name]]);
  const list = (value: unknown): JsonRecord[] => (Array.isArray(value) ? value.filter(isRecord) : []);
  const metrics: MetricSpec[] = [
    ...(share === undefined ? [] : [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: share } } }]),
    ...list(read('metrics')).map(metricFromV1),
  ];
  const measured: MetricStatus[] = list(read('currentMetrics')).map(metricStatusFromV1);
  if (measured.length === 0 && used !== undefined) measured.push({ type: 'Resource', resource: { name: 'cpu', current: { averageUtilization: used } } });
  const conditions = list(read('conditions')) as unknown as NonNullable<HorizontalPodAutoscaler['status']>['conditions'];
  const behavior = recased(read('behavior'), (key) => key.charAt(0).toLowerCase() + key.slice(1));
  return {
    ...rest, apiVersion: 'autoscaling/v2', metadata: withAnnotations(metadata, {}),
    spec: { ...common, ...(metrics.length > 0 && { metrics }), ...(isRecord(behavior) && { behavior: behavior as HorizontalPodAutoscaler['spec']['behavior'] }) },
    ...(status !== undefined && { status: { ...statusCommon, ...(measured.length > 0 && { currentMetrics: measured }), ...(conditions !== undefined && conditions.length > 0 && { conditions }) } }),
  };
}

/** Without the annotations that tell of other versions, but for `added`. */
function withAnnotations(metadata: ObjectMeta | undefined, added: Readonly<Record<string, string>>): ObjectMeta {
  const { annotations: old = {}, ...rest } = metadata ?? {};
  const kept = Object.entries(old).filter(([name]) => !roundTripAnnotations.includes(name));
  const all = { ...Object.fromEntries(kept), ...added };
  return Object.keys(all).length === 0 ? rest : { ...rest, annotations: all };
}

/** Text that somebody may have written by hand. */
function parsed(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The behavior's annotation has the names of Go's fields. */
function recased(value: unknown, rename: (key: string) => string): unknown {
  if (Array.isArray(value)) return value.map((item) => recased(item, rename));
  if (!isRecord(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([, item]) => (item ?? null) !== null).map(([key, item]) => [rename(key), recased(item, rename)]));
}

import type { HorizontalPodAutoscaler, MetricSpec, MetricStatus, MetricTarget, MetricValueStatus } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import type { TableColumn } from '../types.ts';

const shown = 2;
const unknown = '<unknown>';

function percent(value: number | undefined, absent: string): string {
  return value === undefined ? absent : `${value}%`;
}

/** `10%/50%`, `200m/1`. */
function ofPods(target: MetricTarget | undefined, current: MetricValueStatus | undefined): string {
  return target?.averageValue === undefined
    ? `${percent(current?.averageUtilization, unknown)}/${percent(target?.averageUtilization, '<auto>')}`
    : `${current?.averageValue ?? unknown}/${target.averageValue}`;
}

/** `3/10`, `3/10 (avg)`. */
function ofOther(target: MetricTarget | undefined, current: MetricValueStatus | undefined): string {
  return target?.averageValue === undefined ? `${current?.value ?? unknown}/${target?.value ?? '0'}` : `${current?.averageValue ?? unknown}/${target.averageValue} (avg)`;
}

function metric(spec: MetricSpec, status: MetricStatus | undefined): string {
  switch (spec.type) {
    case 'Resource': return `${spec.resource?.name ?? ''}: ${ofPods(spec.resource?.target, status?.resource?.current)}`;
    case 'ContainerResource': return `${spec.containerResource?.name ?? ''}: ${ofPods(spec.containerResource?.target, status?.containerResource?.current)}`;
    case 'Pods': return `${status?.pods?.current?.averageValue ?? unknown}/${spec.pods?.target?.averageValue ?? '0'}`;
    case 'Object': return ofOther(spec.object?.target, status?.object?.current);
    case 'External': return ofOther(spec.external?.target, status?.external?.current);
    default: return '<unknown type>';
  }
}

function targets({ spec, status }: HorizontalPodAutoscaler): string {
  const metrics = spec?.metrics ?? [];
  if (metrics.length === 0) return '<none>';
  const texts = metrics.slice(0, shown).map((one, i) => metric(one, status?.currentMetrics?.[i])).join(', ');
  return metrics.length > shown ? `${texts} + ${metrics.length - shown} more...` : texts;
}

export const autoscalerColumns: readonly TableColumn<HorizontalPodAutoscaler>[] = [
  nameColumn(),
  column('Reference', 'What it scales', ({ spec }) => `${spec?.scaleTargetRef?.kind ?? ''}/${spec?.scaleTargetRef?.name ?? ''}`),
  column('Targets', 'What it measures, and what it aims at', targets),
  column('MinPods', 'How many pods there are at least', ({ spec }) => (spec?.minReplicas === undefined ? '<unset>' : String(spec.minReplicas))),
  column('MaxPods', 'How many pods there are at most', ({ spec }) => spec?.maxReplicas ?? 0, 'integer'),
  column('Replicas', 'How many pods there are', ({ status }) => status?.currentReplicas ?? 0, 'integer'),
  ageColumn(),
];

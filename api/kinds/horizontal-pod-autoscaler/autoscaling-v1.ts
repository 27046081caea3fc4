import type { HorizontalPodAutoscaler, HorizontalPodAutoscalerV1 } from '../../gen/types.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { horizontalPodAutoscalersV1 } from '../resources.ts';
import type { KindDefinition } from '../types.ts';
import { fromV1, metricsAnnotation, statusAnnotations, toV1 } from './conversion.ts';
import { horizontalPodAutoscaler as v2 } from './kind.ts';

/** What is told of the status by annotation stays as it was, whatever a client sends. */
function restoreStatusAnnotations(object: HorizontalPodAutoscalerV1, old: HorizontalPodAutoscalerV1): void {
  const meta = (object.metadata ??= {});
  const next = { ...meta.annotations };
  for (const name of statusAnnotations) {
    const before = old.metadata?.annotations?.[name];
    if (before === undefined) delete next[name];
    else next[name] = before;
  }
  if (Object.keys(next).length > 0 || meta.annotations !== undefined) meta.annotations = next;
}

/** autoscaling/v1: the same autoscalers, for clients that know no more than a share of CPU. */
export const horizontalPodAutoscalerV1: KindDefinition<HorizontalPodAutoscalerV1> = {
  resource: horizontalPodAutoscalersV1,
  singular: v2.singular, shortNames: v2.shortNames, categories: v2.categories, storage: v2.storage, status: true, generation: false, nameRule: v2.nameRule, selectableFields: {},
  schema: () => schemaNamed('HorizontalPodAutoscalerV1'),
  stored: { apiVersion: 'autoscaling/v2', since: 0, load: (objects) => objects.map((object) => toV1(object as HorizontalPodAutoscaler)), save: (object) => withDefaults(fromV1(object as HorizontalPodAutoscalerV1)) },
  setDefaults: ({ metadata, spec }) => {
    if (spec === undefined) return;
    spec.minReplicas ??= 1;
    if (spec.targetCPUUtilizationPercentage === undefined && metadata?.annotations?.[metricsAnnotation] === undefined) spec.targetCPUUtilizationPercentage = 80;
  },
  prepareForCreate: (object) => {
    object.status = { currentReplicas: 0, desiredReplicas: 0 };
    for (const name of statusAnnotations) delete object.metadata?.annotations?.[name];
  },
  prepareForUpdate: restoreStatusAnnotations,
  validate: (object) => v2.validate?.(withDefaults(fromV1(object))) ?? [],
  validateStatus: (object, old) => v2.validateStatus?.(fromV1(object), fromV1(old)) ?? [],
  columns: v2.columns.map((column) => ({ ...column, value: (object: HorizontalPodAutoscalerV1, nowMs: number) => column.value(fromV1(object), nowMs) })),
};

function withDefaults(object: HorizontalPodAutoscaler): HorizontalPodAutoscaler {
  v2.setDefaults?.(object);
  return object;
}

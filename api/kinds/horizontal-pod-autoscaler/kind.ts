import type { HorizontalPodAutoscaler, HPAScalingRules } from '../../gen/types.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { horizontalPodAutoscalers } from '../resources.ts';
import type { KindDefinition } from '../types.ts';
import { autoscalerColumns } from './columns.ts';
import { roundTripAnnotations } from './conversion.ts';
import { validateAutoscaler, validateAutoscalerStatus } from './validate.ts';

/** As fast as the larger of two policies allows; down to the smallest at once. */
const scaleUp = (): HPAScalingRules => ({
  stabilizationWindowSeconds: 0, selectPolicy: 'Max', policies: [{ type: 'Pods', value: 4, periodSeconds: 15 }, { type: 'Percent', value: 100, periodSeconds: 15 }],
});
const scaleDown = (): HPAScalingRules => ({ selectPolicy: 'Max', policies: [{ type: 'Percent', value: 100, periodSeconds: 15 }] });

function setDefaults({ spec }: HorizontalPodAutoscaler): void {
  if (spec === undefined) return;
  spec.minReplicas ??= 1;
  if ((spec.metrics ?? []).length === 0) spec.metrics = [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } } }];
  const { behavior } = spec;
  if (behavior === undefined) return;
  behavior.scaleUp = { ...scaleUp(), ...behavior.scaleUp };
  behavior.scaleDown = { ...scaleDown(), ...behavior.scaleDown };
}

/** What v1 says by annotations has its own fields here. */
function dropRoundTrip({ metadata }: HorizontalPodAutoscaler): void {
  for (const name of roundTripAnnotations) delete metadata?.annotations?.[name];
  if (metadata?.annotations !== undefined && Object.keys(metadata.annotations).length === 0) delete metadata.annotations;
}

/** autoscaling/v2: what is stored. */
export const horizontalPodAutoscaler: KindDefinition<HorizontalPodAutoscaler> = {
  resource: horizontalPodAutoscalers,
  singular: 'horizontalpodautoscaler',
  shortNames: ['hpa'],
  categories: ['all'],
  schema: () => schemaNamed('HorizontalPodAutoscaler'),
  storage: 'durable',
  status: true,
  generation: false,
  nameRule: 'dns-subdomain',
  setDefaults,
  prepareForCreate: (object) => {
    object.status = { currentReplicas: 0, desiredReplicas: 0 };
    dropRoundTrip(object);
  },
  prepareForUpdate: dropRoundTrip,
  validate: validateAutoscaler,
  validateStatus: validateAutoscalerStatus,
  selectableFields: {},
  columns: autoscalerColumns,
};

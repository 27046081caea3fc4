import type { CrossVersionObjectReference, HorizontalPodAutoscaler, HPAScalingRules, MetricIdentifier, MetricSpec, MetricTarget } from '../../gen/types.ts';
import { forbidden, invalid, notSupported, required, type FieldError } from '../../meta/field-error.ts';
import { pathSegment } from '../../meta/names.ts';
import { isQuantity, parseQuantity } from '../../meta/quantity.ts';
import { notNegative, requiredNamed, requiredText, supportedIfSet } from '../../meta/rules.ts';

const maxPeriodSeconds = 1800;
const maxWindowSeconds = 3600;
const sources = ['containerResource', 'external', 'object', 'pods', 'resource'] as const;
type Source = (typeof sources)[number];
const sourceOfType: ReadonlyMap<string, Source> = new Map([['ContainerResource', 'containerResource'], ['External', 'external'], ['Object', 'object'], ['Pods', 'pods'], ['Resource', 'resource']]);

function validateReference(reference: CrossVersionObjectReference | undefined, field: string): FieldError[] {
  return [...requiredNamed(`${field}.kind`, reference?.kind, pathSegment), ...requiredNamed(`${field}.name`, reference?.name, pathSegment)];
}

function validatePositive(quantity: string | undefined, field: string): FieldError[] {
  return quantity === undefined || (isQuantity(quantity) && parseQuantity(quantity) > 0n) ? [] : [invalid(field, quantity, 'must be positive')];
}

function validateTarget(target: MetricTarget | undefined, field: string): FieldError[] {
  const { averageUtilization, averageValue, type = '', value } = target ?? {};
  const errors = requiredText(`${field}.type`, type, 'must specify a metric target type');
  if (!['Utilization', 'Value', 'AverageValue'].includes(type)) errors.push(invalid(`${field}.type`, type, 'must be either Utilization, Value, or AverageValue'));
  errors.push(...validatePositive(value, `${field}.value`), ...validatePositive(averageValue, `${field}.averageValue`));
  if (averageUtilization !== undefined && averageUtilization < 1) errors.push(invalid(`${field}.averageUtilization`, averageUtilization, 'must be greater than 0'));
  return errors;
}

function validateIdentifier(metric: MetricIdentifier | undefined, field: string): FieldError[] {
  return metric?.name ? requiredNamed(`${field}.name`, metric.name, pathSegment) : [required(`${field}.name`, 'must specify a metric name')];
}

/** Of a resource of pods: an amount or a share. */
function validateShare({ target }: { target?: MetricTarget }, field: string): FieldError[] {
  const errors = validateTarget(target, `${field}.target`);
  const { averageUtilization, averageValue } = target ?? {};
  if (averageUtilization === undefined && averageValue === undefined) errors.push(required(`${field}.target.averageUtilization`, 'must set either a target raw value or a target utilization'));
  if (averageUtilization !== undefined && averageValue !== undefined) errors.push(forbidden(`${field}.target.averageValue`, 'may not set both a target raw value and a target utilization'));
  return errors;
}

/** The messages differ by source, as Kubernetes' do. */
function validateSource(spec: MetricSpec, source: Source, field: string): FieldError[] {
  const { containerResource, external, object, pods, resource } = spec;
  switch (source) {
    case 'resource': return [...requiredText(`${field}.name`, resource?.name, 'must specify a resource name'), ...validateShare(resource ?? {}, field)];
    case 'containerResource': return [
      ...requiredText(`${field}.name`, containerResource?.name, 'must specify a resource name'),
      ...requiredText(`${field}.container`, containerResource?.container, 'must specify a container'),
      ...validateShare(containerResource ?? {}, field),
    ];
    case 'object': return [
      ...validateReference(object?.describedObject, `${field}.describedObject`), ...validateIdentifier(object?.metric, `${field}.metric`), ...validateTarget(object?.target, `${field}.target`),
      ...(object?.target?.value === undefined && object?.target?.averageValue === undefined ? [required(`${field}.target.averageValue`, 'must set either a target value or averageValue')] : []),
    ];
    case 'pods': return [
      ...validateIdentifier(pods?.metric, `${field}.metric`), ...validateTarget(pods?.target, `${field}.target`),
      ...(pods?.target?.averageValue === undefined ? [required(`${field}.target.averageValue`, 'must specify a positive target averageValue')] : []),
    ];
    case 'external': {
      const { averageValue, value } = external?.target ?? {};
      const errors = [...validateIdentifier(external?.metric, `${field}.metric`), ...validateTarget(external?.target, `${field}.target`)];
      if (value === undefined && averageValue === undefined) errors.push(required(`${field}.target.averageValue`, 'must set either a target value for metric or a per-pod target'));
      if (value !== undefined && averageValue !== undefined) errors.push(forbidden(`${field}.target.value`, 'may not set both a target value for metric and a per-pod target'));
      return errors;
    }
  }
}

function validateMetric(spec: MetricSpec, field: string): FieldError[] {
  const expected = sourceOfType.get(spec.type ?? '');
  const errors: FieldError[] = [];
  if (!spec.type) errors.push(required(`${field}.type`, 'must specify a metric source type'));
  if (expected === undefined) errors.push(notSupported(`${field}.type`, spec.type ?? '', [...sourceOfType.keys()]));
  const present = sources.filter((name) => spec[name] !== undefined);
  const [first] = present;
  if (first !== undefined) errors.push(...validateSource(spec, first, `${field}.${first}`));
  if (expected !== undefined && !present.includes(expected)) errors.push(required(`${field}.${expected}`, 'must populate information for the given metric source'));
  return [...errors, ...(present.length > 1 ? present.filter((name) => name !== expected).map((name) => forbidden(`${field}.${name}`, 'must populate the given metric source only')) : [])];
}

function validateRules(rules: HPAScalingRules | undefined, field: string): FieldError[] {
  if (rules === undefined) return [];
  const { policies = [], selectPolicy, stabilizationWindowSeconds: window, tolerance } = rules;
  const errors: FieldError[] = [];
  if (window !== undefined && window < 0) errors.push(invalid(`${field}.stabilizationWindowSeconds`, window, 'must be greater than or equal to zero'));
  if (window !== undefined && window > maxWindowSeconds) errors.push(invalid(`${field}.stabilizationWindowSeconds`, window, `must be less than or equal to ${maxWindowSeconds}`));
  errors.push(...supportedIfSet(`${field}.selectPolicy`, selectPolicy, ['Disabled', 'Max', 'Min']));
  if (policies.length === 0) errors.push(required(`${field}.policies`, 'must specify at least one Policy'));
  for (const [i, { periodSeconds = 0, type, value = 0 }] of (policies as Array<Partial<(typeof policies)[number]>>).entries()) {
    const path = `${field}.policies[${i}]`;
    if (type !== 'Pods' && type !== 'Percent') errors.push(notSupported(`${path}.type`, type ?? '', ['Percent', 'Pods']));
    if (value <= 0) errors.push(invalid(`${path}.value`, value, 'must be greater than zero'));
    if (periodSeconds <= 0) errors.push(invalid(`${path}.periodSeconds`, periodSeconds, 'must be greater than zero'));
    if (periodSeconds > maxPeriodSeconds) errors.push(invalid(`${path}.periodSeconds`, periodSeconds, `must be less than or equal to ${maxPeriodSeconds}`));
  }
  if (tolerance !== undefined && isQuantity(tolerance) && parseQuantity(tolerance) < 0n) errors.push(invalid(`${field}.tolerance`, tolerance, 'must be greater than or equal to 0'));
  return errors;
}

export function validateAutoscaler({ spec }: HorizontalPodAutoscaler): FieldError[] {
  const { behavior, maxReplicas = 0, metrics = [], minReplicas, scaleTargetRef } = (spec ?? {}) as Partial<HorizontalPodAutoscaler['spec']>;
  const errors: FieldError[] = [];
  if (minReplicas !== undefined && minReplicas < 1) errors.push(invalid('spec.minReplicas', minReplicas, 'must be greater than or equal to 1'));
  if (maxReplicas < 1) errors.push(invalid('spec.maxReplicas', maxReplicas, 'must be greater than 0'));
  if (minReplicas !== undefined && maxReplicas < minReplicas) errors.push(invalid('spec.maxReplicas', maxReplicas, 'must be greater than or equal to `minReplicas`'));
  return [
    ...errors,
    ...validateReference(scaleTargetRef, 'spec.scaleTargetRef'),
    ...metrics.flatMap((metric, i) => validateMetric(metric, `spec.metrics[${i}]`)),
    ...validateRules(behavior?.scaleUp, 'spec.behavior.scaleUp'), ...validateRules(behavior?.scaleDown, 'spec.behavior.scaleDown'),
  ];
}

export function validateAutoscalerStatus({ status }: HorizontalPodAutoscaler): FieldError[] {
  return (['currentReplicas', 'desiredReplicas'] as const).flatMap((name) => notNegative(`status.${name}`, status?.[name]));
}

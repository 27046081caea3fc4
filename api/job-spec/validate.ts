import type { JobSpec, PodTemplateSpec } from '../gen/types.ts';
import { invalid, notSupported, required, tooLong, type FieldError } from '../meta/field-error.ts';
import { domainPrefixedPath } from '../meta/names.ts';
import { named, notNegative, supportedIfSet } from '../meta/rules.ts';
import { validateTemplate } from '../pod-spec/validate.ts';
import { validatePodFailurePolicy, validateSuccessPolicy } from './policies.ts';

const maxIndexed = 100_000;
const maxParallelWithMany = 10_000;
const maxManagerLength = 63;

/** What a Job and a CronJob's template of one have in common: all but the selector. */
export function validateJobSpec(spec: JobSpec, field: string): FieldError[] {
  return [
    ...(['parallelism', 'completions', 'activeDeadlineSeconds', 'backoffLimit', 'ttlSecondsAfterFinished', 'backoffLimitPerIndex', 'maxFailedIndexes'] as const)
      .flatMap((name) => notNegative(`${field}.${name}`, spec[name])),
    ...(spec.maxFailedIndexes !== undefined && spec.backoffLimitPerIndex === undefined ? [required(`${field}.backoffLimitPerIndex`, 'when maxFailedIndexes is specified')] : []),
    ...validateManager(spec.managedBy, `${field}.managedBy`),
    ...supportedIfSet(`${field}.completionMode`, spec.completionMode, ['NonIndexed', 'Indexed']),
    ...(spec.completionMode === 'Indexed' ? validateIndexed(spec, field) : validateNotIndexed(spec, field)),
    ...(spec.podFailurePolicy === undefined ? [] : validatePodFailurePolicy(spec, `${field}.podFailurePolicy`)),
    ...(spec.successPolicy === undefined ? [] : validateSuccessPolicy(spec, `${field}.successPolicy`)),
    ...supportedIfSet(`${field}.podReplacementPolicy`, spec.podReplacementPolicy, spec.podFailurePolicy === undefined ? ['Failed', 'TerminatingOrFailed'] : ['Failed']),
    ...validateTemplate(spec.template, `${field}.template`),
    ...validateRestartPolicy(spec, spec.template, `${field}.template.spec.restartPolicy`),
  ];
}

function validateManager(managedBy: string | undefined, field: string): FieldError[] {
  if (managedBy === undefined) return [];
  return [...named(field, managedBy, domainPrefixedPath), ...(managedBy.length > maxManagerLength ? [tooLong(field, maxManagerLength)] : [])];
}

function validateIndexed({ backoffLimitPerIndex, completions, maxFailedIndexes, parallelism = 0 }: JobSpec, field: string): FieldError[] {
  const errors: FieldError[] = [];
  if (completions === undefined) errors.push(required(`${field}.completions`, 'when completion mode is Indexed'));
  if (parallelism > maxIndexed) errors.push(invalid(`${field}.parallelism`, parallelism, `must be less than or equal to ${maxIndexed} when completion mode is Indexed`));
  if (completions !== undefined && maxFailedIndexes !== undefined && maxFailedIndexes > completions) {
    errors.push(invalid(`${field}.maxFailedIndexes`, maxFailedIndexes, 'must be less than or equal to completions'));
  }
  if (maxFailedIndexes !== undefined && maxFailedIndexes > maxIndexed) errors.push(invalid(`${field}.maxFailedIndexes`, maxFailedIndexes, `must be less than or equal to ${maxIndexed}`));
  if (completions === undefined || completions <= maxIndexed || backoffLimitPerIndex === undefined) return errors;
  const many = `must be less than or equal to ${maxParallelWithMany} when completions are above ${maxIndexed} and used with backoff limit per index`;
  if (maxFailedIndexes === undefined) errors.push(required(`${field}.maxFailedIndexes`, `must be specified when completions is above ${maxIndexed}`));
  if (parallelism > maxParallelWithMany) errors.push(invalid(`${field}.parallelism`, parallelism, many));
  if (maxFailedIndexes !== undefined && maxFailedIndexes > maxParallelWithMany) errors.push(invalid(`${field}.maxFailedIndexes`, maxFailedIndexes, many));
  return errors;
}

function validateNotIndexed(spec: JobSpec, field: string): FieldError[] {
  return (['backoffLimitPerIndex', 'maxFailedIndexes'] as const)
    .flatMap((name) => (spec[name] === undefined ? [] : [invalid(`${field}.${name}`, spec[name], 'requires indexed completion mode')]));
}

/** Pods that restart for ever never complete. */
function validateRestartPolicy({ podFailurePolicy }: JobSpec, template: PodTemplateSpec | undefined, field: string): FieldError[] {
  const policy = template?.spec?.restartPolicy;
  if (policy === undefined) return [];
  if (policy === 'Always') return [required(field, 'valid values: "OnFailure", "Never"')];
  if (policy !== 'OnFailure' && policy !== 'Never') return [notSupported(field, policy, ['OnFailure', 'Never'])];
  return podFailurePolicy !== undefined && policy !== 'Never' ? [invalid(field, policy, 'only "Never" is supported when podFailurePolicy is specified')] : [];
}

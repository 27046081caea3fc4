import type { JobSpec, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule, SuccessPolicyRule } from '../gen/types.ts';
import { duplicate, invalid, notSupported, required, tooLong, tooMany, type FieldError } from '../meta/field-error.ts';
import { qualifiedName } from '../meta/names.ts';
import { named, notNegative } from '../meta/rules.ts';
import { countIndexes } from './indexes.ts';

const maxRules = 20;
const maxExitCodes = 255;
const maxIndexesBytes = 64 * 1024;
const actions = ['Count', 'FailIndex', 'FailJob', 'Ignore'];
const operators = ['In', 'NotIn'];
const statuses = ['False', 'True', 'Unknown'];

/** As `supported`, in the words that a Job's policies have for a missing value. */
function oneOf(field: string, value: string | undefined, allowed: readonly string[]): FieldError[] {
  if (!value) return [required(field, `valid values: [${allowed.map((item) => JSON.stringify(item)).join(' ')}]`)];
  return allowed.includes(value) ? [] : [notSupported(field, value, allowed)];
}

export function validatePodFailurePolicy(spec: JobSpec, field: string): FieldError[] {
  const rules = spec.podFailurePolicy?.rules ?? [];
  const pod = spec.template?.spec;
  const names = new Set([...pod?.containers ?? [], ...pod?.initContainers ?? []].map(({ name }) => name));
  return [
    ...(rules.length > maxRules ? [tooMany(`${field}.rules`, rules.length, maxRules)] : []),
    ...rules.flatMap((rule, i) => validateFailureRule(rule, spec, names, `${field}.rules[${i}]`)),
  ];
}

function validateFailureRule(rule: PodFailurePolicyRule, spec: JobSpec, containers: ReadonlySet<string>, field: string): FieldError[] {
  const { action, onExitCodes, onPodConditions = [] } = rule;
  const errors = oneOf(`${field}.action`, action, actions);
  if (action === 'FailIndex' && spec.backoffLimitPerIndex === undefined) errors.push(invalid(`${field}.action`, action, 'requires the backoffLimitPerIndex to be set'));
  if (onExitCodes !== undefined) errors.push(...validateExitCodes(onExitCodes, containers, `${field}.onExitCodes`));
  if (onPodConditions.length > maxRules) errors.push(tooMany(`${field}.onPodConditions`, onPodConditions.length, maxRules));
  for (const [i, { status, type }] of onPodConditions.entries()) {
    const path = `${field}.onPodConditions[${i}]`;
    errors.push(...named(`${path}.type`, type ?? '', qualifiedName), ...oneOf(`${path}.status`, status, statuses));
  }
  if (onExitCodes !== undefined && onPodConditions.length > 0) errors.push(invalid(field, rule, 'specifying both OnExitCodes and OnPodConditions is not supported'));
  if (onExitCodes === undefined && onPodConditions.length === 0) errors.push(invalid(field, rule, 'specifying one of OnExitCodes and OnPodConditions is required'));
  return errors;
}

function validateExitCodes({ containerName, operator, values = [] }: Partial<PodFailurePolicyOnExitCodesRequirement>, containers: ReadonlySet<string>, field: string): FieldError[] {
  const errors = oneOf(`${field}.operator`, operator, operators);
  if (containerName !== undefined && !containers.has(containerName)) {
    errors.push(invalid(`${field}.containerName`, containerName, 'must be one of the container or initContainer names in the pod template'));
  }
  if (values.length === 0) return [...errors, invalid(`${field}.values`, values, 'at least one value is required')];
  if (values.length > maxExitCodes) errors.push(tooMany(`${field}.values`, values.length, maxExitCodes));
  const seen = new Set<number>();
  for (const [i, value] of values.entries()) {
    if (operator === 'In' && value === 0) errors.push(invalid(`${field}.values[${i}]`, value, 'must not be 0 for the In operator'));
    if (seen.has(value)) errors.push(duplicate(`${field}.values[${i}]`, value));
    seen.add(value);
  }
  if (values.some((value, i) => i > 0 && value < (values[i - 1] ?? value))) errors.push(invalid(`${field}.values`, values, 'must be ordered'));
  return errors;
}

export function validateSuccessPolicy(spec: JobSpec, field: string): FieldError[] {
  if (spec.completionMode !== 'Indexed') return [invalid(field, spec.successPolicy, 'requires indexed completion mode')];
  const rules = spec.successPolicy?.rules ?? [];
  if (rules.length === 0) return [required(`${field}.rules`, `at least one rules must be specified when the ${field} is specified`)];
  return [
    ...(rules.length > maxRules ? [tooMany(`${field}.rules`, rules.length, maxRules)] : []),
    ...rules.flatMap((rule, i) => validateSuccessRule(rule, spec.completions ?? 0, `${field}.rules[${i}]`)),
  ];
}

function validateSuccessRule({ succeededCount, succeededIndexes }: SuccessPolicyRule, completions: number, field: string): FieldError[] {
  if (succeededCount === undefined && succeededIndexes === undefined) return [required(field, 'at least one of succeededCount or succeededIndexes must be specified')];
  const errors: FieldError[] = [];
  let total: number | undefined;
  if (succeededIndexes !== undefined) {
    const path = `${field}.succeededIndexes`;
    if (succeededIndexes.length > maxIndexesBytes) errors.push(tooLong(path, maxIndexesBytes));
    else {
      const counted = countIndexes(succeededIndexes, completions);
      if (typeof counted === 'number') total = counted;
      else errors.push(invalid(path, succeededIndexes, `error parsing succeededIndexes: ${counted.problem}`));
    }
  }
  if (succeededCount === undefined) return errors;
  const path = `${field}.succeededCount`;
  errors.push(...notNegative(path, succeededCount));
  if (succeededCount > completions) errors.push(invalid(path, succeededCount, `must be less than or equal to ${completions} (the number of specified completions)`));
  if (total !== undefined && succeededCount > total) {
    errors.push(invalid(path, succeededCount, `must be less than or equal to ${total} (the number of indexes in the specified succeededIndexes field)`));
  }
  return errors;
}

import type { ResourceQuota, ResourceQuotaSpec, ScopedResourceSelectorRequirement } from '../../gen/types.ts';
import { equal } from '../../meta/equal.ts';
import { invalid, required, type FieldError } from '../../meta/field-error.ts';
import { isStandardQuotaName, validateAmountOf, validateQuotaName } from '../../pod-spec/resource-names.ts';

const podCounts = ['pods'];
const podCompute = [...podCounts, 'cpu', 'memory', 'limits.cpu', 'limits.memory', 'requests.cpu', 'requests.memory'];
/** What each scope can narrow. */
const scopes: ReadonlyMap<string, readonly string[]> = new Map([
  ['BestEffort', podCounts], ['NotBestEffort', podCompute], ['Terminating', podCompute], ['NotTerminating', podCompute], ['PriorityClass', podCompute], ['CrossNamespacePodAffinity', podCompute],
  ['VolumeAttributesClass', ['persistentvolumeclaims', 'requests.storage']],
]);
const existsOnly = ['BestEffort', 'NotBestEffort', 'Terminating', 'NotTerminating', 'CrossNamespacePodAffinity'];
const existsText = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";

function validateList(list: Readonly<Record<string, string>> | undefined, field: string): FieldError[] {
  return Object.entries(list ?? {}).flatMap(([name, quantity]) => [...validateQuotaName(name, `${field}[${name}]`), ...validateAmountOf(name, quantity, `${field}[${name}]`)]);
}

/** Scopes narrow what is counted only where it can be narrowed. */
function unsuited(scope: string, { hard = {} }: ResourceQuotaSpec): number {
  return Object.keys(hard).filter((name) => isStandardQuotaName(name) && scopes.get(scope)?.includes(name) !== true).length;
}

function conflicting(names: readonly string[]): boolean {
  return [['BestEffort', 'NotBestEffort'], ['Terminating', 'NotTerminating']].some((pair) => pair.every((name) => names.includes(name)));
}

function validateScopes(spec: ResourceQuotaSpec): FieldError[] {
  const field = 'spec.scopes';
  const names = spec.scopes ?? [];
  const errors: FieldError[] = [];
  for (const name of names) {
    if (!scopes.has(name)) errors.push(invalid(field, names, 'unsupported scope'));
    if (unsuited(name, spec) > 0) errors.push(invalid(field, names, 'unsupported scope applied to resource'));
  }
  return conflicting(names) ? [...errors, invalid(field, names, 'conflicting scopes')] : errors;
}

function validateRequirement({ operator, scopeName, values = [] }: ScopedResourceSelectorRequirement, field: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!scopes.has(scopeName)) errors.push(invalid(`${field}.scopeName`, scopeName, 'unsupported scope'));
  if (existsOnly.includes(scopeName) && operator !== 'Exists') errors.push(invalid(`${field}.operator`, operator, existsText));
  if (operator === 'In' || operator === 'NotIn') {
    if (values.length === 0) errors.push(required(`${field}.values`, "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"));
  } else if (operator === 'Exists' || operator === 'DoesNotExist') {
    if (values.length > 0) errors.push(invalid(`${field}.values`, values, "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"));
  } else errors.push(invalid(`${field}.operator`, operator, 'not a valid selector operator'));
  return errors;
}

function validateScopeSelector(spec: ResourceQuotaSpec): FieldError[] {
  const field = 'spec.scopeSelector.matchExpressions';
  const expressions = spec.scopeSelector?.matchExpressions ?? [];
  const errors = expressions.flatMap((requirement) => [
    ...(unsuited(requirement.scopeName, spec) > 0 ? [invalid(field, spec.scopeSelector, 'unsupported scope applied to resource')] : []),
    ...validateRequirement(requirement, field),
  ]);
  return conflicting(expressions.map(({ scopeName }) => scopeName)) ? [...errors, invalid(field, spec.scopes, 'conflicting scopes')] : errors;
}

export function validateQuota({ spec = {} }: ResourceQuota, old?: ResourceQuota): FieldError[] {
  const errors = [...validateList(spec.hard, 'spec.hard'), ...validateScopes(spec), ...validateScopeSelector(spec)];
  if (old === undefined) return errors;
  const [now, before] = [spec.scopes, old.spec?.scopes].map((list) => [...new Set(list)].sort());
  return equal(now, before) ? errors : [...errors, invalid('spec.scopes', spec.scopes, 'field is immutable')];
}

export function validateQuotaStatus({ status }: ResourceQuota): FieldError[] {
  return [...validateList(status?.hard, 'status.hard'), ...validateList(status?.used, 'status.used')];
}

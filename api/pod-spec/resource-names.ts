import { invalid, type FieldError } from '../meta/field-error.ts';
import { qualifiedName } from '../meta/names.ts';
import { isQuantity, parseQuantity } from '../meta/quantity.ts';
import { isExtendedResource } from './resources.ts';

/** What quotas and limits may count, beside what containers ask for. */

export const countedObjects = new Set([
  'configmaps', 'persistentvolumeclaims', 'pods', 'replicationcontrollers', 'resourcequotas', 'secrets', 'services', 'services.loadbalancers', 'services.nodeports',
]);
const quotaNames = new Set([
  ...countedObjects, 'cpu', 'memory', 'ephemeral-storage', 'requests.cpu', 'requests.memory', 'requests.ephemeral-storage', 'requests.storage', 'limits.cpu', 'limits.memory', 'limits.ephemeral-storage',
]);

export function isStandardQuotaName(name: string): boolean {
  return quotaNames.has(name) || /^(requests\.)?hugepages-/.test(name);
}

export function validateQuotaName(name: string, field: string): FieldError[] {
  const problem = qualifiedName(name);
  if (problem !== undefined) return [invalid(field, name, problem)];
  return name.includes('/') || isStandardQuotaName(name) ? [] : [invalid(field, name, 'must be a standard resource for quota')];
}

/** Not negative; objects and devices are counted in whole numbers. */
export function validateAmountOf(name: string, quantity: string, field: string): FieldError[] {
  if (!isQuantity(quantity)) return [invalid(field, quantity, 'must be a quantity')];
  const nanos = parseQuantity(quantity);
  const errors = nanos < 0n ? [invalid(field, quantity, 'must be greater than or equal to 0')] : [];
  return (countedObjects.has(name) || isExtendedResource(name)) && nanos % 1_000_000_000n !== 0n ? [...errors, invalid(field, quantity, 'must be an integer')] : errors;
}

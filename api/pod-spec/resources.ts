import type { PodSpec, ResourceRequirements } from '../gen/types.ts';
import { forbidden, invalid, required, type FieldError } from '../meta/field-error.ts';
import { own } from '../meta/json.ts';
import { qualifiedName } from '../meta/names.ts';
import { compareQuantities, formatQuantity, isQuantity, parseQuantity } from '../meta/quantity.ts';
import { podTotals } from './totals.ts';

const containerResources = new Set(['cpu', 'memory', 'ephemeral-storage']);

/** Resources of Kubernetes itself: a plain name, or one under kubernetes.io. */
function isNative(name: string): boolean {
  return !name.includes('/') || name.includes('kubernetes.io/');
}

/** What a device plugin or an administrator brings, e.g. nvidia.com/gpu. */
export function isExtendedResource(name: string): boolean {
  return !isNative(name) && !name.startsWith('requests.') && qualifiedName(`requests.${name}`) === undefined;
}

export function validateContainerResourceName(name: string, field: string): FieldError[] {
  const problem = qualifiedName(name);
  if (problem !== undefined) return [invalid(field, name, problem)];
  if (!name.includes('/')) {
    return containerResources.has(name) || name.startsWith('hugepages-') ? [] : [invalid(field, name, 'must be a standard resource for containers')];
  }
  return isNative(name) || isExtendedResource(name) ? [] : [invalid(field, name, "doesn't follow extended resource name standard")];
}

function validateAmount(name: string, quantity: string, field: string): FieldError[] {
  if (!isQuantity(quantity)) return [invalid(field, quantity, 'must be a quantity')];
  const nanos = parseQuantity(quantity);
  if (nanos < 0n) return [invalid(field, quantity, 'must be greater than or equal to 0')];
  return isExtendedResource(name) && nanos % 1_000_000_000n !== 0n ? [invalid(field, quantity, 'must be an integer')] : [];
}

/** Limits and requests of a container or a pod. */
export function validateResources(resources: ResourceRequirements | undefined, field: string): FieldError[] {
  const limits = resources?.limits ?? {};
  const requests = resources?.requests ?? {};
  const errors: FieldError[] = [];
  for (const [list, path] of [[limits, `${field}.limits`], [requests, `${field}.requests`]] as const) {
    for (const [name, quantity] of Object.entries(list)) {
      errors.push(...validateContainerResourceName(name, `${path}[${name}]`), ...validateAmount(name, quantity, `${path}[${name}]`));
    }
  }
  for (const [name, quantity] of Object.entries(requests)) errors.push(...againstLimit(name, quantity, own(limits, name), field));
  const names = Object.keys({ ...limits, ...requests });
  if (names.some((name) => name.startsWith('hugepages-')) && !names.includes('cpu') && !names.includes('memory')) errors.push(forbidden(field, 'HugePages require cpu or memory'));
  return errors;
}

/** What is asked for the pod as a whole must hold what its containers ask for. */
export function validatePodResources(spec: PodSpec, field: string): FieldError[] {
  const { resources } = spec;
  if (resources === undefined) return [];
  const errors = (resources.claims ?? []).length > 0 ? [forbidden(`${field}.claims`, 'claims cannot be set for Resources at pod-level')] : [];
  errors.push(...validateResources(resources, field));
  const together = podTotals({ ...spec, resources: undefined, overhead: undefined }, 'requests');
  for (const [name, nanos] of together) {
    const quantity = own(resources.requests ?? {}, name) ?? '0';
    if (typeof quantity !== 'string' || !isQuantity(quantity) || parseQuantity(quantity) >= nanos) continue;
    errors.push(invalid(`${field}.requests[${name}]`, quantity, `must be greater than or equal to aggregate container requests of ${formatQuantity(nanos)}`));
  }
  for (const [i, container] of (spec.containers ?? []).entries()) {
    for (const [name, limit] of Object.entries(container.resources?.limits ?? {})) {
      const most = own(resources.limits ?? {}, name);
      if (typeof most !== 'string' || !isQuantity(most) || !isQuantity(limit) || compareQuantities(limit, most) <= 0) continue;
      errors.push(invalid(`${field}.containers[${i}][${name}].limits`, limit, `must be less than or equal to pod limits of ${most}`));
    }
  }
  return errors;
}

/** Whether more of it may be promised than there is. */
export function isOvercommitted(name: string): boolean {
  return isNative(name) && !name.startsWith('hugepages-');
}

function againstLimit(name: string, quantity: string, limit: unknown, field: string): FieldError[] {
  const overcommit = isOvercommitted(name);
  if (typeof limit !== 'string') return overcommit ? [] : [required(`${field}.limits`, 'Limit must be set for non overcommitable resources')];
  if (!isQuantity(limit) || !isQuantity(quantity)) return [];
  const difference = compareQuantities(quantity, limit);
  if (difference !== 0 && !overcommit) return [invalid(`${field}.requests`, quantity, `must be equal to ${name} limit of ${limit}`)];
  return difference > 0 ? [invalid(`${field}.requests`, quantity, `must be less than or equal to ${name} limit of ${limit}`)] : [];
}

import type { LimitRange, LimitRangeItem } from '../../gen/types.ts';
import { duplicate, forbidden, invalid, required, type FieldError } from '../../meta/field-error.ts';
import { own } from '../../meta/json.ts';
import { qualifiedName } from '../../meta/names.ts';
import { compareQuantities, isQuantity, parseQuantity } from '../../meta/quantity.ts';
import { isOvercommitted, validateContainerResourceName } from '../../pod-spec/resources.ts';
import { validateAmountOf } from '../../pod-spec/resource-names.ts';

const standardTypes = ['Pod', 'Container', 'PersistentVolumeClaim'];
const lists = ['max', 'min', 'default', 'defaultRequest', 'maxLimitRequestRatio'] as const;

function validateType(type: string | undefined, field: string): FieldError[] {
  const problem = qualifiedName(type ?? '');
  if (problem !== undefined) return [invalid(field, type ?? '', problem)];
  return type?.includes('/') === true || standardTypes.includes(type ?? '') ? [] : [invalid(field, type, 'must be a standard limit type or fully qualified')];
}

function validateName(type: string, name: string, field: string): FieldError[] {
  if (type === 'Pod' || type === 'Container') return validateContainerResourceName(name, field);
  const problem = qualifiedName(name);
  return problem === undefined ? [] : [invalid(field, name, problem)];
}

/** Each list names amounts; min ≤ default request ≤ default ≤ max. */
function validateOrder(item: LimitRangeItem, name: string, field: string): FieldError[] {
  const of = (list: (typeof lists)[number]): string | undefined => {
    const quantity = own(item[list] ?? {}, name);
    return typeof quantity === 'string' && isQuantity(quantity) ? quantity : undefined;
  };
  const [max, min, limit, request, ratio] = lists.map(of);
  const errors: FieldError[] = [];
  const notAbove = (low: string | undefined, high: string | undefined, list: string, value: string | undefined, words: readonly [string, string]): void => {
    if (low !== undefined && high !== undefined && compareQuantities(low, high) > 0) errors.push(invalid(`${field}.${list}[${name}]`, value, `${words[0]} value ${low} is greater than ${words[1]} value ${high}`));
  };
  notAbove(min, max, 'min', min, ['min', 'max']);
  notAbove(min, request, 'defaultRequest', request, ['min', 'default request']);
  notAbove(request, max, 'defaultRequest', request, ['default request', 'max']);
  notAbove(request, limit, 'defaultRequest', request, ['default request', 'default limit']);
  notAbove(min, limit, 'default', min, ['min', 'default']);
  notAbove(limit, max, 'default', max, ['default', 'max']);
  if (ratio !== undefined) errors.push(...validateRatio(ratio, min, max, `${field}.maxLimitRequestRatio[${name}]`));
  if (!isOvercommitted(name) && limit !== undefined && request !== undefined && compareQuantities(limit, request) !== 0) {
    errors.push(invalid(`${field}.defaultRequest[${name}]`, request, `default value ${limit} must equal to defaultRequest value ${request} in ${name}`));
  }
  return errors;
}

function validateRatio(ratio: string, min: string | undefined, max: string | undefined, field: string): FieldError[] {
  if (compareQuantities(ratio, '1') < 0) return [invalid(field, ratio, `ratio ${ratio} is less than 1`)];
  if (min === undefined || max === undefined || parseQuantity(min) <= 0n) return [];
  const most = Number(parseQuantity(max)) / Number(parseQuantity(min));
  return Number(parseQuantity(ratio)) / 1e9 > most ? [invalid(field, ratio, `ratio ${ratio} is greater than max/min = ${most.toFixed(6)}`)] : [];
}

function validateItem(item: LimitRangeItem, field: string): FieldError[] {
  const { type } = item;
  const errors = validateType(type, `${field}.type`);
  const names = new Set<string>();
  for (const list of lists) {
    if (type === 'Pod' && (list === 'default' || list === 'defaultRequest')) {
      if (Object.keys(item[list] ?? {}).length > 0) errors.push(forbidden(`${field}.${list}`, "may not be specified when `type` is 'Pod'"));
      continue;
    }
    for (const [name, quantity] of Object.entries(item[list] ?? {})) {
      names.add(name);
      const path = `${field}.${list}[${name}]`;
      errors.push(...validateName(type, name, path), ...validateAmountOf(list === 'maxLimitRequestRatio' ? '' : name, quantity, path));
    }
  }
  if (type === 'PersistentVolumeClaim' && item.min?.['storage'] === undefined && item.max?.['storage'] === undefined) {
    errors.push(required(`${field}.limits`, 'either minimum or maximum storage value is required, but neither was provided'));
  }
  return [...errors, ...[...names].flatMap((name) => validateOrder(item, name, field))];
}

export function validateLimitRange({ spec }: LimitRange): FieldError[] {
  const seen = new Set<string>();
  return (spec?.limits as LimitRangeItem[] | undefined ?? []).flatMap((item, i) => {
    const field = `spec.limits[${i}]`;
    const errors = seen.has(item.type) ? [duplicate(`${field}.type`, item.type)] : [];
    seen.add(item.type);
    return [...errors, ...validateItem(item, field)];
  });
}

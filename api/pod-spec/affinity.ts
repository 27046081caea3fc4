import type { Affinity, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm, Toleration, TopologySpreadConstraint } from '../gen/types.ts';
import { duplicate, forbidden, invalid, notSupported, required, type FieldError } from '../meta/field-error.ts';
import { dns1123Label, dns1123Subdomain, labelValue, qualifiedName } from '../meta/names.ts';
import { named, requiredText, supported, supportedIfSet } from '../meta/rules.ts';
import { validateLabelSelector } from '../meta/selectors.ts';

function validateRequirement(requirement: NodeSelectorRequirement, field: string, strict: boolean): FieldError[] {
  const { key, operator, values = [] } = requirement;
  const errors: FieldError[] = [];
  switch (operator) {
    case 'In': case 'NotIn':
      if (values.length === 0) errors.push(required(`${field}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
      break;
    case 'Exists': case 'DoesNotExist':
      if (values.length > 0) errors.push(forbidden(`${field}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
      break;
    case 'Gt': case 'Lt':
      if (values.length !== 1) errors.push(required(`${field}.values`, "must be specified single value when `operator` is 'Lt' or 'Gt'"));
      break;
    default:
      errors.push(invalid(`${field}.operator`, operator, 'not a valid selector operator'));
  }
  errors.push(...named(`${field}.key`, key ?? '', qualifiedName));
  return strict ? [...errors, ...values.flatMap((value, i) => named(`${field}.values[${i}]`, value, labelValue))] : errors;
}

/** What is only preferred may hold values that no label can have: one node is enough to need no choice. */
export function validateNodeTerm(term: NodeSelectorTerm, field: string, strict = true): FieldError[] {
  const expressions = (term.matchExpressions ?? []).flatMap((r, i) => validateRequirement(r, `${field}.matchExpressions[${i}]`, strict));
  const fields = (term.matchFields ?? []).flatMap(({ key, operator, values = [] }, i) => {
    const path = `${field}.matchFields[${i}]`;
    const errors: FieldError[] = [];
    if (operator !== 'In' && operator !== 'NotIn') errors.push(invalid(`${path}.operator`, operator, 'not a valid selector operator'));
    else if (values.length !== 1) errors.push(required(`${path}.values`, "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"));
    if (key !== 'metadata.name') errors.push(invalid(`${path}.key`, key, 'not a valid field selector key'));
    else errors.push(...values.flatMap((value, j) => named(`${path}.values[${j}]`, value, dns1123Subdomain)));
    return errors;
  });
  return [...expressions, ...fields];
}

function validatePodTerm(term: PodAffinityTerm, field: string): FieldError[] {
  return [
    ...validateLabelSelector(term?.labelSelector, `${field}.labelSelector`),
    ...validateLabelSelector(term?.namespaceSelector, `${field}.namespaceSelector`),
    ...(term?.namespaces ?? []).flatMap((name) => named(`${field}.namespace`, name, dns1123Label)),
    ...validateLabelKeys(term ?? {}, field),
    ...requiredText(`${field}.topologyKey`, term?.topologyKey, 'can not be empty'),
    ...named(`${field}.topologyKey`, term?.topologyKey ?? '', qualifiedName),
  ];
}

/** Keys whose values the pod's own labels give. */
function validateLabelKeys({ labelSelector, matchLabelKeys = [], mismatchLabelKeys = [] }: Partial<PodAffinityTerm>, field: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [name, keys] of [['matchLabelKeys', matchLabelKeys], ['mismatchLabelKeys', mismatchLabelKeys]] as const) {
    if (keys.length > 0 && labelSelector === undefined) errors.push(forbidden(`${field}.${name}`, 'must not be specified when labelSelector is not set'));
    for (const [i, key] of keys.entries()) errors.push(...named(`${field}.${name}[${i}]`, key, qualifiedName));
  }
  for (const [i, key] of matchLabelKeys.entries()) if (mismatchLabelKeys.includes(key)) errors.push(invalid(`${field}.matchLabelKeys[${i}]`, key, 'exists in both matchLabelKeys and mismatchLabelKeys'));
  return errors;
}

function validateWeight(weight: number, field: string): FieldError[] {
  return weight >= 1 && weight <= 100 ? [] : [invalid(`${field}.weight`, weight, 'must be in the range 1-100')];
}

export function validateAffinity(affinity: Affinity | undefined, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const nodes = affinity?.nodeAffinity;
  const must = nodes?.requiredDuringSchedulingIgnoredDuringExecution;
  if (must !== undefined) {
    const path = `${field}.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms`;
    if ((must.nodeSelectorTerms ?? []).length === 0) errors.push(required(path, 'must have at least one node selector term'));
    errors.push(...(must.nodeSelectorTerms ?? []).flatMap((term, i) => validateNodeTerm(term, `${path}[${i}]`)));
  }
  for (const [i, { weight, preference }] of (nodes?.preferredDuringSchedulingIgnoredDuringExecution ?? []).entries()) {
    const path = `${field}.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[${i}]`;
    errors.push(...validateWeight(weight, path), ...validateNodeTerm(preference ?? {}, `${path}.preference`, false));
  }
  for (const name of ['podAffinity', 'podAntiAffinity'] as const) {
    const pods = affinity?.[name];
    for (const [i, term] of (pods?.requiredDuringSchedulingIgnoredDuringExecution ?? []).entries()) {
      errors.push(...validatePodTerm(term, `${field}.${name}.requiredDuringSchedulingIgnoredDuringExecution[${i}]`));
    }
    for (const [i, { weight, podAffinityTerm }] of (pods?.preferredDuringSchedulingIgnoredDuringExecution ?? []).entries()) {
      const path = `${field}.${name}.preferredDuringSchedulingIgnoredDuringExecution[${i}]`;
      errors.push(...validateWeight(weight, path), ...validatePodTerm(podAffinityTerm, `${path}.podAffinityTerm`));
    }
  }
  return errors;
}

export const taintEffects = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'];

export function validateTolerations(tolerations: readonly Toleration[], field: string): FieldError[] {
  return tolerations.flatMap((toleration, index) => {
    const path = `${field}[${index}]`;
    const { effect, key = '', operator = '', tolerationSeconds, value = '' } = toleration;
    const errors = key === '' ? [] : named(`${path}.key`, key, qualifiedName);
    if (key === '' && operator !== 'Exists') {
      errors.push(invalid(`${path}.operator`, operator, 'operator must be Exists when `key` is empty, which means "match all values and all keys"'));
    }
    if (tolerationSeconds !== undefined && effect !== 'NoExecute') {
      errors.push(invalid(`${path}.effect`, effect ?? '', "effect must be 'NoExecute' when `tolerationSeconds` is set"));
    }
    if (operator === 'Equal' || operator === '') errors.push(...named(`${path}.operator`, value, labelValue));
    else if (operator !== 'Exists') errors.push(notSupported(`${path}.operator`, operator, ['Equal', 'Exists']));
    else if (value !== '') errors.push(invalid(`${path}.operator`, value, "value must be empty when `operator` is 'Exists'"));
    return [...errors, ...(effect ? supported(`${path}.effect`, effect, taintEffects) : [])];
  });
}

export function validateSpread(constraints: readonly TopologySpreadConstraint[], field: string): FieldError[] {
  const seen = new Set<string>();
  return constraints.flatMap((constraint, index) => {
    const path = `${field}[${index}]`;
    const errors: FieldError[] = [];
    if (!(constraint.maxSkew > 0)) errors.push(invalid(`${path}.maxSkew`, constraint.maxSkew, 'must be greater than zero'));
    errors.push(...requiredText(`${path}.topologyKey`, constraint.topologyKey, 'can not be empty'));
    errors.push(...supported(`${path}.whenUnsatisfiable`, constraint.whenUnsatisfiable, ['DoNotSchedule', 'ScheduleAnyway']));
    const key = `{${constraint.topologyKey}, ${constraint.whenUnsatisfiable}}`;
    if (seen.has(key)) errors.push(duplicate(`${path}.{topologyKey, whenUnsatisfiable}`, key));
    seen.add(key);
    const { minDomains } = constraint;
    if (minDomains !== undefined && minDomains <= 0) errors.push(invalid(`${path}.minDomains`, minDomains, 'must be greater than zero'));
    if (minDomains !== undefined && constraint.whenUnsatisfiable !== 'DoNotSchedule') {
      errors.push(invalid(`${path}.minDomains`, minDomains, 'can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway'));
    }
    errors.push(...validateLabelKeys({ labelSelector: constraint.labelSelector, matchLabelKeys: constraint.matchLabelKeys }, path));
    for (const name of ['nodeAffinityPolicy', 'nodeTaintsPolicy'] as const) errors.push(...supportedIfSet(`${path}.${name}`, constraint[name], ['Honor', 'Ignore']));
    return [...errors, ...validateLabelSelector(constraint.labelSelector, `${path}.labelSelector`)];
  });
}

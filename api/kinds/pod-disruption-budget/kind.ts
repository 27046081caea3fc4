import type { PodDisruptionBudget } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { invalid, type FieldError } from '../../meta/field-error.ts';
import { validateAtMostAll, validateIntOrPercent } from '../../meta/int-or-percent.ts';
import { notNegative, supportedIfSet } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { validateLabelSelector } from '../../meta/selectors.ts';
import { podDisruptionBudgets } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

function validate({ spec = {} }: PodDisruptionBudget): FieldError[] {
  const { maxUnavailable, minAvailable, selector, unhealthyPodEvictionPolicy } = spec;
  const errors: FieldError[] = [];
  if (minAvailable !== undefined && maxUnavailable !== undefined) errors.push(invalid('spec', spec, 'minAvailable and maxUnavailable cannot be both set'));
  for (const [name, value] of [['minAvailable', minAvailable], ['maxUnavailable', maxUnavailable]] as const) {
    errors.push(...validateIntOrPercent(value, `spec.${name}`), ...validateAtMostAll(value, `spec.${name}`));
  }
  return [
    ...errors,
    ...validateLabelSelector(selector, 'spec.selector'),
    ...supportedIfSet('spec.unhealthyPodEvictionPolicy', unhealthyPodEvictionPolicy, ['AlwaysAllow', 'IfHealthyBudget']),
  ];
}

function validateStatus({ status }: PodDisruptionBudget): FieldError[] {
  return (['disruptionsAllowed', 'currentHealthy', 'desiredHealthy', 'expectedPods'] as const).flatMap((name) => notNegative(`status.${name}`, status?.[name]));
}

const orNone = (value: number | string | undefined): string => (value === undefined ? 'N/A' : String(value));

export const podDisruptionBudget: KindDefinition<PodDisruptionBudget> = {
  resource: podDisruptionBudgets,
  singular: 'poddisruptionbudget',
  shortNames: ['pdb'],
  categories: [],
  schema: () => schemaNamed('PodDisruptionBudget'),
  storage: 'durable',
  status: true,
  nameRule: 'dns-subdomain',
  prepareForCreate: (object) => { object.status = { currentHealthy: 0, desiredHealthy: 0, disruptionsAllowed: 0, expectedPods: 0 }; },
  validate,
  validateStatus,
  selectableFields: {},
  columns: [
    nameColumn(),
    column('Min Available', 'How many pods must stay available', ({ spec }) => orNone(spec?.minAvailable)),
    column('Max Unavailable', 'How many pods may be unavailable', ({ spec }) => orNone(spec?.maxUnavailable)),
    column('Allowed Disruptions', 'How many pods may be evicted now', ({ status }) => status?.disruptionsAllowed ?? 0, 'integer'),
    ageColumn(),
  ],
};

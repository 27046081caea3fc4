import type { ReplicaSet } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { equal } from '../../meta/equal.ts';
import { invalid, required, type FieldError } from '../../meta/field-error.ts';
import { notNegative } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { validateLabelSelector } from '../../meta/selectors.ts';
import { templateColumns } from '../../pod-spec/columns.ts';
import { setTemplateDefaults } from '../../pod-spec/defaults.ts';
import { hasTerms, validateRunningTemplate } from '../../pod-spec/validate.ts';
import { nameWarnings, templateWarnings } from '../../pod-spec/warnings.ts';
import { replicaSets } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

function validate({ spec }: ReplicaSet, old?: ReplicaSet): FieldError[] {
  if (spec === undefined) return [required('spec.selector'), required('spec.template')];
  const { selector, replicas, minReadySeconds, template } = spec;
  const errors = [...notNegative('spec.replicas', replicas), ...notNegative('spec.minReadySeconds', minReadySeconds)];
  if (selector === undefined) errors.push(required('spec.selector'));
  else {
    errors.push(...validateLabelSelector(selector, 'spec.selector'));
    if (!hasTerms(selector)) errors.push(invalid('spec.selector', selector, 'empty selector is invalid for deployment'));
  }
  if (template === undefined) errors.push(required('spec.template'));
  else errors.push(...validateRunningTemplate(template, selector, 'spec.template', 'ReplicaSet'));
  if (old?.spec !== undefined && !equal(old.spec.selector, selector)) errors.push(invalid('spec.selector', selector, 'field is immutable'));
  return errors;
}

function validateStatus({ status }: ReplicaSet): FieldError[] {
  const errors: FieldError[] = [];
  for (const name of ['replicas', 'fullyLabeledReplicas', 'readyReplicas', 'availableReplicas', 'observedGeneration'] as const) {
    errors.push(...notNegative(`status.${name}`, status?.[name]));
  }
  const { replicas = 0, readyReplicas = 0 } = status ?? {};
  for (const name of ['fullyLabeledReplicas', 'readyReplicas', 'availableReplicas'] as const) {
    if ((status?.[name] ?? 0) > replicas) errors.push(invalid(`status.${name}`, status?.[name], 'cannot be greater than status.replicas'));
  }
  if ((status?.availableReplicas ?? 0) > readyReplicas) errors.push(invalid('status.availableReplicas', status?.availableReplicas, 'cannot be greater than readyReplicas'));
  return errors;
}

export const replicaSet: KindDefinition<ReplicaSet> = {
  resource: replicaSets,
  singular: 'replicaset',
  shortNames: ['rs'],
  categories: ['all'],
  schema: () => schemaNamed('ReplicaSet'),
  storage: 'durable',
  status: true,
  scale: { specReplicas: ['spec', 'replicas'], statusReplicas: ['status', 'replicas'], selector: ['spec', 'selector'] },
  nameRule: 'dns-subdomain',
  setDefaults: ({ spec }) => {
    if (spec === undefined) return;
    spec.replicas ??= 1;
    setTemplateDefaults(spec.template);
  },
  prepareForCreate: (object) => { object.status = { replicas: 0 }; },
  validate,
  validateStatus,
  warnings: (object, old) => [...old === undefined ? nameWarnings(object.metadata, 'Pod names and hostnames') : [], ...templateWarnings(object.spec?.template, 'spec.template')],
  selectableFields: { 'status.replicas': ({ status }) => String(status?.replicas ?? 0) },
  columns: [
    nameColumn(),
    column('Desired', 'How many pods are wanted', ({ spec }) => spec?.replicas ?? 0, 'integer'),
    column('Current', 'How many pods there are', ({ status }) => status?.replicas ?? 0, 'integer'),
    column('Ready', 'How many pods are ready', ({ status }) => status?.readyReplicas ?? 0, 'integer'),
    ageColumn(),
    ...templateColumns<ReplicaSet>(),
  ],
};

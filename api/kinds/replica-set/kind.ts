import type { ReplicaSet } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { required, type FieldError } from '../../meta/field-error.ts';
import { immutable, notNegative } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { templateColumns } from '../../pod-spec/columns.ts';
import { setTemplateDefaults } from '../../pod-spec/defaults.ts';
import { validateReplicaCounts } from '../../pod-spec/replica-status.ts';
import { validateOwnSelector } from '../../pod-spec/selected.ts';
import { validateRunningTemplate } from '../../pod-spec/validate.ts';
import { nameWarnings, templateWarnings } from '../../pod-spec/warnings.ts';
import { replicaSets } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

function validate({ spec }: ReplicaSet, old?: ReplicaSet): FieldError[] {
  if (spec === undefined) return [required('spec.selector'), required('spec.template')];
  const { selector, replicas, minReadySeconds, template } = spec;
  // The word is Kubernetes' own.
  const errors = [...notNegative('spec.replicas', replicas), ...notNegative('spec.minReadySeconds', minReadySeconds), ...validateOwnSelector(selector, 'deployment')];
  if (template === undefined) errors.push(required('spec.template'));
  else errors.push(...validateRunningTemplate(template, selector, 'spec.template', 'ReplicaSet'));
  return old?.spec === undefined ? errors : [...errors, ...immutable('spec.selector', selector, old.spec.selector)];
}

function validateStatus({ status }: ReplicaSet): FieldError[] {
  const parts = ['fullyLabeledReplicas', 'readyReplicas', 'availableReplicas'];
  return validateReplicaCounts(status, ['replicas', 'fullyLabeledReplicas', 'readyReplicas', 'availableReplicas', 'observedGeneration'], parts);
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

import type { ReplicationController } from '../../gen/types.ts';
import { ageColumn, column, nameColumn, printLabels, wideColumn } from '../../meta/columns.ts';
import { required, type FieldError } from '../../meta/field-error.ts';
import { notNegative } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { containersColumn, imagesColumn } from '../../pod-spec/columns.ts';
import { setTemplateDefaults } from '../../pod-spec/defaults.ts';
import { validateReplicaCounts } from '../../pod-spec/replica-status.ts';
import { validateRunningTemplate } from '../../pod-spec/validate.ts';
import { nameWarnings, templateWarnings } from '../../pod-spec/warnings.ts';
import { replicationControllers } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

function setDefaults(object: ReplicationController): void {
  const { spec } = object;
  if (spec === undefined) return;
  // The oldest of the workloads takes what it lacks from its template.
  const labels = spec.template?.metadata?.labels;
  if (labels !== undefined) {
    if (Object.keys(spec.selector ?? {}).length === 0) spec.selector = { ...labels };
    if (Object.keys(object.metadata?.labels ?? {}).length === 0) (object.metadata ??= {}).labels = { ...labels };
  }
  spec.replicas ??= 1;
  setTemplateDefaults(spec.template);
}

function validate({ spec }: ReplicationController): FieldError[] {
  const { minReadySeconds, replicas, selector = {}, template } = spec ?? {};
  const errors = notNegative('spec.minReadySeconds', minReadySeconds);
  const empty = Object.keys(selector).length === 0;
  if (empty) errors.push(required('spec.selector'));
  if (replicas === undefined) errors.push(required('spec.replicas'));
  errors.push(...notNegative('spec.replicas', replicas));
  if (template === undefined) errors.push(required('spec.template'));
  else errors.push(...validateRunningTemplate(template, empty ? undefined : { matchLabels: selector }, 'spec.template', 'ReplicationController'));
  return errors;
}

function validateStatus({ status }: ReplicationController): FieldError[] {
  const parts = ['fullyLabeledReplicas', 'readyReplicas', 'availableReplicas'];
  return validateReplicaCounts(status, ['replicas', 'fullyLabeledReplicas', 'readyReplicas', 'availableReplicas', 'observedGeneration'], parts);
}

export const replicationController: KindDefinition<ReplicationController> = {
  resource: replicationControllers,
  singular: 'replicationcontroller',
  shortNames: ['rc'],
  categories: ['all'],
  schema: () => schemaNamed('ReplicationController'),
  storage: 'durable',
  status: true,
  scale: { specReplicas: ['spec', 'replicas'], statusReplicas: ['status', 'replicas'], selector: ['spec', 'selector'] },
  nameRule: 'dns-subdomain',
  setDefaults,
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
    containersColumn(),
    imagesColumn(),
    wideColumn('Selector', 'Labels of the pods that belong to the object', ({ spec }) => printLabels(spec?.selector)),
  ],
};

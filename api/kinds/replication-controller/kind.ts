import type { ReplicationController } from '../../gen/types.ts';
import { printLabels, wideColumn } from '../../meta/columns.ts';
import { required, type FieldError } from '../../meta/field-error.ts';
import { notNegative } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { containersColumn, imagesColumn } from '../../pod-spec/columns.ts';
import { setTemplateDefaults } from '../../pod-spec/defaults.ts';
import { replicated, replicatedColumns } from '../../pod-spec/replicated.ts';
import { validateRunningTemplate } from '../../pod-spec/validate.ts';
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

export const replicationController: KindDefinition<ReplicationController> = {
  ...replicated<ReplicationController>(),
  resource: replicationControllers,
  singular: 'replicationcontroller',
  shortNames: ['rc'],
  schema: () => schemaNamed('ReplicationController'),
  setDefaults,
  validate,
  columns: [
    ...replicatedColumns<ReplicationController>(),
    containersColumn(),
    imagesColumn(),
    wideColumn('Selector', 'Labels of the pods that belong to the object', ({ spec }) => printLabels(spec?.selector)),
  ],
};

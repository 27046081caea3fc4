import type { ReplicaSet } from '../../gen/types.ts';
import { required, type FieldError } from '../../meta/field-error.ts';
import { immutable, notNegative } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { templateColumns } from '../../pod-spec/columns.ts';
import { setTemplateDefaults } from '../../pod-spec/defaults.ts';
import { replicated, replicatedColumns } from '../../pod-spec/replicated.ts';
import { validateOwnSelector } from '../../pod-spec/selected.ts';
import { validateRunningTemplate } from '../../pod-spec/validate.ts';
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

export const replicaSet: KindDefinition<ReplicaSet> = {
  ...replicated<ReplicaSet>(),
  resource: replicaSets,
  singular: 'replicaset',
  shortNames: ['rs'],
  schema: () => schemaNamed('ReplicaSet'),
  setDefaults: ({ spec }) => {
    if (spec === undefined) return;
    spec.replicas ??= 1;
    setTemplateDefaults(spec.template);
  },
  validate,
  columns: [
    ...replicatedColumns<ReplicaSet>(),
    ...templateColumns<ReplicaSet>(),
  ],
};

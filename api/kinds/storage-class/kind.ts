import type { StorageClass, TopologySelectorTerm } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { equal } from '../../meta/equal.ts';
import { duplicate, forbidden, required, type FieldError } from '../../meta/field-error.ts';
import { qualifiedName } from '../../meta/names.ts';
import { immutable, requiredNamed, supported } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { keyWarnings } from '../../pod-spec/warnings.ts';
import { storageClasses } from '../resources.ts';
import { validateParameters } from '../storage-rules.ts';
import type { KindDefinition } from '../types.ts';

const defaultAnnotations = ['storageclass.kubernetes.io/is-default-class', 'storageclass.beta.kubernetes.io/is-default-class'];

function validateTerm({ matchLabelExpressions = [] }: TopologySelectorTerm, field: string): FieldError[] {
  const keys = matchLabelExpressions.map(({ key }) => key);
  return matchLabelExpressions.flatMap(({ key, values: given }, i) => {
    const values = given ?? [];
    const path = `${field}.matchLabelExpressions[${i}]`;
    return [
      ...requiredNamed(`${path}.key`, key, qualifiedName),
      ...(keys.indexOf(key) < i ? [duplicate(`${path}.key`, key)] : []),
      ...(values.length === 0 ? [required(`${path}.values`)] : []),
      ...values.flatMap((value, v) => (values.indexOf(value) < v ? [duplicate(`${path}.values[${v}]`, value)] : [])),
    ];
  });
}

function validate(object: StorageClass, old?: StorageClass): FieldError[] {
  const errors = [
    ...requiredNamed('provisioner', object.provisioner, (name) => qualifiedName(name.toLowerCase())),
    ...validateParameters(object.parameters, 'parameters'),
    ...supported('reclaimPolicy', object.reclaimPolicy, ['Delete', 'Retain']),
    ...supported('volumeBindingMode', object.volumeBindingMode, ['Immediate', 'WaitForFirstConsumer']),
    ...(object.allowedTopologies ?? []).flatMap((term, i) => validateTerm(term, `allowedTopologies[${i}]`)),
  ];
  if (old === undefined) return errors;
  for (const field of ['parameters', 'provisioner', 'reclaimPolicy'] as const) {
    if (!equal(object[field], old[field])) errors.push(forbidden(field, `updates to ${field} are forbidden.`));
  }
  return [...errors, ...immutable('volumeBindingMode', object.volumeBindingMode, old.volumeBindingMode)];
}

export const storageClass: KindDefinition<StorageClass> = {
  resource: storageClasses,
  singular: 'storageclass',
  shortNames: ['sc'],
  categories: [],
  schema: () => schemaNamed('StorageClass'),
  storage: 'durable',
  status: false,
  nameRule: 'dns-subdomain',
  setDefaults: (object) => { object.reclaimPolicy ??= 'Delete'; object.volumeBindingMode ??= 'Immediate'; },
  validate,
  warnings: ({ allowedTopologies = [] }) => allowedTopologies.flatMap(({ matchLabelExpressions }, i) => keyWarnings(matchLabelExpressions, `allowedTopologies[${i}].matchLabelExpressions`)),
  selectableFields: {},
  columns: [
    { ...nameColumn<StorageClass>(), value: ({ metadata }) => `${metadata?.name ?? ''}${defaultAnnotations.some((key) => metadata?.annotations?.[key] === 'true') ? ' (default)' : ''}` },
    column('Provisioner', 'Who makes volumes of it', ({ provisioner }) => provisioner ?? ''),
    column('ReclaimPolicy', 'What becomes of a volume without a claim', ({ reclaimPolicy }) => reclaimPolicy ?? 'Delete'),
    column('VolumeBindingMode', 'When claims get a volume', ({ volumeBindingMode }) => volumeBindingMode ?? 'Immediate'),
    column('AllowVolumeExpansion', 'Whether volumes may grow', ({ allowVolumeExpansion }) => allowVolumeExpansion ?? false),
    ageColumn(),
  ],
};

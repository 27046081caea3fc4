import type { ControllerRevision } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { invalid, required, type FieldError } from '../../meta/field-error.ts';
import { isRecord } from '../../meta/json.ts';
import { immutable, notNegative } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { controllerRevisions } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

function validate({ data, revision }: ControllerRevision, old?: ControllerRevision): FieldError[] {
  const errors = notNegative('revision', revision);
  if (old !== undefined) return [...errors, ...immutable('data', data, old.data)];
  if ((data ?? null) === null) return [...errors, required('data', 'data is mandatory')];
  return isRecord(data) ? errors : [...errors, invalid('data', data, 'must be a valid JSON object')];
}

/** `daemonset.apps/logs`. */
function controller({ metadata }: ControllerRevision): string {
  const owner = metadata?.ownerReferences?.find((reference) => reference.controller === true);
  if (owner === undefined) return '<none>';
  const [group, version] = (owner.apiVersion ?? '').split('/');
  return `${(owner.kind ?? '').toLowerCase()}${version === undefined ? '' : `.${group ?? ''}`}/${owner.name ?? ''}`;
}

export const controllerRevision: KindDefinition<ControllerRevision> = {
  resource: controllerRevisions,
  singular: 'controllerrevision',
  shortNames: [],
  categories: [],
  schema: () => schemaNamed('ControllerRevision'),
  storage: 'durable',
  status: false,
  nameRule: 'dns-subdomain',
  prepareForCreate: () => {},
  validate,
  selectableFields: {},
  columns: [
    nameColumn(),
    column('Controller', 'What the revision is one of', controller),
    column('Revision', 'Which state it is, counted from the first', ({ revision }) => revision ?? 0, 'integer'),
    ageColumn(),
  ],
};

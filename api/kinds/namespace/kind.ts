import type { Namespace } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { invalid, type FieldError } from '../../meta/field-error.ts';
import { qualifiedName } from '../../meta/names.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { namespaces } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

const nameLabel = 'kubernetes.io/metadata.name';

function setDefaults(object: Namespace): void {
  const { name } = object.metadata ?? {};
  if (!name) return;
  const meta = (object.metadata ??= {});
  (meta.labels ??= {})[nameLabel] = name;
}

function validate({ spec }: Namespace): FieldError[] {
  const errors: FieldError[] = [];
  for (const finalizer of spec?.finalizers ?? []) {
    const problem = qualifiedName(finalizer);
    if (problem !== undefined) errors.push(invalid('spec.finalizers', finalizer, problem));
    else if (!finalizer.includes('/') && finalizer !== 'kubernetes') {
      errors.push(invalid('spec.finalizers', finalizer, 'name is neither a standard finalizer name nor is it fully qualified'));
    }
  }
  return errors;
}

function validateStatus({ metadata, status }: Namespace): FieldError[] {
  const [phase, word] = metadata?.deletionTimestamp === undefined ? ['Active', 'empty'] : ['Terminating', 'not empty'];
  return status?.phase === phase ? [] : [invalid('status.Phase', status?.phase ?? '', `may only be '${phase}' if \`deletionTimestamp\` is ${word}`)];
}

export const namespace: KindDefinition<Namespace> = {
  resource: namespaces,
  singular: 'namespace',
  shortNames: ['ns'],
  categories: [],
  schema: () => schemaNamed('Namespace'),
  storage: 'durable',
  status: true,
  generation: false,
  nameRule: 'dns-label',
  setDefaults,
  prepareForCreate: (object) => {
    object.status = { phase: 'Active' };
    const spec = (object.spec ??= {});
    if (!spec.finalizers?.includes('kubernetes')) spec.finalizers = [...spec.finalizers ?? [], 'kubernetes'];
  },
  prepareForUpdate: (object, old) => {
    // Only the finalize subresource may take these away.
    const spec = (object.spec ??= {});
    if (old.spec?.finalizers === undefined) delete spec.finalizers;
    else spec.finalizers = [...old.spec.finalizers];
  },
  validate,
  validateStatus,
  selectableFields: { 'status.phase': ({ status }) => status?.phase ?? '' },
  columns: [nameColumn(), column('Status', 'Active, or Terminating while its contents are removed', ({ status }) => status?.phase ?? ''), ageColumn()],
};

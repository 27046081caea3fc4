import type { CSIDriver, CSIDriverSpec } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { duplicate, invalid, notSupported, required, type FieldError } from '../../meta/field-error.ts';
import { immutable, supportedIfSet } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { csiDrivers } from '../resources.ts';
import { validateDriverName } from '../storage-rules.ts';
import type { KindDefinition } from '../types.ts';

function setDefaults({ spec }: CSIDriver): void {
  if (spec === undefined) return;
  spec.attachRequired ??= true;
  spec.podInfoOnMount ??= false;
  spec.storageCapacity ??= false;
  spec.fsGroupPolicy ??= 'ReadWriteOnceWithFSType';
  if ((spec.volumeLifecycleModes ?? []).length === 0) spec.volumeLifecycleModes = ['Persistent'];
  spec.requiresRepublish ??= false;
  spec.seLinuxMount ??= false;
}

function validateTokens({ tokenRequests = [] }: CSIDriverSpec): FieldError[] {
  const audiences = tokenRequests.map(({ audience }) => audience);
  return tokenRequests.flatMap(({ audience, expirationSeconds }, i) => {
    const path = `spec.tokenRequests[${i}]`;
    return [
      ...(audiences.indexOf(audience) < i ? [duplicate(`${path}.audience`, audience)] : []),
      ...(expirationSeconds !== undefined && expirationSeconds < 600 ? [invalid(`${path}.expirationSeconds`, expirationSeconds, 'may not specify a duration less than 10 minutes')] : []),
      ...(expirationSeconds !== undefined && expirationSeconds > 2 ** 32 ? [invalid(`${path}.expirationSeconds`, expirationSeconds, 'may not specify a duration larger than 2^32 seconds')] : []),
    ];
  });
}

function validate({ metadata, spec }: CSIDriver, old?: CSIDriver): FieldError[] {
  const errors = validateDriverName(metadata?.name, 'metadata.name');
  if (spec === undefined) return [...errors, required('spec')];
  const period = spec.nodeAllocatableUpdatePeriodSeconds;
  errors.push(
    ...supportedIfSet('spec.fsGroupPolicy', spec.fsGroupPolicy, ['File', 'None', 'ReadWriteOnceWithFSType']), ...validateTokens(spec),
    ...(spec.volumeLifecycleModes ?? []).flatMap((mode) => (['Ephemeral', 'Persistent'].includes(mode) ? [] : [notSupported('spec.volumeLifecycleModes', mode, ['Ephemeral', 'Persistent'])])),
    ...(period !== undefined && period < 10 ? [invalid('spec.nodeAllocatableUpdatePeriodSeconds', period, 'must be greater than or equal to 10 seconds')] : []),
  );
  if (old === undefined) return errors;
  return [...errors, ...immutable('spec.attachRequired', spec.attachRequired, old.spec?.attachRequired), ...immutable('spec.volumeLifecycleModes', spec.volumeLifecycleModes, old.spec?.volumeLifecycleModes)];
}

export const csiDriver: KindDefinition<CSIDriver> = {
  resource: csiDrivers,
  singular: 'csidriver',
  shortNames: [],
  categories: [],
  schema: () => schemaNamed('CSIDriver'),
  storage: 'durable',
  status: false,
  nameRule: 'dns-subdomain',
  setDefaults,
  validate,
  selectableFields: {},
  columns: [
    nameColumn(),
    column('AttachRequired', 'Whether volumes are attached to a node first', ({ spec }) => spec?.attachRequired ?? true, 'boolean'),
    column('PodInfoOnMount', 'Whether it is told which pod mounts', ({ spec }) => spec?.podInfoOnMount ?? false, 'boolean'),
    column('StorageCapacity', 'Whether the scheduler counts its capacity', ({ spec }) => spec?.storageCapacity ?? false, 'boolean'),
    column('TokenRequests', 'Audiences of the tokens that it is given', ({ spec }) => (spec?.tokenRequests ?? []).map(({ audience }) => audience).join(',') || '<unset>'),
    column('RequiresRepublish', 'Whether it is called again and again', ({ spec }) => spec?.requiresRepublish ?? false, 'boolean'),
    column('Modes', 'Lives of volumes that it supports', ({ spec }) => (spec?.volumeLifecycleModes ?? []).join(',') || '<none>'),
    ageColumn(),
  ],
};

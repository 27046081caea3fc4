import type { PersistentVolumeClaim } from '../../gen/types.ts';
import { ageColumn, column, nameColumn, wideColumn } from '../../meta/columns.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { classWarnings, printAccessModes, storageClassOf } from '../../claim-spec/columns.ts';
import { normalizeSources, setClaimSpecDefaults } from '../../claim-spec/defaults.ts';
import { isFraction } from '../../pod-spec/warnings.ts';
import { persistentVolumeClaims } from '../resources.ts';
import type { KindDefinition } from '../types.ts';
import { validateClaim, validateClaimStatus } from './validate.ts';

export const persistentVolumeClaim: KindDefinition<PersistentVolumeClaim> = {
  resource: persistentVolumeClaims,
  singular: 'persistentvolumeclaim',
  shortNames: ['pvc'],
  categories: [],
  schema: () => schemaNamed('PersistentVolumeClaim'),
  storage: 'durable',
  status: true,
  generation: false,
  nameRule: 'dns-subdomain',
  setDefaults: ({ spec }) => { if (spec !== undefined) setClaimSpecDefaults(spec); },
  prepareForCreate: (object) => {
    object.status = { phase: 'Pending' };
    if (object.spec !== undefined) normalizeSources(object.spec);
  },
  validate: validateClaim,
  validateStatus: validateClaimStatus,
  warnings: ({ metadata, spec }) => {
    const { limits, requests } = spec?.resources ?? {};
    const fraction = ([['requests', requests], ['limits', limits]] as const).flatMap(([name, list]) => (isFraction(list?.['storage']) ? [`spec.resources.${name}[storage]: fractional byte value ${JSON.stringify(list?.['storage'])} is invalid, must be an integer`] : []));
    return [...classWarnings(metadata), ...fraction];
  },
  selectableFields: {},
  columns: [
    nameColumn(),
    column('Status', 'Pending, Bound or Lost', ({ metadata, status }) => (metadata?.deletionTimestamp === undefined ? status?.phase ?? '' : 'Terminating')),
    column('Volume', 'Volume that it is bound to', ({ spec }) => spec?.volumeName ?? ''),
    column('Capacity', 'How much that volume holds', ({ spec, status }) => (spec?.volumeName ? status?.capacity?.['storage'] ?? '0' : '')),
    column('Access Modes', 'How that volume may be mounted', ({ spec, status }) => (spec?.volumeName ? printAccessModes(status?.accessModes) : '')),
    column('StorageClass', 'Class that it asks for', storageClassOf),
    column('VolumeAttributesClass', 'Class of attributes that it asks for', ({ spec }) => spec?.volumeAttributesClassName ?? '<unset>'),
    ageColumn(),
    wideColumn('VolumeMode', 'File system or block device', ({ spec }) => spec?.volumeMode ?? '<unset>'),
  ],
};

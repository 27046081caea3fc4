import type { PersistentVolume } from '../../gen/types.ts';
import { classWarnings, printAccessModes, storageClassOf } from '../../claim-spec/columns.ts';
import { ageColumn, column, nameColumn, wideColumn } from '../../meta/columns.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { setSourceDefaults } from '../../pod-spec/volume-sources.ts';
import { nodeTermWarnings, volumeSourceWarnings } from '../../pod-spec/warnings.ts';
import { persistentVolumes } from '../resources.ts';
import type { KindDefinition } from '../types.ts';
import { validateVolume } from './validate.ts';

export const persistentVolume: KindDefinition<PersistentVolume> = {
  resource: persistentVolumes,
  singular: 'persistentvolume',
  shortNames: ['pv'],
  categories: [],
  schema: () => schemaNamed('PersistentVolume'),
  storage: 'durable',
  status: true,
  generation: false,
  nameRule: 'dns-subdomain',
  setDefaults: ({ spec }) => {
    if (spec === undefined) return;
    spec.persistentVolumeReclaimPolicy ||= 'Retain';
    spec.volumeMode ??= 'Filesystem';
    setSourceDefaults(spec);
  },
  prepareForCreate: (object) => { object.status = { phase: 'Pending' }; },
  validate: validateVolume,
  warnings: ({ metadata, spec }) => [
    ...classWarnings(metadata),
    ...nodeTermWarnings(spec?.nodeAffinity?.required?.nodeSelectorTerms, 'spec.nodeAffinity.required.nodeSelectorTerms'),
    ...volumeSourceWarnings(spec ?? {}, 'spec'),
    ...(spec?.persistentVolumeReclaimPolicy === 'Recycle' ? ['spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.'] : []),
  ],
  selectableFields: {},
  columns: [
    nameColumn(),
    column('Capacity', 'How much it holds', ({ spec }) => spec?.capacity?.['storage'] ?? '0'),
    column('Access Modes', 'How it may be mounted', ({ spec }) => printAccessModes(spec?.accessModes)),
    column('Reclaim Policy', 'What happens to it when its claim goes', ({ spec }) => spec?.persistentVolumeReclaimPolicy ?? ''),
    column('Status', 'Available, Bound, Released or Failed', ({ metadata, status }) => (metadata?.deletionTimestamp === undefined ? status?.phase ?? '' : 'Terminating')),
    column('Claim', 'Claim that it is bound to', ({ spec }) => (spec?.claimRef === undefined ? '' : `${spec.claimRef.namespace ?? ''}/${spec.claimRef.name ?? ''}`)),
    column('StorageClass', 'Class that it belongs to', storageClassOf),
    column('VolumeAttributesClass', 'Class of its attributes', ({ spec }) => spec?.volumeAttributesClassName ?? '<unset>'),
    column('Reason', 'Why it failed', ({ status }) => status?.reason ?? ''),
    ageColumn(),
    wideColumn('VolumeMode', 'File system or block device', ({ spec }) => spec?.volumeMode ?? '<unset>'),
  ],
};

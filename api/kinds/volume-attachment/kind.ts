import type { VolumeAttachment } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { invalid, required, type FieldError } from '../../meta/field-error.ts';
import { dns1123Subdomain } from '../../meta/names.ts';
import { immutable, requiredNamed } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { volumeAttachments } from '../resources.ts';
import { validateDriverName, validateParameters } from '../storage-rules.ts';
import type { KindDefinition } from '../types.ts';

function validate({ spec }: VolumeAttachment, old?: VolumeAttachment): FieldError[] {
  if (spec === undefined) return [required('spec')];
  const { persistentVolumeName, inlineVolumeSpec } = spec.source ?? {};
  const errors = [...validateDriverName(spec.attacher, 'spec.attacher'), ...requiredNamed('spec.nodeName', spec.nodeName, dns1123Subdomain)];
  if (persistentVolumeName === undefined && inlineVolumeSpec === undefined) errors.push(required('spec.source', 'must specify exactly one of inlineVolumeSpec and persistentVolumeName'));
  if (persistentVolumeName !== undefined && inlineVolumeSpec !== undefined) errors.push(invalid('spec.source', spec.source, 'must specify exactly one of inlineVolumeSpec and persistentVolumeName'));
  if (persistentVolumeName !== undefined) errors.push(...requiredNamed('spec.source.persistentVolumeName', persistentVolumeName, dns1123Subdomain));
  return [...errors, ...(old === undefined ? [] : immutable('spec', spec, old.spec))];
}

export const volumeAttachment: KindDefinition<VolumeAttachment> = {
  resource: volumeAttachments,
  singular: 'volumeattachment',
  shortNames: [],
  categories: [],
  schema: () => schemaNamed('VolumeAttachment'),
  storage: 'durable',
  status: true,
  generation: false,
  nameRule: 'dns-subdomain',
  prepareForCreate: (object) => { object.status = { attached: false }; },
  validate,
  validateStatus: ({ status }) => validateParameters(status?.attachmentMetadata, 'status.attachmentMetadata'),
  selectableFields: {},
  columns: [
    nameColumn(),
    column('Attacher', 'Driver that attaches it', ({ spec }) => spec?.attacher ?? ''),
    column('PV', 'Volume', ({ spec }) => spec?.source?.persistentVolumeName ?? ''),
    column('Node', 'Where it is attached', ({ spec }) => spec?.nodeName ?? ''),
    column('Attached', 'Whether it is', ({ status }) => status?.attached ?? false, 'boolean'),
    ageColumn(),
  ],
};

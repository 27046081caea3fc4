import type { PersistentVolume, PersistentVolumeSpec } from '../../gen/types.ts';
import { validateStorage, volumeModes } from '../../claim-spec/validate.ts';
import { equal } from '../../meta/equal.ts';
import { forbidden, notSupported, required, type FieldError } from '../../meta/field-error.ts';
import { isRecord } from '../../meta/json.ts';
import { dns1123Subdomain } from '../../meta/names.ts';
import { immutable, named, requiredText, supportedIfSet } from '../../meta/rules.ts';
import { validateNodeTerm } from '../../pod-spec/affinity.ts';
import { validateHostPath, validateNfs, validateRequiredFields } from '../../pod-spec/volume-sources.ts';

/** All else of a spec says where the storage is. */
const notSources = new Set([
  'accessModes', 'capacity', 'claimRef', 'mountOptions', 'nodeAffinity', 'persistentVolumeReclaimPolicy', 'storageClassName', 'volumeAttributesClassName', 'volumeMode',
]);
const accessModes = ['ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOnce', 'ReadWriteOncePod'];

function sourcesOf(spec: PersistentVolumeSpec): Array<[string, unknown]> {
  return Object.entries(spec).filter(([name, source]) => !notSources.has(name) && source !== undefined);
}

function validateModes(modes: readonly string[]): FieldError[] {
  if (modes.length === 0) return [required('spec.accessModes')];
  const errors = modes.filter((mode) => !accessModes.includes(mode)).map((mode) => notSupported('spec.accessModes', mode, accessModes));
  return modes.includes('ReadWriteOncePod') && modes.length > 1 ? [...errors, forbidden('spec.accessModes', 'may not use ReadWriteOncePod with other access modes')] : errors;
}

function validateCapacity(capacity: Readonly<Record<string, string>>): FieldError[] {
  const names = Object.keys(capacity);
  if (names.length === 0) return [required('spec.capacity')];
  const errors = names.length === 1 && names[0] === 'storage' ? [] : [notSupported('spec.capacity', capacity, ['storage'])];
  return [...errors, ...Object.entries(capacity).flatMap(([name, quantity]) => validateStorage(quantity, `spec.capacity[${name}]`))];
}

function validateNodes({ nodeAffinity }: PersistentVolumeSpec): FieldError[] {
  if (nodeAffinity === undefined) return [];
  const field = 'spec.nodeAffinity.required';
  if (nodeAffinity.required === undefined) return [required(field, 'must specify required node constraints')];
  const terms = nodeAffinity.required.nodeSelectorTerms as typeof nodeAffinity.required.nodeSelectorTerms | undefined ?? [];
  if (terms.length === 0) return [required(`${field}.nodeSelectorTerms`, 'must have at least one node selector term')];
  return terms.flatMap((term, i) => validateNodeTerm(term, `${field}.nodeSelectorTerms[${i}]`));
}

function validateSources(spec: PersistentVolumeSpec): FieldError[] {
  const [first, ...more] = sourcesOf(spec);
  if (first === undefined) return [required('spec', 'must specify a volume type')];
  const errors = more.map(([name]) => forbidden(`spec.${name}`, 'may not specify more than 1 volume type'));
  const [name, source] = first;
  if (isRecord(source)) errors.push(...validateRequiredFields(name, source, `spec.${name}`));
  const { csi, hostPath, local, nfs } = spec;
  if (hostPath !== undefined) {
    errors.push(...validateHostPath(hostPath, 'spec.hostPath'));
    if (/^\/+$/.test(hostPath.path ?? '') && spec.persistentVolumeReclaimPolicy === 'Recycle') {
      errors.push(forbidden('spec.persistentVolumeReclaimPolicy', "may not be 'recycle' for a hostPath mount of '/'"));
    }
  }
  if (nfs !== undefined) errors.push(...validateNfs(nfs, 'spec.nfs'));
  if (csi !== undefined) errors.push(...requiredText('spec.csi.volumeHandle', csi.volumeHandle));
  if (local !== undefined && (spec.nodeAffinity?.required?.nodeSelectorTerms ?? []).length === 0) errors.push(required('spec.nodeAffinity', 'Local volume requires node affinity'));
  return errors;
}

export function validateVolume({ spec = {} }: PersistentVolume, old?: PersistentVolume): FieldError[] {
  const { storageClassName, volumeAttributesClassName } = spec;
  const errors = [
    ...validateModes(spec.accessModes ?? []), ...validateCapacity(spec.capacity ?? {}),
    ...supportedIfSet('spec.persistentVolumeReclaimPolicy', spec.persistentVolumeReclaimPolicy, ['Delete', 'Recycle', 'Retain']),
    ...validateNodes(spec), ...validateSources(spec),
    ...(storageClassName ? named('spec.storageClassName', storageClassName, dns1123Subdomain) : []),
    ...supportedIfSet('spec.volumeMode', spec.volumeMode, volumeModes),
  ];
  if (volumeAttributesClassName !== undefined) {
    const field = 'spec.volumeAttributesClassName';
    errors.push(...volumeAttributesClassName === '' ? [required(field, 'an empty string is disallowed')] : named(field, volumeAttributesClassName, dns1123Subdomain));
    if (spec.csi === undefined) errors.push(required('spec.csi', 'has to be specified when using volumeAttributesClassName'));
  }
  return old?.spec === undefined ? errors : [...errors, ...validateUpdate(spec, old.spec)];
}

function validateUpdate(spec: PersistentVolumeSpec, before: PersistentVolumeSpec): FieldError[] {
  const errors: FieldError[] = [];
  // What expands a volume may be named later than the volume.
  const csi = spec.csi !== undefined && before.csi !== undefined && before.csi.controllerExpandSecretRef === undefined ? { ...spec.csi, controllerExpandSecretRef: undefined } : spec.csi;
  if (!equal(Object.fromEntries(sourcesOf({ ...spec, csi })), Object.fromEntries(sourcesOf(before)))) {
    errors.push(forbidden('spec.persistentvolumesource', 'spec.persistentvolumesource is immutable after creation'));
  }
  errors.push(...immutable('volumeMode', spec.volumeMode, before.volumeMode));
  if (before.nodeAffinity !== undefined) errors.push(...immutable('nodeAffinity', spec.nodeAffinity, before.nodeAffinity));
  if (before.volumeAttributesClassName !== undefined && spec.volumeAttributesClassName === undefined) {
    errors.push(forbidden('spec.volumeAttributesClassName', 'update from non-nil value to nil is forbidden'));
  }
  return errors;
}

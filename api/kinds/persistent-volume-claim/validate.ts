import type { PersistentVolumeClaim, PersistentVolumeClaimSpec } from '../../gen/types.ts';
import { validateClaimSpec } from '../../claim-spec/validate.ts';
import { equal } from '../../meta/equal.ts';
import { forbidden, invalid, required, type FieldError } from '../../meta/field-error.ts';
import { compareQuantities, isQuantity, parseQuantity } from '../../meta/quantity.ts';
import { immutable } from '../../meta/rules.ts';

const classAnnotation = 'volume.beta.kubernetes.io/storage-class';
const immutableText = 'spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims';

export function validateClaim(object: PersistentVolumeClaim, old?: PersistentVolumeClaim): FieldError[] {
  const errors = validateClaimSpec(object.spec, 'spec');
  return old?.spec === undefined || object.spec === undefined ? errors : [...errors, ...validateUpdate(object, object.spec, old, old.spec)];
}

function validateUpdate(object: PersistentVolumeClaim, spec: PersistentVolumeClaimSpec, old: PersistentVolumeClaim, before: PersistentVolumeClaimSpec): FieldError[] {
  const errors: FieldError[] = [];
  const annotations = [object, old].map(({ metadata }) => metadata?.annotations?.[classAnnotation]);
  if (before.storageClassName !== undefined || spec.storageClassName !== annotations[1]) {
    errors.push(...immutable(`metadata.annotations[${classAnnotation}]`, annotations[0], annotations[1]));
  }
  const bound = old.status?.phase === 'Bound';
  if (!equal(withChangeable(spec, before, annotations[1], bound), before)) errors.push(forbidden('spec', immutableText));
  const size = spec.resources?.requests?.['storage'];
  const oldSize = before.resources?.requests?.['storage'];
  if (isSize(size) && isSize(oldSize) && compareQuantities(size, oldSize) < 0) {
    // What a volume has grown to it keeps, but a growth that failed may be taken back.
    const capacity = old.status?.capacity?.['storage'] ?? '0';
    if (compareQuantities(size, capacity) <= 0) errors.push(forbidden('spec.resources.requests.storage', 'field can not be less than status.capacity'));
  }
  errors.push(...immutable('volumeMode', spec.volumeMode, before.volumeMode));
  const field = 'spec.volumeAttributesClassName';
  if (before.volumeAttributesClassName !== undefined && spec.volumeAttributesClassName === undefined) errors.push(forbidden(field, 'update from non-nil value to nil is forbidden'));
  else if (before.volumeAttributesClassName && spec.volumeAttributesClassName === '') errors.push(forbidden(field, 'update from non-nil value to an empty string is forbidden'));
  return errors;
}

function isSize(value: string | undefined): value is string {
  return value !== undefined && isQuantity(value);
}

/** The new spec with what may change taken from the old one. */
function withChangeable(spec: PersistentVolumeClaimSpec, before: PersistentVolumeClaimSpec, annotation: string | undefined, bound: boolean): PersistentVolumeClaimSpec {
  const next = { ...spec };
  if (!before.volumeName) next.volumeName = before.volumeName;
  // A claim without a class may be given one, once.
  if (before.storageClassName === undefined && spec.storageClassName !== undefined && (annotation === undefined || annotation === spec.storageClassName)) next.storageClassName = undefined;
  if (!bound) return next;
  if (next.resources?.requests !== undefined && before.resources?.requests?.['storage'] !== undefined) {
    next.resources = { ...next.resources, requests: { ...next.resources.requests, storage: before.resources.requests['storage'] } };
  }
  if (next.volumeAttributesClassName !== undefined) next.volumeAttributesClassName = before.volumeAttributesClassName;
  return next;
}

export function validateClaimStatus({ spec, status }: PersistentVolumeClaim): FieldError[] {
  const errors = (spec?.accessModes ?? []).length === 0 ? [required('Spec.accessModes')] : [];
  for (const list of ['capacity', 'allocatedResources'] as const) {
    for (const [name, quantity] of Object.entries(status?.[list] ?? {})) {
      if (!isQuantity(quantity) || parseQuantity(quantity) < 0n) errors.push(invalid(`status.${list}[${name}]`, quantity, 'must be a valid resource quantity'));
    }
  }
  return errors;
}

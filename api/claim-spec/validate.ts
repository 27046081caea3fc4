import type { PersistentVolumeClaimSpec } from '../gen/types.ts';
import { forbidden, invalid, notSupported, required, type FieldError } from '../meta/field-error.ts';
import { dns1123Label, dns1123Subdomain, qualifiedName } from '../meta/names.ts';
import { isQuantity, parseQuantity } from '../meta/quantity.ts';
import { named, requiredText, supportedIfSet } from '../meta/rules.ts';
import { validateLabelSelector } from '../meta/selectors.ts';

/** The rules of a claim's spec: of a PersistentVolumeClaim, of a StatefulSet's template and of an ephemeral volume. */

const accessModes = ['ReadWriteOnce', 'ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOncePod'];
export const volumeModes = ['Block', 'Filesystem'];

export function validateAccessModes(modes: readonly string[] | undefined, field: string): FieldError[] {
  if ((modes ?? []).length === 0) return [required(field, 'at least 1 access mode is required')];
  const errors = (modes ?? []).filter((mode) => !accessModes.includes(mode)).map((mode) => notSupported(field, mode, [...accessModes].sort()));
  if (modes?.includes('ReadWriteOncePod') && modes.length > 1) errors.push(forbidden(field, 'may not use ReadWriteOncePod with other access modes'));
  return errors;
}

/** More than nothing. */
export function validateStorage(quantity: string | undefined, field: string): FieldError[] {
  if (quantity === undefined) return [required(field)];
  if (!isQuantity(quantity)) return [invalid(field, quantity, 'must be a quantity')];
  return parseQuantity(quantity) > 0n ? [] : [invalid(field, quantity, 'must be greater than zero')];
}

export function validateClaimSpec(spec: PersistentVolumeClaimSpec | undefined, field: string): FieldError[] {
  const { accessModes: modes, dataSource, dataSourceRef, resources, selector, storageClassName, volumeAttributesClassName, volumeMode } = spec ?? {};
  const errors = [...validateAccessModes(modes, `${field}.accessModes`), ...validateLabelSelector(selector, `${field}.selector`)];
  errors.push(...validateStorage(resources?.requests?.['storage'], `${field}.resources[storage]`));
  for (const [name] of Object.entries(resources?.limits ?? {})) errors.push(...named(`${field}.resources.limits[${name}]`, name, qualifiedName));
  if (storageClassName) errors.push(...named(`${field}.storageClassName`, storageClassName, dns1123Subdomain));
  errors.push(...supportedIfSet(`${field}.volumeMode`, volumeMode, volumeModes));
  if (volumeAttributesClassName) errors.push(...named(`${field}.volumeAttributesClassName`, volumeAttributesClassName, dns1123Subdomain));
  for (const [name, source] of [['dataSource', dataSource], ['dataSourceRef', dataSourceRef]] as const) {
    if (source !== undefined) errors.push(...validateSource(source, `${field}.${name}`));
  }
  return spec === undefined ? errors : [...errors, ...validateNamespaceOf(spec, field)];
}

function validateNamespaceOf({ dataSource, dataSourceRef }: PersistentVolumeClaimSpec, field: string): FieldError[] {
  if (dataSourceRef?.namespace) {
    const errors = named(`${field}.dataSourceRef.namespace`, dataSourceRef.namespace, dns1123Label);
    return dataSource === undefined ? errors : [...errors, invalid(field, `${field}.dataSource`, 'may not be specified when dataSourceRef.namespace is specified')];
  }
  if (dataSource === undefined || dataSourceRef === undefined) return [];
  const same = (['apiGroup', 'kind', 'name'] as const).every((name) => dataSource[name] === dataSourceRef[name]);
  return same ? [] : [invalid(field, `${field}.dataSource`, 'must match dataSourceRef')];
}

function validateSource({ apiGroup = '', kind, name }: { apiGroup?: string | undefined; kind?: string; name?: string }, field: string): FieldError[] {
  const errors = [...requiredText(`${field}.name`, name), ...requiredText(`${field}.kind`, kind)];
  if (apiGroup === '' && kind !== 'PersistentVolumeClaim') errors.push(invalid(field, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup"));
  if (apiGroup !== '') errors.push(...named(`${field}.apiGroup`, apiGroup, dns1123Subdomain));
  return errors;
}

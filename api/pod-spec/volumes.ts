import type { EphemeralVolumeSource, KeyToPath, ProjectedVolumeSource, Volume, VolumeProjection } from '../gen/types.ts';
import { duplicate, forbidden, invalid, required, type FieldError } from '../meta/field-error.ts';
import { isRecord, own } from '../meta/json.ts';
import { validateAnnotations, validateLabels } from '../meta/metadata.ts';
import { configMapKey, dns1123Label } from '../meta/names.ts';
import { parseQuantity } from '../meta/quantity.ts';
import { requiredNamed, requiredText } from '../meta/rules.ts';
import { validateClaimSpec } from '../claim-spec/validate.ts';
import { validateDownwardFile, validateMode, validateVolumePath } from './references.ts';
import { validateHostPath, validateNfs, validateRequiredFields } from './volume-sources.ts';

export function validateVolumes(volumes: readonly Volume[], field: string): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  for (const [index, volume] of volumes.entries()) {
    const path = `${field}[${index}]`;
    errors.push(...requiredNamed(`${path}.name`, volume.name, dns1123Label));
    if (names.has(volume.name)) errors.push(duplicate(`${path}.name`, volume.name));
    names.add(volume.name);
    errors.push(...validateSource(volume, path));
  }
  return errors;
}

function validateSource(volume: Volume, field: string): FieldError[] {
  const [first, ...more] = Object.entries(volume).filter(([key, source]) => key !== 'name' && source !== undefined).map(([key]) => key);
  if (first === undefined) return [required(field, 'must specify a volume type')];
  const { configMap, downwardAPI, emptyDir, ephemeral, hostPath, image, nfs, persistentVolumeClaim, projected, secret } = volume;
  const errors = more.map((name) => forbidden(`${field}.${name}`, 'may not specify more than 1 volume type'));
  if (emptyDir?.sizeLimit !== undefined && parseQuantity(emptyDir.sizeLimit) < 0n) {
    errors.push(forbidden(`${field}.emptyDir.sizeLimit`, 'SizeLimit field must be a valid resource quantity'));
  }
  if (hostPath !== undefined) errors.push(...validateHostPath(hostPath, `${field}.hostPath`));
  if (secret !== undefined) errors.push(...requiredText(`${field}.secret.secretName`, secret.secretName), ...validateFiles(secret, `${field}.secret`));
  if (configMap !== undefined) errors.push(...requiredText(`${field}.configMap.name`, configMap.name), ...validateFiles(configMap, `${field}.configMap`));
  if (downwardAPI !== undefined) {
    errors.push(...validateMode(downwardAPI.defaultMode, `${field}.downwardAPI.defaultMode`));
    errors.push(...(downwardAPI.items ?? []).flatMap((item, i) => validateDownwardFile(item, `${field}.downwardAPI.items[${i}]`)));
  }
  if (projected !== undefined) errors.push(...validateProjected(projected, `${field}.projected`));
  if (persistentVolumeClaim !== undefined) errors.push(...requiredText(`${field}.persistentVolumeClaim.claimName`, persistentVolumeClaim.claimName));
  if (image !== undefined) errors.push(...requiredText(`${field}.image.reference`, image.reference));
  if (nfs !== undefined) errors.push(...validateNfs(nfs, `${field}.nfs`));
  if (ephemeral !== undefined) errors.push(...validateEphemeral(ephemeral, `${field}.ephemeral`));
  const source = own(volume as unknown as Record<string, unknown>, first);
  if (isRecord(source)) errors.push(...validateRequiredFields(first, source, `${field}.${first}`));
  return errors;
}

function validateEphemeral({ volumeClaimTemplate: template }: EphemeralVolumeSource, field: string): FieldError[] {
  if (template === undefined) return [required(`${field}.volumeClaimTemplate`)];
  const path = `${field}.volumeClaimTemplate`;
  return [
    ...validateLabels(template.metadata?.labels, `${path}.metadata.labels`), ...validateAnnotations(template.metadata?.annotations, `${path}.metadata.annotations`),
    ...validateClaimSpec(template.spec, `${path}.spec`),
  ];
}

function validateFiles(source: { defaultMode?: number | undefined; items?: KeyToPath[] | undefined }, field: string): FieldError[] {
  return [
    ...validateMode(source.defaultMode, `${field}.defaultMode`),
    ...(source.items ?? []).flatMap((item, i) => [
      ...requiredNamed(`${field}.items[${i}].key`, item.key, configMapKey),
      ...validateVolumePath(item.path, `${field}.items[${i}].path`),
      ...validateMode(item.mode, `${field}.items[${i}].mode`),
    ]),
  ];
}

function validateProjected(projected: ProjectedVolumeSource, field: string): FieldError[] {
  const errors = validateMode(projected.defaultMode, `${field}.defaultMode`);
  const paths = new Set<string>();
  for (const [index, source] of (projected.sources ?? []).entries()) {
    const path = `${field}.sources[${index}]`;
    const [, ...more] = Object.entries(source).filter(([, value]) => value !== undefined).map(([key]) => key);
    errors.push(...more.map((name) => forbidden(`${path}.${name}`, 'may not specify more than 1 volume type')));
    errors.push(...validateProjection(source, path));
    for (const file of filesOf(source)) {
      if (paths.has(file)) errors.push(invalid(path, file, 'conflicting duplicate paths'));
      paths.add(file);
    }
  }
  return errors;
}

function filesOf({ configMap, downwardAPI, secret, serviceAccountToken }: VolumeProjection): string[] {
  const items = [...configMap?.items ?? [], ...downwardAPI?.items ?? [], ...secret?.items ?? []];
  return [...items, ...serviceAccountToken === undefined ? [] : [serviceAccountToken]].map((item) => item.path).filter(Boolean);
}

function validateProjection({ configMap, downwardAPI, secret, serviceAccountToken }: VolumeProjection, field: string): FieldError[] {
  const errors: FieldError[] = [];
  if (secret !== undefined) errors.push(...requiredText(`${field}.secret.name`, secret.name), ...validateFiles(secret, `${field}.secret`));
  if (configMap !== undefined) errors.push(...requiredText(`${field}.configMap.name`, configMap.name), ...validateFiles(configMap, `${field}.configMap`));
  errors.push(...(downwardAPI?.items ?? []).flatMap((item, i) => validateDownwardFile(item, `${field}.downwardAPI.items[${i}]`)));
  if (serviceAccountToken !== undefined) {
    const seconds = serviceAccountToken.expirationSeconds;
    const path = `${field}.serviceAccountToken`;
    if (seconds !== undefined && seconds < 600) errors.push(invalid(`${path}.expirationSeconds`, seconds, 'may not specify a duration less than 10 minutes'));
    if (seconds !== undefined && seconds > 2 ** 32) errors.push(invalid(`${path}.expirationSeconds`, seconds, 'may not specify a duration larger than 2^32 seconds'));
    errors.push(...validateVolumePath(serviceAccountToken.path, `${path}.path`));
  }
  return errors;
}

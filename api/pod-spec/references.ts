import type { ConfigMapKeySelector, DownwardAPIVolumeFile, ObjectFieldSelector, ResourceFieldSelector } from '../gen/types.ts';
import { invalid, notSupported, required, type FieldError } from '../meta/field-error.ts';
import { configMapKey, qualifiedName } from '../meta/names.ts';
import { requiredNamed, requiredText } from '../meta/rules.ts';

export const envFields = [
  'metadata.name', 'metadata.namespace', 'metadata.uid', 'spec.nodeName', 'spec.serviceAccountName', 'status.hostIP', 'status.hostIPs', 'status.podIP', 'status.podIPs',
];
export const downwardFields = ['metadata.annotations', 'metadata.labels', 'metadata.name', 'metadata.namespace', 'metadata.uid'];
const resources = ['limits.cpu', 'limits.ephemeral-storage', 'limits.memory', 'requests.cpu', 'requests.ephemeral-storage', 'requests.memory'];

export function validateFieldRef(ref: ObjectFieldSelector, allowed: readonly string[], field: string): FieldError[] {
  if (!ref.apiVersion) return [required(`${field}.apiVersion`)];
  if (!ref.fieldPath) return [required(`${field}.fieldPath`)];
  const path = `${field}.fieldPath`;
  const subscript = /^(metadata\.(?:annotations|labels))\['(.*)'\]$/.exec(ref.fieldPath);
  if (subscript !== null) {
    const key = subscript[2] ?? '';
    const problem = qualifiedName(subscript[1] === 'metadata.annotations' ? key.toLowerCase() : key);
    return problem === undefined ? [] : [invalid(path, key, problem)];
  }
  if (allowed.includes(ref.fieldPath)) return [];
  if ([...envFields, ...downwardFields].includes(ref.fieldPath)) return [notSupported(path, ref.fieldPath, allowed)];
  return [invalid(path, ref.fieldPath, `error converting fieldPath: field label not supported: ${ref.fieldPath}`)];
}

export function validateResourceRef(ref: ResourceFieldSelector, field: string, inVolume: boolean): FieldError[] {
  if (inVolume && !ref.containerName) return [required(`${field}.containerName`)];
  if (!ref.resource) return [required(`${field}.resource`)];
  return resources.includes(ref.resource) || /^(limits|requests)\.hugepages-/.test(ref.resource) ? [] : [notSupported(`${field}.resource`, ref.resource, resources)];
}

/** A key of a ConfigMap or a Secret. */
export function validateKeyRef(ref: ConfigMapKeySelector, field: string): FieldError[] {
  return [...requiredText(`${field}.name`, ref.name), ...requiredNamed(`${field}.key`, ref.key, configMapKey)];
}

/** A path inside a volume. */
export function relativePathProblem(path: string): string | undefined {
  if (path.startsWith('/')) return 'must be a relative path';
  return path.split('/').includes('..') ? "must not contain '..'" : undefined;
}

export function validateVolumePath(path: string | undefined, field: string): FieldError[] {
  if (!path) return [required(field)];
  const problem = relativePathProblem(path) ?? (path.startsWith('..') ? "must not start with '..'" : undefined);
  return problem === undefined ? [] : [invalid(field, path, problem)];
}

export function validateMode(mode: number | undefined, field: string): FieldError[] {
  return mode !== undefined && (mode < 0 || mode > 0o777) ? [invalid(field, mode, 'must be a number between 0 and 0777 (octal), both inclusive')] : [];
}

export function validateDownwardFile(item: DownwardAPIVolumeFile, field: string): FieldError[] {
  const errors = [...validateVolumePath(item.path, `${field}.path`), ...validateMode(item.mode, `${field}.mode`)];
  if (item.fieldRef !== undefined) {
    if (item.resourceFieldRef !== undefined) errors.push(invalid(field, 'resource', 'fieldRef and resourceFieldRef can not be specified simultaneously'));
    errors.push(...validateFieldRef(item.fieldRef, downwardFields, `${field}.fieldRef`));
  } else if (item.resourceFieldRef !== undefined) errors.push(...validateResourceRef(item.resourceFieldRef, `${field}.resourceFieldRef`, true));
  else errors.push(required(field, 'one of fieldRef and resourceFieldRef is required'));
  return errors;
}

import type { ConfigMapKeySelector, DownwardAPIVolumeFile, ObjectFieldSelector, ResourceFieldSelector } from '../gen/types.ts';
import { invalid, notSupported, required, type FieldError } from '../meta/field-error.ts';
import { configMapKey, dns1123Subdomain, qualifiedName } from '../meta/names.ts';
import { named, requiredNamed } from '../meta/rules.ts';

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
    return problem === undefined ? [] : [invalid(field, key, problem)];
  }
  if (allowed.includes(ref.fieldPath)) return [];
  if ([...envFields, ...downwardFields].includes(ref.fieldPath)) return [notSupported(path, ref.fieldPath, allowed)];
  return [invalid(path, ref.fieldPath, `error converting fieldPath: field label not supported: ${ref.fieldPath}`)];
}

export function validateResourceRef(ref: ResourceFieldSelector, field: string, inVolume: boolean): FieldError[] {
  if (inVolume && !ref.containerName) return [required(`${field}.containerName`)];
  if (!ref.resource) return [required(`${field}.resource`)];
  const known = resources.includes(ref.resource) || /^(limits|requests)\.hugepages-/.test(ref.resource);
  return [...(known ? [] : [notSupported(`${field}.resource`, ref.resource, resources)]), ...validateDivisor(ref, field)];
}

const byteDivisors = ['1', '1k', '1M', '1G', '1T', '1P', '1E', '1Ki', '1Mi', '1Gi', '1Ti', '1Pi', '1Ei'];

function validateDivisor({ divisor = '0', resource }: ResourceFieldSelector, field: string): FieldError[] {
  if (divisor === '0') return [];
  const counted = resource.slice(resource.indexOf('.') + 1);
  const [allowed, what] = counted === 'cpu' ? [['1m', '1'], 'cpu'] as const
    : [byteDivisors, counted === 'memory' ? 'memory' : counted === 'ephemeral-storage' ? 'local ephemeral storage' : 'hugepages'] as const;
  const values = counted === 'cpu' ? '1m and 1' : byteDivisors.join(', ');
  return allowed.some((one) => one === divisor) ? [] : [invalid(`${field}.divisor`, resource, `only divisor's values ${values} are supported with the ${what} resource`)];
}

/** A key of a ConfigMap or a Secret. */
export function validateKeyRef(ref: ConfigMapKeySelector, field: string): FieldError[] {
  return [...named(`${field}.name`, ref.name ?? '', dns1123Subdomain), ...requiredNamed(`${field}.key`, ref.key, configMapKey)];
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

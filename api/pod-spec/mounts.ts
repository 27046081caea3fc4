import type { Container, SecurityContext, Volume, VolumeMount } from '../gen/types.ts';
import { forbidden, invalid, notFound, notSupported, type FieldError } from '../meta/field-error.ts';
import { requiredText } from '../meta/rules.ts';
import { relativePathProblem } from './references.ts';

/** The volumes that a container mounts, and those that it has as devices. */
export function validateMounts(container: Container, field: string, volumes: ReadonlyMap<string, Volume>): FieldError[] {
  const errors: FieldError[] = [];
  const devices = new Set((container.volumeDevices ?? []).map(({ devicePath }) => devicePath));
  const deviceNames = new Set((container.volumeDevices ?? []).map(({ name }) => name));
  const paths = new Set<string>();
  for (const [index, mount] of (container.volumeMounts ?? []).entries()) {
    const path = `${field}.volumeMounts[${index}]`;
    errors.push(...requiredText(`${path}.name`, mount.name), ...requiredText(`${path}.mountPath`, mount.mountPath));
    if (!volumes.has(mount.name)) errors.push(notFound(`${path}.name`, mount.name));
    if (paths.has(mount.mountPath)) errors.push(invalid(`${path}.mountPath`, mount.mountPath, 'must be unique'));
    paths.add(mount.mountPath);
    if (deviceNames.has(mount.name)) errors.push(invalid(`${path}.name`, mount.name, 'must not already exist in volumeDevices'));
    if (devices.has(mount.mountPath)) errors.push(invalid(`${path}.mountPath`, mount.mountPath, 'must not already exist as a path in volumeDevices'));
    // What follows Kubernetes reports without the mount's index.
    const list = `${field}.volumeMounts`;
    errors.push(...validateSubPath(mount, path, list), ...validatePropagation(mount, list, container.securityContext), ...validateReadOnly(mount, list));
  }
  return [...errors, ...validateDevices(container, field, volumes)];
}

function validateSubPath(mount: VolumeMount, field: string, list: string): FieldError[] {
  const errors = mount.subPath && mount.subPathExpr
    ? [invalid(`${field}.subPathExpr`, mount.subPathExpr, 'subPathExpr and subPath are mutually exclusive')] : [];
  for (const name of ['subPath', 'subPathExpr'] as const) {
    const problem = relativePathProblem(mount[name] ?? '');
    if (problem !== undefined) errors.push(invalid(`${list}.${name}`, mount[name], problem));
  }
  return errors;
}

function validatePropagation(mount: VolumeMount, field: string, security: SecurityContext | undefined): FieldError[] {
  const path = `${field}.mountPropagation`;
  if (mount.mountPropagation === 'Bidirectional' && security?.privileged !== true) {
    return [forbidden(path, 'Bidirectional mount propagation is available only to privileged containers')];
  }
  const allowed = ['Bidirectional', 'HostToContainer', 'None'];
  return mount.mountPropagation === undefined || allowed.includes(mount.mountPropagation) ? [] : [notSupported(path, mount.mountPropagation, allowed)];
}

function validateReadOnly({ mountPropagation, readOnly, recursiveReadOnly }: VolumeMount, field: string): FieldError[] {
  const path = `${field}.recursiveReadOnly`;
  if (recursiveReadOnly === undefined || recursiveReadOnly === 'Disabled') return [];
  if (recursiveReadOnly !== 'Enabled' && recursiveReadOnly !== 'IfPossible') return [notSupported(path, recursiveReadOnly, ['Disabled', 'Enabled', 'IfPossible'])];
  const errors = readOnly === true ? [] : [forbidden(path, 'may only be specified when readOnly is true')];
  return mountPropagation === undefined || mountPropagation === 'None' ? errors : [...errors, forbidden(path, 'may only be specified when mountPropagation is None or not specified')];
}

function validateDevices({ volumeDevices = [], volumeMounts = [] }: Container, field: string, volumes: ReadonlyMap<string, Volume>): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  const paths = new Set<string>();
  for (const [index, { devicePath, name }] of volumeDevices.entries()) {
    const path = `${field}.volumeDevices[${index}]`;
    const volume = volumes.get(name);
    errors.push(...requiredText(`${path}.name`, name));
    if (names.has(name)) errors.push(invalid(`${path}.name`, name, 'must be unique'));
    if (volume === undefined) errors.push(notFound(`${path}.name`, name));
    else if (volume.persistentVolumeClaim === undefined && volume.ephemeral === undefined) {
      errors.push(invalid(`${path}.name`, name, 'can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode'));
    }
    errors.push(...requiredText(`${path}.devicePath`, devicePath));
    if (paths.has(devicePath)) errors.push(invalid(`${path}.devicePath`, devicePath, 'must be unique'));
    if ((devicePath ?? '').split('/').includes('..')) errors.push(invalid(`${path}.devicePath`, devicePath, 'can not contain backsteps (\'..\')'));
    if (volumeMounts.some((mount) => mount.name === name)) errors.push(invalid(`${path}.name`, name, 'must not already exist in volumeMounts'));
    if (volumeMounts.some((mount) => mount.mountPath === devicePath)) errors.push(invalid(`${path}.devicePath`, devicePath, 'must not already exist as a path in volumeMounts'));
    names.add(name);
    paths.add(devicePath);
  }
  return errors;
}

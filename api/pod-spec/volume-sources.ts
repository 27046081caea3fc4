import type { HostPathVolumeSource, NFSVolumeSource } from '../gen/types.ts';
import { invalid, required, type FieldError } from '../meta/field-error.ts';
import { own } from '../meta/json.ts';
import { requiredText, supportedIfSet } from '../meta/rules.ts';

/** Sources of volumes that pods and PersistentVolumes both may name. */

const hostPathTypes = ['', 'BlockDevice', 'CharDevice', 'Directory', 'DirectoryOrCreate', 'File', 'FileOrCreate', 'Socket'];

export function validateHostPath(source: HostPathVolumeSource, field: string): FieldError[] {
  const errors = [...requiredText(`${field}.path`, source.path), ...supportedIfSet(`${field}.type`, source.type, hostPathTypes)];
  return (source.path ?? '').split('/').includes('..') ? [...errors, invalid(`${field}.path`, source.path, "must not contain '..'")] : errors;
}

export function validateNfs(source: NFSVolumeSource, field: string): FieldError[] {
  const errors = [...requiredText(`${field}.server`, source.server), ...requiredText(`${field}.path`, source.path)];
  return source.path && !source.path.startsWith('/') ? [...errors, invalid(`${field}.path`, source.path, 'must be an absolute path')] : errors;
}

/** What each of the others cannot do without. */
const requiredFields: Readonly<Record<string, readonly string[]>> = {
  awsElasticBlockStore: ['volumeID'], azureDisk: ['diskName', 'diskURI'], azureFile: ['secretName', 'shareName'], cephfs: ['monitors'], cinder: ['volumeID'], csi: ['driver'],
  flexVolume: ['driver'], gcePersistentDisk: ['pdName'], glusterfs: ['endpoints', 'path'], iscsi: ['targetPortal', 'iqn'], local: ['path'], photonPersistentDisk: ['pdID'],
  portworxVolume: ['volumeID'], quobyte: ['registry', 'volume'], rbd: ['monitors', 'image'], scaleIO: ['gateway', 'system', 'volumeName'], vsphereVolume: ['volumePath'],
};

/** The fields that a source of the type `name` must have. */
export function validateRequiredFields(name: string, source: object, field: string): FieldError[] {
  return (requiredFields[name] ?? []).flatMap((key) => {
    const value = own(source as Record<string, unknown>, key);
    return value === undefined || value === '' || (Array.isArray(value) && value.length === 0) ? [required(`${field}.${key}`)] : [];
  });
}

interface Sources {
  hostPath?: { type?: string | undefined } | undefined;
  iscsi?: { iscsiInterface?: string | undefined } | undefined;
  rbd?: { pool?: string | undefined; user?: string | undefined; keyring?: string | undefined } | undefined;
  azureDisk?: { cachingMode?: string | undefined; kind?: string | undefined; fsType?: string | undefined; readOnly?: boolean | undefined } | undefined;
  scaleIO?: { storageMode?: string | undefined; fsType?: string | undefined } | undefined;
}

/** Changes `sources` in place. Idempotent. */
export function setSourceDefaults({ azureDisk, hostPath, iscsi, rbd, scaleIO }: Sources): void {
  if (hostPath !== undefined) hostPath.type ??= '';
  if (iscsi !== undefined) iscsi.iscsiInterface ||= 'default';
  if (rbd !== undefined) {
    rbd.pool ||= 'rbd';
    rbd.user ||= 'admin';
    rbd.keyring ||= '/etc/ceph/keyring';
  }
  if (azureDisk !== undefined) {
    azureDisk.cachingMode ??= 'ReadWrite';
    azureDisk.kind ??= 'Shared';
    azureDisk.fsType ??= 'ext4';
    azureDisk.readOnly ??= false;
  }
  if (scaleIO !== undefined) {
    scaleIO.storageMode ||= 'ThinProvisioned';
    scaleIO.fsType ||= 'xfs';
  }
}

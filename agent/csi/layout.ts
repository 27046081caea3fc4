import { hash } from 'node:crypto';
import { readdir, readFile, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isRecord } from '#api/meta/json.ts';
import { writeFileAtomic } from '#common/atomic-file.ts';

/**
 * Where volumes are mounted, below the kubelet's folder as the kubelet has it: drivers that run in pods see no other.
 * Beside each mount lies a file that says whose it is; it is there before the driver is asked, and goes after all
 * that the driver did has been undone, so whatever a crash leaves is found again.
 */
export interface VolumeRecord {
  readonly driverName: string;
  readonly volumeHandle: string;
  readonly volumeLifecycleMode: 'Persistent' | 'Ephemeral';
}

/** A record that is a pod's. */
export interface PodVolumeRecord extends VolumeRecord {
  readonly podUid: string;
  /** Folder of the record and the mount. */
  readonly folder: string;
}

/** One of a volume as the node has it, for all pods. */
export interface StagedRecord extends VolumeRecord { readonly folder: string }

/** What is another program's, such as a kubelet's that ran here before, is not ours to clean. */
const manager = 'cleat';
const file = 'vol_data.json';
const podVolumes = 'volumes/kubernetes.io~csi';

export const registryDir = (kubeletDir: string): string => join(kubeletDir, 'plugins_registry');
export const podsDir = (kubeletDir: string): string => join(kubeletDir, 'pods');
const stagedDir = (kubeletDir: string): string => join(kubeletDir, 'plugins/kubernetes.io/csi');

/** Folder of a pod's volume; `specName` is the PersistentVolume's name, or the volume's in the pod. */
export const podVolumeFolder = (kubeletDir: string, podUid: string, specName: string): string => join(podsDir(kubeletDir), podUid, podVolumes, specName);
export const targetPath = (folder: string): string => join(folder, 'mount');

export const stagedFolder = (kubeletDir: string, driver: string, volumeHandle: string): string => join(stagedDir(kubeletDir), driver, hash('sha256', volumeHandle, 'hex'));
export const stagingPath = (folder: string): string => join(folder, 'globalmount');

/** The volumes of one pod, or of all. */
export async function podRecords(kubeletDir: string, podUid?: string): Promise<PodVolumeRecord[]> {
  const found: PodVolumeRecord[] = [];
  for (const uid of podUid === undefined ? await entries(podsDir(kubeletDir)) : [podUid]) {
    for (const name of await entries(join(podsDir(kubeletDir), uid, podVolumes))) {
      const folder = podVolumeFolder(kubeletDir, uid, name);
      const record = await readRecord(folder);
      if (record) found.push({ ...record, podUid: uid, folder });
    }
  }
  return found;
}

/** The volumes that are, or may be, staged. */
export async function stagedRecords(kubeletDir: string): Promise<StagedRecord[]> {
  const found: StagedRecord[] = [];
  for (const driver of await entries(stagedDir(kubeletDir))) {
    for (const name of await entries(join(stagedDir(kubeletDir), driver))) {
      const folder = join(stagedDir(kubeletDir), driver, name);
      const record = await readRecord(folder);
      if (record) found.push({ ...record, folder });
    }
  }
  return found;
}

/** Undefined when there is none, or when it is not ours. */
export async function readRecord(folder: string): Promise<VolumeRecord | undefined> {
  const text = await readFile(join(folder, file), 'utf8').catch(() => '');
  try {
    const record: unknown = JSON.parse(text);
    if (!isRecord(record) || record['manager'] !== manager || typeof record['driverName'] !== 'string' || typeof record['volumeHandle'] !== 'string') return undefined;
    return { driverName: record['driverName'], volumeHandle: record['volumeHandle'], volumeLifecycleMode: record['volumeLifecycleMode'] === 'Ephemeral' ? 'Ephemeral' : 'Persistent' };
  } catch {
    return undefined;
  }
}

export async function writeRecord(folder: string, { driverName, volumeHandle, volumeLifecycleMode }: VolumeRecord, more: Readonly<Record<string, string>> = {}): Promise<void> {
  await writeFileAtomic(join(folder, file), JSON.stringify({ driverName, volumeHandle, volumeLifecycleMode, ...more, manager }), 0o600);
}

export const recordPath = (folder: string): string => join(folder, file);

/** Removes a folder and those above it that are empty then, up to `top`, which stays. */
export async function removeEmpty(folder: string, top: string): Promise<void> {
  for (let path = folder; path !== top && path.startsWith(`${top}/`); path = dirname(path)) {
    if (!await rmdir(path).then(() => true, (error: NodeJS.ErrnoException) => error.code === 'ENOENT')) return;
  }
}

async function entries(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}

import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncFolder, writeFileAtomic } from '#common/atomic-file.ts';
import { filesElsewhere, placeElsewhere, settingsElsewhere, type BackupFile, type BackupHeader, type OpenedArchive } from '#common/backup/archive.ts';
import { isStatus, StatusError } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import { loadOrCreateSealingKeys } from '#common/pki/sealing-keys.ts';
import { secrets } from '#api/kinds/resources.ts';
import { storePrefix } from '../store/keys.ts';
import { RestoredRows } from '../store/restore.ts';
import { requireStopped, restoredName, takeRestored, unfinishedName } from './restored-folder.ts';

export interface RestoreConfig {
  readonly stateDir: string;
  /** Replace a cluster that is there. */
  readonly force: boolean;
  /** The configuration that the restored control plane will read. */
  readonly configFile: string;
}

export interface RestoreResult {
  /** Objects in the store. */
  readonly keys: number;
  /** Where the cluster that was there before is kept. */
  readonly kept: string | undefined;
  /** Files of configuration that were written; those that were there are left as they are. */
  readonly written: readonly string[];
  /** Lines that the configuration file lacks, or has otherwise than the cluster had. Empty when it was written. */
  readonly differing: readonly string[];
}

/**
 * Makes the state directory the cluster that the backup is of. Nothing of what is there is touched until all of the backup has been
 * read, checked and synced; running it again after it was cut off begins anew, or finishes what was whole.
 */
export async function restore(log: Log, { header, records }: OpenedArchive, { stateDir, force, configFile }: RestoreConfig): Promise<RestoreResult> {
  await requireStopped(stateDir);
  requireSettings(header);
  if (existsSync(join(stateDir, 'server')) && !force) {
    throw new StatusError('AlreadyExists', `there is a cluster in ${stateDir} already; to put the backup in its place, which keeps it beside, run this with --force`);
  }
  const unfinished = join(stateDir, unfinishedName);
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(join(unfinished, 'pki'), { recursive: true, mode: 0o700 });
  const { keys, elsewhere } = await unpack(log, records, unfinished, new Set(filesElsewhere(header)));
  await syncFolder(unfinished);
  // One that was cut off before it was in its place; until now it may have been the only one that is whole.
  await rm(join(stateDir, restoredName), { recursive: true, force: true });
  await rename(unfinished, join(stateDir, restoredName));
  await syncFolder(stateDir);
  const kept = await takeRestored(stateDir).catch(async (error: unknown) => {
    // A control plane has started meanwhile. Whoever was told so must not find the restore carried out with a later start.
    if (isStatus(error, 'Conflict')) await rename(join(stateDir, restoredName), unfinished);
    throw error;
  });
  const lines = Object.entries(settingsElsewhere(header, configFile)).map(([flag, value]) => `${flag}: ${value}`);
  const config: BackupFile[] = lines.length > 0 ? [{ file: configFile, mode: 0o600, data: Buffer.from(`${lines.join('\n')}\n`) }] : [];
  const written: string[] = [];
  for (const { file: named, mode, data } of [...elsewhere, ...config]) {
    const file = placeElsewhere(named, configFile);
    if (existsSync(file)) continue;
    await mkdir(dirname(file), { recursive: true });
    await writeFileAtomic(file, data, mode);
    written.push(file);
  }
  return { keys, kept, written, differing: written.includes(configFile) ? [] : lines };
}

/** They become lines of a file that is written as root, wherever the backup says. */
function requireSettings({ settings }: BackupHeader): void {
  const odd = Object.entries(settings).find(([flag, value]) => !/^[a-z][a-z0-9-]*$/.test(flag) || typeof value !== 'string' || /[\r\n]/.test(value));
  if (odd) throw new StatusError('Invalid', `the backup has a setting ${JSON.stringify(odd[0])} that is none of Cleat's; take another one`);
}

async function unpack(log: Log, records: OpenedArchive['records'], folder: string, named: ReadonlySet<string>): Promise<{ keys: number; elsewhere: BackupFile[] }> {
  const elsewhere: BackupFile[] = [];
  let rows: RestoredRows | undefined;
  try {
    for await (const record of records) {
      if ('row' in record) {
        rows ??= await openRows(log, folder);
        await rows.add(record.row, record.data);
      } else if (named.has(record.file) && !record.file.startsWith('pki/')) elsewhere.push(record);
      else {
        // Nothing else may be written where a backup says.
        if (!/^pki\/[A-Za-z0-9][A-Za-z0-9.-]*$/.test(record.file) || rows) throw new StatusError('Invalid', `the backup holds a file ${JSON.stringify(record.file)}, which belongs to no cluster; was it made by a newer Cleat?`);
        await writeFileAtomic(join(folder, record.file), record.data, record.mode);
      }
    }
    if (!existsSync(join(folder, 'pki/ca.key')) || !existsSync(join(folder, 'pki/ca.crt'))) throw new StatusError('Invalid', 'the backup holds no CA, so no agent would know this control plane; take another one');
    rows ??= await openRows(log, folder);
    return { keys: await rows.finish(), elsewhere };
  } finally {
    await rows?.close();
  }
}

async function openRows(log: Log, folder: string): Promise<RestoredRows> {
  if (!existsSync(join(folder, 'pki/secrets.key'))) throw new StatusError('Invalid', 'the backup holds no key for Secrets before its rows; take another one');
  return RestoredRows.open(log, join(folder, 'store'), { prefixes: [storePrefix(secrets)], keys: await loadOrCreateSealingKeys(join(folder, 'pki')) });
}

import { X509Certificate } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { writeArchive, type BackupFile, type BackupRecord } from '#common/backup/archive.ts';
import { formatSetting } from '#common/config.ts';
import { StatusError } from '#common/errors.ts';
import { fingerprintOf } from '#common/pki/certificate.ts';
import { version } from '#common/version.ts';
import { controlPlaneSettings, etcdFlags, type ControlPlaneConfig } from '../config.ts';
import type { Store } from '../store/types.ts';

export interface BackupDeps {
  readonly store: Store;
  readonly nowMs: () => number;
}

export interface BackupConfig {
  readonly settings: ControlPlaneConfig;
  /** Where the settings were read from. */
  readonly configFile: string;
}

/** What belongs to a host and not to its cluster. */
const ofThisHost: ReadonlySet<string> = new Set([...etcdFlags, 'state-dir', 'advertise-address', 'bind-address', 'kubeconfig', 'store-recover', 'log-level']);

/** The whole cluster, as it is at this moment: certificates and keys, configuration, and every object. Nothing waits for it. */
export async function backup({ store, nowMs }: BackupDeps, config: BackupConfig): Promise<AsyncGenerator<Uint8Array, void, undefined>> {
  const rows = store.snapshot?.();
  if (!rows) throw new StatusError('MethodNotAllowed', "this control plane's store is kept by another program; back that up with its own means (etcdctl snapshot save), and the folder server/pki beside it");
  const { stateDir } = config.settings;
  const settings = withWholePaths(config.settings);
  const pki = await filesBelow(join(stateDir, 'server/pki'), 'pki');
  const ca = pki.find(({ file }) => file === 'pki/ca.crt');
  if (!ca) throw new StatusError('InternalError', `there is no CA in ${join(stateDir, 'server/pki')}`);
  const header = {
    format: 'cleat-backup', version: 1, cleatVersion: version, createdAt: new Date(nowMs()).toISOString(), caFingerprint: fingerprintOf(new X509Certificate(ca.data)), revision: store.revision,
    settings: clusterSettings(settings), configFile: config.configFile,
  } as const;
  return writeArchive(header, allOf(pki, await namedFiles(settings), rows));
}

/** Files first: the rows are sealed by a key among them when they are put back. */
async function* allOf(pki: readonly BackupFile[], named: readonly BackupFile[], rows: AsyncIterable<readonly (readonly [string, Uint8Array])[]>): AsyncGenerator<BackupRecord, void, undefined> {
  yield* pki;
  yield* named;
  for await (const some of rows) for (const [row, bytes] of some) yield { row, data: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength) };
}

async function filesBelow(folder: string, name: string): Promise<BackupFile[]> {
  const names = (await readdir(folder)).filter((file) => !file.startsWith('.')).sort();
  return Promise.all(names.map(async (file) => ({ file: `${name}/${file}`, mode: (await stat(join(folder, file))).mode & 0o777, data: await readFile(join(folder, file)) })));
}

/** Elsewhere a path means something only from the root. */
function withWholePaths(config: ControlPlaneConfig): ControlPlaneConfig {
  const whole = (path: string): string => (path === '' ? '' : resolve(path));
  const { tokenAuthFile, auditPolicyFile, schedulerConfig, auditLogPath, backupDir, backupKeyFile } = config;
  return { ...config, tokenAuthFile: whole(tokenAuthFile), auditPolicyFile: whole(auditPolicyFile), schedulerConfig: whole(schedulerConfig), auditLogPath: auditLogPath === '-' ? '-' : whole(auditLogPath), backupDir: whole(backupDir), backupKeyFile: whole(backupKeyFile) };
}

/** Files that settings name. */
async function namedFiles({ tokenAuthFile, auditPolicyFile, schedulerConfig }: ControlPlaneConfig): Promise<BackupFile[]> {
  return Promise.all([tokenAuthFile, auditPolicyFile, schedulerConfig].filter(Boolean).map(async (file) => ({ file, mode: 0o600, data: await readFile(file) })));
}

/** The settings that are not the defaults and mean the same on another host. */
export function clusterSettings(config: ControlPlaneConfig): Record<string, string> {
  const values: Readonly<Record<string, unknown>> = config;
  return Object.fromEntries(Object.entries(controlPlaneSettings).flatMap(([name, setting]) => {
    const [text, usual] = [formatSetting(setting, values[name]), formatSetting(setting, setting.default)];
    return text === usual || ofThisHost.has(setting.flag) ? [] : [[setting.flag, text]];
  }));
}

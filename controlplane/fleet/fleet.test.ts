import { createReadStream, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { readFile, rename } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { secrets } from '#api/kinds/resources.ts';
import { readArchive, type BackupHeader, type BackupRecord, type OpenedArchive } from '#common/backup/archive.ts';
import { ManualClock, systemClock } from '#common/clock.ts';
import { loadConfig } from '#common/config.ts';
import { silentLog } from '#common/log.ts';
import { loadClusterCa } from '#common/pki/cluster-ca.ts';
import { loadOrCreateSealingKeys } from '#common/pki/sealing-keys.ts';
import { Turns } from '#common/turns.ts';
import { channelPair } from '#common/streams/pair.ts';
import { controlPlaneSettings, type ControlPlaneConfig } from '../config.ts';
import { put } from '../store/contract.ts';
import { storePrefix } from '../store/keys.ts';
import { openStore } from '../store/open.ts';
import type { Store } from '../store/types.ts';
import { backup } from './backup.ts';
import { rotate, type CertificateDeps } from './certificates.ts';
import { checkBackupSettings, DailyBackups, keepBackup } from './kept-backups.ts';
import { restore } from './restore.ts';
import { takeRestored } from './restored-folder.ts';

const dayMs = 86_400_000;
const secretKey = `${storePrefix(secrets)}default/s`;

async function openAt(stateDir: string): Promise<Store> {
  const sealing = async () => ({ prefixes: [storePrefix(secrets)], keys: await loadOrCreateSealingKeys(join(stateDir, 'server/pki')) });
  return openStore({ log: silentLog, clock: systemClock, sealing }, { dir: join(stateDir, 'server/store') });
}

/** A control plane's folder with a CA, and a store with some objects. */
async function cluster(...flags: string[]): Promise<{ stateDir: string; settings: ControlPlaneConfig; store: Store }> {
  const stateDir = mkdtempSync(join(tmpdir(), 'fleet-'));
  const { values: settings } = loadConfig('test', controlPlaneSettings, [`--state-dir=${stateDir}`, ...flags], {}, '/nonexistent');
  await loadClusterCa(join(stateDir, 'server/pki'), Date.now());
  const store = await openAt(stateDir);
  for (let i = 0; i < 50; i++) await put(store, `k/${String(i % 20)}`, `value ${String(i)}`);
  await put(store, secretKey, 'swordfish');
  return { stateDir, settings, store };
}

const opened = (path: string, secret?: Buffer): Promise<OpenedArchive> => readArchive(createReadStream(path), () => Promise.resolve(secret));
const contents = async (store: Store): Promise<string[]> => (await store.list({ prefix: '' })).entries.map(({ key, value, createRevision, modRevision }) => `${key} ${Buffer.from(value).toString()} ${String(createRevision)} ${String(modRevision)}`);

describe('a backup that is restored', () => {
  it('is the same cluster, with its keys and settings, whose revisions go on behind all that anybody may have seen', async () => {
    const { stateDir, settings, store } = await cluster('--pod-cidr=10.7.0.0/16', '--backup-period=1h');
    const { path } = await keepBackup({ store, nowMs: Date.now }, { settings, configFile: join(stateDir, 'etc/controlplane.yaml') }, 'manual');
    expect(readFileSync(path).includes('swordfish')).toBe(false);
    const before = await contents(store);
    await store.close();
    const target = mkdtempSync(join(tmpdir(), 'fleet-'));
    const configFile = join(target, 'etc/controlplane.yaml');
    expect(await restore(silentLog, await opened(path), { stateDir: target, force: false, configFile })).toEqual({ keys: before.length, kept: undefined, written: [configFile], differing: [] });
    expect(readFileSync(configFile, 'utf8')).toBe('pod-cidr: 10.7.0.0/16\nbackup-period: 3600s\n');
    for (const name of readdirSync(join(stateDir, 'server/pki'))) expect(readFileSync(join(target, 'server/pki', name), 'utf8'), name).toBe(readFileSync(join(stateDir, 'server/pki', name), 'utf8'));
    const restored = await openAt(target);
    expect(await contents(restored)).toEqual(before);
    expect((await put(restored, 'k/new', 'x')).modRevision).toBeGreaterThan(1_000_000_000);
    await expect(restored.list({ prefix: 'k/', revision: 60 })).rejects.toMatchObject({ code: 'Expired' });
    await restored.close();
    const again = await openAt(target);
    expect(again.count('')).toBe(before.length + 1);
    await again.close();
  });

  it('touches nothing when it is refused, cut off or damaged, and finishes what was whole', async () => {
    const { stateDir, settings, store } = await cluster();
    const { path } = await keepBackup({ store, nowMs: Date.now }, { settings, configFile: '' }, 'manual');
    const config = { stateDir, force: true, configFile: join(stateDir, 'none') };
    await expect(restore(silentLog, await opened(path), config)).rejects.toThrow(/a control plane \(process \d+\) uses/);
    await put(store, 'k/later', 'x');
    const before = await contents(store);
    await store.close();
    await expect(restore(silentLog, await opened(path), { ...config, force: false })).rejects.toThrow(/--force/);
    const cut = join(stateDir, 'cut.backup');
    writeFileSync(cut, readFileSync(path).subarray(0, -300));
    await expect((async () => restore(silentLog, await opened(cut), config))()).rejects.toThrow(/the backup is/);
    const same = await openAt(stateDir);
    expect(await contents(same)).toEqual(before);
    await same.close();
    const { kept } = await restore(silentLog, await opened(path), config);
    expect(kept).toBe(join(stateDir, 'server.before-restore'));
    // Between its two last steps.
    await rename(join(stateDir, 'server'), join(stateDir, 'server.restored'));
    expect((await restore(silentLog, await opened(path), { ...config, force: false })).kept).toBeUndefined();
    const restored = await openAt(stateDir);
    expect(await contents(restored)).toEqual(before.filter((line) => !line.startsWith('k/later')));
    await restored.close();
    expect(existsSync(join(stateDir, 'server.restoring'))).toBe(false);
  });

  it('is not carried out later when a control plane has started meanwhile', async () => {
    const { stateDir, settings, store } = await cluster();
    const { path } = await keepBackup({ store, nowMs: Date.now }, { settings, configFile: '' }, 'manual');
    await store.close();
    const { header, records } = await opened(path);
    let started: Store | undefined;
    const slow = async function* (): AsyncGenerator<BackupRecord, void, undefined> { yield* records; started = await openAt(stateDir); };
    await expect(restore(silentLog, { header, records: slow() }, { stateDir, force: true, configFile: join(stateDir, 'none') })).rejects.toThrow(/a control plane \(process \d+\) uses/);
    await started?.close();
    expect(await takeRestored(stateDir)).toBeUndefined();
  });

  it('writes no file but those that its settings name, and no settings but ours', async () => {
    const [stateDir, folder] = [mkdtempSync(join(tmpdir(), 'fleet-')), mkdtempSync(join(tmpdir(), 'fleet-'))];
    await loadClusterCa(join(folder, 'pki'), Date.now());
    await loadOrCreateSealingKeys(join(folder, 'pki'));
    const tokens = join(folder, 'tokens.csv');
    const file = (path: string, data: Buffer): BackupRecord => ({ file: path, mode: 0o600, data });
    async function* records(elsewhere: string): AsyncGenerator<BackupRecord, void, undefined> {
      for (const name of ['ca.crt', 'ca.key', 'secrets.key']) yield file(`pki/${name}`, await readFile(join(folder, 'pki', name)));
      yield file(elsewhere, Buffer.from('planted'));
    }
    const restored = (elsewhere: string, settings: BackupHeader['settings']) => restore(silentLog, {
      header: { format: 'cleat-backup', version: 1, cleatVersion: '1', createdAt: '', caFingerprint: '', revision: 1, settings, configFile: '' }, records: records(elsewhere),
    }, { stateDir, force: false, configFile: join(folder, 'config.yaml') });
    await expect(restored(join(folder, 'cron'), { 'token-auth-file': tokens })).rejects.toThrow(/which belongs to no cluster/);
    for (const settings of [{ '* * * * * root sh': 'x' }, { 'pod-cidr': 'x\nanother: line' }]) await expect(restored(tokens, settings)).rejects.toThrow(/has a setting/);
    expect(readdirSync(folder)).toEqual(['pki']);
    expect((await restored(tokens, { 'token-auth-file': tokens })).written).toEqual([tokens, join(folder, 'config.yaml')]);
    expect(readFileSync(tokens, 'utf8')).toBe('planted');
  });

  it('puts a file that was named by a path from somewhere beside the configuration, which names it there', async () => {
    const [stateDir, folder] = [mkdtempSync(join(tmpdir(), 'fleet-')), mkdtempSync(join(tmpdir(), 'fleet-'))];
    await loadClusterCa(join(folder, 'pki'), Date.now());
    await loadOrCreateSealingKeys(join(folder, 'pki'));
    async function* records(): AsyncGenerator<BackupRecord, void, undefined> {
      for (const name of ['ca.crt', 'ca.key', 'secrets.key']) yield { file: `pki/${name}`, mode: 0o600, data: await readFile(join(folder, 'pki', name)) };
      yield { file: '../tokens.csv', mode: 0o600, data: Buffer.from('t,u,1') };
    }
    const header: BackupHeader = { format: 'cleat-backup', version: 1, cleatVersion: '1', createdAt: '', caFingerprint: '', revision: 1, settings: { 'token-auth-file': '../tokens.csv', port: '7443' }, configFile: '' };
    const config = join(folder, 'etc/controlplane.yaml');
    expect((await restore(silentLog, { header, records: records() }, { stateDir, force: false, configFile: config })).written).toEqual([join(folder, 'etc/tokens.csv'), config]);
    expect(readFileSync(config, 'utf8')).toBe(`token-auth-file: ${join(folder, 'etc/tokens.csv')}\nport: 7443\n`);
  });

  it('of a backup finds files by their whole paths, wherever the control plane was started', async () => {
    const { settings, store } = await cluster();
    const folder = mkdtempSync(join(tmpdir(), 'fleet-'));
    writeFileSync(join(folder, 'tokens.csv'), 't,u,1');
    const { header, records } = await readArchive(await backup({ store, nowMs: Date.now }, { settings: { ...settings, tokenAuthFile: relative(process.cwd(), join(folder, 'tokens.csv')) }, configFile: '' }), () => Promise.resolve(undefined));
    expect(header.settings['token-auth-file']).toBe(join(folder, 'tokens.csv'));
    const files: string[] = [];
    for await (const record of records) if ('file' in record) files.push(record.file);
    expect(files).toContain(join(folder, 'tokens.csv'));
    await store.close();
  });
});

it('a CA is replaced by one new one, whoever asks at the same time', async () => {
  const pkiDir = mkdtempSync(join(tmpdir(), 'fleet-'));
  const deps: CertificateDeps = { ca: await loadClusterCa(pkiDir, Date.now()), nodes: () => [], connected: () => [], nowMs: Date.now, rotations: new Turns() };
  const asked = await Promise.allSettled(Array.from({ length: 3 }, () => rotate(deps, pkiDir, { ca: true, finish: false, force: false })));
  expect(asked.map((answer) => (answer.status === 'rejected' ? String(answer.reason) : 'done'))).toEqual(['done', expect.stringContaining('being replaced already'), expect.stringContaining('being replaced already')]);
  expect((await loadClusterCa(pkiDir, Date.now())).trusted).toHaveLength(2);
});

describe('daily backups', () => {
  it('are made when they are due, the newest are kept, and another host has them, sealed', async () => {
    const key = join(mkdtempSync(join(tmpdir(), 'fleet-')), 'key');
    writeFileSync(key, 'k'.repeat(32));
    const { stateDir, settings, store } = await cluster('--backup-period=24h', '--backup-keep=2', `--backup-key-file=${key}`, '--backup-node=pi-3');
    await checkBackupSettings(settings);
    const clock = new ManualClock(Date.UTC(2026, 11, 1));
    // Made with a clock that was ahead (this one soon is years further).
    const ahead = 'daily-9031-01-01T000000Z.backup';
    mkdirSync(join(stateDir, 'backups'));
    writeFileSync(join(stateDir, 'backups', ahead), 'x');
    const sent: Record<string, unknown>[] = [];
    // A host that has what it is asked to take.
    const nodes = {
      open: async (node: string, request: object) => {
        sent.push({ node, ...request });
        const [theirs, ours] = channelPair([0]);
        const stream = ours.channel(0);
        void stream.write(Buffer.from(`${JSON.stringify({ have: true })}\n${JSON.stringify({ done: true, message: 'ok' })}\n`)).then(() => stream.end());
        return Promise.resolve(theirs);
      },
    };
    const stop = new AbortController();
    const running = new DailyBackups({ store, nodes, clock, log: silentLog, nowMs: () => clock.now() }, { settings, configFile: '' }).start(stop.signal);
    const kept = (): string[] => (existsSync(join(stateDir, 'backups')) ? readdirSync(join(stateDir, 'backups')).filter((name) => name.endsWith('.backup') && name !== ahead).sort() : []);
    await expect.poll(() => sent.length).toBe(1);
    expect(kept()).toEqual(['daily-2026-12-01T000000Z.backup']);
    await clock.advance(dayMs / 2);
    expect(sent).toHaveLength(1);
    for (const count of [2, 3, 4]) {
      while (sent.length < count) { await clock.advance(dayMs / 24); await new Promise((resolve) => { setImmediate(resolve); }); }
    }
    stop.abort();
    await running;
    expect(kept()).toHaveLength(2);
    expect(existsSync(join(stateDir, 'backups', ahead))).toBe(true);
    expect(sent.at(-1)).toMatchObject({ node: 'pi-3', kind: 'host', task: 'receive', purpose: 'backup', name: kept().at(-1), keep: 2 });
    const newest = join(stateDir, 'backups', kept().at(-1) ?? '');
    await expect(opened(newest)).rejects.toThrow(/is sealed/);
    let rows = 0;
    for await (const record of (await opened(newest, readFileSync(key))).records) if ('row' in record) rows++;
    expect(rows).toBeGreaterThan(20);
    await store.close();
  });

  it('leave no keys in the clear on another host', async () => {
    const { settings, store } = await cluster('--backup-period=24h', '--backup-node=pi-3');
    await store.close();
    await expect(checkBackupSettings(settings)).rejects.toThrow(/in the clear.*--backup-key-file/);
    await expect(checkBackupSettings({ ...settings, backupPeriodMs: 0 })).rejects.toThrow(/--backup-period/);
  });

  it('are sealed with no key that restore refuses', async () => {
    const key = join(mkdtempSync(join(tmpdir(), 'fleet-')), 'key');
    writeFileSync(key, '');
    const { stateDir, settings, store } = await cluster('--backup-period=24h', `--backup-key-file=${key}`);
    await expect(checkBackupSettings(settings)).rejects.toThrow(/holds 0 bytes/);
    await expect(keepBackup({ store, nowMs: Date.now }, { settings, configFile: '' }, 'daily')).rejects.toThrow(/holds 0 bytes/);
    expect(readdirSync(join(stateDir, 'backups'))).toEqual([]);
    await store.close();
  });
});

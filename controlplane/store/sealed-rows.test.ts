import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { loadOrCreateSealingKeys, type SealingKey } from '#common/pki/sealing-keys.ts';
import { MemoryRows } from './backends/memory/backend.ts';
import { put, storeContract } from './contract.ts';
import { openStore } from './open.ts';
import { SealedRows } from './sealed-rows.ts';
import type { Store } from './types.ts';

const prefixes = ['core/secrets/'];
const keyOf = (id: number): SealingKey => ({ id, key: Buffer.alloc(32, id) });
const text = async (store: Store, key: string): Promise<string> => Buffer.from((await store.get(key))?.value ?? []).toString();

storeContract('sealed memory', () => {
  const rows = new MemoryRows();
  return Promise.resolve({
    open: (config = {}) => openStore({ log: silentLog, clock: systemClock, openRows: () => Promise.resolve(rows), sealing: () => Promise.resolve({ prefixes: [''], keys: [keyOf(1)] }) }, { ...config, dir: '' }),
    remove: () => Promise.resolve(),
  });
});

describe('sealed rows', () => {
  let rows: MemoryRows;
  beforeEach(() => { rows = new MemoryRows(); });
  const open = (...ids: [number, ...number[]]): Promise<Store> => {
    const [first, ...others] = ids;
    // Nothing is kept in memory: every read comes from the rows.
    return openStore({ log: silentLog, clock: systemClock, openRows: () => Promise.resolve(rows), sealing: () => Promise.resolve({ prefixes, keys: [keyOf(first), ...others.map(keyOf)] }) }, { dir: '', cacheBytes: 0 });
  };
  const stored = async (): Promise<string> => (await rows.getMany(['r00000000001', 'r00000000002'])).map((bytes) => Buffer.from(bytes ?? []).toString('latin1')).join('|');

  it('hides what is secret, names included, and nothing else', async () => {
    const store = await open(1);
    await put(store, 'core/secrets/default/password', 'hunter2');
    await put(store, 'core/configmaps/default/plain', 'visible');
    expect(await stored()).not.toMatch(/hunter2|password/);
    expect(await stored()).toContain('visible');
    await store.close();
    expect(await text(await open(1), 'core/secrets/default/password')).toBe('hunter2@1');
  });

  it('seals anew what an older key sealed, and what was plain', async () => {
    const plain = await openStore({ log: silentLog, clock: systemClock, openRows: () => Promise.resolve(rows) }, { dir: '' });
    await put(plain, 'core/secrets/default/a', 'first');
    await plain.close();
    expect(await stored()).toContain('first');
    for (const ids of [[1], [2, 1], [2]] as [number, ...number[]][]) {
      const store = await open(...ids);
      expect(await text(store, 'core/secrets/default/a')).toBe('first@1');
      await store.close(); // waits for what is being sealed
      expect(await stored()).not.toContain('first');
    }
  });

  it('refuses to start without the key, in words that do not lead to a recovery', async () => {
    const store = await open(1);
    await put(store, 'core/secrets/default/a', 'kept');
    await store.close();
    await expect(open(2)).rejects.toMatchObject({ code: 'Forbidden', message: expect.stringContaining('put that file back from a backup') as string });
    expect(await text(await open(1), 'core/secrets/default/a')).toBe('kept@1');
  });

  it('takes a sealed row that was changed, or put under another name, for damaged', async () => {
    const store = await open(1);
    await put(store, 'core/secrets/default/a', 'one');
    await put(store, 'core/secrets/default/b', 'two');
    await store.close();
    const [a, b] = await rows.getMany(['r00000000001', 'r00000000002']);
    if (!a || !b) throw new Error('rows are missing');
    await rows.write([{ name: 'r00000000002', bytes: a }], true);
    await expect(open(1)).rejects.toMatchObject({ code: 'InternalError' });
    await rows.write([{ name: 'r00000000002', bytes: b.map((byte, i) => (i === b.length - 20 ? byte ^ 1 : byte)) }], true);
    await expect(open(1)).rejects.toMatchObject({ code: 'InternalError' });
  });

  it('survives bytes that only look sealed', async () => {
    const sealed = new SealedRows(rows, { prefixes, keys: [keyOf(1)] });
    await rows.write([{ name: 'r00000000001', bytes: Buffer.from([0, 0, 0, 0, 3, 1]) }], true);
    expect(await sealed.getMany(['r00000000001'])).toEqual([Buffer.from([0, 0, 0, 0, 3, 1])]);
  });
});

describe('sealing keys', () => {
  let folder: string;
  beforeEach(async () => { folder = await mkdtemp(join(tmpdir(), 'cleat-sealing-')); });
  afterEach(() => rm(folder, { recursive: true }));

  it('are made once, readable for their owner alone, and stay', async () => {
    const made = await loadOrCreateSealingKeys(folder);
    expect(await loadOrCreateSealingKeys(folder)).toEqual(made);
    expect(made[0].key).toHaveLength(32);
    expect(await readdir(folder)).toEqual(['secrets.key']);
  });

  it('are several after a rotation, the newest first', async () => {
    const [old] = await loadOrCreateSealingKeys(folder);
    const path = join(folder, 'secrets.key');
    await writeFile(path, `${Buffer.alloc(32, 7).toString('base64')}\n${await readFile(path, 'utf8')}`);
    expect((await loadOrCreateSealingKeys(folder)).map(({ key }) => key)).toEqual([Buffer.alloc(32, 7), old.key]);
  });

  it('that cannot be keys are an error, never replaced', async () => {
    const path = join(folder, 'secrets.key');
    for (const content of ['', 'short\n', `${Buffer.alloc(31).toString('base64')}\n`]) {
      await writeFile(path, content);
      await expect(loadOrCreateSealingKeys(folder)).rejects.toMatchObject({ code: 'Invalid', message: expect.stringContaining(path) as string });
      expect(await readFile(path, 'utf8')).toBe(content);
    }
  });
});

import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { MemoryRows } from '../store/backends/memory/backend.ts';
import { openStore } from '../store/open.ts';
import { rowName } from '../store/row-format.ts';
import type { RowWrite } from '../store/types.ts';
import { adoptLocalStore } from './adopt.ts';

const folders: string[] = [];
afterEach(async () => { for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true }); });

async function localStore(keys: number): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'cleat-adopt-'));
  folders.push(folder);
  const dir = join(folder, 'store');
  const store = await openStore({ log: silentLog, clock: systemClock }, { dir });
  for (let i = 0; i < keys; i++) await store.write({ key: `core/pods/a/${String(i)}`, expect: 'absent', type: 'put', encode: (revision) => Buffer.from(`${String(i)}@${String(revision)}`) });
  await store.close();
  return dir;
}

const openOn = (rows: MemoryRows): ReturnType<typeof openStore> => openStore({ log: silentLog, clock: systemClock, openRows: () => Promise.resolve(rows) }, { dir: '' });

it('moves a store with all its history, and keeps the folder under another name', async () => {
  const dir = await localStore(250);
  const rows = new MemoryRows();
  expect(await adoptLocalStore(rows, dir, silentLog)).toBe(250);
  expect([existsSync(dir), existsSync(`${dir}.moved-to-etcd`)]).toEqual([false, true]);
  const store = await openOn(rows);
  expect((await store.list({ prefix: 'core/pods/' })).entries).toHaveLength(250);
  expect((await store.write({ key: 'core/pods/a/new', expect: 'absent', type: 'put', encode: () => Buffer.from('new') })).modRevision).toBeGreaterThan(250);
  await store.close();
  expect(await adoptLocalStore(rows, dir, silentLog)).toBeUndefined();
});

it('cut off at any place, it is done again, and nothing of before is left', async () => {
  const dir = await localStore(250);
  class Torn extends MemoryRows {
    left = 2;
    override write(writes: readonly RowWrite[], sync: boolean): Promise<void> {
      return this.left-- === 0 ? Promise.reject(new Error('cut off')) : super.write(writes, sync);
    }
  }
  const rows = new Torn();
  await expect(adoptLocalStore(rows, dir, silentLog)).rejects.toThrow('cut off');
  expect(existsSync(dir)).toBe(true);
  await rows.write([{ name: rowName(1_000_000), bytes: Buffer.from('of an attempt of last year') }], true);
  expect(await adoptLocalStore(rows, dir, silentLog)).toBe(250);
  expect((await (await openOn(rows)).list({ prefix: 'core/pods/' })).entries).toHaveLength(250);
});

import { expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { MemoryRows } from './backends/memory/backend.ts';
import { put, remove } from './contract.ts';
import { openStore } from './open.ts';
import { rowName } from './row-format.ts';
import type { Store } from './types.ts';

const open = (rows: MemoryRows): Promise<Store> => openStore({ log: silentLog, clock: systemClock, openRows: () => Promise.resolve(rows) }, { dir: '' });

async function written(): Promise<MemoryRows> {
  const rows = new MemoryRows();
  const store = await open(rows);
  for (const key of ['k/a', 'k/b', 'k/c', 'k/a']) await put(store, key, 'x');
  await remove(store, 'k/b');
  await store.compact(4);
  await put(store, 'k/d', 'x');
  await store.close();
  return rows;
}

// Rows 3 and 4 are the live state at the compaction, 2 and 5 the deleted key, 6 the newest.
for (const revision of [2, 3, 4, 5, 6]) {
  test(`the loss of row ${String(revision)} is noticed`, async () => {
    const rows = await written();
    expect(await rows.getMany([rowName(1)])).toEqual([undefined]);
    await rows.write([{ name: rowName(revision) }], true);
    await expect(open(rows)).rejects.toThrow(/is damaged/);
  });

  test(`a changed byte in row ${String(revision)} is noticed`, async () => {
    const rows = await written();
    const [bytes] = await rows.getMany([rowName(revision)]);
    const changed = Buffer.from(bytes ?? []);
    changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1;
    await rows.write([{ name: rowName(revision), bytes: changed }], true);
    await expect(open(rows)).rejects.toThrow(new RegExp(`1 rows do not match.*${rowName(revision)}`));
  });
}

test('a row under another name, and the loss of what compaction wrote, are noticed', async () => {
  const rows = await written();
  const [bytes] = await rows.getMany([rowName(6)]);
  await rows.write([{ name: rowName(7), bytes: bytes ?? Buffer.alloc(0) }], true);
  await expect(open(rows)).rejects.toThrow(/is damaged/);
  const others = await written();
  await others.write([{ name: 'z' }], true);
  await expect(open(others)).rejects.toThrow(/revisions .* are missing/);
});

test('any bytes instead of a row are damage, not a crash', async () => {
  for (const bytes of [Buffer.alloc(0), Buffer.alloc(40), Buffer.from('z'.repeat(100))]) {
    const rows = await written();
    await rows.write([{ name: rowName(6), bytes }, { name: 'rubbish', bytes }, { name: 'z', bytes }], true);
    await expect(open(rows)).rejects.toThrow(/is damaged/);
  }
});

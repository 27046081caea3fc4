import { mkdtemp, open as openFile, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { isStatus, type StatusError } from '#common/errors.ts';
import { createLog, silentLog } from '#common/log.ts';
import { put } from '../../contract.ts';
import { openStore } from '../../open.ts';
import type { Store } from '../../types.ts';

const dirs: string[] = [];
afterEach(async () => {
  for (const dir of dirs.splice(0)) await rm(dir, { recursive: true, force: true });
});

function open(dir: string, recover = false): Promise<Store> {
  return openStore({ log: silentLog, clock: systemClock }, { dir, recover });
}

/** A closed store with 300 keys; `sorted` has them in tables, else all are in the log. */
async function written(sorted: boolean): Promise<string> {
  const parent = await mkdtemp(join(tmpdir(), 'cleat-damage-'));
  dirs.push(parent);
  const dir = join(parent, 'store');
  const store = await open(dir);
  for (let i = 0; i < 3; i++) await Promise.all(Array.from({ length: 100 }, (_, j) => put(store, `k/${String(i * 100 + j)}`, `value ${'x'.repeat(500)}`)));
  await store.close();
  if (sorted) await (await open(dir)).close();
  return dir;
}

async function largest(dir: string, suffix: string): Promise<{ path: string; size: number }> {
  const files = (await readdir(dir)).filter((name) => name.endsWith(suffix)).map((name) => join(dir, name));
  const sized = await Promise.all(files.map(async (path) => ({ path, size: (await stat(path)).size })));
  return sized.sort((a, b) => b.size - a.size)[0] ?? { path: '', size: 0 };
}

async function flip(path: string, at: number): Promise<void> {
  const file = await openFile(path, 'r+');
  const { buffer } = await file.read(Buffer.alloc(16), 0, 16, at);
  for (let i = 0; i < 16; i++) buffer[i] = (buffer[i] ?? 0) ^ 0xff;
  await file.write(buffer, 0, 16, at);
  await file.close();
}

async function refusal(promise: Promise<Store>): Promise<StatusError> {
  try {
    await (await promise).close();
  } catch (error) {
    if (isStatus(error)) return error;
    throw error;
  }
  throw new Error('the store opened as if nothing had happened');
}

/** Damaged: refused with the way out, again when tried again; recovered: what is readable is there and writes go on. */
async function expectRefusedThenRecovered(dir: string): Promise<number> {
  for (let i = 0; i < 2; i++) {
    const error = await refusal(open(dir));
    expect([error.code, error.message]).toEqual(['InternalError', expect.stringMatching(/is damaged: .*--store-recover/)]);
  }
  const recovered = await open(dir, true);
  expect(recovered.revision).toBeGreaterThan(300);
  const kept = await recovered.list({ prefix: 'k/' });
  expect(kept.entries.every((entry) => String(entry.value).startsWith('value xxx'))).toBe(true);
  const next = await put(recovered, 'k/new', 'value xxx');
  expect(next.modRevision).toBeGreaterThan(300);
  await recovered.close();
  expect(await readdir(`${dir}.before-recovery`)).toContain('HEAD');
  const again = await open(dir);
  expect(again.count('k/')).toBe(kept.entries.length + 1);
  await again.close();
  return kept.entries.length;
}

describe('a damaged database', () => {
  test('a log cut off in acknowledged writes', async () => {
    const dir = await written(false);
    const log = await largest(dir, '.log');
    await truncate(log.path, log.size - 1000);
    expect(await expectRefusedThenRecovered(dir)).toBeGreaterThanOrEqual(100);
  });

  test('a log damaged in the middle', async () => {
    const dir = await written(false);
    const log = await largest(dir, '.log');
    await flip(log.path, log.size >> 1);
    expect(await expectRefusedThenRecovered(dir)).toBeGreaterThan(0);
  });

  test('a table with damaged blocks', async () => {
    const dir = await written(true);
    const table = await largest(dir, '.ldb');
    for (let i = 1; i < 5; i++) await flip(table.path, Math.floor(table.size * i / 6));
    expect(await expectRefusedThenRecovered(dir)).toBeGreaterThan(0);
  });

  test('a table that is gone', async () => {
    const dir = await written(true);
    await rm((await largest(dir, '.ldb')).path);
    await expectRefusedThenRecovered(dir);
  });

  test('CURRENT or the manifest gone', async () => {
    const dir = await written(true);
    await rm(join(dir, 'CURRENT'));
    expect(await expectRefusedThenRecovered(dir)).toBe(300);
    const other = await written(true);
    for (const name of await readdir(other)) if (name.startsWith('MANIFEST')) await rm(join(other, name));
    expect(await expectRefusedThenRecovered(other)).toBe(300);
  });

  test('recovery of an undamaged store changes nothing', async () => {
    const dir = await written(true);
    const store = await open(dir, true);
    expect([store.count('k/'), store.compacted]).toEqual([300, 0]);
    await store.close();
    expect(await readdir(join(dir, '..'))).toEqual(['store']);
  });

  test('an unreadable note of the head is not damage', async () => {
    const dir = await written(true);
    await writeFile(join(dir, 'HEAD'), 'nonsense');
    const store = await open(dir);
    expect(store.count('k/')).toBe(300);
    await store.close();
  });
});

describe('a place that cannot be used', () => {
  test('a database that is open elsewhere', async () => {
    const dir = await written(true);
    const store = await open(dir);
    const error = await refusal(open(dir));
    expect([error.code, error.message]).toEqual(['ServiceUnavailable', expect.stringMatching(/in use by another process.*--state-dir/)]);
    await put(store, 'k/still', 'works');
    await store.close();
  });

  test('a file where the directory should be', async () => {
    const parent = await mkdtemp(join(tmpdir(), 'cleat-damage-'));
    dirs.push(parent);
    await writeFile(join(parent, 'file'), '');
    for (const dir of [join(parent, 'file'), join(parent, 'file', 'below')]) {
      const error = await refusal(openStore({ log: createLog('silent'), clock: systemClock }, { dir }));
      expect([error.code, error.message]).toEqual(['Forbidden', expect.stringContaining(dir)]);
    }
  });
});

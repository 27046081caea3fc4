import { describe, expect, test } from 'vitest';
import { ManualClock, systemClock } from '#common/clock.ts';
import { isStatus, StatusError } from '#common/errors.ts';
import { silentLog } from '#common/log.ts';
import { MemoryRows } from './backends/memory/backend.ts';
import { put, remove } from './contract.ts';
import { openStore } from './open.ts';
import type { RowWrite, Store } from './types.ts';

/** Rows on a disk that can be told to refuse, before or after it took the batch, or to wait. */
class FaultyRows extends MemoryRows {
  fault: 'none' | 'refuse' | 'take and fail' = 'none';
  reopens = 0;
  writes = 0;
  gate: Promise<void> = Promise.resolve();

  override async write(rows: readonly RowWrite[], sync: boolean): Promise<void> {
    await this.gate;
    if (this.fault !== 'refuse') await super.write(rows, sync);
    if (this.fault !== 'none') throw new StatusError('ServiceUnavailable', 'no space left on device');
    this.writes++;
  }

  override reopen(): Promise<void> {
    this.reopens++;
    return this.fault === 'none' ? Promise.resolve() : Promise.reject(new StatusError('ServiceUnavailable', 'still full'));
  }
}

async function opened(rows = new FaultyRows(), clock = new ManualClock()): Promise<{ store: Store; rows: FaultyRows; clock: ManualClock; reopen: () => Promise<Store> }> {
  const open = (): Promise<Store> => openStore({ log: silentLog, clock, openRows: () => Promise.resolve(rows) }, { dir: '', volatilePrefixes: ['v/'], reserve: 100, keepMs: 1000 });
  return { store: await open(), rows, clock, reopen: open };
}

function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(() => 'none', (error: unknown) => (isStatus(error) ? error.code : String(error)));
}

describe('writer', () => {
  for (const fault of ['refuse', 'take and fail'] as const) {
    test(`a disk that would ${fault} loses nothing and is tried again`, async () => {
      const { store, rows, clock, reopen } = await opened();
      await put(store, 'k/a', 'one');
      await put(store, 'v/a', 'beat');
      rows.fault = fault;
      const results = Promise.all([codeOf(put(store, 'k/a', 'two')), codeOf(put(store, 'k/b', 'new')), codeOf(put(store, 'k/b', 'newer', 'absent')), codeOf(put(store, 'v/a', 'beat'))]);
      // The one that lost to a write that failed failed with it: it does not exist.
      expect(await results).toEqual(['ServiceUnavailable', 'ServiceUnavailable', 'ServiceUnavailable', 'none']);
      expect(await codeOf(remove(store, 'k/a'))).toBe('ServiceUnavailable');
      expect(await codeOf(put(store, 'k/a', 'soon'))).toBe('ServiceUnavailable');
      expect(rows.reopens).toBe(1);
      expect([String((await store.get('k/a'))?.value), store.count('k/')]).toEqual(['one@1', 1]);
      rows.fault = 'none';
      await clock.advance(2000);
      const next = await put(store, 'k/c', 'later');
      expect(next.modRevision).toBeGreaterThan(4);
      await store.close();
      const again = await reopen();
      expect((await again.list({ prefix: '' })).entries.map((e) => String(e.value))).toEqual(['one@1', `later@${String(next.modRevision)}`]);
      await again.close();
    });
  }

  for (const fault of ['refuse', 'take and fail'] as const) {
    test(`history that ends while the disk would ${fault} leaves no row behind that brings a deleted key back`, async () => {
      const { store, rows, clock, reopen } = await opened();
      await put(store, 'k/a', 'one');
      await put(store, 'k/a', 'two');
      await put(store, 'k/b', 'stays');
      rows.fault = fault;
      await codeOf(store.compact(3));
      expect(await codeOf(put(store, 'k/c', 'refused'))).toBe('ServiceUnavailable');
      await put(store, 'v/a', 'beat').catch(() => undefined);
      await clock.advance(5000);
      rows.fault = 'none';
      await clock.advance(60_000);
      await remove(store, 'k/a');
      await clock.advance(5000);
      await store.compact(store.revision);
      await store.close();
      const again = await reopen();
      expect((await again.list({ prefix: '' })).entries.map((e) => e.key)).toEqual(['k/b']);
      await again.close();
    });
  }

  test('a disk that refused is tried again by itself', async () => {
    const { store, rows, clock } = await opened();
    rows.fault = 'refuse';
    expect(store.writeProblem).toBeUndefined();
    expect(await codeOf(put(store, 'k/a', 'x'))).toBe('ServiceUnavailable');
    expect(store.writeProblem?.message).toContain('no space left');
    await clock.advance(600_000);
    expect(rows.reopens).toBeLessThan(100);
    rows.fault = 'none';
    await clock.advance(30_000);
    expect(store.writeProblem).toBeUndefined();
    await store.close();
  });

  test('writes that wait share one batch', async () => {
    const { store, rows } = await opened();
    const gate = Promise.withResolvers<undefined>();
    rows.gate = gate.promise;
    const writes = Array.from({ length: 200 }, (_, i) => put(store, `k/${String(i)}`, 'x'));
    gate.resolve(undefined);
    await Promise.all(writes);
    expect(rows.writes).toBeLessThanOrEqual(2);
    await store.close();
  });

  test('a write cannot be read before it is on disk', async () => {
    const { store, rows } = await opened();
    const gate = Promise.withResolvers<undefined>();
    rows.gate = gate.promise;
    const write = put(store, 'k/a', 'x');
    await new Promise((resolve) => { setTimeout(resolve, 5); });
    expect([await store.get('k/a'), store.revision]).toEqual([undefined, 0]);
    gate.resolve(undefined);
    await write;
    expect(store.revision).toBe(1);
    await store.close();
  });

  test('heartbeats alone write only when revisions run out, and history ends without a write', async () => {
    const { store, rows, clock } = await opened();
    for (let i = 0; i < 250; i++) await put(store, 'v/a', 'beat');
    expect(rows.writes).toBe(3);
    await clock.advance(5000);
    expect([store.compacted, rows.writes]).toEqual([250, 3]);
    await put(store, 'k/a', 'x');
    await clock.advance(5000);
    expect([store.compacted, rows.writes]).toEqual([251, 4]);
    await store.close();
  });

  test('too many waiting writes are refused', async () => {
    const store = await openStore({ log: silentLog, clock: systemClock, openRows: () => Promise.resolve(new MemoryRows()) }, { dir: '', maxQueued: 2 });
    const results = await Promise.all(['a', 'b', 'c'].map((key) => codeOf(put(store, key, 'x'))));
    expect(results).toEqual(['none', 'none', 'TooManyRequests']);
    await store.close();
  });
});

import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { openStore } from '../open.ts';
import type { Store, StoreEvent } from '../types.ts';

const rounds = 200;
/** As the child's, but the reader compacts nothing. */
const config = { volatilePrefixes: ['v/'], reserve: 500, keepRevisions: 1_000_000 };

interface Acknowledged {
  readonly revision: number;
  readonly key: string;
  readonly value: string;
}

/** Runs the child until it is killed `killAfterMs` after it was ready; returns what it said was written. */
async function runAndKill(dir: string, round: number, killAfterMs: number): Promise<Acknowledged[]> {
  const file = `${dir}.acknowledged`;
  const child = spawn(process.execPath, [join(import.meta.dirname, 'child.ts'), dir, file, String(round)], { stdio: ['ignore', 'pipe', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => { errors += chunk.toString(); });
  child.stdout.once('data', () => { setTimeout(() => child.kill('SIGKILL'), killAfterMs); });
  const signal = await new Promise((resolve) => { child.on('close', (_code, by) => { resolve(by); }); });
  expect(errors).toBe('');
  expect(signal).toBe('SIGKILL');
  // A line cut off by the kill has no end.
  return (await readFile(file, 'utf8')).split('\n').slice(0, -1).map((line) => {
    const [revision = '', key = '', value = ''] = line.split(' ');
    return { revision: Number(revision), key, value };
  });
}

async function historyOf(store: Store): Promise<StoreEvent[]> {
  const wanted = store.revision;
  const events: StoreEvent[] = [];
  const end = new AbortController();
  const watch = store.watch({ prefix: 'k/', after: store.compacted, signal: end.signal })[Symbol.asyncIterator]();
  const marker = await store.write({ key: 'k/marker', type: 'put', expect: 'any', encode: () => Buffer.from('marker') });
  expect(marker.modRevision).toBeGreaterThan(wanted);
  for (;;) {
    const batch: readonly StoreEvent[] = (await watch.next()).value ?? [];
    events.push(...batch.filter((event) => event.revision !== marker.modRevision));
    if (batch.at(-1)?.revision === marker.modRevision) break;
  }
  end.abort();
  return events;
}

test(`${String(rounds)} kills under concurrent writers lose nothing that was acknowledged`, { timeout: 900_000 }, async () => {
  const seed = Number(process.env['CLEAT_TEST_SEED'] ?? 20_261);
  process.stdout.write(`crash test seed ${String(seed)}\n`);
  const delays = fc.sample(fc.integer({ min: 0, max: 40 }), { numRuns: rounds, seed });
  const parent = await mkdtemp(join(tmpdir(), 'cleat-crash-'));
  const dir = join(parent, 'store');
  const state = new Map<string, Acknowledged>();
  let newest = 0;
  let total = 0;
  try {
    for (let round = 0; round < rounds; round++) {
      const acknowledged = await runAndKill(dir, round, delays[round] ?? 0);
      total += acknowledged.length;
      const store = await openStore({ log: silentLog, clock: systemClock }, { ...config, dir });
      newest = await check(store, state, acknowledged, newest);
      await store.close();
    }
    process.stdout.write(`crash test: ${String(total)} acknowledged writes in ${String(rounds)} rounds\n`);
  } finally {
    await rm(parent, { recursive: true, force: true });
  }
});

/** Everything acknowledged is there, in order, once; the list equals the events. Returns the newest revision. */
async function check(store: Store, state: Map<string, Acknowledged>, acknowledged: readonly Acknowledged[], newest: number): Promise<number> {
  const revisions = new Set(acknowledged.map(({ revision }) => revision));
  expect(revisions.size).toBe(acknowledged.length);
  expect(Math.min(...revisions, Infinity)).toBeGreaterThan(newest);
  if (acknowledged.length > 0) expect(store.revision).toBeGreaterThan(Math.max(...revisions));
  const listed = new Map((await store.list({ prefix: 'k/' })).entries.map((entry) => [entry.key, entry]));
  const events = await historyOf(store);
  expect(events.every((event, i) => i === 0 || event.revision > (events[i - 1]?.revision ?? 0))).toBe(true);
  const byRevision = new Map(events.map((event) => [event.revision, event]));
  for (const { revision, key, value } of acknowledged) {
    if (key.startsWith('v/') || revision <= store.compacted) continue;
    const event = byRevision.get(revision);
    expect([event?.key, event?.type === 'delete' ? '-' : String(event?.value)]).toEqual([key, value]);
  }
  // Writes on disk that nobody was told of are allowed; they count from here on.
  for (const { key, revision, value } of acknowledged) {
    if (!key.startsWith('v/') && revision >= (state.get(key)?.revision ?? 0)) state.set(key, { key, revision, value });
  }
  for (const event of events) {
    if (event.revision >= (state.get(event.key)?.revision ?? 0)) state.set(event.key, { key: event.key, revision: event.revision, value: event.type === 'delete' ? '-' : String(event.value) });
  }
  for (const [key, { revision, value }] of state) {
    const entry = listed.get(key);
    if (key === 'k/marker') continue;
    expect([key, entry?.modRevision, entry && String(entry.value)]).toEqual(value === '-' ? [key, undefined, undefined] : [key, revision, value]);
  }
  expect([...listed.keys()].filter((key) => key !== 'k/marker' && !state.has(key))).toEqual([]);
  return store.revision;
}

import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { isStatus } from '#common/errors.ts';
import type { OpenStoreConfig } from './open.ts';
import type { Entry, Expectation, Store, StoreEvent } from './types.ts';

/** A fresh place for a store; `open` again on the same place is a restart. */
export interface StorePlace {
  open(config?: Omit<Partial<OpenStoreConfig>, 'dir'>): Promise<Store>;
  remove(): Promise<void>;
}

const text = (bytes: Uint8Array | undefined): string | undefined => bytes && Buffer.from(bytes).toString();

export function put(store: Store, key: string, value: string, expected: Expectation = 'any'): Promise<Entry> {
  return store.write({ key, expect: expected, type: 'put', encode: (revision) => Buffer.from(`${value}@${String(revision)}`) });
}

export function remove(store: Store, key: string, expected: Expectation = 'any'): Promise<Entry> {
  return store.write({ key, expect: expected, type: 'delete', encode: (revision) => Buffer.from(`gone@${String(revision)}`) });
}

/** The events of a watch until `count` are there, or all up to now when it is absent. */
async function collect(store: Store, prefix: string, after: number, count: number): Promise<StoreEvent[]> {
  const events: StoreEvent[] = [];
  if (count === 0) return events;
  const end = new AbortController();
  for await (const batch of store.watch({ prefix, after, signal: end.signal })) {
    expect(batch.length).toBeGreaterThan(0);
    events.push(...batch);
    if (events.length >= count) end.abort();
  }
  return events;
}

function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(() => 'none', (error: unknown) => (isStatus(error) ? error.code : String(error)));
}

/** What every store promises; see types.ts. Each backend runs it. */
export function storeContract(name: string, newPlace: () => Promise<StorePlace>): void {
  describe(`${name} store`, () => {
    const cleanups: (() => Promise<void>)[] = [];
    afterEach(async () => { for (const cleanup of cleanups.splice(0).reverse()) await cleanup(); });

    async function fresh(config: Omit<Partial<OpenStoreConfig>, 'dir'> = {}): Promise<{ place: StorePlace; store: Store; reopen: (config?: Omit<Partial<OpenStoreConfig>, 'dir'>) => Promise<Store> }> {
      const place = await newPlace();
      cleanups.push(() => place.remove());
      const open = async (c: Omit<Partial<OpenStoreConfig>, 'dir'>): Promise<Store> => {
        const store = await place.open(c);
        cleanups.push(() => store.close());
        return store;
      };
      const store = await open(config);
      return { place, store, reopen: async (c = config) => { await store.close(); return open(c); } };
    }

    test('a write is read back with its revisions', async () => {
      const { store } = await fresh();
      const first = await put(store, 'core/pods/a/x', 'one', 'absent');
      expect(first).toMatchObject({ key: 'core/pods/a/x', createRevision: 1, modRevision: 1 });
      const second = await put(store, 'core/pods/a/x', 'two', 1);
      expect(second).toMatchObject({ createRevision: 1, modRevision: 2 });
      expect(text((await store.get('core/pods/a/x'))?.value)).toBe('two@2');
      const last = await remove(store, 'core/pods/a/x', 2);
      expect([text(last.value), last.createRevision, last.modRevision]).toEqual(['gone@3', 1, 3]);
      expect(await store.get('core/pods/a/x')).toBeUndefined();
      expect(await put(store, 'core/pods/a/x', 'three')).toMatchObject({ createRevision: 4, modRevision: 4 });
    });

    test('who is refused because of another write can read that write', async () => {
      const { store } = await fresh();
      const seen = async (write: Promise<unknown>): Promise<string | undefined> => write.then(() => 'written', async () => text((await store.get('k/a'))?.value));
      expect(await Promise.all([seen(put(store, 'k/a', 'one', 'absent')), seen(put(store, 'k/a', 'two', 'absent')), seen(put(store, 'k/a', 'three', 7))])).toEqual(['written', 'one@1', 'one@1']);
    });

    test('a write whose expectation fails changes nothing', async () => {
      const { store } = await fresh();
      await put(store, 'k/a', 'one');
      expect(await codeOf(put(store, 'k/a', 'x', 'absent'))).toBe('AlreadyExists');
      expect(await codeOf(put(store, 'k/a', 'x', 7))).toBe('Conflict');
      expect(await codeOf(put(store, 'k/b', 'x', 7))).toBe('NotFound');
      expect(await codeOf(remove(store, 'k/b'))).toBe('NotFound');
      const failure = new Error('cannot encode');
      await expect(store.write({ key: 'k/a', expect: 'any', type: 'put', encode: () => { throw failure; } })).rejects.toBe(failure);
      expect([store.revision, text((await store.get('k/a'))?.value)]).toEqual([1, 'one@1']);
    });

    test('of concurrent writers that expect the same revision one wins', async () => {
      const { store } = await fresh();
      await put(store, 'k/a', 'base');
      const results = await Promise.all(Array.from({ length: 20 }, (_, i) => codeOf(put(store, 'k/a', String(i), 1))));
      expect(results.filter((r) => r === 'none')).toHaveLength(1);
      expect(results.filter((r) => r === 'Conflict')).toHaveLength(19);
      expect(store.revision).toBe(2);
    });

    test('lists are sorted, paged and consistent at one revision', async () => {
      const { store } = await fresh();
      await Promise.all(['b/2', 'a/1', 'c/3', 'b/1', 'b/10'].map((key) => put(store, `k/${key}`, key)));
      await put(store, 'l/other', 'x');
      const page = await store.list({ prefix: 'k/', limit: 2 });
      expect([page.entries.map((e) => e.key), page.more, page.remaining, page.revision]).toEqual([['k/a/1', 'k/b/1'], true, 3, 6]);
      await remove(store, 'k/c/3');
      await put(store, 'k/b/15', 'new');
      const rest = await store.list({ prefix: 'k/', after: 'k/b/1', revision: page.revision });
      expect([rest.entries.map((e) => e.key), rest.more, rest.remaining, rest.revision]).toEqual([['k/b/10', 'k/b/2', 'k/c/3'], false, 0, 6]);
      expect((await store.list({ prefix: 'k/b/1' })).entries.map((e) => e.key)).toEqual(['k/b/1', 'k/b/10', 'k/b/15']);
      expect([store.count('k/'), store.count('k/b/'), store.count(''), store.count('z')]).toEqual([5, 4, 6, 0]);
      expect(await codeOf(store.list({ prefix: 'k/', revision: store.revision + 1 }))).toBe('Invalid');
    });

    test('a watch gets old and new events in order, with the bytes before and after', async () => {
      const { store } = await fresh();
      await put(store, 'k/a', 'one');
      await put(store, 'k/a', 'two');
      await put(store, 'l/x', 'other');
      const seen = collect(store, 'k/', 1, 4);
      await remove(store, 'k/a');
      await put(store, 'k/ab', 'three');
      await put(store, 'k/a', 'four');
      expect((await seen).map((e) => [e.type, e.key, e.revision, e.createRevision, text(e.value), text(e.previous)])).toEqual([
        ['put', 'k/a', 2, 1, 'two@2', 'one@1'],
        ['delete', 'k/a', 4, 1, 'gone@4', 'two@2'],
        ['put', 'k/ab', 5, 5, 'three@5', undefined],
        ['put', 'k/a', 6, 6, 'four@6', undefined],
      ]);
    });

    test('a list passes over what its caller can tell from key and revision', async () => {
      const { store } = await fresh();
      for (let i = 1; i <= 6; i++) await put(store, `k/${String(i)}`, 'v');
      const asked: [string, number][] = [];
      const odd = (key: string, modRevision: number): boolean => { asked.push([key, modRevision]); return modRevision % 2 === 1; };
      const { entries, more, remaining } = await store.list({ prefix: 'k/', where: odd, limit: 2 });
      expect(entries.map(({ modRevision }) => modRevision)).toEqual([1, 3]);
      expect([more, remaining]).toEqual([true, 1]);
      expect(asked.length).toBe(6);
      expect(asked.every(([key]) => key.startsWith('k/'))).toBe(true);
    });

    test('watchers share events, end when told to, and refuse the future', async () => {
      const { store } = await fresh();
      const watchers = ['k/', 'k/', 'k/a', 'k/a/b', ''].map((prefix) => collect(store, prefix, 0, 1));
      await put(store, 'k/a/b', 'x');
      const [first, ...others] = await Promise.all(watchers);
      for (const other of others) expect(other[0]).toBe(first?.[0]);
      expect(await codeOf(collect(store, 'k/', 5, 1))).toBe('Invalid');
      const end = new AbortController();
      const iterator = store.watch({ prefix: 'k/', after: 1, signal: end.signal })[Symbol.asyncIterator]();
      const waiting = iterator.next();
      end.abort();
      expect(await waiting).toEqual({ done: true, value: undefined });
      const open = store.watch({ prefix: 'k/', after: 1, signal: new AbortController().signal })[Symbol.asyncIterator]().next();
      await store.close();
      expect((await open).done).toBe(true);
      expect(await codeOf(put(store, 'k/z', 'x'))).toBe('ServiceUnavailable');
    });

    test('values and events that memory let go are read from disk', async () => {
      const { store } = await fresh({ cacheBytes: 100, eventBytes: 100 });
      for (let i = 0; i < 300; i++) await put(store, `k/${String(i % 150).padStart(3, '0')}`, `value-${String(i)}`);
      await remove(store, 'k/000');
      const { entries } = await store.list({ prefix: 'k/' });
      expect(entries.map((e) => text(e.value))).toEqual(Array.from({ length: 149 }, (_, i) => `value-${String(i + 151)}@${String(i + 152)}`));
      expect(text((await store.get('k/007'))?.value)).toBe('value-157@158');
      const events = await collect(store, 'k/', 0, 301);
      expect(events.map((e) => e.revision)).toEqual(Array.from({ length: 301 }, (_, i) => i + 1));
      expect([text(events[200]?.value), text(events[200]?.previous), text(events[300]?.value), text(events[300]?.previous)])
        .toEqual(['value-200@201', 'value-50@51', 'gone@301', 'value-150@151']);
    });

    test('compaction forgets history and keeps the state', async () => {
      const { store, reopen } = await fresh();
      for (const value of ['one', 'two', 'three']) await put(store, 'k/a', value);
      await put(store, 'k/b', 'x');
      await remove(store, 'k/b');
      await put(store, 'k/a', 'four');
      await store.compact(5);
      expect([store.compacted, store.revision]).toEqual([5, 6]);
      expect(await codeOf(store.list({ prefix: 'k/', revision: 4 }))).toBe('Expired');
      expect(await codeOf(collect(store, 'k/', 4, 1))).toBe('Expired');
      expect((await store.list({ prefix: 'k/', revision: 5 })).entries.map((e) => text(e.value))).toEqual(['three@3']);
      expect((await collect(store, 'k/', 5, 1)).map((e) => [text(e.value), text(e.previous)])).toEqual([['four@6', 'three@3']]);
      const again = await reopen();
      expect([again.compacted, (await again.list({ prefix: '' })).entries.map((e) => text(e.value))]).toEqual([5, ['four@6']]);
      expect((await collect(again, 'k/', 5, 1)).map((e) => [text(e.value), text(e.previous)])).toEqual([['four@6', 'three@3']]);
    });

    test('a reader overtaken by compaction is told, not misled', async () => {
      const { store } = await fresh({ eventBytes: 0 });
      const end = new AbortController();
      const iterator = store.watch({ prefix: 'k/', after: 0, signal: end.signal })[Symbol.asyncIterator]();
      await put(store, 'k/a', 'one');
      await iterator.next();
      for (let i = 0; i < 10; i++) await put(store, 'k/a', 'next');
      await store.compact(store.revision);
      expect(await codeOf(iterator.next())).toBe('Expired');
    });

    test('history is bounded without being asked', async () => {
      const { store } = await fresh({ keepRevisions: 20 });
      for (let i = 0; i < 100; i++) await put(store, 'k/a', String(i));
      await expect.poll(() => store.compacted).toBeGreaterThan(50);
      expect(await codeOf(collect(store, 'k/', 1, 1))).toBe('Expired');
      const kept = await store.list({ prefix: 'k/' });
      expect(text(kept.entries[0]?.value)).toBe('99@100');
    });

    test('a restart keeps state, history and revisions', async () => {
      const { store, reopen } = await fresh();
      await put(store, 'k/a', 'one');
      await put(store, 'k/a', 'two');
      await put(store, 'k/b', 'x');
      await remove(store, 'k/b');
      const before = store.revision;
      const again = await reopen();
      expect((await again.list({ prefix: '' })).entries.map((e) => [e.key, e.createRevision, e.modRevision, text(e.value)])).toEqual([['k/a', 1, 2, 'two@2']]);
      expect((await again.list({ prefix: 'k/', revision: 3 })).entries.map((e) => text(e.value))).toEqual(['two@2', 'x@3']);
      expect((await collect(again, 'k/', 1, 3)).map((e) => [e.type, e.revision, text(e.previous)])).toEqual([['put', 2, 'one@1'], ['put', 3, undefined], ['delete', 4, 'x@3']]);
      expect(again.revision).toBeGreaterThan(before);
      expect((await put(again, 'k/b', 'y')).modRevision).toBeGreaterThan(again.compacted);
    });

    test('volatile keys are gone after a restart, their revisions are not used again', async () => {
      const config = { volatilePrefixes: ['v/'] };
      const { store, reopen } = await fresh(config);
      await put(store, 'k/a', 'kept');
      await put(store, 'v/a', 'one');
      const last = await put(store, 'v/a', 'two');
      expect((await collect(store, 'v/', 0, 2)).map((e) => [text(e.value), text(e.previous)])).toEqual([['one@2', undefined], ['two@3', 'one@2']]);
      const again = await reopen();
      expect(again.count('v/')).toBe(0);
      expect(text((await again.get('k/a'))?.value)).toBe('kept@1');
      expect(again.revision).toBeGreaterThan(last.modRevision);
      expect(await codeOf(collect(again, 'v/', last.modRevision, 1))).toBe('Expired');
      expect(await codeOf(collect(again, '', last.modRevision, 1))).toBe('Expired');
      expect(await codeOf(again.list({ prefix: 'v/', revision: last.modRevision }))).toBe('Expired');
      const next = collect(again, 'k/', last.modRevision, 1);
      const written = await put(again, 'k/b', 'new');
      expect((await next)[0]?.revision).toBe(written.modRevision);
      expect(written.modRevision).toBeGreaterThan(last.modRevision);
    });

    test('keys that become volatile leave the disk', async () => {
      const { store, reopen } = await fresh();
      await put(store, 'v/a', 'was kept');
      await put(store, 'k/a', 'stays');
      const again = await reopen({ volatilePrefixes: ['v/'] });
      expect((await again.list({ prefix: '' })).entries.map((e) => e.key)).toEqual(['k/a']);
      await put(again, 'v/a', 'new');
      await again.close();
    });

    test('volatile keys are bounded, updates of the same size always fit', async () => {
      const { store } = await fresh({ volatilePrefixes: ['v/'], maxVolatileBytes: 20 });
      await put(store, 'v/a', '0123456789');
      expect(await codeOf(put(store, 'v/b', '0123456789'))).toBe('TooManyRequests');
      for (let i = 0; i < 5; i++) await put(store, 'v/a', '012345678');
      await remove(store, 'v/a');
      await put(store, 'v/b', '0123456789');
    });

    test('the history of volatile keys is bounded by its bytes', async () => {
      const { store } = await fresh({ volatilePrefixes: ['v/'], maxVolatileBytes: 10_000 });
      for (let i = 0; i < 100; i++) await put(store, 'v/a', 'x'.repeat(1000));
      await expect.poll(() => store.compacted).toBeGreaterThan(60);
      expect(store.count('v/')).toBe(1);
    });

    test('behaves like a map of versions', async () => {
      await fc.assert(fc.asyncProperty(fc.array(commandArbitrary, { minLength: 1, maxLength: 60 }), async (commands) => {
        const { store, reopen } = await fresh({ cacheBytes: 60, eventBytes: 60 });
        await checkModel(store, reopen, commands);
        for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
      }), { numRuns: 40 });
    });
  });
}

const keys = ['a/1', 'a/2', 'a/3/x', 'b/1', 'b/2', 'c'];
const commandArbitrary = fc.oneof(
  { weight: 8, arbitrary: fc.record({ type: fc.constant('put' as const), key: fc.constantFrom(...keys), value: fc.string({ maxLength: 20 }) }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('delete' as const), key: fc.constantFrom(...keys) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('compact' as const), part: fc.double({ min: 0, max: 1, noNaN: true }) }) },
);
type Command = typeof commandArbitrary extends fc.Arbitrary<infer T> ? T : never;

/** Runs the commands against the store and a list of events; then every list, page and watch must agree, also after a restart. */
async function checkModel(store: Store, reopen: () => Promise<Store>, commands: readonly Command[]): Promise<void> {
  const events: { key: string; value: string | undefined; revision: number }[] = [];
  for (const command of commands) {
    if (command.type === 'compact') {
      await store.compact(Math.floor(command.part * store.revision));
    } else if (command.type === 'put') {
      const entry = await put(store, command.key, command.value);
      events.push({ key: command.key, value: text(entry.value), revision: entry.modRevision });
    } else {
      const exists = stateAt(events, store.revision).has(command.key);
      const code = await codeOf(remove(store, command.key));
      expect(code).toBe(exists ? 'none' : 'NotFound');
      if (exists) events.push({ key: command.key, value: undefined, revision: store.revision });
    }
  }
  await checkAgainst(store, events, events.at(-1)?.revision ?? 0);
  await checkAgainst(await reopen(), events, events.at(-1)?.revision ?? 0);
}

type ModelEvent = { readonly key: string; readonly value: string | undefined; readonly revision: number };

function stateAt(events: readonly ModelEvent[], revision: number): Map<string, string> {
  const state = new Map<string, string>();
  for (const event of events) {
    if (event.revision > revision) break;
    if (event.value === undefined) state.delete(event.key);
    else state.set(event.key, event.value);
  }
  return new Map([...state].sort(([a], [b]) => (a < b ? -1 : 1)));
}

async function checkAgainst(store: Store, events: readonly ModelEvent[], newest: number): Promise<void> {
  for (let revision = 0; revision <= newest; revision++) {
    for (const prefix of ['', 'a/', 'b']) {
      const wanted = [...stateAt(events, revision)].filter(([key]) => key.startsWith(prefix));
      if (revision < store.compacted) {
        expect(await codeOf(store.list({ prefix, revision }))).toBe('Expired');
        continue;
      }
      const paged: (string | undefined)[][] = [];
      for (let after: string | undefined; ;) {
        const page = await store.list({ prefix, revision, limit: 2, ...(after !== undefined && { after }) });
        paged.push(...page.entries.map((entry) => [entry.key, text(entry.value)]));
        expect([page.remaining, page.more]).toEqual([wanted.length - paged.length, wanted.length > paged.length]);
        if (!page.more) break;
        after = page.entries.at(-1)?.key;
      }
      expect(paged).toEqual(wanted);
      const later = events.filter((event) => event.revision > revision && event.key.startsWith(prefix));
      const seen = prefix === '' && store.compacted > revision ? [] : await collect(store, prefix, revision, later.length);
      expect(seen.map((event) => [event.key, event.revision, event.type === 'delete' ? undefined : text(event.value)])).toEqual(later.map((event) => [event.key, event.revision, event.value]));
      for (const event of seen) expect(text(event.previous)).toBe(stateAt(events, event.revision - 1).get(event.key));
    }
  }
  expect(store.count('')).toBe(stateAt(events, newest).size);
}

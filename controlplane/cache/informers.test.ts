import { describe, expect, test } from 'vitest';
import type { Pod } from '#api/gen/types.ts';
import { nodes, pods } from '#api/kinds/resources.ts';
import { ManualClock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { silentLog } from '#common/log.ts';
import { storeKey } from '#controlplane/store/keys.ts';
import { openMemoryStore } from '#controlplane/store/open.ts';
import type { Store } from '#controlplane/store/types.ts';
import { Informers } from './informers.ts';
import { SharedObjects } from './shared-objects.ts';

const byNode = { node: (pod: Pod) => (pod.spec?.nodeName ? [pod.spec.nodeName] : []) };

function writePod(store: Store, name: string, nodeName?: string): Promise<unknown> {
  return store.write({
    key: storeKey(pods, 'default', name), expect: 'any', type: 'put',
    encode: (revision) => Buffer.from(JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { namespace: 'default', name, uid: name, resourceVersion: String(revision) }, spec: { nodeName } })),
  });
}

function deletePod(store: Store, name: string): Promise<unknown> {
  return store.write({ key: storeKey(pods, 'default', name), expect: 'any', type: 'delete', encode: () => Buffer.from('{}') });
}

const names = (list: readonly Pod[]): string[] => list.map((pod) => pod.metadata?.name ?? '').sort((a, b) => a.localeCompare(b));

async function running(): Promise<{ store: Store; informers: Informers; clock: ManualClock; stop: () => Promise<void>; signal: AbortSignal }> {
  const store = await openMemoryStore();
  const clock = new ManualClock();
  const informers = new Informers({ store, log: silentLog, clock, random: () => 0 });
  const end = new AbortController();
  const done = informers.start(end.signal);
  return { store, informers, clock, signal: end.signal, stop: async () => { end.abort(); await done; await store.close(); } };
}

describe('informers', () => {
  test('show what is there, then every change, by name, namespace and index', async () => {
    const { store, informers, signal, stop } = await running();
    await writePod(store, 'a', 'one');
    await writePod(store, 'b');
    const informer = informers.informer(pods, byNode);
    expect(informers.informer(pods)).toBe(informer);
    await informer.synced(signal);
    expect([names(informer.list()), names(informer.list('default')), names(informer.list('other')), names(informer.by('node', 'one'))]).toEqual([['a', 'b'], ['a', 'b'], [], ['a']]);
    const told: string[] = [];
    const unsubscribe = informer.subscribe(({ object, old }) => told.push(`${old?.metadata?.name ?? '-'}>${object?.metadata?.name ?? '-'}`));
    await writePod(store, 'b', 'one');
    await deletePod(store, 'a');
    await writePod(store, 'c', 'two');
    await expect.poll(() => told).toEqual(['->a', '->b', 'b>b', 'a>-', '->c']);
    expect([names(informer.by('node', 'one')), names(informer.by('node', 'two')), informer.get('default', 'a'), informer.get('default', 'c')?.spec?.nodeName]).toEqual([['b'], ['c'], undefined, 'two']);
    unsubscribe();
    await deletePod(store, 'c');
    await expect.poll(() => informer.get('default', 'c')).toBeUndefined();
    expect(told).toHaveLength(5);
    await stop();
  });

  test('tells what it knows of a stored entry, at that revision only', async () => {
    const { store, informers, signal, stop } = await running();
    expect(informers.known(pods)).toBeUndefined();
    const informer = informers.informer(pods);
    await informer.synced(signal);
    await writePod(store, 'a', 'one');
    await expect.poll(() => informer.get('default', 'a')).toBeDefined();
    const { entries: [entry] } = await store.list({ prefix: 'core/pods/' });
    if (!entry) throw new Error('nothing is stored');
    expect(informers.known(pods)?.(entry.key, entry.modRevision)).toBe(informer.get('default', 'a'));
    expect(informers.known(pods)?.(entry.key, entry.modRevision + 1)).toBeUndefined();
    expect(informers.known(pods)?.('core/pods/default/b', entry.modRevision)).toBeUndefined();
    await stop();
  });

  test('objects are frozen, parsed once and shared with other readers of the same bytes', async () => {
    const { store, informers, signal, stop } = await running();
    const informer = informers.informer(pods);
    await informer.synced(signal);
    const watch = store.watch({ prefix: 'core/pods/', after: 0, signal })[Symbol.asyncIterator]();
    await writePod(store, 'a', 'one');
    const event = ((await watch.next()).value ?? [])[0];
    await expect.poll(() => informer.get('default', 'a')).toBeDefined();
    expect(informers.cachedObject(event ?? { value: Buffer.from('{}') })).toBe(informer.get('default', 'a'));
    expect(Object.isFrozen(informer.get('default', 'a')?.metadata)).toBe(true);
    await stop();
  });

  test('a failing handler hurts nobody else', async () => {
    const { store, informers, signal, stop } = await running();
    const informer = informers.informer(pods);
    await informer.synced(signal);
    const told: (string | undefined)[] = [];
    informer.subscribe(() => { throw new Error('broken handler'); });
    informer.subscribe(({ object }) => told.push(object?.metadata?.name));
    await writePod(store, 'a');
    await writePod(store, 'b');
    await expect.poll(() => told).toEqual(['a', 'b']);
    await stop();
  });

  test('bytes that are not an object are left out', async () => {
    const { store, informers, signal, stop } = await running();
    await store.write({ key: storeKey(pods, 'default', 'bad'), expect: 'any', type: 'put', encode: () => Buffer.from('{not json') });
    await writePod(store, 'good');
    const informer = informers.informer(pods);
    await informer.synced(signal);
    expect(names(informer.list())).toEqual(['good']);
    await stop();
  });

  test('a lost watch is made up for by the difference to a new list', async () => {
    const { store, clock } = { store: await openMemoryStore(), clock: new ManualClock() };
    await writePod(store, 'kept');
    await writePod(store, 'gone');
    await writePod(store, 'changed', 'one');
    const cut = new AbortController();
    let watches = 0;
    const flaky: Store = Object.assign(Object.create(store) as Store, {
      list: store.list.bind(store),
      watch: (request: Parameters<Store['watch']>[0]) => (watches++ === 0 ? expiring(cut.signal) : store.watch(request)),
    });
    const informers = new Informers({ store: flaky, log: silentLog, clock, random: () => 0 });
    const end = new AbortController();
    const done = informers.start(end.signal);
    const informer = informers.informer(pods, byNode);
    await informer.synced(end.signal);
    const told: string[] = [];
    informer.subscribe(({ object, old }) => told.push(`${old?.metadata?.name ?? '-'}>${object?.metadata?.name ?? '-'}`));
    told.length = 0;
    await deletePod(store, 'gone');
    await writePod(store, 'changed', 'two');
    await writePod(store, 'new');
    cut.abort();
    await clock.advance(1000);
    await expect.poll(() => told).toEqual(['gone>-', 'changed>changed', '->new']);
    expect(names(informer.by('node', 'two'))).toEqual(['changed']);
    await writePod(store, 'later');
    await expect.poll(() => informer.get('default', 'later')).toBeDefined();
    end.abort();
    await done;
    await store.close();
  });

  test('waiting for a list ends with the signal; an unknown index is an error', async () => {
    const store = await openMemoryStore();
    const informer = new Informers({ store, log: silentLog }).informer(nodes);
    await expect(informer.synced(AbortSignal.abort())).rejects.toThrow(StatusError);
    expect(() => informer.by('nowhere', 'x')).toThrow('no index nowhere');
    await store.close();
  });

  test('the same bytes give the same object, equal bytes another', () => {
    const objects = new SharedObjects();
    const bytes = Buffer.from('{"kind":"Pod"}');
    expect(objects.parse(bytes)).toBe(objects.parse(bytes));
    expect(objects.parse(Buffer.from(bytes))).not.toBe(objects.parse(bytes));
  });
});

// A watch that says nothing until the signal, and then that it has fallen too far behind.
function expiring(signal: AbortSignal): AsyncIterable<never> {
  const next = async (): Promise<never> => {
    await new Promise<void>((resolve) => { signal.addEventListener('abort', () => { resolve(); }, { once: true }); });
    throw new StatusError('Expired', 'too old');
  };
  return { [Symbol.asyncIterator]: () => ({ next }) };
}

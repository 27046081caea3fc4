import { createServer } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { configMaps } from '#api/kinds/resources.ts';
import { kinds } from '#api/kinds/registry.ts';
import { asStored } from './event-format.ts';
import { sendReply } from './http/reply.ts';
import { KindIndex } from './kind-index.ts';
import { TestServer } from './test-server.ts';
import { openWatch } from './watch.ts';

let server: TestServer;
let ends: AbortController[] = [];
beforeAll(async () => { server = await TestServer.start(); });
afterEach(() => { for (const end of ends) end.abort(); ends = []; });
afterAll(async () => { await server.stop(); });

interface Event { type: string; object: { kind: string; metadata: { name: string; resourceVersion: string; labels?: Record<string, string>; annotations?: Record<string, string> }; code?: number; reason?: string; rows?: { cells: unknown[] }[]; columnDefinitions?: unknown[] } }

const url = '/api/v1/namespaces/default/configmaps';
const admin = { name: 'admin', groups: ['system:masters'] };
const put = (name: string, labels: Record<string, string> = {}, value = '1'): Promise<{ metadata?: { resourceVersion?: string | undefined } | undefined }> => server.api.client(admin)
  .create(configMaps, { metadata: { name, namespace: 'default', labels }, data: { value } });
const label = (name: string, labels: Record<string, string | null>): Promise<unknown> => server.api.client(admin).patch(configMaps, 'default', name, 'merge', { metadata: { labels } });
const remove = (name: string): Promise<void> => server.api.client(admin).delete(configMaps, 'default', name);

function watch(query: string): { next: () => Promise<Event>; all: () => Promise<Event[]> } {
  const end = new AbortController();
  ends.push(end);
  const lines = server.lines(`${url}?watch=1&${query}`, end.signal) as AsyncGenerator<unknown>;
  return {
    next: async () => (await lines.next()).value as Event,
    all: async () => { const events: Event[] = []; for await (const line of lines) events.push(line as Event); return events; },
  };
}

describe('watch', () => {
  it('follows from a revision, with nothing missing', async () => {
    const from = server.store.revision;
    const stream = watch(`resourceVersion=${String(from)}`);
    await put('w1');
    await label('w1', { a: 'b' });
    await remove('w1');
    const events = [await stream.next(), await stream.next(), await stream.next()];
    expect(events.map((event) => [event.type, event.object.metadata.name])).toEqual([['ADDED', 'w1'], ['MODIFIED', 'w1'], ['DELETED', 'w1']]);
    const revisions = events.map((event) => Number(event.object.metadata.resourceVersion));
    expect(revisions).toEqual([...revisions].sort((a, b) => a - b));
    expect(new Set(revisions).size).toBe(3);
  });

  it('begins with what is there when no revision, or 0, is given', async () => {
    await put('there', { here: 'yes' });
    for (const query of ['labelSelector=here', 'labelSelector=here&resourceVersion=0']) {
      const stream = watch(query);
      expect(await stream.next()).toMatchObject({ type: 'ADDED', object: { metadata: { name: 'there' } } });
      await label('there', { more: query.length.toString() });
      expect(await stream.next()).toMatchObject({ type: 'MODIFIED', object: { metadata: { name: 'there' } } });
    }
  });

  it('turns entering and leaving a selection into ADDED and DELETED', async () => {
    const stream = watch(`resourceVersion=${String(server.store.revision)}&labelSelector=on%3Dyes`);
    await put('sel');
    await label('sel', { on: 'yes' });
    await label('sel', { on: 'yes', x: 'y' });
    await label('sel', { on: 'no' });
    await remove('sel');
    await put('last', { on: 'yes' });
    const events = [await stream.next(), await stream.next(), await stream.next(), await stream.next()];
    expect(events.map((event) => [event.type, event.object.metadata.name])).toEqual([['ADDED', 'sel'], ['MODIFIED', 'sel'], ['DELETED', 'sel'], ['ADDED', 'last']]);
    // Leaving: the last state that matched, at the revision of the change.
    expect(events[2]?.object.metadata.labels).toEqual({ on: 'yes', x: 'y' });
    expect(Number(events[2]?.object.metadata.resourceVersion)).toBeGreaterThan(Number(events[1]?.object.metadata.resourceVersion));
  });

  it('sees one name only, and not those that begin with it', async () => {
    const stream = watch(`resourceVersion=${String(server.store.revision)}&fieldSelector=metadata.name%3Dnam`);
    await put('name');
    await put('nam');
    expect(await stream.next()).toMatchObject({ type: 'ADDED', object: { metadata: { name: 'nam' } } });
  });

  it('ends at its timeout, with initial events marked when asked', async () => {
    const events = await watch('timeoutSeconds=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan').all();
    expect(events.slice(0, -1).every((event) => event.type === 'ADDED')).toBe(true);
    expect(events.at(-1)).toMatchObject({ type: 'BOOKMARK', object: { kind: 'ConfigMap', metadata: { annotations: { 'k8s.io/initial-events-end': 'true' } } } });
  });

  it('sends rows of a table', async () => {
    const session = server.http2();
    const stream = session.request({ ':path': `${url}?watch=1&resourceVersion=${String(server.store.revision)}`, accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' });
    stream.setEncoding('utf8');
    await new Promise((resolve) => { stream.once('response', resolve); });
    await put('row');
    const [line] = await new Promise<string[]>((resolve) => { stream.once('data', (text: string) => { resolve([text]); }); });
    session.destroy();
    const event = JSON.parse(line ?? '') as Event;
    expect(event).toMatchObject({ type: 'ADDED', object: { kind: 'Table' } });
    expect(event.object.rows?.[0]?.cells.slice(0, 2)).toEqual(['row', 1]);
  });

  it('tells a revision that is gone with an ERROR event, and one from elsewhere at once', async () => {
    const old = server.store.revision;
    await put('compacted');
    await put('compacted-too');
    await server.store.compact(server.store.revision);
    expect(await watch(`resourceVersion=${String(old)}`).next()).toMatchObject({ type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired' } });
    expect((await server.ask(`${url}?watch=1&resourceVersion=99999999`)).json()).toMatchObject({ code: 504, message: expect.stringContaining('Too large resource version') as string });
    expect((await server.ask(`${url}?limit=1&resourceVersion=${String(old)}`)).json()).toMatchObject({ code: 410, reason: 'Expired' });
  });

  it('cuts off a client that does not read, instead of keeping its events', async () => {
    const chunk = Buffer.alloc(1 << 20, 'x');
    let sent = 0;
    let ended = false;
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) { sent += chunk.length; yield chunk; await Promise.resolve(); }
      } finally { ended = true; }
    }
    const web = createServer((_request, response) => { void sendReply(response, { status: 200, contentType: 'text/plain', body: endless() }, false, 200); });
    await new Promise<void>((resolve) => { web.listen(0, '127.0.0.1', resolve); });
    const socket = connect((web.address() as AddressInfo).port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    socket.pause();
    await vi.waitFor(() => { expect(ended).toBe(true); }, { timeout: 5000 });
    expect(sent).toBeLessThan(64 << 20);
    socket.destroy();
    await new Promise<void>((resolve) => { web.close(() => { resolve(); }); });
  });

  it('encodes an event once for all who watch', async () => {
    const kind = new KindIndex(kinds).of(configMaps);
    const stop = new AbortController();
    const open = async (): Promise<AsyncIterator<Uint8Array>> => (await openWatch({ store: server.store, clock: systemClock }, {
      kind, namespace: 'default', format: asStored, timeoutMs: 60_000, bookmarkMs: 60_000, signal: stop.signal,
      options: { resourceVersion: server.store.revision, allowBookmarks: false, sendInitialEvents: false },
    }))[Symbol.asyncIterator]();
    const [one, two] = [await open(), await open()];
    const [first, second] = [one.next(), two.next()];
    await put('shared');
    expect((await first).value).toBe((await second).value);
    stop.abort();
  });
});

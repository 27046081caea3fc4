import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { customResourceDefinitions } from '#api/kinds/resources.ts';
import type { CustomResourceDefinition } from '#api/gen/types.ts';
import type { ApiClient } from '../types.ts';
import { TestServer } from '../test-server.ts';

interface Review { readonly apiVersion: string; readonly request: { readonly uid: string; readonly desiredAPIVersion: string; readonly objects: readonly Converted[] } }
interface Converted { apiVersion: string; kind: string; metadata: Record<string, unknown>; spec: Record<string, unknown> }

/** Objects are stored in v1, where `spec.hostPort` is one text; v2 has `spec.host` and `spec.port`. */
let server: TestServer;
let client: ApiClient;
let webhook: Server;
let port: number;
let asked: Review[] = [];
let answer: (review: Review) => unknown;
/** What the webhook waits for before it answers. */
let held: Promise<void> | undefined;

const convert = (object: Converted, apiVersion: string): Converted => {
  const { spec } = object;
  const next = structuredClone({ ...object, apiVersion });
  if (apiVersion.endsWith('/v2')) {
    const [host, number] = String(spec['hostPort']).split(':');
    next.spec = { host, port: Number(number) };
  } else next.spec = { hostPort: `${String(spec['host'])}:${String(spec['port'])}` };
  next.metadata['labels'] = { converted: apiVersion.split('/')[1] };
  next.metadata['finalizers'] = ['not/allowed'];
  return next;
};
const success = ({ apiVersion, request: { uid, desiredAPIVersion, objects } }: Review): unknown => ({ kind: 'ConversionReview', apiVersion, response: { uid, result: { status: 'Success' }, convertedObjects: objects.map((object) => convert(object, desiredAPIVersion)) } });

beforeAll(async () => {
  server = await TestServer.start();
  client = server.api.client({ name: 'test', groups: ['system:masters'] });
  webhook = createServer({ key: server.serving.key, cert: server.serving.cert }, (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => { chunks.push(chunk); });
    request.on('end', () => {
      const review = JSON.parse(Buffer.concat(chunks).toString()) as Review;
      asked.push(review);
      void (held ?? Promise.resolve()).then(() => response.end(JSON.stringify(answer(review))));
    });
  });
  await new Promise<void>((resolve) => { webhook.listen(0, '127.0.0.1', resolve); });
  ({ port } = webhook.address() as AddressInfo);
  await define('https://localhost');
});
afterAll(async () => {
  webhook.close();
  await server.stop();
});
beforeEach(() => {
  asked = [];
  answer = success;
  held = undefined;
});

async function define(host: string): Promise<void> {
  const properties = (...names: string[]): object => ({ spec: { type: 'object', properties: Object.fromEntries(names.map((name) => [name, { type: name === 'port' ? 'integer' : 'string' }])) } });
  const version = (name: string, storage: boolean, ...fields: string[]): object => ({ name, served: true, storage, schema: { openAPIV3Schema: { type: 'object', properties: properties(...fields) } }, selectableFields: [{ jsonPath: `.spec.${fields[0] ?? ''}` }] });
  const names = { plural: 'places', kind: 'Place', singular: 'place', listKind: 'PlaceList' };
  const made = await client.create(customResourceDefinitions, {
    metadata: { name: 'places.example.com' },
    spec: {
      group: 'example.com', scope: 'Namespaced', names, versions: [version('v1', true, 'hostPort'), version('v2', false, 'host', 'port')] as CustomResourceDefinition['spec']['versions'],
      conversion: { strategy: 'Webhook', webhook: { conversionReviewVersions: ['v1'], clientConfig: { url: `${host}:${String(port)}/convert`, caBundle: Buffer.from(server.caPem).toString('base64') } } },
    },
  });
  await client.update(customResourceDefinitions, { ...made, status: { ...made.status, acceptedNames: names, conditions: [{ type: 'Established', status: 'True' }] } }, 'status');
  for (let i = 0; i < 200 && (await server.ask('/apis/example.com/v1/places')).status !== 200; i++) await new Promise((resolve) => { setTimeout(resolve, 10); });
}

const places = (version: string, name = ''): string => `/apis/example.com/${version}/namespaces/default/places${name === '' ? '' : `/${name}`}`;
const make = (version: string, name: string, spec: object): Promise<{ status: number; text: string }> => server.ask(places(version), { method: 'POST', body: { apiVersion: `example.com/${version}`, kind: 'Place', metadata: { name }, spec } });

describe('conversion by webhook', () => {
  it('stores in one version and serves in all', async () => {
    expect((await make('v2', 'one', { host: 'a', port: 80 })).status).toBe(201);
    expect(asked[0]).toMatchObject({ apiVersion: 'apiextensions.k8s.io/v1', request: { desiredAPIVersion: 'example.com/v1', objects: [{ apiVersion: 'example.com/v2', spec: { host: 'a', port: 80 } }] } });
    expect((await server.ask(places('v1', 'one'))).json()).toMatchObject({ apiVersion: 'example.com/v1', metadata: { labels: { converted: 'v1' } }, spec: { hostPort: 'a:80' } });
    const v2 = (await server.ask(places('v2', 'one'))).json<Converted>();
    expect(v2).toMatchObject({ apiVersion: 'example.com/v2', spec: { host: 'a', port: 80 } });
    // Of the metadata a webhook decides on labels and annotations only.
    expect(v2.metadata['finalizers']).toBeUndefined();
  });

  it('converts a list by one call, and changes and selects in the version asked for', async () => {
    await make('v1', 'two', { hostPort: 'b:81' });
    await make('v1', 'two-more', { hostPort: 'd:84' });
    asked = [];
    const list = (await server.ask(places('v2'))).json<{ items: Converted[] }>();
    expect(list.items.map(({ spec }) => spec['host'])).toEqual(['a', 'b', 'd']);
    // The first has been read in v2 before.
    expect(asked.map(({ request }) => request.objects.length)).toEqual([2]);
    await server.ask(places('v2', 'two-more'), { method: 'DELETE' });
    expect((await server.ask(`${places('v2')}?fieldSelector=spec.host%3Db`)).json<{ items: Converted[] }>().items).toHaveLength(1);
    const patched = await server.ask(places('v2', 'two'), { method: 'PATCH', headers: { 'content-type': 'application/merge-patch+json' }, body: { spec: { port: 82 } } });
    expect(patched.json()).toMatchObject({ spec: { host: 'b', port: 82 } });
    expect((await server.ask(places('v1', 'two'))).json()).toMatchObject({ spec: { hostPort: 'b:82' } });
  });

  it('keeps nobody off an object while the webhook thinks', async () => {
    await make('v1', 'busy', { hostPort: 'a:1' });
    const { promise, resolve } = Promise.withResolvers<void>();
    held = promise;
    asked = [];
    const patch = (version: string, body: object): Promise<{ status: number; json<T>(): T }> => server.ask(places(version, 'busy'), { method: 'PATCH', headers: { 'content-type': 'application/merge-patch+json' }, body });
    const slow = patch('v2', { spec: { port: 2 } });
    await expect.poll(() => asked.length).toBe(1);
    expect((await patch('v1', { metadata: { annotations: { quick: 'yes' } } })).status).toBe(200);
    resolve();
    const answered = await slow;
    expect(answered.status).toBe(200);
    expect(answered.json<Converted>()).toMatchObject({ spec: { host: 'a', port: 2 }, metadata: { annotations: { quick: 'yes' } } });
    await server.ask(places('v1', 'busy'), { method: 'DELETE' });
  });

  it('watches in the version asked for', async () => {
    const stop = new AbortController();
    const seen: Converted[] = [];
    for await (const event of server.lines(`${places('v2')}?watch=1`, stop.signal) ) {
      seen.push(event['object'] as Converted);
      if (seen.length === 2) await make('v1', 'three', { hostPort: 'c:83' });
      if (seen.length === 3) stop.abort();
    }
    expect(seen.map(({ apiVersion, spec }) => [apiVersion, spec['host']])).toEqual([['example.com/v2', 'a'], ['example.com/v2', 'b'], ['example.com/v2', 'c']]);
  });

  it('says what the webhook said, or did', async () => {
    const refusal = async (given: (review: Review) => unknown): Promise<string> => {
      answer = given;
      const { status, text } = await make('v2', 'bad', { host: 'x', port: 1 });
      expect(status).toBe(500);
      return (JSON.parse(text) as { message: string }).message;
    };
    const respond = (response: object) => ({ apiVersion, request: { uid } }: Review) => ({ kind: 'ConversionReview', apiVersion, response: { uid, ...response } });
    expect(await refusal(respond({ result: { status: 'Failure', message: 'no such thing' } }))).toBe('conversion webhook for places.example.com failed: no such thing');
    expect(await refusal(respond({ uid: 'other' }))).toContain('expected response.uid=');
    expect(await refusal(respond({ result: { status: 'Success' }, convertedObjects: [] }))).toContain('expected 1 converted objects, got 0');
    expect(await refusal(respond({ result: { status: 'Success' }, convertedObjects: [{ apiVersion: 'example.com/v1', kind: 'Place', metadata: { name: 'other' } }] }))).toContain('another metadata.name');
    expect(await refusal(() => 'nonsense')).toContain('the answer is no ConversionReview');
  });
});

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readManifests } from './manifests.ts';

const server = createServer((request, response) => {
  if (request.url === '/moved') response.writeHead(302, { location: '/two.yaml' }).end();
  else if (request.url === '/two.yaml') response.end('apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Secret\n');
  else response.writeHead(404).end();
});
let base = '';
beforeAll(async () => {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  base = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
});
afterAll(async () => {
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
});

const given = (text: string): ReturnType<typeof readManifests> => readManifests(['-'], false, Readable.from([Buffer.from(text)]));
const read = (...paths: string[]): ReturnType<typeof readManifests> => readManifests(paths, false, Readable.from([Buffer.from('apiVersion: v1\nkind: Pod\n')]));

it('reads URLs, wherever they lead, beside standard input', async () => {
  expect((await read(`${base}/moved`, '-')).map(({ manifest, source }) => `${manifest.kind} of ${source}`)).toEqual([`ConfigMap of ${base}/moved`, `Secret of ${base}/moved`, 'Pod of standard input']);
});

it('says what is wrong with a URL', async () => {
  await expect(read(`${base}/nothing`)).rejects.toThrow(`unable to read URL "${base}/nothing", server reported 404 Not Found, status code=404`);
  // A port that no client asks.
  await expect(read('http://127.0.0.1:1/x.yaml')).rejects.toThrow('cannot read http://127.0.0.1:1/x.yaml: ');
});

it.each([
  ['metadata: web', 'expected a map as metadata of the Pod'], ['metadata: []', 'expected a map as metadata of the Pod'], ['metadata: {name: 1}', 'expected a string, such as "1" in quotes, as metadata.name of the Pod'],
  ['metadata: {namespace: true}', 'such as "true" in quotes, as metadata.namespace of the Pod'],
])('refuses an object with %s', async (text, message) => {
  await expect(given(`apiVersion: v1\nkind: Pod\n${text}\n`)).rejects.toThrow(message);
});

it.each([
  ['kind: List\nitems: 3', 'items of the List is no list'], ['kind: Pod\napiVersion: 1', "apiVersion isn't string type"], ['kind: Pod', 'apiVersion not set'], ['- a', 'does not hold Kubernetes objects'],
])('refuses %j', async (text, message) => {
  await expect(given(text)).rejects.toThrow(message);
});

it('takes a name with nothing behind it for none', async () => {
  expect((await given('apiVersion: v1\nkind: Pod\nmetadata: {name: , labels: {a: b}}\n')).map(({ manifest }) => manifest.metadata)).toEqual([{ labels: { a: 'b' } }]);
});

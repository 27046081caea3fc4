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

const read = (...paths: string[]): ReturnType<typeof readManifests> => readManifests(paths, false, Readable.from([Buffer.from('apiVersion: v1\nkind: Pod\n')]));

it('reads URLs, wherever they lead, beside standard input', async () => {
  expect((await read(`${base}/moved`, '-')).map(({ manifest, source }) => `${manifest.kind} of ${source}`)).toEqual([`ConfigMap of ${base}/moved`, `Secret of ${base}/moved`, 'Pod of standard input']);
});

it('says what is wrong with a URL', async () => {
  await expect(read(`${base}/nothing`)).rejects.toThrow(`unable to read URL "${base}/nothing", server reported 404 Not Found, status code=404`);
  // A port that no client asks.
  await expect(read('http://127.0.0.1:1/x.yaml')).rejects.toThrow('cannot read http://127.0.0.1:1/x.yaml: ');
});

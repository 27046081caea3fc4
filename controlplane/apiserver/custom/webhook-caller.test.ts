import { createPublicKey } from 'node:crypto';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { issueCertificate, makeKey } from '#common/pki/certificate.ts';
import { TestServer } from '../test-server.ts';
import { webhookCaller } from './webhook-caller.ts';

let server: TestServer;
let hook: Server;
let port: number;
const seen: (string | undefined)[][] = [];

beforeAll(async () => {
  server = await TestServer.start();
  const key = makeKey();
  const cert = issueCertificate(server.ca, { subject: { commonName: 'hook' }, usage: 'server', publicKey: createPublicKey(key), nowMs: Date.now(), lifetimeMs: 86_400_000, names: ['hook.default.svc'] });
  hook = createServer({ key, cert }, (request, response) => {
    seen.push([request.url, request.headers.host, request.headers['content-type']]);
    if (request.url === '/fails') response.statusCode = 503;
    if (request.url !== '/hangs') response.end('{"ok":true}');
  });
  await new Promise<void>((resolve) => { hook.listen(0, '127.0.0.1', resolve); });
  ({ port } = hook.address() as AddressInfo);
  const put = (key_: string, object: object): Promise<unknown> => server.store.write({ key: key_, type: 'put', expect: 'any', encode: () => Buffer.from(JSON.stringify(object)) });
  await put('core/services/default/hook', { metadata: { name: 'hook', namespace: 'default' }, spec: { ports: [{ name: 'https', port: 443 }] } });
  await put('discovery.k8s.io/endpointslices/default/hook-1', {
    metadata: { name: 'hook-1', namespace: 'default', labels: { 'kubernetes.io/service-name': 'hook' } }, ports: [{ name: 'https', port }],
    endpoints: [{ addresses: ['127.0.0.2'], conditions: { ready: false } }, { addresses: ['127.0.0.1'], conditions: { ready: true } }],
  });
});
afterAll(async () => {
  hook.closeAllConnections();
  hook.close();
  await server.stop();
});

const call = (path: string, more: object = {}, timeoutMs = 5_000): Promise<unknown> => webhookCaller(server.store)({ service: { namespace: 'default', name: 'hook', path, ...more }, caBundle: Buffer.from(server.caPem).toString('base64') }, {}, timeoutMs);

it('reaches a ready endpoint of the Service, as the Service', async () => {
  expect(await call('/convert')).toEqual({ ok: true });
  expect(seen).toEqual([['/convert', 'hook.default.svc:443', 'application/json']]);
});

it('says why a webhook cannot be asked', async () => {
  await expect(call('/x', { name: 'none' })).rejects.toThrow('service "none" not found in namespace "default"');
  await expect(call('/x', { port: 8443 })).rejects.toThrow('no service port 8443 found for service "hook"');
  await expect(call('/fails')).rejects.toThrow('status 503');
  await expect(call('/hangs', {}, 50)).rejects.toThrow('context deadline exceeded');
  await expect(webhookCaller(server.store)({ url: `https://127.0.0.1:${String(port)}/` }, {}, 5_000)).rejects.toThrow(/certificate|self.signed|issuer/i);
});

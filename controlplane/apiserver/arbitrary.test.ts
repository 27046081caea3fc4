import fc from 'fast-check';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestServer } from './test-server.ts';

let server: TestServer;
beforeAll(async () => { server = await TestServer.start(); });
afterAll(async () => { await server.stop(); });

const paths = ['/', '/api', '/api/v1', '/apis/apps/v1', '/openapi/v3', '/api/v1/pods', '/api/v1/namespaces/default/pods', '/api/v1/namespaces/default/configmaps/a', '/api/v1/nodes',
  '/apis/apps/v1/namespaces/default/deployments/x/scale', '/api/v1/namespaces/default/pods/p/binding', '/api/v1/namespaces/default/pods/p/log', '/apis/metrics.k8s.io/v1beta1/nodes',
  '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', '/api/v1/namespaces/default/services', '/api/v1/namespaces/default/events'];
const contentTypes = ['application/json', 'application/yaml', 'application/json-patch+json', 'application/merge-patch+json', 'application/strategic-merge-patch+json', 'application/vnd.kubernetes.protobuf', 'text/plain', ''];
const queries = ['limit', 'continue', 'labelSelector', 'fieldSelector', 'resourceVersion', 'resourceVersionMatch', 'timeoutSeconds', 'dryRun', 'fieldValidation', 'propagationPolicy', 'gracePeriodSeconds', 'tailLines', 'container', 'includeObject'];

const request = fc.record({
  method: fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND'),
  path: fc.oneof(fc.constantFrom(...paths), fc.tuple(fc.constantFrom(...paths), fc.webPath()).map(([base, rest]) => base + rest), fc.webPath().map((path) => `/${path}`)),
  query: fc.array(fc.tuple(fc.constantFrom(...queries), fc.oneof(fc.string(), fc.integer().map(String), fc.constant('All'), fc.constant('a=b,c in (d)'))), { maxLength: 3 }),
  accept: fc.constantFrom('application/json', '*/*', 'application/json;as=Table;v=v1;g=meta.k8s.io', 'application/json;as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io', 'x', ';;,'),
  contentType: fc.constantFrom(...contentTypes),
  body: fc.oneof(fc.constant(''), fc.string(), fc.json(), fc.string({ unit: 'binary' }),
    fc.record({ kind: fc.constantFrom('Pod', 'Deployment', 'Service', 'Scale', 'Binding', 7), metadata: fc.oneof(fc.jsonValue(), fc.record({ name: fc.string() })), spec: fc.jsonValue(), target: fc.jsonValue() }, { requiredKeys: [] }).map((value) => JSON.stringify(value))),
});

describe('arbitrary requests', () => {
  it('are answered with a well-formed Status or a good answer, never with a failure of ours', async () => {
    await fc.assert(fc.asyncProperty(request, async ({ method, path, query, accept, contentType, body }) => {
      const search = new URLSearchParams(query.map(([key, value]): [string, string] => [key, value])).toString();
      const answer = await server.ask(`${path}?${search}`, { method, ...(method !== 'GET' && method !== 'HEAD' && method !== 'TRACE' && { body }), headers: { accept, 'content-type': contentType } });
      if (answer.status === 504 && method !== 'HEAD') expect(answer.text).toContain('Too large resource version');
      else if (answer.status !== 504) expect(answer.status).toBeLessThan(500);
      if (answer.status >= 400 && method !== 'HEAD') {
        expect(answer.json()).toMatchObject({ kind: 'Status', apiVersion: 'v1', status: 'Failure', code: answer.status, reason: expect.any(String) as string, message: expect.any(String) as string });
      }
    }), { numRuns: 1500 });
    expect((await server.ask('/readyz')).text).toBe('ok');
  }, 60_000);

  it('that are not even HTTP harm nobody', async () => {
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 2000 }), fc.constantFrom('h2', 'http/1.1'), async (bytes, protocol) => {
      const socket = connect({ host: '127.0.0.1', port: server.port, ca: server.caPem, servername: 'localhost', ALPNProtocols: [protocol], ...server.admin });
      const answer = await new Promise<string>((resolve) => {
        let text = '';
        socket.on('data', (chunk: Buffer) => { text += chunk.toString('latin1'); });
        socket.on('error', () => { resolve(text); });
        socket.on('close', () => { resolve(text); });
        socket.end(bytes);
      });
      if (answer.startsWith('HTTP/1.1')) expect(Number(answer.slice(9, 12))).toBeLessThan(500);
    }), { numRuns: 150 });
    expect((await server.ask('/readyz')).text).toBe('ok');
  }, 60_000);
});

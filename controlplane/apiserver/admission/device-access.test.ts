import { afterAll, beforeAll, expect, it } from 'vitest';
import { TestServer, type Answer } from '../test-server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start();
  for (const [name, value] of [['trusted', 'true'], ['other', 'false']]) await server.ask('/api/v1/namespaces', { method: 'POST', body: { metadata: { name, labels: { 'resource.kubernetes.io/admin-access': value } } } });
});
afterAll(async () => { await server.stop(); });

const devices = { requests: [{ name: 'a', exactly: { deviceClassName: 'gpu' } }, { name: 'b', exactly: { deviceClassName: 'gpu', adminAccess: true } }] };
const post = (ns: string, plural: string, spec: object): Promise<Answer> => server.ask(`/apis/resource.k8s.io/v1/namespaces/${ns}/${plural}`, { method: 'POST', body: { metadata: { generateName: 'c-' }, spec } });

it('lets administrators at devices from namespaces that are theirs, and from no others', async () => {
  expect((await post('trusted', 'resourceclaims', { devices })).status).toBe(201);
  expect((await post('trusted', 'resourceclaimtemplates', { spec: { devices } })).status).toBe(201);
  const why = 'admin access to devices requires the `resource.kubernetes.io/admin-access: true` label on the containing namespace';
  expect((await post('other', 'resourceclaims', { devices })).json()).toMatchObject({ code: 422, message: expect.stringContaining(`is invalid: spec.devices.requests[1].exactly.adminAccess: Forbidden: ${why}`) as string });
  expect((await post('default', 'resourceclaimtemplates', { spec: { devices } })).json()).toMatchObject({ code: 422, message: expect.stringContaining('spec.spec.devices.requests[1].exactly.adminAccess: Forbidden') as string });
});

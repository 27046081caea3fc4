import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { publicKeySha256 } from '#common/pki/certificate.ts';
import { TestServer, type Answer, type Identity } from '../../test-server.ts';

let server: TestServer;
let here: Identity;
let there: Identity;

beforeAll(async () => {
  server = await TestServer.start();
  here = server.identity('system:node:here', ['system:nodes']);
  there = server.identity('system:node:there', ['system:nodes']);
  for (const name of ['default', 'worker']) await make('/api/v1/namespaces/default/serviceaccounts', { metadata: { name } });
  for (const name of ['mine', 'other']) await make('/api/v1/namespaces/default/secrets', { metadata: { name } });
  for (const name of ['here', 'there']) await make('/api/v1/nodes', { metadata: { name } });
  await make('/api/v1/namespaces/default/pods', {
    metadata: { name: 'web' }, spec: { nodeName: 'here', serviceAccountName: 'worker', containers: [{ name: 'c', image: 'i' }], volumes: [{ name: 's', secret: { secretName: 'mine' } }] },
  });
  await make('/api/v1/namespaces/default/pods', { metadata: { name: 'far' }, spec: { nodeName: 'there', containers: [{ name: 'c', image: 'i' }] } });
});
afterAll(async () => { await server.stop(); });

/** The accounts that every namespace gets may be there already. */
async function make(path: string, body: unknown): Promise<void> {
  const { status, text } = await server.ask(path, { method: 'POST', body });
  if (status !== 201 && status !== 409) throw new Error(text);
}

const ask = (identity: Identity, path: string, method = 'GET', body?: unknown): Promise<Answer> =>
  server.ask(path, { identity, method, ...(body !== undefined && { body }), ...(method === 'PATCH' && { headers: { 'content-type': 'application/merge-patch+json' } }) });
const status = async (...args: Parameters<typeof ask>): Promise<number> => (await ask(...args)).status;
const why = async (...args: Parameters<typeof ask>): Promise<string> => (await ask(...args)).json<{ message: string }>().message;

describe('a node', () => {
  it('is the host whose key its Node names, and none that had its place before', async () => {
    const old = server.identity('system:node:moved', ['system:nodes']);
    await make('/api/v1/nodes', { metadata: { name: 'moved' } });
    expect(await status(old, '/api/v1/nodes/moved')).toBe(200);
    const place = (identity: Identity): Promise<Answer> => ask(server.admin, '/api/v1/nodes/moved', 'PATCH', { metadata: { annotations: { 'cleat.dev/public-key-sha256': publicKeySha256(new X509Certificate(identity.cert).publicKey) } } });
    const next = server.identity('system:node:moved', ['system:nodes']);
    expect((await place(next)).status).toBe(200);
    await expect.poll(() => status(old, '/api/v1/nodes/moved')).toBe(401);
    expect(await status(next, '/api/v1/nodes/moved')).toBe(200);
  });

  it('reads what its pods name, and nothing else of the kind', async () => {
    expect(await status(here, '/api/v1/namespaces/default/secrets/mine')).toBe(200);
    expect(await why(there, '/api/v1/namespaces/default/secrets/mine')).toBe('secrets "mine" is forbidden: User "system:node:there" cannot get resource "secrets" in API group "" in the namespace "default": no relationship found between node \'there\' and this object');
    expect(await status(here, '/api/v1/namespaces/default/secrets/other')).toBe(403);
    expect(await status(here, '/api/v1/namespaces/default/secrets')).toBe(403);
    expect(await status(here, '/api/v1/namespaces/default/secrets?fieldSelector=metadata.name%3Dmine')).toBe(200);
    expect(await status(here, '/api/v1/secrets')).toBe(403);
    expect(await status(here, '/api/v1/namespaces/default/secrets/mine', 'PATCH', { data: {} })).toBe(403);
    expect(await status(server.identity('system:node:here'), '/api/v1/namespaces/default/secrets/mine')).toBe(403);
  });

  it('reads and reports its own pods', async () => {
    expect(await status(here, '/api/v1/pods?fieldSelector=spec.nodeName%3Dhere')).toBe(200);
    expect(await status(here, '/api/v1/pods?fieldSelector=spec.nodeName%3Dthere')).toBe(403);
    expect(await status(here, '/api/v1/pods')).toBe(403);
    expect(await status(here, '/api/v1/namespaces/default/pods/web')).toBe(200);
    expect(await status(here, '/api/v1/namespaces/default/pods/far')).toBe(403);
    expect(await status(here, '/api/v1/namespaces/default/pods/web/status', 'PATCH', { status: { message: 'well' } })).toBe(200);
    expect(await why(here, '/api/v1/namespaces/default/pods/far/status', 'PATCH', { status: { message: 'well' } })).toBe('pods "far" is forbidden: node "here" can only update pod status for pods with spec.nodeName set to itself');
    expect(await why(here, '/api/v1/namespaces/default/pods/web/status', 'PATCH', { metadata: { labels: { a: 'b' } } })).toContain('cannot update labels through pod status');
    expect(await status(here, '/api/v1/namespaces/default/pods/web', 'PATCH', { metadata: { labels: { a: 'b' } } })).toBe(403);
    expect(await why(here, '/api/v1/namespaces/default/pods/far', 'DELETE')).toContain('can only delete pods with spec.nodeName set to itself');
    expect(await why(here, '/api/v1/namespaces/default/pods', 'POST', { metadata: { name: 'new' }, spec: { containers: [{ name: 'c', image: 'i' }] } })).toContain('can only create mirror pods');
  });

  it('changes its own Node, but not what decides which pods it gets', async () => {
    expect(await status(here, '/api/v1/nodes/here')).toBe(200);
    expect(await status(here, '/api/v1/nodes/there')).toBe(403);
    expect(await status(here, '/api/v1/nodes')).toBe(403);
    expect(await status(here, '/api/v1/nodes?fieldSelector=metadata.name%3Dhere')).toBe(200);
    expect(await status(here, '/api/v1/nodes/here', 'PATCH', { metadata: { labels: { 'example.com/room': 'one', 'kubernetes.io/os': 'linux' } } })).toBe(200);
    expect(await why(here, '/api/v1/nodes/here', 'PATCH', { metadata: { labels: { 'node-restriction.kubernetes.io/safe': 'yes', 'x.k8s.io/y': 'z' } } })).toContain('is not allowed to modify labels: node-restriction.kubernetes.io/safe, x.k8s.io/y');
    expect(await why(here, '/api/v1/nodes/here', 'PATCH', { spec: { taints: [{ key: 'a', effect: 'NoSchedule' }] } })).toContain('is not allowed to modify taints');
    expect(await status(here, '/api/v1/nodes/here/status', 'PATCH', { status: { capacity: { cpu: '4' } } })).toBe(200);
    expect(await status(here, '/api/v1/nodes/there/status', 'PATCH', { status: {} })).toBe(403);
    expect(await status(here, '/api/v1/nodes/here', 'DELETE')).toBe(403);
    expect(await why(here, '/api/v1/nodes', 'POST', { metadata: { name: 'third' } })).toContain('node "here" is not allowed to modify node "third"');
  });

  it('renews its own lease', async () => {
    const leases = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases';
    const lease = (name: string): unknown => ({ metadata: { name }, spec: { holderIdentity: name, leaseDurationSeconds: 40 } });
    expect(await status(here, leases, 'POST', lease('here'))).toBe(201);
    expect(await why(here, leases, 'POST', lease('there'))).toContain('can only access node object with the same name as the requesting node');
    expect(await status(here, `${leases}/here`, 'PATCH', { spec: { leaseDurationSeconds: 41 } })).toBe(200);
    expect(await status(there, `${leases}/here`, 'PATCH', { spec: { leaseDurationSeconds: 42 } })).toBe(403);
    expect(await status(here, '/apis/coordination.k8s.io/v1/namespaces/default/leases', 'POST', lease('here'))).toBe(403);
  });

  it('gets tokens for its pods, bound to them', async () => {
    const { metadata: { uid } } = (await server.ask('/api/v1/namespaces/default/pods/web')).json<{ metadata: { uid: string } }>();
    const token = (identity: Identity, spec: unknown, account = 'worker') => ask(identity, `/api/v1/namespaces/default/serviceaccounts/${account}/token`, 'POST', { spec });
    const boundObjectRef = { apiVersion: 'v1', kind: 'Pod', name: 'web', uid };
    const made = await token(here, { boundObjectRef });
    expect(made.status).toBe(201);
    expect((await token(here, {})).json()).toMatchObject({ code: 403, message: expect.stringContaining('node requested token not bound to a pod') as string });
    expect((await token(here, { boundObjectRef, audiences: ['vault'] })).json()).toMatchObject({ code: 403, message: expect.stringContaining('audience "vault" not found in pod spec volume') as string });
    expect((await token(there, { boundObjectRef })).status).toBe(403);
    expect((await token(here, { boundObjectRef }, 'default')).status).toBe(403);
  });

  it('finds out what it needs of the cluster', async () => {
    expect(await status(here, '/api/v1/services')).toBe(200);
    expect(await status(here, '/apis/certificates.k8s.io/v1/certificatesigningrequests')).toBe(200);
    expect(await status(here, '/apis/apps/v1/deployments')).toBe(403);
    expect(await status(here, '/api/v1/namespaces')).toBe(403);
  });
});

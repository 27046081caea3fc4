import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestServer, type Answer, type Identity } from '../../test-server.ts';

const rbac = '/apis/rbac.authorization.k8s.io/v1';
const apiGroup = 'rbac.authorization.k8s.io';
let server: TestServer;
beforeAll(async () => { server = await TestServer.start(); });
afterAll(async () => { await server.stop(); });

const post = (path: string, body: unknown, identity?: Identity): Promise<Answer> => server.ask(path, { method: 'POST', body, ...(identity && { identity }) });
const user = (name: string, ...groups: string[]): Identity => server.identity(name, groups);

async function role(name: string, rules: unknown[], identity?: Identity): Promise<Answer> {
  return post(`${rbac}/namespaces/default/roles`, { metadata: { name }, rules }, identity);
}

async function bind(name: string, ref: string, subject: string, identity?: Identity): Promise<Answer> {
  const [kind = '', refName = ''] = ref.split('/');
  const [subjectKind, subjectName] = subject.split('/');
  return post(`${rbac}/namespaces/default/rolebindings`, { metadata: { name }, roleRef: { apiGroup, kind, name: refName }, subjects: [{ kind: subjectKind, name: subjectName }] }, identity);
}

const readPods = { verbs: ['get', 'list'], apiGroups: [''], resources: ['pods'] };

describe('RBAC', () => {
  it('lets nobody in by default, in Kubernetes\' words, and all find out what is served', async () => {
    const answer = await server.ask('/api/v1/namespaces/default/pods', { identity: user('ann') });
    expect(answer.status).toBe(403);
    expect(answer.json()).toMatchObject({ reason: 'Forbidden', code: 403, message: 'pods is forbidden: User "ann" cannot list resource "pods" in API group "" in the namespace "default"' });
    expect((await server.ask('/api', { identity: user('ann') })).status).toBe(200);
    expect((await server.ask('/metrics', { identity: user('ann') })).json()).toMatchObject({ code: 403, message: 'forbidden: User "ann" cannot get path "/metrics"' });
    expect((await server.ask('/metrics', { identity: user('prometheus', 'system:monitoring') })).status).toBe(200);
  });

  it('gives nobody the paths of the fleet, backups with all Secrets among them, but the group system:masters', async () => {
    await post(`${rbac}/clusterroles`, { metadata: { name: 'all-paths' }, rules: [{ verbs: ['*'], nonResourceURLs: ['*'] }] });
    await post(`${rbac}/clusterrolebindings`, { metadata: { name: 'all-paths' }, roleRef: { apiGroup, kind: 'ClusterRole', name: 'all-paths' }, subjects: [{ kind: 'User', name: 'monitor' }] });
    expect((await server.ask('/metrics', { identity: user('monitor') })).status).toBe(200);
    for (const path of ['/cleat/v1/backup', '/cleat/v1/certs']) expect((await server.ask(path, { identity: user('monitor') })).json()).toMatchObject({ code: 403, message: expect.stringContaining('system:masters') as string });
    // This server serves none; it says so to those who may ask.
    expect((await server.ask('/cleat/v1/backup')).status).toBe(404);
  });

  it('takes effect with the next request, both ways', async () => {
    const bob = user('bob', 'readers');
    const pods = (namespace = 'default') => server.ask(`/api/v1/namespaces/${namespace}/pods`, { identity: bob }).then(({ status }) => status);
    expect((await role('pod-reader', [readPods])).status).toBe(201);
    expect((await bind('readers', 'Role/pod-reader', 'Group/readers')).status).toBe(201);
    expect(await pods()).toBe(200);
    expect(await pods('kube-system')).toBe(403);
    expect((await server.ask('/api/v1/pods', { identity: bob })).status).toBe(403);
    await server.ask(`${rbac}/namespaces/default/roles/pod-reader`, { method: 'PATCH', headers: { 'content-type': 'application/merge-patch+json' }, body: { rules: [{ ...readPods, verbs: ['get'] }] } });
    expect(await pods()).toBe(403);
    await server.ask(`${rbac}/namespaces/default/roles/pod-reader`, { method: 'PATCH', headers: { 'content-type': 'application/merge-patch+json' }, body: { rules: [readPods] } });
    expect(await pods()).toBe(200);
    await server.ask(`${rbac}/namespaces/default/rolebindings/readers`, { method: 'DELETE' });
    expect(await pods()).toBe(403);
  });

  it('lets a namespace\'s own bindings speak of the namespace', async () => {
    await role('lookout', [{ verbs: ['get'], apiGroups: [''], resources: ['namespaces'] }]);
    await bind('lookout', 'Role/lookout', 'User/lou');
    expect((await server.ask('/api/v1/namespaces/default', { identity: user('lou') })).status).toBe(200);
    expect((await server.ask('/api/v1/namespaces/kube-system', { identity: user('lou') })).json()).toMatchObject({ message: 'namespaces "kube-system" is forbidden: User "lou" cannot get resource "namespaces" in API group "" in the namespace "kube-system"' });
    expect((await server.ask('/api/v1/namespaces', { identity: user('lou') })).status).toBe(403);
  });

  it('says which role a binding lacks', async () => {
    await bind('dangling', 'ClusterRole/nowhere', 'User/carl');
    const answer = await server.ask('/api/v1/namespaces/default/pods', { identity: user('carl') });
    expect(answer.json<{ message: string }>().message).toMatch(/in the namespace "default": RBAC: clusterrole\.rbac\.authorization\.k8s\.io "nowhere" not found$/);
  });

  it('keeps people from giving what they do not have', async () => {
    const dora = user('dora', 'deputies');
    await role('deputy', [{ verbs: ['*'], apiGroups: [apiGroup], resources: ['roles', 'rolebindings'], resourceNames: [] }, { ...readPods, verbs: ['get'] }]);
    await post(`${rbac}/namespaces/default/roles`, { metadata: { name: 'pod-lister' }, rules: [readPods] });
    // `*` would include escalate and bind.
    await server.ask(`${rbac}/namespaces/default/roles/deputy`, { method: 'PATCH', headers: { 'content-type': 'application/merge-patch+json' }, body: { rules: [{ verbs: ['create', 'update', 'patch'], apiGroups: [apiGroup], resources: ['roles', 'rolebindings'] }, { ...readPods, verbs: ['get'] }] } });
    await bind('deputy', 'Role/deputy', 'User/dora');
    const refused = await role('too-much', [{ ...readPods, verbs: ['get', 'delete', 'list'] }], dora);
    expect(refused.json()).toMatchObject({
      code: 403, reason: 'Forbidden',
      message: 'roles.rbac.authorization.k8s.io "too-much" is forbidden: user "dora" (groups=["deputies" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[""], Resources:["pods"], Verbs:["delete" "list"]}',
    });
    expect((await role('just-right', [{ ...readPods, verbs: ['get'] }], dora)).status).toBe(201);
    expect((await bind('too-much', 'Role/pod-lister', 'User/eve', dora)).json<{ message: string }>().message).toMatch(/^rolebindings\.rbac\.authorization\.k8s\.io "too-much" is forbidden: user "dora" .*not currently held/s);
    expect((await bind('just-right', 'Role/just-right', 'User/eve', dora)).status).toBe(201);
    expect((await bind('nothing', 'Role/nowhere', 'User/eve', dora)).status).toBe(404);
    expect((await bind('beyond', 'ClusterRole/cluster-admin', 'User/dora', dora)).status).toBe(403);
  });

  it('lets those escalate and bind who may', async () => {
    await role('grantor', [{ verbs: ['create', 'escalate', 'bind'], apiGroups: [apiGroup], resources: ['roles', 'rolebindings', 'clusterroles'] }]);
    await bind('grantor', 'Role/grantor', 'User/gus');
    expect((await role('by-gus', [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }], user('gus'))).status).toBe(201);
    expect((await bind('by-gus', 'ClusterRole/cluster-admin', 'User/hal', user('gus'))).status).toBe(201);
    expect((await server.ask('/api/v1/namespaces/default/secrets', { identity: user('hal') })).status).toBe(200);
    expect((await server.ask('/api/v1/nodes', { identity: user('hal') })).status).toBe(403);
  });

  it('demands all rights of those who aggregate', async () => {
    await post(`${rbac}/clusterroles`, { metadata: { name: 'role-maker' }, rules: [{ verbs: ['create'], apiGroups: [apiGroup], resources: ['clusterroles'] }] });
    await post(`${rbac}/clusterrolebindings`, { metadata: { name: 'role-maker' }, roleRef: { apiGroup, kind: 'ClusterRole', name: 'role-maker' }, subjects: [{ kind: 'User', name: 'ida' }] });
    const made = await post(`${rbac}/clusterroles`, { metadata: { name: 'gather' }, rules: [], aggregationRule: { clusterRoleSelectors: [{ matchLabels: { a: 'b' } }] } }, user('ida'));
    expect(made.json<{ message: string }>().message).toBe('clusterroles.rbac.authorization.k8s.io "gather" is forbidden: must have cluster-admin privileges to use an aggregationRule');
    expect((await post(`${rbac}/clusterroles`, { metadata: { name: 'empty' }, rules: [] }, user('ida'))).status).toBe(201);
  });

  it('refuses what makes no sense, field by field', async () => {
    const message = async (answer: Promise<Answer>): Promise<string> => (await answer).json<{ message: string }>().message;
    expect(await message(role('r', [{ verbs: [], apiGroups: [''], resources: ['pods'] }]))).toContain('rules[0].verbs: Required value: verbs must contain at least one value');
    expect(await message(role('r', [{ verbs: ['get'], nonResourceURLs: ['/x'] }]))).toContain('rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs');
    expect(await message(bind('b', 'Deployment/x', 'User/u'))).toContain('roleRef.kind: Unsupported value: "Deployment": supported values: "Role", "ClusterRole"');
    expect(await message(bind('b', 'Role/x', 'Robot/u'))).toContain('subjects[0].kind: Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"');
    const changed = server.ask(`${rbac}/namespaces/default/rolebindings/dangling`, { method: 'PATCH', headers: { 'content-type': 'application/merge-patch+json' }, body: { roleRef: { name: 'other' } } });
    expect(await message(changed)).toContain('cannot change roleRef');
  });

  it('comes with the roles of every cluster, and gives them back what they lost', async () => {
    const path = `${rbac}/clusterroles/system:basic-user`;
    const before = (await server.ask(path)).json<{ rules: unknown; metadata: { annotations: unknown; labels: unknown } }>();
    expect(before.metadata).toMatchObject({ annotations: { 'rbac.authorization.k8s.io/autoupdate': 'true' }, labels: { 'kubernetes.io/bootstrapping': 'rbac-defaults' } });
    const extra = { verbs: ['get'], apiGroups: [''], resources: ['nodes'] };
    const patch = (at: string, body: unknown) => server.ask(at, { method: 'PATCH', headers: { 'content-type': 'application/merge-patch+json' }, body });
    await patch(path, { rules: [extra] });
    const kept = `${rbac}/clusterroles/system:monitoring`;
    await patch(kept, { metadata: { annotations: { 'rbac.authorization.k8s.io/autoupdate': 'false' } }, rules: [] });
    await patch(`${rbac}/clusterrolebindings/system:discovery`, { subjects: [] });
    const { revision } = server.store;
    await server.restart();
    expect((await server.ask(path)).json<{ rules: unknown[] }>().rules).toEqual([extra, ...before.rules as unknown[]]);
    expect((await server.ask(kept)).json()).not.toHaveProperty('rules.0');
    expect((await server.ask('/api', { identity: user('ann') })).status).toBe(200);
    // Two roles and a binding had changed; nothing else is written.
    expect(server.store.revision - revision).toBe(2);
  });
});

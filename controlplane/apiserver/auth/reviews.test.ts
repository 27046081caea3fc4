import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestServer, type Answer, type Identity } from '../test-server.ts';

const rbac = '/apis/rbac.authorization.k8s.io/v1';
const apiGroup = 'rbac.authorization.k8s.io';
let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start();
  await grant('pod-reader', 'User', 'ann', [{ verbs: ['get', 'list'], apiGroups: [''], resources: ['pods'] }]);
});
afterAll(async () => { await server.stop(); });

async function grant(name: string, kind: string, subject: string, rules: unknown[]): Promise<void> {
  const make = async (path: string, body: unknown): Promise<void> => {
    const { status, text } = await server.ask(path, { method: 'POST', body });
    if (status !== 201) throw new Error(text);
  };
  await make(`${rbac}/clusterroles`, { metadata: { name }, rules });
  await make(`${rbac}/clusterrolebindings`, { metadata: { name }, roleRef: { apiGroup, kind: 'ClusterRole', name }, subjects: [{ kind, name: subject }] });
}

const review = (plural: string, spec: unknown, identity?: Identity): Promise<Answer> => server.ask(`/apis/authorization.k8s.io/v1/${plural}`, { method: 'POST', body: { spec }, ...(identity && { identity }) });
const user = (name: string, ...groups: string[]): Identity => server.identity(name, groups);
const getPods = { namespace: 'default', verb: 'get', resource: 'pods' };

describe('access reviews', () => {
  it('say what one may do oneself, and why', async () => {
    const mine = async (spec: unknown, who = 'ann') => (await review('selfsubjectaccessreviews', spec, user(who))).json<{ status: unknown }>().status;
    expect(await mine({ resourceAttributes: getPods })).toEqual({ allowed: true, reason: 'RBAC: allowed by ClusterRoleBinding "pod-reader" of ClusterRole "pod-reader" to User "ann"' });
    expect(await mine({ resourceAttributes: { ...getPods, verb: 'delete' } })).toEqual({ allowed: false });
    expect(await mine({ resourceAttributes: getPods }, 'bob')).toEqual({ allowed: false });
    expect(await mine({ nonResourceAttributes: { verb: 'get', path: '/api' } })).toMatchObject({ allowed: true });
    expect(await mine({ nonResourceAttributes: { verb: 'get', path: '/metrics' } })).toEqual({ allowed: false });
  });

  it('say what others may do, to those who may ask', async () => {
    expect((await review('subjectaccessreviews', { user: 'ann', resourceAttributes: getPods })).json()).toMatchObject({ kind: 'SubjectAccessReview', status: { allowed: true } });
    expect((await review('subjectaccessreviews', { groups: ['system:masters'], resourceAttributes: { verb: '*', resource: '*', group: '*' } })).json()).toMatchObject({ status: { allowed: true } });
    expect((await review('subjectaccessreviews', { user: 'bob', resourceAttributes: getPods })).json()).toMatchObject({ status: { allowed: false } });
    expect((await review('subjectaccessreviews', { user: 'ann', resourceAttributes: getPods }, user('bob'))).status).toBe(403);
  });

  it('of one namespace are for that only', async () => {
    const local = (spec: unknown) => server.ask('/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews', { method: 'POST', body: { spec } });
    expect((await local({ user: 'ann', resourceAttributes: getPods })).json()).toMatchObject({ status: { allowed: true } });
    expect((await local({ user: 'ann', resourceAttributes: { ...getPods, namespace: 'other' } })).status).toBe(400);
    expect((await local({ user: 'ann', nonResourceAttributes: { verb: 'get', path: '/' } })).status).toBe(422);
    expect((await review('localsubjectaccessreviews', { user: 'ann', resourceAttributes: getPods })).status).toBe(404);
  });

  it('refuse what asks nothing, or two things', async () => {
    for (const spec of [{}, { resourceAttributes: getPods, nonResourceAttributes: { verb: 'get', path: '/' } }]) expect((await review('selfsubjectaccessreviews', spec)).status).toBe(422);
    expect((await review('subjectaccessreviews', { resourceAttributes: getPods })).json()).toMatchObject({ message: expect.stringContaining('spec.user: Invalid value: "": at least one of user or group must be specified') as string });
    expect((await review('selfsubjectaccessreviews', { resourceAttributes: 7 })).status).toBe(400);
    expect((await server.ask('/apis/authorization.k8s.io/v1/selfsubjectaccessreviews')).status).toBe(405);
  });

  it('list all rules of one', async () => {
    const { status } = (await review('selfsubjectrulesreviews', { namespace: 'default' }, user('ann'))).json<{ status: { resourceRules: unknown[]; nonResourceRules: unknown[]; incomplete: boolean } }>();
    expect(status.incomplete).toBe(false);
    expect(status.resourceRules).toContainEqual({ verbs: ['get', 'list'], apiGroups: [''], resources: ['pods'] });
    expect(status.nonResourceRules).toContainEqual(expect.objectContaining({ verbs: ['get'], nonResourceURLs: expect.arrayContaining(['/api']) as string[] }));
    expect((await review('selfsubjectrulesreviews', {}, user('ann'))).status).toBe(400);
  });
});

describe('impersonation', () => {
  const as = (headers: Record<string, string>, identity?: Identity): Promise<Answer> =>
    server.ask('/apis/authentication.k8s.io/v1/selfsubjectreviews', { method: 'POST', body: {}, headers, ...(identity && { identity }) });
  const whom = async (...args: Parameters<typeof as>): Promise<unknown> => (await as(...args)).json<{ status: { userInfo: unknown } }>().status.userInfo;

  it('makes an administrator anyone, with all that is known of users', async () => {
    expect(await whom({ 'Impersonate-User': 'ann' })).toEqual({ username: 'ann', groups: ['system:authenticated'] });
    expect(await whom({ 'Impersonate-User': 'ann', 'Impersonate-Group': 'dev', 'Impersonate-Uid': '42', 'Impersonate-Extra-scopes': 'view', 'Impersonate-Extra-acme.com%2Fteam': 'red' }))
      .toEqual({ username: 'ann', uid: '42', groups: ['dev', 'system:authenticated'], extra: { scopes: ['view'], 'acme.com/team': ['red'] } });
    expect(await whom({ 'Impersonate-User': 'system:serviceaccount:ci:builder' })).toMatchObject({ groups: ['system:serviceaccounts', 'system:serviceaccounts:ci', 'system:authenticated'] });
    expect((await as({ 'Impersonate-Group': 'dev' })).status).toBe(400);
  });

  it('is judged by the rights of whom it makes one', async () => {
    const pods = (headers: Record<string, string>) => server.ask('/api/v1/pods', { headers }).then(({ status }) => status);
    expect(await pods({ 'Impersonate-User': 'ann' })).toBe(200);
    expect(await pods({ 'Impersonate-User': 'bob' })).toBe(403);
  });

  it('is for those who may, each part by its own right', async () => {
    await grant('as-ann', 'User', 'deputy', [
      { verbs: ['impersonate'], apiGroups: [''], resources: ['users'], resourceNames: ['ann'] },
      { verbs: ['impersonate'], apiGroups: [''], resources: ['groups'], resourceNames: ['dev'] },
      { verbs: ['impersonate'], apiGroups: ['authentication.k8s.io'], resources: ['userextras/scopes'], resourceNames: ['view'] },
    ]);
    const deputy = user('deputy');
    expect((await as({ 'Impersonate-User': 'ann', 'Impersonate-Group': 'dev', 'Impersonate-Extra-Scopes': 'view' }, deputy)).status).toBe(201);
    const refused = async (headers: Record<string, string>): Promise<string> => (await as(headers, deputy)).json<{ message: string }>().message;
    expect(await refused({ 'Impersonate-User': 'bob' })).toBe('users "bob" is forbidden: User "deputy" cannot impersonate resource "users" in API group "" at the cluster scope');
    expect(await refused({ 'Impersonate-User': 'ann', 'Impersonate-Group': 'system:masters' })).toContain('groups "system:masters" is forbidden');
    expect(await refused({ 'Impersonate-User': 'ann', 'Impersonate-Uid': '1' })).toContain('uids.authentication.k8s.io "1" is forbidden');
    expect(await refused({ 'Impersonate-User': 'ann', 'Impersonate-Extra-Scopes': 'edit' })).toContain('userextras.authentication.k8s.io "edit" is forbidden');
    expect(await refused({ 'Impersonate-User': 'system:serviceaccount:default:default' })).toContain('serviceaccounts "default" is forbidden');
  });
});

describe('without credentials', () => {
  it('only health and version are told; all else is Unauthorized, not Forbidden', async () => {
    const ask = (path: string, headers: Record<string, string> = {}) => server.ask(path, { identity: 'none', headers });
    for (const path of ['/healthz', '/livez', '/readyz', '/version']) expect((await ask(path)).status, path).toBe(200);
    for (const path of ['/', '/api', '/apis', '/openapi/v2', '/metrics', '/api/v1/namespaces', '/.well-known/openid-configuration', '/nowhere']) {
      const answer = await ask(path);
      expect(answer.status, path).toBe(401);
      expect(answer.json()).toMatchObject({ kind: 'Status', status: 'Failure', reason: 'Unauthorized', code: 401 });
      expect(answer.headers['www-authenticate']).toContain('Bearer');
    }
    expect((await ask('/api', { authorization: 'Bearer wrong' })).status).toBe(401);
    expect((await ask('/api', { authorization: 'Basic YTpi' })).status).toBe(401);
    expect((await ask('/api', { authorization: 'Bearer weak-token' })).status).toBe(200);
    expect((await ask('/api/v1/namespaces', { authorization: 'Bearer weak-token' })).status).toBe(403);
    expect((await ask('/api/v1/namespaces', { authorization: 'Bearer secret-token' })).status).toBe(200);
  });

  it('a certificate that has ended, or of another CA, is none', async () => {
    expect((await server.ask('/api', { identity: server.identity('ann', [], -1000) })).status).toBe(401);
    const other = await TestServer.start();
    const stranger = other.identity('admin', ['system:masters']);
    await other.stop();
    expect((await server.ask('/api', { identity: stranger })).status).toBe(401);
    // A token beside it counts all the same.
    expect((await server.ask('/api', { identity: stranger, headers: { authorization: 'Bearer weak-token' } })).status).toBe(200);
    expect((await server.ask('/api', { identity: server.identity('ann') })).status).toBe(200);
  });
});

describe('bad input', () => {
  const paths = [
    '/apis/authorization.k8s.io/v1/subjectaccessreviews', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews',
    '/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews', '/apis/authentication.k8s.io/v1/tokenreviews', '/apis/authentication.k8s.io/v1/selfsubjectreviews',
    '/api/v1/namespaces/default/serviceaccounts/default/token', '/apis/certificates.k8s.io/v1/certificatesigningrequests', `${rbac}/clusterroles`, `${rbac}/clusterrolebindings`, `${rbac}/namespaces/default/rolebindings`,
  ];
  const words = fc.oneof(fc.constantFrom('', '*', 'get', 'pods', 'default', '/', 'a.b.c', 'system:masters', '__proto__', 'kubernetes.io/kubelet-serving'), fc.jsonValue({ maxDepth: 1 }));
  const field = fc.constantFrom('resourceAttributes', 'nonResourceAttributes', 'user', 'groups', 'extra', 'namespace', 'token', 'audiences', 'boundObjectRef', 'expirationSeconds', 'request', 'signerName', 'usages', 'fieldSelector', 'verb', 'resource');
  const some = fc.dictionary(field, fc.oneof(words, fc.array(words, { maxLength: 2 }), fc.dictionary(field, words, { maxKeys: 3 })), { maxKeys: 4 });
  const body = fc.record({ metadata: fc.oneof(fc.constant({ generateName: 'x-' }), words), spec: fc.oneof(some, words), rules: fc.oneof(fc.array(some, { maxLength: 2 }), words), roleRef: fc.oneof(some, words), subjects: fc.oneof(fc.array(some, { maxLength: 2 }), words) }, { requiredKeys: [] });

  it('is answered with a Status of the client\'s fault, never with one of ours', async () => {
    await fc.assert(fc.asyncProperty(fc.constantFrom(...paths), body, async (path, value) => {
      const { status, text } = await server.ask(path, { method: 'POST', body: value });
      expect(status, `${path} ${JSON.stringify(value)} ${text}`).toBeLessThan(500);
    }), { seed: 11, numRuns: 400 });
    for (const authorization of ['Bearer', 'Bearer ', `Bearer ${'a.'.repeat(9000)}`, `Bearer ${Buffer.from('{"alg":"none"}').toString('base64url')}.e30.`, 'Bearer eyJhbGciOiJFUzI1NiJ9.bnVsbA.AA', 'Bearer ' + '\u0080']) {
      expect((await server.ask('/api', { identity: 'none', headers: { authorization } })).status).toBe(401);
    }
  });
});

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CertificateSigningRequest, ClusterRole, Secret } from '#api/gen/types.ts';
import { certificateSigningRequests, clusterRoles, secrets, serviceAccounts } from '#api/kinds/resources.ts';
import { systemClock, type Clock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { makeKey, pem } from '#common/pki/certificate.ts';
import { makeSigningRequest } from '#common/pki/signing-request.ts';
import { TestServer, type Answer, type Identity } from '#controlplane/apiserver/test-server.ts';
import type { ApiClient } from '#controlplane/apiserver/types.ts';
import { Informers } from '#controlplane/cache/informers.ts';
import { ControllerManager } from './manager.ts';
import { controllers } from './registry.ts';

const names = ['certificate-approver', 'certificate-cleaner', 'certificate-signer', 'cluster-role-aggregation', 'service-account-token'];
const path = '/apis/certificates.k8s.io/v1/certificatesigningrequests';

/** The controllers that sign, over the real API. */
describe('controllers of credentials', () => {
  const stop = new AbortController();
  let aheadMs = 0;
  const clock: Clock = { ...systemClock, now: () => Date.now() + aheadMs };
  let server: TestServer;
  let client: ApiClient;
  let informers: Informers;

  beforeAll(async () => {
    server = await TestServer.start({ clock });
    client = server.api.client({ name: 'system:kube-controller-manager', groups: ['system:masters'] });
    informers = new Informers({ store: server.store, log: silentLog });
    const { tokens, authorizer } = server.api.access;
    const manager = new ControllerManager({
      informers, client, recorder: (component) => server.api.recorder({ component }), clock, log: silentLog, random: Math.random,
      controllers: Object.fromEntries(Object.entries(controllers).filter(([name]) => names.includes(name))),
    }, {
      podCidr: '10.42.0.0/16', nodeCidrMaskSize: 24, nodeMonitorGracePeriodMs: 40_000, burstReplicas: 500, rootCa: server.caPem, resources: [],
      credentials: { ca: server.ca, authorizer, tokenForSecret: (...about) => tokens.issueForSecret(...about) },
    });
    void informers.start(stop.signal);
    void manager.start(stop.signal);
  });
  afterAll(async () => {
    stop.abort(new Error('end'));
    await server.stop();
  });

  async function until<T>(look: () => T | undefined): Promise<T> {
    for (let i = 0; i < 500; i++) {
      const found = look();
      if (found !== undefined) return found;
      await new Promise((resolve) => { setTimeout(resolve, 10); });
    }
    throw new Error('it did not happen');
  }

  const key = makeKey();
  const request = (commonName: string, organizations: string[] = []): string => Buffer.from(pem('CERTIFICATE REQUEST', makeSigningRequest(key, { commonName, organizations }))).toString('base64');
  const spec = (over: Partial<CertificateSigningRequest['spec']> = {}): CertificateSigningRequest['spec'] => ({ request: request('jane', ['dev']), signerName: 'kubernetes.io/kube-apiserver-client', usages: ['client auth'], ...over });
  const ask = (name: string, over?: Partial<CertificateSigningRequest['spec']>, identity?: Identity): Promise<Answer> => server.ask(path, { method: 'POST', body: { metadata: { name }, spec: spec(over) }, ...(identity && { identity }) });
  const decide = (name: string, type: string, identity?: Identity): Promise<Answer> => server.ask(`${path}/${name}/approval`, {
    method: 'PATCH', headers: { 'content-type': 'application/strategic-merge-patch+json' }, body: { status: { conditions: [{ type, status: 'True', reason: 'Test' }] } }, ...(identity && { identity }),
  });
  const lister = () => informers.informer(certificateSigningRequests);
  const issued = (name: string): Promise<X509Certificate> => until(() => {
    const certificate = lister().get(undefined, name)?.status?.certificate;
    return certificate === undefined ? undefined : new X509Certificate(Buffer.from(certificate, 'base64'));
  });
  const condition = (name: string, type: string) => until(() => lister().get(undefined, name)?.status?.conditions?.find((one) => one.type === type));

  it('a request that a person approves becomes a certificate that lets its owner in', async () => {
    const made = await ask('jane', { expirationSeconds: 3600, username: 'mallory', groups: ['system:masters'] });
    expect(made.status).toBe(201);
    expect(made.json()).toMatchObject({ spec: { username: 'admin', groups: ['system:masters', 'system:authenticated'] }, status: {} });
    const approved = await decide('jane', 'Approved');
    expect(approved.json()).toMatchObject({ status: { conditions: [{ type: 'Approved', status: 'True', lastUpdateTime: expect.any(String) as string, lastTransitionTime: expect.any(String) as string }] } });
    const certificate = await issued('jane');
    expect(certificate.checkPrivateKey(createPrivateKey(key))).toBe(true);
    expect(certificate.validToDate.getTime()).toBeLessThanOrEqual(Date.now() + 3_600_000);
    const review = await server.ask('/apis/authentication.k8s.io/v1/selfsubjectreviews', { method: 'POST', body: {}, identity: { key, cert: certificate.toString() } });
    expect(review.json()).toMatchObject({ status: { userInfo: { username: 'jane', groups: ['dev', 'system:authenticated'] } } });
    const table = await server.ask(`${path}/jane`, { headers: { accept: 'application/json;as=Table;g=meta.k8s.io;v=v1' } });
    expect(table.json<{ rows: { cells: unknown[] }[] }>().rows[0]?.cells.slice(2)).toEqual(['kubernetes.io/kube-apiserver-client', 'admin', '60m', 'Approved,Issued']);
  });

  it('a decision is final', async () => {
    await ask('final');
    expect((await decide('final', 'Denied')).status).toBe(200);
    const conditions = async (...types: string[]) => server.ask(`${path}/final/approval`, {
      method: 'PATCH', headers: { 'content-type': 'application/merge-patch+json' }, body: { status: { conditions: types.map((type) => ({ type, status: 'True' })) } },
    });
    expect((await conditions('Denied', 'Approved')).json()).toMatchObject({ code: 422, message: expect.stringContaining('Approved and Denied conditions are mutually exclusive') as string });
    expect((await conditions()).json()).toMatchObject({ code: 422, message: expect.stringContaining('updates may not remove a condition of type "Denied"') as string });
    const byStatus = await server.ask(`${path}/final/status`, { method: 'PATCH', headers: { 'content-type': 'application/merge-patch+json' }, body: { status: { conditions: [{ type: 'Denied', status: 'True' }, { type: 'Approved', status: 'True' }] } } });
    expect(byStatus.json()).toMatchObject({ code: 422, message: expect.stringContaining('updates may not add a condition of type "Approved"') as string });
  });

  it('deciding and signing are for those who may for that signer', async () => {
    const rbac = '/apis/rbac.authorization.k8s.io/v1';
    const apiGroup = 'rbac.authorization.k8s.io';
    const rules = [{ verbs: ['get', 'create', 'patch'], apiGroups: ['certificates.k8s.io'], resources: ['certificatesigningrequests', 'certificatesigningrequests/approval', 'certificatesigningrequests/status'] }];
    await server.ask(`${rbac}/clusterroles`, { method: 'POST', body: { metadata: { name: 'officer' }, rules } });
    await server.ask(`${rbac}/clusterrolebindings`, { method: 'POST', body: { metadata: { name: 'officer' }, roleRef: { apiGroup, kind: 'ClusterRole', name: 'officer' }, subjects: [{ kind: 'User', name: 'olga' }, { kind: 'User', name: 'petra' }] } });
    await server.ask(`${rbac}/clusterroles`, { method: 'POST', body: { metadata: { name: 'acme' }, rules: [{ verbs: ['approve', 'sign'], apiGroups: ['certificates.k8s.io'], resources: ['signers'], resourceNames: ['acme.com/*'] }] } });
    await server.ask(`${rbac}/clusterrolebindings`, { method: 'POST', body: { metadata: { name: 'acme' }, roleRef: { apiGroup, kind: 'ClusterRole', name: 'acme' }, subjects: [{ kind: 'User', name: 'petra' }] } });
    const [olga, petra] = [server.identity('olga'), server.identity('petra')];
    await ask('acme', { signerName: 'acme.com/person' }, olga);
    expect((await decide('acme', 'Approved', olga)).json()).toMatchObject({ code: 403, message: 'certificatesigningrequests.certificates.k8s.io "acme" is forbidden: user not permitted to approve requests with signerName "acme.com/person"' });
    expect((await decide('acme', 'Approved', petra)).status).toBe(200);
    const certificate = Buffer.from(server.caPem).toString('base64');
    const sign = (identity: Identity) => server.ask(`${path}/acme/status`, { method: 'PATCH', headers: { 'content-type': 'application/merge-patch+json' }, body: { status: { certificate } }, identity });
    expect((await sign(olga)).json()).toMatchObject({ code: 403, message: expect.stringContaining('user not permitted to sign requests with signerName "acme.com/person"') as string });
    expect((await sign(petra)).status).toBe(200);
    await ask('ours', {}, olga);
    expect((await decide('ours', 'Approved', petra)).status).toBe(403);
  });

  it('its subresources are read and written as those of other kinds', async () => {
    await ask('parts', { signerName: 'example.com/any', usages: ['digital signature', 'key encipherment', 'server auth'] });
    const merge = { 'content-type': 'application/merge-patch+json' };
    const at = (sub: string) => `${path}/parts/${sub}`;
    const condition = (type: string) => ({ type, status: 'True', reason: 'Test', message: 'Set by a test' });
    expect((await server.ask(at('approval'))).json()).toMatchObject({ kind: 'CertificateSigningRequest', metadata: { name: 'parts' } });
    const patched = await server.ask(at('approval'), { method: 'PATCH', headers: merge, body: { metadata: { annotations: { patched: 'true' } }, status: { conditions: [condition('ApprovalPatch')] } } });
    expect(patched.json()).toMatchObject({ metadata: { annotations: { patched: 'true' } }, status: { conditions: [condition('ApprovalPatch')] } });
    const object = patched.json<CertificateSigningRequest>();
    const updated = await server.ask(at('approval'), { method: 'PUT', body: { ...object, status: { certificate: 'bm90IG1pbmU=', conditions: [...object.status?.conditions ?? [], condition('Approved')] } } });
    expect(updated.json<CertificateSigningRequest>().status).toEqual({ conditions: [expect.objectContaining(condition('ApprovalPatch')), expect.objectContaining(condition('Approved'))] });
    const rubbish = await server.ask(at('status'), { method: 'PATCH', headers: merge, body: { status: { certificate: 'AAAA' } } });
    expect(rubbish.json()).toMatchObject({ code: 422, message: expect.stringContaining('status.certificate: Invalid value: "<certificate data>"') as string });
    const signed = await server.ask(at('status'), { method: 'PATCH', headers: merge, body: { metadata: { annotations: { signed: 'true' } }, status: { certificate: Buffer.from(server.caPem).toString('base64') } } });
    expect(signed.json()).toMatchObject({ metadata: { annotations: { patched: 'true', signed: 'true' } }, status: { certificate: Buffer.from(server.caPem).toString('base64') } });
    const again = await server.ask(at('status'), { method: 'PATCH', headers: merge, body: { status: { certificate: 'AAAA' } } });
    expect(again.json()).toMatchObject({ code: 422, message: expect.stringContaining('status.certificate: Forbidden: updates may not modify existing certificate content') as string });
    // The request itself stays as it was asked.
    const changed = await server.ask(`${path}/parts`, { method: 'PATCH', headers: merge, body: { spec: { username: 'mallory', signerName: 'kubernetes.io/kube-apiserver-client' }, metadata: { labels: { a: 'b' } } } });
    expect(changed.json()).toMatchObject({ metadata: { labels: { a: 'b' } }, spec: { username: 'admin', signerName: 'example.com/any' } });
    expect((await server.ask(at('approval'), { method: 'DELETE' })).status).toBe(405);
  });

  it('what cannot be a request is refused', async () => {
    const message = async (over: Partial<CertificateSigningRequest['spec']>): Promise<string> => (await ask('bad', over)).json<{ message: string }>().message;
    expect(await message({ request: Buffer.from('rubbish').toString('base64') })).toContain('spec.request: Invalid value');
    expect(await message({ signerName: 'kubernetes.io/legacy-unknown' })).toContain('the legacy signerName is not allowed via this API version');
    expect(await message({ signerName: 'acme' })).toContain("must be a fully qualified domain and path of the form 'example.com/signer-name'");
    expect(await message({ usages: [] })).toContain('spec.usages: Required value');
    expect(await message({ usages: ['fishing'] })).toContain('spec.usages[0]: Unsupported value: "fishing"');
    expect(await message({ expirationSeconds: 60 })).toContain('may not specify a duration less than 600 seconds (10 minutes)');
    expect(await message({ request: request('eve', ['system:masters']) })).toContain('use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed');
  });

  it('signers keep to what they are for', async () => {
    await ask('server-for-client', { usages: ['server auth'] });
    await decide('server-for-client', 'Approved');
    expect(await condition('server-for-client', 'Failed')).toMatchObject({ reason: 'SignerValidationFailure', message: expect.stringContaining('usages did not match') as string });
    await ask('no-node', { signerName: 'kubernetes.io/kube-apiserver-client-kubelet', usages: ['client auth', 'digital signature'] });
    await decide('no-node', 'Approved');
    expect(await condition('no-node', 'Failed')).toMatchObject({ message: 'subject organization is not system:nodes' });
    await ask('no-names', { signerName: 'kubernetes.io/kubelet-serving', usages: ['server auth', 'digital signature'], request: request('system:node:n', ['system:nodes']) });
    await decide('no-names', 'Approved');
    expect(await condition('no-names', 'Failed')).toMatchObject({ message: 'DNS or IP subjectAltName is required' });
  });

  it('a node\'s own client certificate is approved where roles say so, and only its own', async () => {
    await server.ask('/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', { method: 'POST', body: {
      metadata: { name: 'renewal' }, subjects: [{ kind: 'Group', name: 'system:nodes' }],
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'system:certificates.k8s.io:certificatesigningrequests:selfnodeclient' },
    } });
    const node = server.identity('system:node:one', ['system:nodes']);
    const own = { signerName: 'kubernetes.io/kube-apiserver-client-kubelet', usages: ['client auth', 'digital signature'] };
    expect((await ask('one', { ...own, request: request('system:node:one', ['system:nodes']) }, node)).status).toBe(201);
    expect((await issued('one')).subject).toBe('O=system:nodes\nCN=system:node:one');
    expect((await ask('two', { ...own, request: request('system:node:two', ['system:nodes']) }, node)).json()).toMatchObject({ code: 403, message: expect.stringContaining('can only create a node CSR with CN=system:node:one') as string });
    await ask('by-admin', { ...own, request: request('system:node:three', ['system:nodes']) });
    expect((await condition('by-admin', 'Approved')).reason).toBe('AutoApproved');
  });

  it('old requests go', async () => {
    await ask('old');
    await until(() => lister().get(undefined, 'old'));
    aheadMs = 25 * 3_600_000;
    await client.patch(certificateSigningRequests, undefined, 'old', 'merge', { metadata: { labels: { look: 'again' } } });
    await until(() => (lister().get(undefined, 'old') === undefined ? true : undefined));
    aheadMs = 0;
  });

  it('aggregated roles have the rules of their parts', async () => {
    const rules = (name: string): ClusterRole['rules'] => informers.informer(clusterRoles).get(undefined, name)?.rules;
    await until(() => rules('admin')?.find(({ resources }) => resources?.includes('rolebindings')));
    await until(() => rules('admin')?.find(({ resources }) => resources?.includes('configmaps')));
    expect(rules('view')?.some(({ resources }) => resources?.includes('secrets'))).toBe(false);
    await client.create<ClusterRole>(clusterRoles, { metadata: { name: 'crontabs', labels: { 'rbac.authorization.k8s.io/aggregate-to-view': 'true' } }, rules: [{ verbs: ['get'], apiGroups: ['stable.example.com'], resources: ['crontabs'] }] });
    await until(() => rules('admin')?.find(({ resources }) => resources?.includes('crontabs')));
    await client.delete(clusterRoles, undefined, 'crontabs');
    await until(() => (rules('admin')?.some(({ resources }) => resources?.includes('crontabs')) ? undefined : true));
  });

  it('a Secret for a service account gets a token that works until the Secret or the account goes', async () => {
    await client.create(serviceAccounts, { metadata: { name: 'old-style', namespace: 'default' } });
    const make = (name: string) => client.create<Secret>(secrets, { type: 'kubernetes.io/service-account-token', metadata: { name, namespace: 'default', annotations: { 'kubernetes.io/service-account.name': 'old-style' } } });
    const token = (name: string) => until(() => informers.informer(secrets).get('default', name)?.data?.['token']).then((data) => Buffer.from(data, 'base64').toString());
    const status = async (value: string) => (await server.ask('/apis/authentication.k8s.io/v1/selfsubjectreviews', { method: 'POST', body: {}, identity: 'none', headers: { authorization: `Bearer ${value}` } })).status;
    await make('first');
    await make('second');
    const [first, second] = [await token('first'), await token('second')];
    expect([await status(first), await status(second)]).toEqual([201, 201]);
    await client.delete(secrets, 'default', 'first');
    expect([await status(first), await status(second)]).toEqual([401, 201]);
    await client.delete(serviceAccounts, 'default', 'old-style');
    expect(await status(second)).toBe(401);
    await until(() => (informers.informer(secrets).get('default', 'second') === undefined ? true : undefined));
  });
});

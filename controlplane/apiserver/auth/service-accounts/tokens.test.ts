import { createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Clock } from '#common/clock.ts';
import { systemClock } from '#common/clock.ts';
import { makeKey } from '#common/pki/certificate.ts';
import { TestServer, type Answer } from '../../test-server.ts';
import { TokenAuthority } from './token-authority.ts';
import { isSignedWith, signingKey, signToken, unverifiedClaims } from './jwt.ts';

let server: TestServer;
let aheadMs = 0;
const clock: Clock = { ...systemClock, now: () => Date.now() + aheadMs };
beforeAll(async () => {
  server = await TestServer.start({ clock });
  await create('/api/v1/namespaces', { metadata: { name: 'ci' } });
  await create('/api/v1/namespaces/ci/serviceaccounts', { metadata: { name: 'builder' } });
  await create('/api/v1/namespaces/ci/serviceaccounts', { metadata: { name: 'default' } });
});
afterAll(async () => { await server.stop(); });

interface Named { metadata: { name: string; uid: string } }
const create = async (path: string, body: unknown): Promise<Named> => {
  const answer = await server.ask(path, { method: 'POST', body });
  if (answer.status !== 201) throw new Error(answer.text);
  return answer.json<Named>();
};
const remove = (path: string): Promise<Answer> => server.ask(`${path}?gracePeriodSeconds=0`, { method: 'DELETE' });
const request = (spec: unknown, account = 'builder'): Promise<Answer> => server.ask(`/api/v1/namespaces/ci/serviceaccounts/${account}/token`, { method: 'POST', body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec } });
const token = async (spec: unknown = {}, account?: string): Promise<string> => (await request(spec, account)).json<{ status: { token: string } }>().status.token;
const bearer = (value: string): { identity: 'none'; headers: Record<string, string> } => ({ identity: 'none', headers: { authorization: `Bearer ${value}` } });
const whoami = (value: string): Promise<Answer> => server.ask('/apis/authentication.k8s.io/v1/selfsubjectreviews', { method: 'POST', body: {}, ...bearer(value) });
const status = async (value: string): Promise<number> => (await whoami(value)).status;

describe('a JSON Web Token', () => {
  const key = signingKey(makeKey());

  it('is believed when its key has signed it as it stands', () => {
    const good = signToken(key, { iss: 'x', n: 1 });
    const [header = '', payload = '', signature = ''] = good.split('.');
    expect(isSignedWith(key, good)).toBe(true);
    expect(unverifiedClaims(good)).toEqual({ iss: 'x', n: 1 });
    const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const forged = (head: unknown, sig: string): string => `${encode(head)}.${payload}.${sig}`;
    for (const bad of [
      `${header}.${encode({ iss: 'x', n: 2 })}.${signature}`, `${header}.${payload}.`, `${header}.${payload}`, `${header}.${payload}.${signature}A`, `${header}.${payload}.${signature}=`,
      forged({ alg: 'none' }, ''), forged({ alg: 'none' }, signature), forged({ alg: 'HS256', kid: key.id }, signature),
      forged({ alg: 'RS256' }, sign('sha256', Buffer.from(`${encode({ alg: 'RS256' })}.${payload}`), rsa.privateKey).toString('base64url')),
      signToken(signingKey(makeKey()), { iss: 'x', n: 1 }), '', '..', 'a.b.c',
    ]) expect(isSignedWith(key, bad), bad).toBe(false);
  });
});

describe('a service account\'s token', () => {
  it('says who its account is, and in which groups', async () => {
    const made = await request({});
    expect(made.status).toBe(201);
    const review = (await whoami(made.json<{ status: { token: string } }>().status.token)).json<{ status: { userInfo: Record<string, unknown> } }>();
    expect(review.status.userInfo).toMatchObject({
      username: 'system:serviceaccount:ci:builder', uid: expect.any(String) as string,
      groups: ['system:serviceaccounts', 'system:serviceaccounts:ci', 'system:authenticated'],
      extra: { 'authentication.kubernetes.io/credential-id': [expect.stringMatching(/^JTI=[0-9a-f-]{36}$/)] },
    });
    expect(unverifiedClaims(await token())).toMatchObject({ iss: 'https://kubernetes.default.svc.cluster.local', aud: ['https://kubernetes.default.svc.cluster.local'], sub: 'system:serviceaccount:ci:builder', 'kubernetes.io': { namespace: 'ci', serviceaccount: { name: 'builder' } } });
  });

  it('is refused when it was changed, made by others, or of a kind that is not known', async () => {
    const good = await token();
    expect(await status(good)).toBe(201);
    const claims = { ...unverifiedClaims(good), sub: 'system:serviceaccount:ci:default' };
    for (const bad of [`${good.slice(0, -4)}AAAA`, signToken(signingKey(makeKey()), unverifiedClaims(good)), signToken(signingKey(makeKey()), claims), 'abc', 'a.b.c']) {
      const answer = await whoami(bad);
      expect(answer.status, bad).toBe(401);
      expect(answer.json()).toMatchObject({ kind: 'Status', reason: 'Unauthorized', message: 'Unauthorized', code: 401 });
    }
  });

  it('ends when its time is up, and lasts as long as was asked for', async () => {
    const [short, long] = [await token({ expirationSeconds: 600 }), await token({ expirationSeconds: 7200 })];
    aheadMs = 590_000;
    expect([await status(short), await status(long)]).toEqual([201, 201]);
    aheadMs = 700_000;
    expect([await status(short), await status(long)]).toEqual([401, 201]);
    // A host without a clock battery boots in 1970.
    aheadMs = -Date.now();
    expect([await status(short), await status(long), await status(await token())]).toEqual([201, 201, 201]);
    aheadMs = 0;
    expect((await request({ expirationSeconds: 599 })).json()).toMatchObject({ code: 422, message: expect.stringContaining('spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes') as string });
    expect((await request({ expirationSeconds: 2 ** 32 + 1 })).status).toBe(422);
  });

  it('is for those it names only', async () => {
    const vault = await token({ audiences: ['vault'] });
    expect(await status(vault)).toBe(401);
    const review = async (value: string, audiences?: string[]): Promise<unknown> => (await server.ask('/apis/authentication.k8s.io/v1/tokenreviews', { method: 'POST', body: { spec: { token: value, ...(audiences && { audiences }) } } })).json<{ status: unknown }>().status;
    expect(await review(vault, ['vault', 'other'])).toMatchObject({ authenticated: true, audiences: ['vault'], user: { username: 'system:serviceaccount:ci:builder', groups: ['system:serviceaccounts', 'system:serviceaccounts:ci', 'system:authenticated'] } });
    expect(await review(vault)).toMatchObject({ user: {}, error: expect.stringContaining('invalid bearer token') as string });
    expect(await review(vault)).not.toHaveProperty('authenticated');
    expect(await review(await token())).toMatchObject({ authenticated: true });
    expect(await review('rubbish')).toMatchObject({ error: expect.stringContaining('invalid bearer token') as string });
  });

  it('goes with its account', async () => {
    await create('/api/v1/namespaces/ci/serviceaccounts', { metadata: { name: 'passing' } });
    const value = await token({}, 'passing');
    expect(await status(value)).toBe(201);
    await remove('/api/v1/namespaces/ci/serviceaccounts/passing');
    expect(await status(value)).toBe(401);
    await create('/api/v1/namespaces/ci/serviceaccounts', { metadata: { name: 'passing' } });
    expect(await status(value)).toBe(401);
    expect(await status(await token({}, 'passing'))).toBe(201);
    expect((await request({}, 'nobody')).status).toBe(404);
  });

  it('goes with the pod or the secret that it is bound to', async () => {
    const pod = await create('/api/v1/namespaces/ci/pods', { metadata: { name: 'job' }, spec: { serviceAccountName: 'builder', containers: [{ name: 'c', image: 'i' }] } });
    const secret = await create('/api/v1/namespaces/ci/secrets', { metadata: { name: 'held' } });
    const ofPod = await token({ boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: 'job', uid: pod.metadata.uid } });
    const ofSecret = await token({ boundObjectRef: { apiVersion: 'v1', kind: 'Secret', name: 'held' } });
    expect((await whoami(ofPod)).json()).toMatchObject({ status: { userInfo: { extra: { 'authentication.kubernetes.io/pod-name': ['job'], 'authentication.kubernetes.io/pod-uid': [pod.metadata.uid] } } } });
    expect([await status(ofPod), await status(ofSecret)]).toEqual([201, 201]);
    expect((await request({ boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: 'job', uid: 'other' } })).status).toBe(409);
    expect((await request({ boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: 'none' } })).status).toBe(404);
    expect((await request({ boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: 'job' } }, 'default')).json()).toMatchObject({ code: 400, message: 'cannot bind token for serviceaccount "default" to pod running with different serviceaccount name.' });
    expect((await request({ boundObjectRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'x' } })).status).toBe(400);
    await remove('/api/v1/namespaces/ci/secrets/held');
    expect([await status(ofPod), await status(ofSecret), secret.metadata.name]).toEqual([201, 401, 'held']);
    await remove('/api/v1/namespaces/ci/pods/job');
    expect(await status(ofPod)).toBe(401);
  });

  it('of a pod that did not choose lives on for programs that read it once, and says since when it is late', async () => {
    await create('/api/v1/namespaces/ci/pods', { metadata: { name: 'old' }, spec: { serviceAccountName: 'builder', containers: [{ name: 'c', image: 'i' }] } });
    const claims = unverifiedClaims(await token({ expirationSeconds: 3607, boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: 'old' } }));
    expect(Number(claims?.['exp']) - Number(claims?.['iat'])).toBe(365 * 24 * 3600);
    const about = claims?.['kubernetes.io'] as { warnafter: number } | undefined;
    expect(Number(about?.warnafter) - Number(claims?.['iat'])).toBe(3607);
  });

  it('is made by those who may', async () => {
    const asked = await server.ask('/api/v1/namespaces/ci/serviceaccounts/builder/token', { method: 'POST', body: { spec: {} }, ...bearer(await token()) });
    expect(asked.json()).toMatchObject({ code: 403, message: 'serviceaccounts "builder" is forbidden: User "system:serviceaccount:ci:builder" cannot create resource "serviceaccounts/token" in API group "" in the namespace "ci"' });
  });

  it('stays good when another key has taken over, as long as the old one is named', () => {
    const [old, now] = [makeKey(), makeKey()];
    const config = (key: string, oldKeys = '') => new TokenAuthority(clock, { key, oldKeys, issuer: 'i', jwksUri: '' });
    const publicKey = (key: string): string => String(createPublicKey(createPrivateKey(key)).export({ type: 'spki', format: 'pem' }));
    const bound = { namespace: 'n', serviceAccount: { name: 'a', uid: 'u' } };
    const { token: before } = config(old).issue(bound, [], 3600);
    const both = config(now, publicKey(makeKey()) + publicKey(old));
    expect(both.verify(before)).toMatchObject(bound);
    expect(both.verify(both.issue(bound, [], 3600).token)).toMatchObject(bound);
    expect((both.keySet as { keys: unknown[] }).keys).toHaveLength(3);
    expect(config(now).verify(before)).toEqual({ problem: 'invalid signature' });
  });

  it('survives a restart of the server', async () => {
    const value = await token();
    await server.restart();
    expect(await status(value)).toBe(201);
  });

  it('can be checked by others with the published key', async () => {
    const value = await token();
    const get = (path: string) => server.ask(path, bearer(value));
    const configuration = (await get('/.well-known/openid-configuration')).json<{ issuer: string; jwks_uri: string }>();
    expect(configuration).toMatchObject({ issuer: unverifiedClaims(value)?.['iss'], id_token_signing_alg_values_supported: ['ES256'], jwks_uri: expect.stringMatching(/\/openid\/v1\/jwks$/) as string });
    const keys = await get('/openid/v1/jwks');
    expect(keys.headers['content-type']).toBe('application/jwk-set+json');
    const [jwk] = keys.json<{ keys: { kid: string; alg: string; use: string }[] }>().keys;
    const [header = '', payload = '', signature = ''] = value.split('.');
    expect(JSON.parse(Buffer.from(header, 'base64url').toString())).toEqual({ alg: 'ES256', kid: jwk?.kid });
    const publicKey = createPublicKey({ key: { ...jwk }, format: 'jwk' });
    expect(verify('sha256', Buffer.from(`${header}.${payload}`), { key: publicKey, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url'))).toBe(true);
    expect(() => createPrivateKey({ key: { ...jwk }, format: 'jwk' })).toThrow();
    expect((await server.ask('/openid/v1/jwks', { identity: server.identity('jane') })).status).toBe(403);
    expect((await server.ask('/openid/v1/jwks', { identity: 'none' })).status).toBe(401);
  });
});

describe('a bootstrap token', () => {
  const secret = (id: string, extra: Record<string, string> = {}): unknown => ({
    metadata: { name: `bootstrap-token-${id}` }, type: 'bootstrap.kubernetes.io/token',
    stringData: { 'token-id': id, 'token-secret': '0123456789abcdef', 'usage-bootstrap-authentication': 'true', ...extra },
  });
  const make = (id: string, extra?: Record<string, string>) => create('/api/v1/namespaces/kube-system/secrets', secret(id, extra));

  it('is a user of the group system:bootstrappers, and of groups that its secret names', async () => {
    await make('aaaaaa', { 'auth-extra-groups': 'system:bootstrappers:worker' });
    expect((await whoami('aaaaaa.0123456789abcdef')).json()).toMatchObject({ status: { userInfo: { username: 'system:bootstrap:aaaaaa', groups: ['system:bootstrappers', 'system:bootstrappers:worker', 'system:authenticated'] } } });
  });

  it('is refused when it is wrong, has ended, is not meant for this, or is gone', async () => {
    await make('bbbbbb', { expiration: '2020-01-01T00:00:00Z' });
    await make('cccccc', { 'usage-bootstrap-authentication': 'false' });
    await make('dddddd', { 'auth-extra-groups': 'system:masters' });
    await make('eeeeee', { expiration: 'soon' });
    expect(await Promise.all(['bbbbbb', 'cccccc', 'dddddd', 'eeeeee', 'ffffff'].map((id) => status(`${id}.0123456789abcdef`)))).toEqual([401, 401, 401, 401, 401]);
    expect(await status('aaaaaa.0123456789abcdee')).toBe(401);
    await remove('/api/v1/namespaces/kube-system/secrets/bootstrap-token-aaaaaa');
    expect(await status('aaaaaa.0123456789abcdef')).toBe(401);
  });
});

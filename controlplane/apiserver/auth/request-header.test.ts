import { createPrivateKey, createPublicKey } from 'node:crypto';
import * as https from 'node:https';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { issueCertificate, makeKey } from '#common/pki/certificate.ts';
import { testCa } from '../aggregation/testing.ts';
import { TestServer, type Identity } from '../test-server.ts';

const dayMs = 86_400_000;

describe('a proxy in front of the API', () => {
  const ca = testCa('front-proxy-ca');
  let server: TestServer;
  const issued = (commonName: string, organizations: string[] = [], lifetimeMs = dayMs): Identity => {
    const key = makeKey();
    return { key, cert: issueCertificate(ca, { subject: { commonName, organizations }, usage: 'client', publicKey: createPublicKey(createPrivateKey(key)), nowMs: Date.now(), lifetimeMs }) };
  };
  beforeAll(async () => { server = await TestServer.start({ frontProxy: { ca: ca.certPem, client: () => Promise.reject(new Error('not asked')) } }); });
  afterAll(async () => { await server.stop(); });

  /** Who the server takes a request for; its status where it takes it for nobody. */
  async function whoAmI(identity: Identity | 'none', headers: Record<string, string | string[]>): Promise<unknown> {
    const body = '{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1"}';
    return new Promise((resolve, reject) => {
      const request = https.request({
        host: '127.0.0.1', port: server.port, path: '/apis/authentication.k8s.io/v1/selfsubjectreviews', method: 'POST', ca: server.caPem, servername: 'localhost', agent: false, ...(identity !== 'none' && identity),
        headers: { ...headers, 'content-type': 'application/json', 'content-length': String(body.length) },
      }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => { text += chunk; });
        response.on('end', () => { resolve(response.statusCode === 201 ? (JSON.parse(text) as { status: { userInfo: unknown } }).status.userInfo : response.statusCode); });
      });
      request.on('error', reject).end(body);
    });
  }

  it('is believed, when it shows its certificate', async () => {
    expect(await whoAmI(issued('front-proxy-client'), { 'X-Remote-User': 'jané', 'X-Remote-Group': ['a', 'b'], 'X-Remote-Uid': '7', 'X-Remote-Extra-example.com%2Fscope': ['x', 'y'] }))
      .toEqual({ username: 'jané', groups: ['a', 'b', 'system:authenticated'], uid: '7', extra: { 'example.com/scope': ['x', 'y'] } });
  });

  it('is nobody by itself, whatever its certificate says, and brings nothing to others', async () => {
    const headers = { 'X-Remote-User': 'root', 'X-Remote-Group': 'system:masters' };
    expect(await whoAmI(issued('front-proxy-client', ['system:masters']), {})).toBe(401);
    expect(await whoAmI(issued('admin', ['system:masters']), {})).toBe(401);
    expect(await whoAmI(issued('somebody-else'), headers)).toBe(401);
    expect(await whoAmI(issued('front-proxy-client', [], -1), headers)).toBe(401);
    expect(await whoAmI('none', headers)).toBe(401);
    // With a certificate of one's own the headers say nothing.
    expect(await whoAmI(server.identity('front-proxy-client'), headers)).toMatchObject({ username: 'front-proxy-client', groups: ['system:authenticated'] });
    expect(await whoAmI(issued('front-proxy-client'), { authorization: 'Bearer weak-token' })).toMatchObject({ username: 'jane' });
  });
});

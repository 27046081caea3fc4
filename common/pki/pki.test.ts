import { createPrivateKey, createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, createServer, type TLSSocket } from 'node:tls';
import fc from 'fast-check';
import { parse } from 'yaml';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isStatus } from '../errors.ts';
import { fingerprintOf, issueCertificate, makeCaCertificate, makeKey, publicKeySha256, subjectOf } from './certificate.ts';
import { formatJoinToken, makeJoinToken, parseJoinToken } from './join-token.ts';
import { writeKubeconfig } from './kubeconfig.ts';
import { firstAddress, serverNames } from './server-names.ts';
import { makeSigningRequest, verifySigningRequest } from './signing-request.ts';
import { ensureLeaf, loadOrCreateCa } from './store.ts';
import { isExpired, isSignedBy, leafLifetimeMs, releaseDateMs, renewAtMs, timeFloor } from './validity.ts';

const now = Date.UTC(2026, 10, 21);
let folder: string;
beforeEach(async () => { folder = await mkdtemp(join(tmpdir(), 'cleat-pki-')); });
afterEach(async () => { await rm(folder, { recursive: true, force: true }); });

describe('the CA', () => {
  it('is made once, kept with mode 0600, and lasts more than ten years', async () => {
    const first = await loadOrCreateCa(folder, now);
    const again = await loadOrCreateCa(folder, now + 1e9);
    expect(again.certPem).toBe(first.certPem);
    expect(fingerprintOf(first.certificate)).toMatch(/^[0-9a-f]{64}$/);
    expect(first.certificate.validToDate.getTime()).toBeGreaterThan(now + 10 * leafLifetimeMs);
    for (const name of await readdir(folder)) expect((await stat(join(folder, name))).mode & 0o777).toBe(0o600);
  });

  it('goes on with the key of a first start that was cut short', async () => {
    const key = makeKey();
    await writeFile(join(folder, 'ca.key'), key);
    expect((await loadOrCreateCa(folder, now)).certificate.checkPrivateKey(createPrivateKey(key))).toBe(true);
  });

  it.each([
    ['a lost key', async () => { await rm(join(folder, 'ca.key')); }, /ca\.key is missing/],
    ['a key of something else', async () => { await writeFile(join(folder, 'ca.key'), makeKey()); }, /cannot be used/],
    ['garbage', async () => { await writeFile(join(folder, 'ca.crt'), 'garbage'); }, /cannot be used.*backup/],
    ['a folder in its place', async () => { await rm(join(folder, 'ca.crt')); await (await import('node:fs/promises')).mkdir(join(folder, 'ca.crt')); }, /cannot read/],
  ])('is never replaced: %s', async (_name, damage, message) => {
    await loadOrCreateCa(folder, now);
    await damage();
    await expect(loadOrCreateCa(folder, now)).rejects.toThrow(message);
  });
});

describe('leafs', () => {
  const names = ['example', '10.1.2.3', 'fd00::12', '::1', '::ffff:1.2.3.4', 'agents.cleat.internal'];

  it('serve TLS: both sides verify with the CA only', async () => {
    const ca = await loadOrCreateCa(folder, now);
    const server = await ensureLeaf(folder, 'server', ca, { subject: { commonName: 'api' }, usage: 'server', names }, now);
    const client = await ensureLeaf(folder, 'admin', ca, { subject: { commonName: 'admin', organizations: ['system:masters'] }, usage: 'client' }, now);
    const listener = createServer({ cert: server.certPem + ca.certPem, key: server.keyPem, ca: ca.certPem, requestCert: true, rejectUnauthorized: true }).listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const accepted = once(listener, 'secureConnection') as Promise<[TLSSocket]>;
    const socket = connect({ port: (listener.address() as AddressInfo).port, host: '127.0.0.1', servername: 'agents.cleat.internal', ca: ca.certPem, cert: client.certPem, key: client.keyPem });
    const [[peer]] = await Promise.all([accepted, once(socket, 'secureConnect')]);
    expect(socket.authorized).toBe(true);
    expect(peer.authorized).toBe(true);
    expect(subjectOf(peer.getPeerX509Certificate()!)).toEqual({ commonName: 'admin', organizations: ['system:masters'] });
    socket.destroy(); peer.destroy(); listener.close();
  });

  it('are valid in 1970, because a Raspberry Pi starts there', async () => {
    const ca = await loadOrCreateCa(folder, now);
    expect(ca.certificate.validFromDate.getTime()).toBe(0);
  });

  it('are kept until their names, their CA or their age change', async () => {
    const ca = await loadOrCreateCa(folder, now);
    const get = (nowMs: number, n = names, from = ca) => ensureLeaf(folder, 'server', from, { subject: { commonName: 'api' }, usage: 'server', names: n }, nowMs);
    const first = await get(now);
    expect(await get(now + leafLifetimeMs * 0.6)).toEqual(first);
    const fewer = await get(now, names.slice(1));
    expect(fewer.certPem).not.toBe(first.certPem);
    expect(fewer.keyPem).toBe(first.keyPem);
    const aged = await get(now + leafLifetimeMs * 0.7, names.slice(1));
    expect(aged.certPem).not.toBe(fewer.certPem);
    const otherCa = await loadOrCreateCa(join(folder, 'other'), now);
    const moved = await get(now, names.slice(1), otherCa);
    expect(isSignedBy(new X509Certificate(moved.certPem), otherCa.certificate)).toBe(true);
    expect(isSignedBy(new X509Certificate(moved.certPem), ca.certificate)).toBe(false);
    await writeFile(join(folder, 'server.crt'), 'torn');
    await writeFile(join(folder, 'server.key'), 'torn');
    expect(isSignedBy(new X509Certificate((await get(now)).certPem), ca.certificate)).toBe(true);
  });

  it('end with their CA at the latest and are due at two thirds of their life', () => {
    const keyPem = makeKey();
    const certPem = makeCaCertificate(keyPem, 'short', now, 1000);
    const ca = { certPem, certificate: new X509Certificate(certPem), key: createPrivateKey(keyPem) };
    const publicKey = createPublicKey(makeKey());
    const leaf = new X509Certificate(issueCertificate(ca, { subject: { commonName: 'x' }, publicKey, usage: 'client', nowMs: now, lifetimeMs: leafLifetimeMs }));
    expect(leaf.validToDate.getTime()).toBe(now + 1000);
    expect(isExpired(leaf, now)).toBe(false);
    expect(isExpired(leaf, now + 1001)).toBe(true);
    expect(renewAtMs(leaf)).toBeLessThan(now);
    expect(publicKeySha256(publicKey)).toBe(publicKeySha256(leaf.publicKey));
  });

  it('carry dates beyond 2049', () => {
    expect(new X509Certificate(makeCaCertificate(makeKey(), 'x', Date.UTC(2049, 11, 31), 10 * leafLifetimeMs)).validToDate.getUTCFullYear()).toBe(2059);
  });
});

describe('signing requests', () => {
  it('made by OpenSSL are understood', () => {
    // openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout /dev/null -subj /CN=fixture -outform der
    const made = 'MIHMMHQCAQAwEjEQMA4GA1UEAwwHZml4dHVyZTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABJX7TbVGoA0o9bB8e7tyjFldVt78j5ThRv9zdrt2tD2md1V47EBaeq7OJQZov3a8PVeuffWmK2qmuktBBk6xXdSgADAKBggqhkjOPQQDAgNIADBFAiEAmawwj5xenSjx1wganLWfiZ9nglG5FmfNBSQjE+JRjHgCIFcR/UYYNEfUzu1FNBbGgxLFoLzWHgj/SKFhAnY1rCZb';
    expect(verifySigningRequest(Buffer.from(made, 'base64')).asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
  });

  it('prove the key', () => {
    const key = makeKey();
    const request = makeSigningRequest(key, { commonName: 'system:node:a', organizations: ['system:nodes'] });
    expect(publicKeySha256(verifySigningRequest(request))).toBe(publicKeySha256(createPublicKey(key)));
  });

  it('refuse every changed byte, and arbitrary bytes, with Invalid', () => {
    const request = makeSigningRequest(makeKey(), { commonName: 'n' });
    const refused = (bytes: Buffer): boolean => {
      try { verifySigningRequest(bytes); return false; } catch (error) { return isStatus(error, 'Invalid'); }
    };
    for (let i = 0; i < request.length; i++) {
      const changed = Buffer.from(request);
      changed[i] = (changed[i] ?? 0) ^ 0x01;
      expect(refused(changed), `byte ${String(i)}`).toBe(true);
      expect(refused(request.subarray(0, i))).toBe(true);
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => refused(Buffer.from(bytes))));
  });

  it('refuse keys of another kind', () => {
    const key = String(generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export({ type: 'pkcs8', format: 'pem' }));
    expect(() => verifySigningRequest(makeSigningRequest(key, { commonName: 'n' }))).toThrow('P-256');
  });
});

describe('the small things', () => {
  it('join tokens go through text and back; broken ones say what to do', () => {
    const token = makeJoinToken('ab'.repeat(32));
    expect(parseJoinToken(` ${formatJoinToken(token)}\n`)).toEqual(token);
    for (const bad of ['', 'abc', formatJoinToken(token).slice(0, -1), formatJoinToken(token).toUpperCase()]) expect(() => parseJoinToken(bad)).toThrow(/cleat token create/);
  });

  it('the kubeconfig is private, parses, and is rewritten only on change', async () => {
    const path = join(folder, 'etc', 'kubeconfig');
    const content = { server: 'https://[fd00::1]:6443', caPem: 'CA', certPem: 'CERT', keyPem: 'KEY' };
    await writeKubeconfig(path, content);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(parse(await readFile(path, 'utf8'))).toMatchObject({ clusters: [{ cluster: { server: 'https://[fd00::1]:6443', 'certificate-authority-data': 'Q0E=' } }], 'current-context': 'cleat' });
    await chmod(path, 0o400);
    const { ino } = await stat(path);
    await writeKubeconfig(path, content);
    expect((await stat(path)).ino).toBe(ino);
    await writeKubeconfig(path, { ...content, server: 'https://other:6443' });
    expect((await stat(path)).ino).not.toBe(ino);
  });

  it('server names hold what clients dial', () => {
    expect(firstAddress('10.43.0.0/16')).toBe('10.43.0.1');
    expect(serverNames({ hosts: ['pi', '127.0.0.1', '192.168.1.5'], serviceCidr: '10.43.0.0/16', clusterDomain: 'cluster.local' })).toEqual([
      'localhost', '127.0.0.1', '::1', 'kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'kubernetes.default.svc.cluster.local', '10.43.0.1', 'agents.cleat.internal', 'pi', '192.168.1.5',
    ]);
  });

  it('time never lies before the release or what was seen', () => {
    expect(timeFloor(0)).toBe(releaseDateMs);
    expect(timeFloor(0, releaseDateMs + 5)).toBe(releaseDateMs + 5);
    expect(timeFloor(releaseDateMs + 9, releaseDateMs + 5)).toBe(releaseDateMs + 9);
  });
});

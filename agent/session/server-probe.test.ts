import { X509Certificate } from 'node:crypto';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createTcp, type AddressInfo, type Server } from 'node:net';
import { createServer } from 'node:tls';
import { afterEach, expect, it } from 'vitest';
import { fingerprintOf, issueCertificate, makeCaCertificate, makeKey, type CertificateAuthority } from '#common/pki/certificate.ts';
import { explainFailure, fetchPinnedCa, formatServerAddress, parseServerAddress, type ServerAddress } from './server-probe.ts';

const signal = new AbortController().signal;
const servers: Server[] = [];
afterEach(() => { for (const server of servers.splice(0)) server.close(); });

function makeCa(): CertificateAuthority {
  const keyPem = makeKey();
  const certPem = makeCaCertificate(keyPem, 'ca', Date.now(), 1e10);
  return { certPem, certificate: new X509Certificate(certPem), key: createPrivateKey(keyPem) };
}

async function listen(server: Server): Promise<ServerAddress> {
  servers.push(server.listen(0, '127.0.0.1'));
  await once(server, 'listening');
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
}

function serve(signer: CertificateAuthority, sent: CertificateAuthority = signer, nowMs = Date.now(), names = ['agents.cleat.internal']): Promise<ServerAddress> {
  const key = makeKey();
  const cert = issueCertificate(signer, { subject: { commonName: 's' }, publicKey: createPublicKey(createPrivateKey(key)), usage: 'server', names, nowMs, lifetimeMs: 1e9 });
  return listen(createServer({ key, cert: cert + sent.certPem, ALPNProtocols: ['h2'] }).on('tlsClientError', () => undefined));
}

it('reads server addresses', () => {
  expect(parseServerAddress('https://[fd00::1]')).toEqual({ host: 'fd00::1', port: 6443 });
  expect(formatServerAddress(parseServerAddress('https://[fd00::1]:7000/'))).toBe('[fd00::1]:7000');
  for (const bad of ['', 'pi:6443', 'http://pi:6443']) expect(() => parseServerAddress(bad)).toThrow(/--server.*https:/);
});

it('takes the CA only when it is the pinned one and signed the server', async () => {
  const [ca, other] = [makeCa(), makeCa()];
  expect(await fetchPinnedCa(await serve(ca), fingerprintOf(ca.certificate), signal)).toBe(ca.certPem);
  await expect(fetchPinnedCa(await serve(other), fingerprintOf(ca.certificate), signal)).rejects.toMatchObject({ code: 'Forbidden', message: expect.stringMatching(/not the control plane that the token is for/) });
  // somebody who shows the right CA but has no key of it
  await expect(fetchPinnedCa(await serve(other, ca), fingerprintOf(ca.certificate), signal)).rejects.toMatchObject({ code: 'Forbidden' });
  await expect(fetchPinnedCa(await serve(ca, ca, Date.now(), ['elsewhere']), fingerprintOf(ca.certificate), signal)).rejects.toMatchObject({ code: 'Forbidden', message: expect.stringMatching(/in between/) });
});

it('says why a server cannot be talked to', async () => {
  const [ca, other] = [makeCa(), makeCa()];
  const explain = async (address: ServerAddress): Promise<string | undefined> => (await explainFailure(address, ca.certPem, Date.now(), signal))?.message;
  expect(await explain(await serve(ca))).toBeUndefined();
  expect(await explain(await serve(ca, ca, 0))).toMatch(/by this host's clock.*check this host's clock/);
  expect(await explain(await serve(other))).toMatch(/another CA/);
  const closed = await listen(createTcp());
  servers.pop()?.close();
  expect(await explain(closed)).toMatch(/ECONNREFUSED.*check --server/);
  expect(await explain(await listen(createTcp((socket) => { socket.end('no TLS here'); })))).toMatch(/cannot reach the control plane/);
});

it('gives up when told to', async () => {
  const abort = new AbortController();
  const silent = await listen(createTcp((socket) => { socket.on('error', () => undefined); abort.abort(new Error('stopped')); }));
  await expect(fetchPinnedCa(silent, '0'.repeat(64), abort.signal)).rejects.toThrow('stopped');
});

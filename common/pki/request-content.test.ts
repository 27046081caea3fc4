import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isStatus } from '../errors.ts';
import { issueCertificate, makeCaCertificate, makeKey, pem } from './certificate.ts';
import requests from './request-content.fixture.json' with { type: 'json' };
import { readSigningRequest } from './request-content.ts';
import { makeSigningRequest } from './signing-request.ts';

/** Made by OpenSSL, so that it is not only our own writing that we can read. */
describe('a signing request', () => {
  it.each(Object.entries(requests))('of %s tells its subject and names', (_, text) => {
    const content = readSigningRequest(text);
    expect(content).toMatchObject({ commonName: 'jane', organizations: ['dev', 'ops'], dnsNames: ['a.example.com'], ipAddresses: ['10.0.0.1', 'fd00:0:0:0:0:0:0:1'], uris: ['spiffe://x/y'], emails: ['a@b.c'] });
    const caKey = makeKey();
    const certPem = makeCaCertificate(caKey, 'ca', 0, Date.now() + 1e9);
    const ca = { certPem, certificate: new X509Certificate(certPem), key: createPrivateKey(caKey) };
    const issued = new X509Certificate(issueCertificate(ca, {
      subject: content, publicKey: content.publicKey, usage: ['digital signature', 'key encipherment', 'server auth', 'client auth'], names: [...content.dnsNames, ...content.ipAddresses], uris: content.uris, emails: content.emails, nowMs: Date.now(), lifetimeMs: 1000,
    }));
    expect(issued.verify(createPublicKey(caKey))).toBe(true);
    expect(issued.subjectAltName).toBe('DNS:a.example.com, IP Address:10.0.0.1, IP Address:FD00:0:0:0:0:0:0:1, URI:spiffe://x/y, email:a@b.c');
    expect(issued.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
    // keyUsage: five unused bits, digitalSignature and keyEncipherment
    expect(issued.raw.includes(Buffer.from('0603551d0f0101ff0404030205a0', 'hex'))).toBe(true);
  });

  it('of our own making is read as well', () => {
    const key = makeKey();
    expect(readSigningRequest(pem('CERTIFICATE REQUEST', makeSigningRequest(key, { commonName: 'n', organizations: ['o'] })))).toMatchObject({ commonName: 'n', organizations: ['o'], dnsNames: [] });
  });

  it('of any bytes is read or refused', () => {
    const der = makeSigningRequest(makeKey(), { commonName: 'n', organizations: ['o'] });
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(der.length - 1), fc.nat(255), (bytes, at, value) => {
      const changed = Buffer.from(der);
      changed[at] = value;
      for (const text of [pem('CERTIFICATE REQUEST', bytes), pem('CERTIFICATE REQUEST', changed), Buffer.from(bytes).toString()]) {
        try {
          readSigningRequest(text);
        } catch (error) {
          if (!isStatus(error, 'Invalid')) throw error;
        }
      }
    }), { seed: 7, numRuns: 500 });
  });

  it('that is broken, or signed by another key, is refused', () => {
    const der = makeSigningRequest(makeKey(), { commonName: 'n' });
    const flipped = Buffer.from(der);
    flipped[20] = (flipped[20] ?? 0) ^ 1;
    for (const text of ['', 'x', pem('CERTIFICATE', der), pem('CERTIFICATE REQUEST', der.subarray(0, 40)), pem('CERTIFICATE REQUEST', flipped), pem('CERTIFICATE REQUEST', Buffer.concat([der, Buffer.from([0])]))]) {
      expect(() => readSigningRequest(text)).toThrow(expect.objectContaining({ code: 'Invalid' }));
    }
  });
});

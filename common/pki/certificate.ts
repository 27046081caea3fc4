import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, sign, type KeyObject, type X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { StatusError } from '../errors.ts';
import { bitString, boolean, der, elements, integer, octetString, oid, sequence, tag, time, utf8String } from './der.ts';

/**
 * Certificates are written here rather than by a library because the one that fits costs 18 MB of memory once
 * loaded, a quarter of what an agent may use. Only what Cleat issues is covered: ECDSA P-256 with SHA-256.
 */
export const ecdsaWithSha256 = sequence(oid('1.2.840.10045.4.3.2'));

/** A Raspberry Pi has no clock battery and starts in 1970, so every certificate is valid from then on. */
const notBeforeMs = 0;

export interface Subject {
  readonly commonName: string;
  readonly organizations?: readonly string[];
}

export interface CertificateAuthority {
  readonly certPem: string;
  readonly certificate: X509Certificate;
  readonly key: KeyObject;
}

export interface CertificateRequest {
  readonly subject: Subject;
  readonly publicKey: KeyObject;
  /** What the key is for: of a server or a client, or in Kubernetes' words (`digital signature`, `client auth`). */
  readonly usage: 'server' | 'client' | readonly string[];
  /** DNS names and IP addresses of a server. */
  readonly names?: readonly string[];
  /** Names of other kinds. */
  readonly uris?: readonly string[];
  readonly emails?: readonly string[];
  readonly nowMs: number;
  readonly lifetimeMs: number;
}

/** A new private key, PKCS #8 PEM. */
export function makeKey(): string {
  return String(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }));
}

/** A self-signed CA certificate for `keyPem`. */
export function makeCaCertificate(keyPem: string, commonName: string, nowMs: number, lifetimeMs: number): string {
  const key = createPrivateKey(keyPem);
  const publicKey = createPublicKey(key);
  const subject = nameOf({ commonName });
  const extensions = [
    extension('2.5.29.19', sequence(boolean(true)), true),
    // keyCertSign and cRLSign
    extension('2.5.29.15', bitString(Buffer.from([0x06]), 1), true),
    extension('2.5.29.14', octetString(keyIdOf(publicKey))),
  ];
  return signed({ issuer: subject, subject, publicKey, notAfterMs: nowMs + lifetimeMs, extensions }, key);
}

/** A certificate by which `ca` vouches for another CA, PEM. */
export function issueCaCertificate(ca: CertificateAuthority, other: X509Certificate, nowMs: number, lifetimeMs: number): string {
  const extensions = [
    extension('2.5.29.19', sequence(boolean(true)), true),
    extension('2.5.29.15', bitString(Buffer.from([0x06]), 1), true),
    extension('2.5.29.14', octetString(keyIdOf(other.publicKey))),
    extension('2.5.29.35', sequence(der(0x80, keyIdOf(createPublicKey(ca.key))))),
  ];
  const notAfterMs = Math.min(nowMs + lifetimeMs, ca.certificate.validToDate.getTime());
  return signed({ issuer: subjectBytesOf(ca.certificate), subject: subjectBytesOf(other), publicKey: other.publicKey, notAfterMs, extensions }, ca.key);
}

/** A certificate signed by `ca`, PEM. It never outlives the CA's own. */
export function issueCertificate(ca: CertificateAuthority, request: CertificateRequest): string {
  const { usage, names = [], uris = [], emails = [] } = request;
  const usages = usage === 'server' || usage === 'client' ? ['digital signature', `${usage} auth`] : usage;
  const extensions = [
    extension('2.5.29.19', sequence(), true),
    ...usageExtensions(usages),
    extension('2.5.29.14', octetString(keyIdOf(request.publicKey))),
    extension('2.5.29.35', sequence(der(0x80, keyIdOf(createPublicKey(ca.key))))),
  ];
  const altNames = [...names.map(generalName), ...uris.map((uri) => der(0x86, Buffer.from(uri))), ...emails.map((email) => der(0x81, Buffer.from(email)))];
  if (altNames.length > 0) extensions.push(extension('2.5.29.17', sequence(...altNames)));
  return signed({
    issuer: subjectBytesOf(ca.certificate),
    subject: nameOf(request.subject),
    publicKey: request.publicKey,
    notAfterMs: Math.min(request.nowMs + request.lifetimeMs, ca.certificate.validToDate.getTime()),
    extensions,
  }, ca.key);
}

/** Bits of the extension keyUsage by Kubernetes' words, the first being the highest. Source: RFC 5280 4.2.1.3 */
const keyUsages = ['digital signature', 'content commitment', 'key encipherment', 'data encipherment', 'key agreement', 'cert sign', 'crl sign', 'encipher only'];
const extendedUsages: Readonly<Record<string, string>> = {
  'any': '2.5.29.37.0', 'server auth': '1.3.6.1.5.5.7.3.1', 'client auth': '1.3.6.1.5.5.7.3.2', 'code signing': '1.3.6.1.5.5.7.3.3', 'email protection': '1.3.6.1.5.5.7.3.4', 's/mime': '1.3.6.1.5.5.7.3.4',
  'ipsec end system': '1.3.6.1.5.5.7.3.5', 'ipsec tunnel': '1.3.6.1.5.5.7.3.6', 'ipsec user': '1.3.6.1.5.5.7.3.7', 'timestamping': '1.3.6.1.5.5.7.3.8', 'ocsp signing': '1.3.6.1.5.5.7.3.9',
};

function usageExtensions(usages: readonly string[]): Buffer[] {
  const bits = keyUsages.reduce((byte, usage, i) => (usages.includes(usage) ? byte | (0x80 >> i) : byte), 0);
  const ids = usages.flatMap((usage) => extendedUsages[usage] ?? []);
  // DER wants the bits that are zero at the end left out.
  const unused = bits === 0 ? 0 : 31 - Math.clz32(bits & -bits);
  return [
    ...(bits === 0 ? [] : [extension('2.5.29.15', bitString(Buffer.from([bits]), unused), true)]),
    ...(ids.length === 0 ? [] : [extension('2.5.29.37', sequence(...ids.map(oid)))]),
  ];
}

interface ToBeSigned {
  readonly issuer: Buffer;
  readonly subject: Buffer;
  readonly publicKey: KeyObject;
  readonly notAfterMs: number;
  readonly extensions: readonly Buffer[];
}

function signed(parts: ToBeSigned, key: KeyObject): string {
  const body = sequence(
    der(0xa0, integer(Buffer.from([2]))),
    integer(randomBytes(16)),
    ecdsaWithSha256,
    parts.issuer,
    sequence(time(notBeforeMs), time(parts.notAfterMs)),
    parts.subject,
    spkiOf(parts.publicKey),
    der(0xa3, sequence(...parts.extensions)),
  );
  return pem('CERTIFICATE', sequence(body, ecdsaWithSha256, bitString(sign('sha256', body, key))));
}

export function pem(label: string, bytes: Uint8Array): string {
  const lines = Buffer.from(bytes).toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

/** An X.501 name; Kubernetes reads user and groups from it. */
export function nameOf(subject: Subject): Buffer {
  const attribute = (id: string, value: string): Buffer => der(tag.set, sequence(oid(id), utf8String(value)));
  return sequence(...(subject.organizations ?? []).map((o) => attribute('2.5.4.10', o)), attribute('2.5.4.3', subject.commonName));
}

export function spkiOf(publicKey: KeyObject): Buffer {
  return publicKey.export({ type: 'spki', format: 'der' });
}

/** Lowercase hex SHA-256 of a public key (SubjectPublicKeyInfo): a node's identity. */
export function publicKeySha256(publicKey: KeyObject): string {
  return createHash('sha256').update(spkiOf(publicKey)).digest('hex');
}

/** Lowercase hex SHA-256 of a certificate's DER: what a join token pins of the CA. */
export function fingerprintOf(certificate: X509Certificate): string {
  return createHash('sha256').update(certificate.raw).digest('hex');
}

/** Groups and name as Kubernetes reads them from a client certificate. */
export function subjectOf(certificate: X509Certificate): Subject | undefined {
  const attributes = elements(elements(subjectBytesOf(certificate))[0]?.content ?? Buffer.alloc(0));
  const organizations: string[] = [];
  let commonName: string | undefined;
  for (const attribute of attributes) {
    const [id, value] = elements(elements(attribute.content)[0]?.content ?? Buffer.alloc(0));
    if (id?.raw.equals(oid('2.5.4.10')) && value) organizations.push(value.content.toString());
    if (id?.raw.equals(oid('2.5.4.3')) && value) commonName = value.content.toString();
  }
  return commonName === undefined ? undefined : { commonName, organizations };
}

/** The subject's bytes, so that an issued certificate repeats them exactly. */
function subjectBytesOf(certificate: X509Certificate): Buffer {
  const body = elements(elements(certificate.raw)[0]?.content ?? Buffer.alloc(0))[0];
  // version, serial, algorithm, issuer, validity, subject; the CA's version field is always there (v3)
  const subject = elements(body?.content ?? Buffer.alloc(0))[5];
  if (!subject) throw new StatusError('Invalid', 'a certificate without a subject');
  return subject.raw;
}

/** RFC 5280 4.2.1.2, method 1. */
function keyIdOf(publicKey: KeyObject): Buffer {
  const bits = elements(elements(spkiOf(publicKey))[0]?.content ?? Buffer.alloc(0))[1];
  return createHash('sha1').update(bits?.content.subarray(1) ?? Buffer.alloc(0)).digest();
}

function extension(id: string, value: Buffer, critical = false): Buffer {
  return critical ? sequence(oid(id), boolean(true), octetString(value)) : sequence(oid(id), octetString(value));
}

function generalName(name: string): Buffer {
  return isIP(name) === 0 ? der(0x82, Buffer.from(name)) : der(0x87, ipBytes(name));
}

/** 4 or 16 bytes of an IP address in text. */
function ipBytes(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split('.').map(Number));
  // the URL parser writes every form of an IPv6 address in one: compressed, embedded IPv4 as hex
  const [head = '', tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::');
  const groups = (text: string): number[] => (text === '' ? [] : text.split(':').map((group) => parseInt(group, 16)));
  const [left, right] = [groups(head), groups(tail ?? '')];
  const all = [...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right];
  return Buffer.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}

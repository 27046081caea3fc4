import { createPublicKey, verify, type KeyObject } from 'node:crypto';
import { messageOf, StatusError } from '../errors.ts';
import { elements, oid, tag, type Element } from './der.ts';

/** What a PKCS #10 request (RFC 2986) of any client asks for. */
export interface SigningRequestContent {
  readonly commonName: string;
  readonly organizations: readonly string[];
  readonly publicKey: KeyObject;
  readonly dnsNames: readonly string[];
  /** In text. */
  readonly ipAddresses: readonly string[];
  readonly uris: readonly string[];
  readonly emails: readonly string[];
}

/** Digests by signature algorithm; null where the algorithm brings its own. */
const algorithms: readonly (readonly [Buffer, string | null])[] = [
  [oid('1.2.840.113549.1.1.11'), 'sha256'], [oid('1.2.840.113549.1.1.12'), 'sha384'], [oid('1.2.840.113549.1.1.13'), 'sha512'],
  [oid('1.2.840.10045.4.3.2'), 'sha256'], [oid('1.2.840.10045.4.3.3'), 'sha384'], [oid('1.2.840.10045.4.3.4'), 'sha512'],
  [oid('1.3.101.112'), null],
];
const extensionRequest = oid('1.2.840.113549.1.9.14');
const subjectAltName = oid('2.5.29.17');
const maxBytes = 64 << 10;

/** The request in PEM text, its signature checked: whoever made it holds the key. Throws `Invalid`. */
export function readSigningRequest(pem: string): SigningRequestContent {
  const [first = '', ...lines] = pem.length > maxBytes ? [] : pem.trim().split(/\r?\n/);
  const [, label] = /^-----BEGIN ((?:NEW )?CERTIFICATE REQUEST)-----$/.exec(first) ?? [];
  const base64 = lines.slice(0, -1).join('');
  if (label === undefined || lines.at(-1) !== `-----END ${label}-----` || !/^[A-Za-z0-9+/=\s]*$/.test(base64)) throw new StatusError('Invalid', 'PEM block type must be CERTIFICATE REQUEST');
  try {
    return contentOf(Buffer.from(base64, 'base64'));
  } catch (error) {
    throw error instanceof StatusError ? error : new StatusError('Invalid', `malformed certificate request: ${messageOf(error)}`, { cause: error });
  }
}

function contentOf(bytes: Buffer): SigningRequestContent {
  const [outer, ...trailing] = elements(bytes);
  if (outer?.tag !== tag.sequence || trailing.length > 0) throw new RangeError('expected one sequence');
  const [body, algorithm, signature] = elements(outer.content);
  const [, subject, spki, attributes] = elements(body?.content ?? Buffer.alloc(0));
  if (!body || !subject || !spki || !algorithm) throw new RangeError('it ends early');
  const publicKey = createPublicKey({ key: spki.raw, type: 'spki', format: 'der' });
  const digest = digestOf(algorithm);
  if (signature?.tag !== tag.bitString || signature.content[0] !== 0 || !verify(digest, body.raw, publicKey, signature.content.subarray(1))) {
    throw new StatusError('Invalid', 'the signature does not fit the key');
  }
  return { ...subjectContent(subject), publicKey, ...altNames(attributes) };
}

function digestOf(algorithm: Element): string | null {
  const [id] = elements(algorithm.content);
  const known = algorithms.find(([wanted]) => id?.raw.equals(wanted));
  if (!known) throw new StatusError('Invalid', 'the signature algorithm is not supported; use RSA, ECDSA or Ed25519 with SHA-2');
  return known[1];
}

function subjectContent(subject: Element): { commonName: string; organizations: string[] } {
  const [organizationId, nameId] = [oid('2.5.4.10'), oid('2.5.4.3')];
  const organizations: string[] = [];
  let commonName = '';
  for (const set of elements(subject.content)) {
    for (const attribute of elements(set.content)) {
      const [id, value] = elements(attribute.content);
      if (id?.raw.equals(organizationId) && value) organizations.push(value.content.toString('utf8'));
      if (id?.raw.equals(nameId) && value) commonName = value.content.toString('utf8');
    }
  }
  return { commonName, organizations };
}

function altNames(attributes: Element | undefined): Pick<SigningRequestContent, 'dnsNames' | 'ipAddresses' | 'uris' | 'emails'> {
  const found = { dnsNames: [] as string[], ipAddresses: [] as string[], uris: [] as string[], emails: [] as string[] };
  for (const name of generalNames(attributes)) {
    switch (name.tag) {
      case 0x81: found.emails.push(name.content.toString('latin1')); break;
      case 0x82: found.dnsNames.push(name.content.toString('latin1')); break;
      case 0x86: found.uris.push(name.content.toString('latin1')); break;
      case 0x87: found.ipAddresses.push(addressText(name.content)); break;
      default: throw new RangeError('a subject alternative name of a kind that is not supported');
    }
  }
  return found;
}

function generalNames(attributes: Element | undefined): Element[] {
  for (const attribute of attributes?.tag === 0xa0 ? elements(attributes.content) : []) {
    const [id, values] = elements(attribute.content);
    if (!id?.raw.equals(extensionRequest)) continue;
    for (const extension of elements(elements(values?.content ?? Buffer.alloc(0))[0]?.content ?? Buffer.alloc(0))) {
      const parts = elements(extension.content);
      if (parts[0]?.raw.equals(subjectAltName)) return elements(elements(parts.at(-1)?.content ?? Buffer.alloc(0))[0]?.content ?? Buffer.alloc(0));
    }
  }
  return [];
}

function addressText(bytes: Buffer): string {
  if (bytes.length === 4) return [...bytes].join('.');
  if (bytes.length !== 16) throw new RangeError('an IP address of another length than 4 or 16');
  return Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(i * 2).toString(16)).join(':');
}

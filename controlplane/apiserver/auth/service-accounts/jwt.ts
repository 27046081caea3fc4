import { createHash, createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import { isRecord, type JsonRecord } from '#api/meta/json.ts';

/** JSON Web Tokens (RFC 7519) signed with ES256, the one algorithm that is issued and accepted here. */
export const algorithm = 'ES256';

const maxTokenBytes = 16 << 10;

/** A key that tokens are checked with. */
export interface VerifyingKey {
  readonly id: string;
  readonly publicKey: KeyObject;
}

export interface SigningKey extends VerifyingKey {
  readonly privateKey: KeyObject;
}

/** `pem`: an ECDSA P-256 key. Its id is the digest of the public key, as with Kubernetes. */
export function signingKey(pem: string): SigningKey {
  const privateKey = createPrivateKey(pem);
  return { ...verifyingKey(createPublicKey(privateKey)), privateKey };
}

function verifyingKey(publicKey: KeyObject): VerifyingKey {
  return { id: createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' })).digest('base64url'), publicKey };
}

/** The public keys in PEM text, one after the other. */
export function verifyingKeys(pem: string): VerifyingKey[] {
  return (pem.match(/-----BEGIN PUBLIC KEY-----[^-]+-----END PUBLIC KEY-----/g) ?? []).map((one) => verifyingKey(createPublicKey(one)));
}

export function signToken(key: SigningKey, claims: unknown): string {
  const input = `${encode({ alg: algorithm, kid: key.id })}.${encode(claims)}`;
  return `${input}.${sign('sha256', Buffer.from(input), { key: key.privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

/** The claims of something that looks like a JWT, believed by nobody yet; undefined for other text. */
export function unverifiedClaims(token: string): JsonRecord | undefined {
  const parts = token.split('.');
  return parts.length === 3 && token.length <= maxTokenBytes && decode(parts[0])?.['alg'] !== undefined ? decode(parts[1]) : undefined;
}

/** True when `key` has signed the token with the algorithm that is meant for it. */
export function isSignedWith(key: VerifyingKey, token: string): boolean {
  const [header = '', payload = '', signature = ''] = token.split('.');
  const { alg, kid } = decode(header) ?? {};
  // The header chooses nothing: a token that says "none", or another algorithm, is refused.
  if (alg !== algorithm || (kid !== undefined && kid !== key.id)) return false;
  const bytes = Buffer.from(signature, 'base64url');
  return bytes.toString('base64url') === signature && verify('sha256', Buffer.from(`${header}.${payload}`), { key: key.publicKey, dsaEncoding: 'ieee-p1363' }, bytes);
}

function decode(part: string | undefined): JsonRecord | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part ?? '', 'base64url').toString('utf8'));
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The public key as a JSON Web Key (RFC 7517). */
export function webKey(key: VerifyingKey): JsonRecord {
  const { kty, crv, x, y } = key.publicKey.export({ format: 'jwk' });
  return { use: 'sig', kty, kid: key.id, crv, alg: algorithm, x, y };
}

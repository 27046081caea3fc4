import { createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import { StatusError } from '../errors.ts';
import { ecdsaWithSha256, nameOf, spkiOf, type Subject } from './certificate.ts';
import { bitString, der, elements, integer, sequence, tag } from './der.ts';

/** A PKCS #10 signing request, DER. */
export function makeSigningRequest(keyPem: string, subject: Subject): Buffer {
  const key = createPrivateKey(keyPem);
  const body = sequence(integer(Buffer.from([0])), nameOf(subject), spkiOf(createPublicKey(key)), der(0xa0));
  return sequence(body, ecdsaWithSha256, bitString(sign('sha256', body, key)));
}

/**
 * The public key of a signing request whose sender has shown to hold the private key. The rest of the request is
 * ignored on purpose: what a certificate says is for its issuer to decide. Rejects with `Invalid`.
 */
export function verifySigningRequest(request: Buffer): KeyObject {
  const refuse = (why: string, cause?: unknown): StatusError => new StatusError('Invalid', `certificate signing request: ${why}`, { cause });
  let body, algorithm, signature, publicKey;
  try {
    const [outer, ...trailing] = elements(request);
    if (outer?.tag !== tag.sequence || trailing.length > 0) throw new RangeError('expected one sequence');
    [body, algorithm, signature] = elements(outer.content);
    const spki = elements(body?.content ?? Buffer.alloc(0))[2];
    publicKey = createPublicKey({ key: spki?.raw ?? Buffer.alloc(0), type: 'spki', format: 'der' });
  } catch (error) {
    throw refuse('not a PKCS #10 request', error);
  }
  if (!body || !algorithm?.raw.equals(ecdsaWithSha256) || publicKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1') {
    throw refuse('expected an ECDSA P-256 key and SHA-256');
  }
  if (signature?.tag !== tag.bitString || signature.content[0] !== 0 || !verify('sha256', body.raw, publicKey, signature.content.subarray(1))) {
    throw refuse('its signature does not fit its key');
  }
  return publicKey;
}

import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { writeFileAtomic } from '../atomic-file.ts';
import { messageOf, StatusError } from '../errors.ts';
import { issueCertificate, makeCaCertificate, makeKey, subjectOf, type CertificateAuthority, type Subject } from './certificate.ts';
import { caLifetimeMs, isSignedBy, leafLifetimeMs, renewAtMs } from './validity.ts';

export interface KeyPair {
  readonly certPem: string;
  readonly keyPem: string;
}

/**
 * A CA from `NAME.crt` and `NAME.key` in `folder`, the cluster's when no name is given; made when neither exists. A CA that cannot be used is an
 * error, never replaced: every agent has pinned it.
 */
export async function loadOrCreateCa(folder: string, nowMs: number, name = 'ca'): Promise<CertificateAuthority> {
  const certPath = join(folder, `${name}.crt`);
  const keyPath = join(folder, `${name}.key`);
  const [oldCert, oldKey] = await Promise.all([readIfThere(certPath), readIfThere(keyPath)]);
  if (oldCert !== undefined && oldKey === undefined) {
    throw new StatusError('NotFound', `${keyPath} is missing, but ${certPath} is there: without the key no certificate can be issued; restore it from a backup`);
  }
  // The key is written first: a key without a certificate is a first start that was cut short.
  const keyPem = oldKey ?? makeKey();
  if (oldKey === undefined) await writeFileAtomic(keyPath, keyPem, 0o600);
  const certPem = oldCert ?? makeCaCertificate(keyPem, `cleat-${name}`, nowMs, caLifetimeMs);
  const ca = parseCa(certPem, keyPem, join(folder, name));
  if (oldCert === undefined) await writeFileAtomic(certPath, certPem, 0o600);
  return ca;
}

function parseCa(certPem: string, keyPem: string, path: string): CertificateAuthority {
  try {
    const certificate = new X509Certificate(certPem);
    const key = createPrivateKey(keyPem);
    if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw new Error('its key is not ECDSA P-256');
    if (!certificate.ca || !certificate.checkPrivateKey(key)) throw new Error('the certificate is no CA certificate of the key');
    return { certPem, certificate, key };
  } catch (error) {
    throw new StatusError('Invalid', `the CA ${path}.crt cannot be used: ${messageOf(error)}; restore it and ${path}.key from a backup`, { cause: error });
  }
}

/** The private key in `NAME.key` of `folder`; made when there is none. One that cannot be used is an error: what it has signed would be worth nothing. */
export async function loadOrCreateKey(folder: string, name: string): Promise<string> {
  const path = join(folder, `${name}.key`);
  const old = await readIfThere(path);
  if (old !== undefined) {
    if (!isUsableKey(old)) throw new StatusError('Invalid', `${path} is no ECDSA P-256 key: restore it from a backup, or remove it to have a new one made`);
    return old;
  }
  const keyPem = makeKey();
  await writeFileAtomic(path, keyPem, 0o600);
  return keyPem;
}

export interface LeafSpec {
  readonly subject: Subject;
  readonly usage: 'server' | 'client';
  readonly names?: readonly string[];
}

/**
 * A certificate and key from `NAME.crt` and `NAME.key` in `folder`, issued anew (the key is kept) when there is none,
 * when it says something else than `spec`, when another CA signed it, or with a third of its life left.
 */
export async function ensureLeaf(folder: string, name: string, ca: CertificateAuthority, spec: LeafSpec, nowMs: number): Promise<KeyPair> {
  const certPath = join(folder, `${name}.crt`);
  const keyPath = join(folder, `${name}.key`);
  const [oldCert, oldKey] = await Promise.all([readIfThere(certPath), readIfThere(keyPath)]);
  if (oldCert !== undefined && oldKey !== undefined && fits(oldCert, oldKey, ca, spec, nowMs)) return { certPem: oldCert, keyPem: oldKey };
  const keyPem = oldKey !== undefined && isUsableKey(oldKey) ? oldKey : makeKey();
  const publicKey = createPublicKey(createPrivateKey(keyPem));
  const certPem = issueCertificate(ca, { ...spec, publicKey, nowMs, lifetimeMs: leafLifetimeMs });
  if (keyPem !== oldKey) await writeFileAtomic(keyPath, keyPem, 0o600);
  await writeFileAtomic(certPath, certPem, 0o600);
  return { certPem, keyPem };
}

function fits(certPem: string, keyPem: string, ca: CertificateAuthority, spec: LeafSpec, nowMs: number): boolean {
  try {
    const certificate = new X509Certificate(certPem);
    const subject = subjectOf(certificate);
    return certificate.checkPrivateKey(createPrivateKey(keyPem))
      && isSignedBy(certificate, ca.certificate)
      && nowMs < renewAtMs(certificate)
      && subject?.commonName === spec.subject.commonName
      && String(subject.organizations) === String(spec.subject.organizations ?? [])
      && hasNames(certificate, spec.names ?? []);
  } catch {
    return false; // unreadable: issue it anew
  }
}

function hasNames(certificate: X509Certificate, names: readonly string[]): boolean {
  const count = certificate.subjectAltName?.split(', ').length ?? 0;
  const holds = (name: string): boolean => (isIP(name) === 0 ? certificate.checkHost(name, { wildcards: false }) : certificate.checkIP(name)) !== undefined;
  return count === names.length && names.every(holds);
}

function isUsableKey(keyPem: string): boolean {
  try {
    return createPrivateKey(keyPem).asymmetricKeyDetails?.namedCurve === 'prime256v1';
  } catch {
    return false;
  }
}

/** The text of a file; undefined when there is no such file. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new StatusError('InternalError', `cannot read ${path}: ${messageOf(error)}; check that it belongs to this user`, { cause: error });
  }
}

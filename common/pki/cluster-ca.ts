import { createPrivateKey, X509Certificate } from 'node:crypto';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../atomic-file.ts';
import { StatusError } from '../errors.ts';
import { issueCaCertificate, makeCaCertificate, makeKey, subjectOf, type CertificateAuthority } from './certificate.ts';
import { loadOrCreateCa, readIfThere } from './store.ts';
import { caLifetimeMs, isExpired, isSignedBy } from './validity.ts';

/** The cluster's CA, and while it takes the place of another, that one too. */
export interface ClusterCa extends CertificateAuthority {
  /** Whose certificates count, the oldest first. */
  readonly trusted: readonly X509Certificate[];
  /** PEM of these: what everybody is to trust. */
  readonly trustedPem: string;
  /** PEM of what a server sends behind its own certificate, so that those find their way who know the oldest CA only. */
  readonly chainPem: string;
  /** Certificates of hosts that were issued before are renewed as soon as they are seen. */
  readonly rotatedAtMs: number;
}

const files = { previous: 'ca-previous.crt', cross: 'ca-cross.crt', next: 'ca-next', rotatedAt: 'rotated-at' } as const;
/** What the control plane issues to itself; made anew, keys too, when they are not there. */
const ownLeaves = ['server', 'admin', 'front-proxy-client'];

/** The CA in `folder`, made when there is none. Finishes a rotation that was cut off. */
export async function loadClusterCa(folder: string, nowMs: number): Promise<ClusterCa> {
  await adoptNext(folder);
  const ca = await loadOrCreateCa(folder, nowMs);
  const [previousPem, crossPem, rotatedAt] = await Promise.all([files.previous, files.cross, files.rotatedAt].map((name) => readIfThere(join(folder, name))));
  const previous = usable(previousPem, nowMs);
  const cross = usable(crossPem, nowMs);
  const rotatedAtMs = Date.parse(rotatedAt?.trim() ?? '') || 0;
  if (!previous || !cross || !isSignedBy(cross, previous) || !cross.publicKey.equals(ca.certificate.publicKey)) {
    return { ...ca, trusted: [ca.certificate], trustedPem: ca.certPem, chainPem: ca.certPem, rotatedAtMs };
  }
  return { ...ca, trusted: [previous, ca.certificate], trustedPem: previous.toString() + ca.certPem, chainPem: cross.toString() + previous.toString(), rotatedAtMs };
}

function usable(pem: string | undefined, nowMs: number): X509Certificate | undefined {
  if (pem === undefined) return undefined;
  try {
    const certificate = new X509Certificate(pem);
    return isExpired(certificate, nowMs) ? undefined : certificate;
  } catch {
    return undefined;
  }
}

/**
 * Begins with a new CA. The old one vouches for it, so that hosts that are away meanwhile know the control plane when they come
 * back, and what it has signed counts until `finishRotation`. Load the CA again afterwards.
 */
export async function rotateCa(folder: string, nowMs: number): Promise<void> {
  const old = await loadClusterCa(folder, nowMs);
  if (old.trusted.length > 1) throw new StatusError('Conflict', 'the CA is being replaced already: when every node has a certificate of the new one, end that with `cleat certs rotate --ca --finish`');
  const keyPem = makeKey();
  const name = subjectOf(old.certificate)?.commonName ?? '';
  const number = Number(/^cleat-ca-(\d+)$/.exec(name)?.[1] ?? 1) + 1;
  const certPem = makeCaCertificate(keyPem, `cleat-ca-${String(number)}`, nowMs, caLifetimeMs);
  const write = (file: string, text: string): Promise<void> => writeFileAtomic(join(folder, file), text, 0o600);
  await write(files.previous, old.certPem);
  await write(files.cross, issueCaCertificate(old, new X509Certificate(certPem), nowMs, caLifetimeMs));
  // The key goes last of what is prepared: from there on whoever loads the CA finishes this.
  await write(`${files.next}.crt`, certPem);
  await write(`${files.next}.key`, keyPem);
  await adoptNext(folder);
  await renewLeaves(folder, nowMs);
}

/** Certificate before key, as prepared before the other way round: at every moment in between this can be done again. */
async function adoptNext(folder: string): Promise<void> {
  const [keyPem, certPem] = await Promise.all([`${files.next}.key`, `${files.next}.crt`].map((name) => readIfThere(join(folder, name))));
  if (keyPem === undefined) return;
  if (certPem !== undefined) {
    if (!new X509Certificate(certPem).checkPrivateKey(createPrivateKey(keyPem))) throw new StatusError('Invalid', `${join(folder, files.next)}.crt and .key do not belong together; remove both`);
    await rename(join(folder, `${files.next}.crt`), join(folder, 'ca.crt'));
  }
  await rename(join(folder, `${files.next}.key`), join(folder, 'ca.key'));
}

/** Lets the CA go that was replaced: what only it has signed is worth nothing from now on, and hosts renew once more to be given the new one alone. */
export async function finishRotation(folder: string, nowMs: number): Promise<void> {
  // First: cut off in between, it is finished again, and hosts have renewed once too often. The other way round they would trust the old CA for good.
  await noteRotation(folder, nowMs);
  for (const name of [files.previous, files.cross]) await rm(join(folder, name), { force: true });
}

/** New certificates and keys for the control plane; hosts renew theirs when they are next seen. Load the CA again afterwards. */
export async function renewLeaves(folder: string, nowMs: number): Promise<void> {
  await noteRotation(folder, nowMs);
  for (const name of ownLeaves) for (const ending of ['crt', 'key']) await rm(join(folder, `${name}.${ending}`), { force: true });
}

async function noteRotation(folder: string, nowMs: number): Promise<void> {
  await writeFileAtomic(join(folder, files.rotatedAt), `${new Date(nowMs).toISOString()}\n`, 0o600);
}

import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { publicKeySha256, subjectOf } from '#common/pki/certificate.ts';
import type { ClusterCa } from '#common/pki/cluster-ca.ts';
import { isExpired, isSignedBy, leafLifetimeMs } from '#common/pki/validity.ts';
import { StatusError } from '#common/errors.ts';

/** A node as its certificate says, checked against our CA. The TLS layer lets everybody in, so this is the check. */
export interface NodeIdentity {
  readonly name: string;
  /** Annotation `cleat.dev/public-key-sha256` of its Node. */
  readonly publicKeySha256: string;
  readonly expired: boolean;
  /** Where its connection comes from; absent where there is none, as in tests. */
  readonly seenAt?: string;
  /** Of the certificate that it has by now; absent in some tests. */
  certificate?: NodeCertificate;
}

export interface NodeCertificate {
  /** SHA-256 of the public key of the CA that issued it, the first 16 digits. */
  readonly authority: string;
  readonly notAfterMs: number;
  /** It should be renewed although there is time. */
  readonly outdated: boolean;
}

/** Who is at the other end of one connection. */
export interface Peer {
  readonly address: string;
  /** Absent without a certificate, or with one that is not a node's or not of our CA. */
  readonly node: NodeIdentity | undefined;
}

const namePrefix = 'system:node:';

export function identify(socket: TLSSocket, ca: ClusterCa, nowMs: number): Peer {
  const certificate = socket.getPeerX509Certificate();
  return { address: socket.remoteAddress ?? '', node: certificate && nodeOf(certificate, ca, nowMs) };
}

function nodeOf(certificate: X509Certificate, ca: ClusterCa, nowMs: number): NodeIdentity | undefined {
  try {
    const issuer = ca.trusted.find((one) => isSignedBy(certificate, one));
    if (!issuer) return undefined;
    const subject = subjectOf(certificate);
    if (!subject?.organizations?.includes('system:nodes') || !subject.commonName.startsWith(namePrefix)) return undefined;
    return { name: subject.commonName.slice(namePrefix.length), publicKeySha256: publicKeySha256(certificate.publicKey), expired: isExpired(certificate, nowMs), certificate: describe(certificate, issuer, ca) };
  } catch {
    return undefined; // a certificate that cannot be read proves nothing
  }
}

/** What is remembered of a node's certificate. */
export function describe(certificate: X509Certificate, issuer: X509Certificate, ca: ClusterCa): NodeCertificate {
  const notAfterMs = certificate.validToDate.getTime();
  return { authority: authorityOf(issuer), notAfterMs, outdated: authorityOf(issuer) !== authorityOf(ca.certificate) || notAfterMs - leafLifetimeMs < ca.rotatedAtMs };
}

export function authorityOf(ca: X509Certificate): string {
  return publicKeySha256(ca.publicKey).slice(0, 16);
}

/** The node of a connection that may act as one. Throws `Unauthorized` with what to do otherwise. */
export function requireNode(peer: Peer): NodeIdentity {
  if (!peer.node) throw new StatusError('Unauthorized', 'a client certificate of this cluster for a node is required; join with a token from `cleat token create`');
  if (peer.node.expired) throw new StatusError('Unauthorized', `the certificate of node ${peer.node.name} has expired; renew it`);
  return peer.node;
}

/** Subject of a node's certificate. */
export function nodeSubject(name: string): { commonName: string; organizations: string[] } {
  return { commonName: namePrefix + name, organizations: ['system:nodes'] };
}

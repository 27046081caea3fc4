import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { publicKeySha256, subjectOf } from '#common/pki/certificate.ts';
import { isExpired, isSignedBy } from '#common/pki/validity.ts';
import { StatusError } from '#common/errors.ts';

/** A node as its certificate says, checked against our CA. The TLS layer lets everybody in, so this is the check. */
export interface NodeIdentity {
  readonly name: string;
  /** Annotation `cleat.dev/public-key-sha256` of its Node. */
  readonly publicKeySha256: string;
  readonly expired: boolean;
}

/** Who is at the other end of one connection. */
export interface Peer {
  readonly address: string;
  /** Absent without a certificate, or with one that is not a node's or not of our CA. */
  readonly node: NodeIdentity | undefined;
}

const namePrefix = 'system:node:';

export function identify(socket: TLSSocket, ca: X509Certificate, nowMs: number): Peer {
  const certificate = socket.getPeerX509Certificate();
  return { address: socket.remoteAddress ?? '', node: certificate && nodeOf(certificate, ca, nowMs) };
}

function nodeOf(certificate: X509Certificate, ca: X509Certificate, nowMs: number): NodeIdentity | undefined {
  try {
    if (!isSignedBy(certificate, ca)) return undefined;
    const subject = subjectOf(certificate);
    if (!subject?.organizations?.includes('system:nodes') || !subject.commonName.startsWith(namePrefix)) return undefined;
    return { name: subject.commonName.slice(namePrefix.length), publicKeySha256: publicKeySha256(certificate.publicKey), expired: isExpired(certificate, nowMs) };
  } catch {
    return undefined; // a certificate that cannot be read proves nothing
  }
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

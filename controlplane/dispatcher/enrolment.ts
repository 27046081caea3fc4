import { X509Certificate } from 'node:crypto';
import { nodes } from '#api/kinds/resources.ts';
import { publicKeyAnnotation } from '#api/node/identity.ts';
import type { Clock } from '#common/clock.ts';
import { isStatus, StatusError } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import { issueCertificate, publicKeySha256 } from '#common/pki/certificate.ts';
import type { ClusterCa } from '#common/pki/cluster-ca.ts';
import { verifySigningRequest } from '#common/pki/signing-request.ts';
import { leafLifetimeMs, timeFloor } from '#common/pki/validity.ts';
import type { EnrolRequest, EnrolResponse, RenewRequest } from '#proto/edge/v1/messages.ts';
import type { ApiClient } from '../apiserver/types.ts';
import { describe, nodeSubject, type NodeCertificate, type Peer } from './peer.ts';
import { checkJoinToken } from './join-tokens.ts';
import { AddressLimiter, TokenBucket } from './rate-limit.ts';

/** Annotations of a Node about the certificate that it has. */
export const certificateAuthorityAnnotation = 'cleat.dev/certificate-authority';
export const certificateExpiresAnnotation = 'cleat.dev/certificate-expires';

export function certificateAnnotations({ authority, notAfterMs }: NodeCertificate): Record<string, string> {
  return { [certificateAuthorityAnnotation]: authority, [certificateExpiresAnnotation]: new Date(notAfterMs).toISOString() };
}

/** How long a name stays taken by a host that has joined but not yet connected. */
const reservationMs = 10 * 60_000;
const maxReservations = 1000;

interface Deps {
  readonly api: ApiClient;
  readonly ca: ClusterCa;
  readonly clock: Clock;
  readonly log: Log;
}

/** Turns join tokens into certificates, and old certificates into new ones. */
export class Enrolment {
  readonly #deps: Deps;
  readonly #attempts: AddressLimiter;
  readonly #reservations = new Map<string, { key: string; untilMs: number }>();

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#attempts = new AddressLimiter(() => new TokenBucket(deps.clock, 1, 20));
  }

  async enrol(peer: Peer, request: EnrolRequest): Promise<EnrolResponse> {
    this.#limit(peer);
    const name = request.nodeName;
    const permission = await checkJoinToken(this.#deps, request.token, name);
    if (name.length > 253 || !/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(name)) {
      throw new StatusError('BadRequest', `${JSON.stringify(name.slice(0, 300))} is no node name: use lower case letters, digits, '-' and '.'; set another with --node-name`);
    }
    const publicKey = verifySigningRequest(request.certificateSigningRequest);
    const key = publicKeySha256(publicKey);
    if (!permission.replaces) await this.checkOwner(name, key);
    await permission.use(key);
    if (permission.replaces) await this.#replace(name, key);
    this.#reserve(name, key);
    this.#deps.log.info({ component: 'dispatcher', node: name, address: peer.address }, 'node joined');
    return this.#issue(name, publicKey);
  }

  async renew(peer: Peer, request: RenewRequest): Promise<EnrolResponse> {
    this.#limit(peer);
    const { node } = peer;
    if (!node) throw new StatusError('Unauthorized', 'only a node with a certificate of this cluster can renew it; join with a token from `cleat token create`');
    const publicKey = verifySigningRequest(request.certificateSigningRequest);
    if (publicKeySha256(publicKey) !== node.publicKeySha256) throw new StatusError('BadRequest', 'a certificate is renewed for the same key; a new key joins with a token');
    const known = await this.checkOwner(node.name, node.publicKeySha256);
    if (node.expired && !known) throw new StatusError('Unauthorized', `the certificate of node ${node.name} has expired and the node is not known any more; join again with a token from \`cleat token create\``);
    const issued = this.#issue(node.name, publicKey);
    node.certificate = describe(new X509Certificate(issued.certificate), this.#deps.ca.certificate, this.#deps.ca);
    // Who asks which nodes still have an old one should not have to wait for the next session.
    if (known) await this.#deps.api.patch(nodes, undefined, node.name, 'merge', { metadata: { annotations: certificateAnnotations(node.certificate) } });
    return issued;
  }

  /** Resolves with whether a Node of this name has this key; false when the name is free. Rejects with `AlreadyExists` when another host has it. */
  async checkOwner(name: string, key: string): Promise<boolean> {
    const reserved = this.#reservations.get(name);
    const inTime = reserved !== undefined && reserved.untilMs > this.#deps.clock.monotonic();
    const owner = await this.#ownerOf(name) ?? (inTime ? reserved.key : undefined);
    if (owner !== undefined && owner !== key) {
      throw new StatusError('AlreadyExists', `node ${name} belongs to another host (key ${owner.slice(0, 12)}); start this host with another --node-name, or, if the old host is gone for good, remove it first: cleat delete node ${name}, or make a token that gives this host its place: cleat token create --replace=${name}`);
    }
    return owner !== undefined;
  }

  async #ownerOf(name: string): Promise<string | undefined> {
    try {
      return (await this.#deps.api.get(nodes, undefined, name)).metadata?.annotations?.[publicKeyAnnotation];
    } catch (error) {
      if (isStatus(error, 'NotFound')) return undefined;
      throw error;
    }
  }

  /** The name goes over to this key; the host that had it is refused from now on. */
  async #replace(name: string, key: string): Promise<void> {
    this.#reservations.delete(name);
    if (await this.#ownerOf(name) === undefined) return;
    this.#deps.log.warn({ component: 'dispatcher', node: name }, 'another host takes the place of a node');
    await this.#deps.api.patch(nodes, undefined, name, 'merge', { metadata: { annotations: { [publicKeyAnnotation]: key } } });
  }

  /** Between joining and the first session no Node says whose the name is. */
  #reserve(name: string, key: string): void {
    const now = this.#deps.clock.monotonic();
    for (const [other, { untilMs }] of this.#reservations) if (untilMs <= now) this.#reservations.delete(other);
    if (this.#reservations.size >= maxReservations) throw new StatusError('TooManyRequests', 'too many hosts have joined but not connected; try again in some minutes', { retryAfterMs: 60_000 });
    this.#reservations.set(name, { key, untilMs: now + reservationMs });
  }

  #issue(name: string, publicKey: Parameters<typeof issueCertificate>[1]['publicKey']): EnrolResponse {
    const { ca, clock } = this.#deps;
    const certificate = issueCertificate(ca, { subject: nodeSubject(name), publicKey, usage: 'client', nowMs: timeFloor(clock.now()), lifetimeMs: leafLifetimeMs });
    return { certificate, caCertificates: ca.trustedPem };
  }

  #limit(peer: Peer): void {
    if (!this.#attempts.take(peer.address)) throw new StatusError('TooManyRequests', 'too many attempts from this address; wait a minute', { retryAfterMs: 10_000 });
  }
}

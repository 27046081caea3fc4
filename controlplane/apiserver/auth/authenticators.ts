import { createHash } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { publicKeySha256 } from '#common/pki/certificate.ts';
import type { User } from '../types.ts';
import { nodeNameOf } from './node/identity.ts';
import type { Authenticator, Credentials, TokenAuthenticator, TokenIdentity } from './types.ts';

export function unauthorized(cause: string): StatusError {
  // As Kubernetes: one text for every reason; why is for the log.
  return new StatusError('Unauthorized', 'Unauthorized', { cause });
}

/** Tries each in turn; the first that knows the client decides. */
export class AuthenticatorChain implements Authenticator {
  readonly #authenticators: readonly Authenticator[];

  constructor(authenticators: readonly Authenticator[]) {
    this.#authenticators = authenticators;
  }

  async authenticate(credentials: Credentials): Promise<User | undefined> {
    for (const authenticator of this.#authenticators) {
      const user = await authenticator.authenticate(credentials);
      if (user) return { ...user, groups: [...new Set([...user.groups, 'system:authenticated'])] };
    }
    return undefined;
  }
}

interface PeerIdentity {
  readonly user: User;
  readonly notAfterMs: number;
  /** Of a node's certificate. */
  readonly node?: { readonly name: string; readonly publicKeySha256: string };
}

/** A certificate of our CA: its common name is the user, its organizations are the groups. */
export class ClientCertificateAuthenticator implements Authenticator {
  readonly #clock: Clock;
  readonly #isForeign: (socket: TLSSocket) => boolean;
  readonly #nodeKey: (name: string) => string | undefined;
  readonly #known = new WeakMap<TLSSocket, PeerIdentity | 'none' | 'bad'>();

  /**
   * `isForeign`: the peer's certificate is of a CA that TLS lets in and that says nothing of clients. `nodeKey`: SHA-256 of the key
   * of the host that is this node, where that is known.
   */
  constructor(clock: Clock, isForeign: (socket: TLSSocket) => boolean, nodeKey: (name: string) => string | undefined) {
    this.#clock = clock;
    this.#isForeign = isForeign;
    this.#nodeKey = nodeKey;
  }

  authenticate({ socket, authorization }: Credentials): User | undefined {
    let peer = this.#known.get(socket);
    if (peer === undefined) this.#known.set(socket, peer = this.#isForeign(socket) ? 'bad' : identify(socket));
    // A token beside a useless certificate still counts, as it does with Kubernetes.
    if (peer === 'none' || (peer === 'bad' && authorization !== undefined)) return undefined;
    if (peer === 'bad') throw unauthorized('client certificate not accepted');
    if (this.#clock.now() > peer.notAfterMs) throw unauthorized('client certificate expired');
    if (peer.node && (this.#nodeKey(peer.node.name) ?? peer.node.publicKeySha256) !== peer.node.publicKeySha256) throw unauthorized('the node belongs to another host now');
    return peer.user;
  }
}

function identify(socket: TLSSocket): PeerIdentity | 'none' | 'bad' {
  const certificate = socket.getPeerCertificate();
  if (Object.keys(certificate).length === 0) return 'none';
  if (!socket.authorized) return 'bad';
  const { CN, O } = certificate.subject as { CN?: string | string[]; O?: string | string[] };
  const name = Array.isArray(CN) ? CN[0] : CN;
  if (!name) return 'bad';
  const groups = O === undefined ? [] : Array.isArray(O) ? O : [O];
  const user = { name, groups };
  const node = nodeNameOf(user);
  const key = node === undefined ? undefined : socket.getPeerX509Certificate()?.publicKey;
  return { user, notAfterMs: Date.parse(certificate.valid_to), ...(node !== undefined && key && { node: { name: node, publicKeySha256: publicKeySha256(key) } }) };
}

/** Bearer tokens: the first that knows one decides. */
export class BearerAuthenticator implements Authenticator {
  readonly #tokens: readonly TokenAuthenticator[];
  readonly #audiences: readonly string[];

  /** `audiences`: what tokens for this API may name. */
  constructor(tokens: readonly TokenAuthenticator[], audiences: readonly string[]) {
    this.#tokens = tokens;
    this.#audiences = audiences;
  }

  async authenticate({ authorization }: Credentials): Promise<User | undefined> {
    if (authorization === undefined) return undefined;
    const token = /^bearer +(\S+) *$/i.exec(authorization)?.[1];
    if (token === undefined) throw unauthorized('not a bearer token');
    return (await this.review(token, this.#audiences)).user;
  }

  /** Throws Unauthorized, with the reason as its cause. Audiences empty: those of the API. */
  async review(token: string, audiences: readonly string[]): Promise<TokenIdentity> {
    for (const authenticator of this.#tokens) {
      const identity = await authenticator.authenticateToken(token, audiences.length > 0 ? audiences : this.#audiences);
      if (identity) return identity;
    }
    throw unauthorized('bearer token not known');
  }
}

/** Bearer tokens of a file: `token,user,uid,"group1,group2"` per line, as kube-apiserver's --token-auth-file. */
export class FileTokenAuthenticator implements TokenAuthenticator {
  /** By digest, so that looking one up takes no time that depends on the secret. */
  readonly #users: ReadonlyMap<string, User>;

  constructor(users: ReadonlyMap<string, User>) {
    this.#users = new Map([...users].map(([token, user]) => [digest(token), user]));
  }

  authenticateToken(token: string, audiences: readonly string[]): TokenIdentity | undefined {
    const user = this.#users.get(digest(token));
    return user && { user, audiences };
  }
}

function digest(token: string): string {
  return createHash('sha256').update(token).digest('base64');
}

/** Reads the text of a token file. A broken line is Invalid and names its number. */
export function parseTokenFile(text: string): Map<string, User> {
  const users = new Map<string, User>();
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const fields = csvFields(line);
    const [token, name, uid, groups = ''] = fields ?? [];
    if (!token || !name || uid === undefined) throw new StatusError('Invalid', `line ${String(i + 1)} of the token file is not token,user,uid[,"group1,group2"]`);
    users.set(token, { name, uid, groups: groups.split(',').filter((group) => group !== '') });
  }
  return users;
}

function csvFields(line: string): string[] | undefined {
  const fields: string[] = [];
  const field = /\s*(?:"((?:[^"]|"")*)"|([^",]*))\s*(,|$)/y;
  for (;;) {
    const match = field.exec(line);
    if (!match) return undefined;
    fields.push(match[1]?.replaceAll('""', '"') ?? (match[2] ?? '').trim());
    if (match[3] === '') return fields;
  }
}

import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '#common/clock.ts';
import { isExpired, isSignedBy } from '#common/pki/validity.ts';
import { unauthorized } from './authenticators.ts';
import type { User } from '../types.ts';
import type { Authenticator, Credentials } from './types.ts';

/** By which headers a proxy in front of the API says whom it speaks for; those that are sent to aggregated servers. */
export const userHeader = 'X-Remote-User';
export const groupHeader = 'X-Remote-Group';
export const uidHeader = 'X-Remote-Uid';
export const extraPrefix = 'X-Remote-Extra-';

export interface RequestHeaderConfig {
  /** Certificates of this CA are for proxies, and never say who a client is. */
  readonly ca: X509Certificate;
  /** Common names of the proxies that may be believed. */
  readonly allowedNames: readonly string[];
}

/**
 * Users as a proxy names them that shows a certificate of the front-proxy CA.
 * Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#authenticating-proxy
 */
export class RequestHeaderAuthenticator implements Authenticator {
  readonly #clock: Clock;
  readonly #config: RequestHeaderConfig;
  readonly #known = new WeakMap<TLSSocket, X509Certificate | 'none'>();

  constructor(clock: Clock, config: RequestHeaderConfig) {
    this.#clock = clock;
    this.#config = config;
  }

  authenticate({ socket, rawHeaders }: Credentials): User | undefined {
    const headers = remoteHeaders(rawHeaders);
    const [name] = headers.get(userHeader.toLowerCase()) ?? [];
    if (!name) return undefined;
    let proxy = this.#known.get(socket);
    if (proxy === undefined) this.#known.set(socket, proxy = proxyOf(socket, this.#config.ca) ?? 'none');
    if (proxy === 'none') return undefined;
    if (isExpired(proxy, this.#clock.now())) throw unauthorized('certificate of the front proxy expired');
    const { CN } = proxy.toLegacyObject().subject as { CN?: string | string[] };
    if (typeof CN !== 'string' || !this.#config.allowedNames.includes(CN)) throw unauthorized(`front proxy ${String(CN)} is not in the allowed list`);
    const [uid] = headers.get(uidHeader.toLowerCase()) ?? [];
    const extra = extraOf(headers);
    return { name, groups: headers.get(groupHeader.toLowerCase()) ?? [], ...(uid && { uid }), ...(extra && { extra }) };
  }
}

/** The peer's certificate when it is a proxy's. What is wrong with one of these is no client's certificate either. */
export function proxyOf(socket: TLSSocket, ca: X509Certificate): X509Certificate | undefined {
  const certificate = socket.getPeerX509Certificate();
  return certificate !== undefined && isSignedBy(certificate, ca) ? certificate : undefined;
}

/** By lower-case name, each as often as it came, in UTF-8: Node reads headers as Latin-1. */
function remoteHeaders(raw: readonly string[]): ReadonlyMap<string, string[]> {
  const found = new Map<string, string[]>();
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i]?.toLowerCase() ?? '';
    if (!name.startsWith('x-remote-')) continue;
    const value = Buffer.from(raw[i + 1] ?? '', 'latin1').toString('utf8');
    found.set(name, [...found.get(name) ?? [], value]);
  }
  return found;
}

function extraOf(headers: ReadonlyMap<string, string[]>): Record<string, string[]> | undefined {
  const entries = [...headers].filter(([name]) => name.startsWith(extraPrefix.toLowerCase())).map(([name, values]) => [decoded(name.slice(extraPrefix.length)), values] as const);
  return entries.length > 0 ? Object.fromEntries(entries) : undefined;
}

function decoded(key: string): string {
  try {
    return decodeURIComponent(key);
  } catch {
    return key;
  }
}

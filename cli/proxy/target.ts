import { Agent, request, type RequestOptions } from 'node:https';
import type { ClientRequest, IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import type { Connection } from '../kubeconfig.ts';

/** Of one connection only; what is between us and the client says its own. */
const hopByHop: ReadonlySet<string> = new Set(['connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade']);
/** What would let pages of other sites read answers. */
const crossOrigin = /^access-control-/;

interface TargetOptions {
  /** Put the path of the server's address before that of every request. */
  readonly appendServerPath: boolean;
  /** How often idle connections that were upgraded are probed; 0 is never. */
  readonly keepaliveMs: number;
}

/** The server behind the proxy, as the user of the kubeconfig. */
export class ProxyTarget {
  readonly #connection: Connection;
  readonly #options: TargetOptions;
  readonly #agent: Agent;
  readonly #server: URL;

  constructor(connection: Connection, options: TargetOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#server = new URL(connection.server);
    const { ca, cert, key, insecure, serverName } = connection;
    this.#agent = new Agent({
      keepAlive: true, rejectUnauthorized: !insecure,
      ...(ca !== undefined && { ca }), ...(cert !== undefined && { cert }), ...(key !== undefined && { key }), ...(serverName !== undefined && { servername: serverName }),
    });
  }

  close(): void {
    this.#agent.destroy();
  }

  /** A request like the one that came, which the caller sends the body of. */
  request(method: string, path: string, headers: IncomingHttpHeaders, from: string | undefined): ClientRequest {
    return request(this.#request(method, path, { ...passedOn(headers), ...this.#headers(headers, from) }));
  }

  /** The same for one that asks to be upgraded. */
  upgrade(method: string, path: string, headers: IncomingHttpHeaders, from: string | undefined): ClientRequest {
    const sent = request(this.#request(method, path, { ...passedOn(headers), connection: 'Upgrade', upgrade: headers.upgrade, ...this.#headers(headers, from) }));
    if (this.#options.keepaliveMs > 0) sent.setSocketKeepAlive(true, this.#options.keepaliveMs);
    return sent;
  }

  #request(method: string, path: string, headers: OutgoingHttpHeaders): RequestOptions {
    const prefix = this.#options.appendServerPath ? this.#server.pathname.replace(/\/$/, '') : '';
    return { protocol: 'https:', hostname: this.#server.hostname.replace(/^\[|\]$/g, ''), port: this.#server.port || 443, method, path: `${prefix}${path === '' ? '/' : path}`, headers, agent: this.#agent };
  }

  #headers(headers: IncomingHttpHeaders, from: string | undefined): OutgoingHttpHeaders {
    const { token, impersonate } = this.#connection;
    const chain = [headers['x-forwarded-for'], from].flat().filter((address) => address !== undefined);
    return {
      host: this.#server.host, ...(chain.length > 0 && { 'x-forwarded-for': chain.join(', ') }),
      // Who says who they are is believed by the server or not; we do not speak for them.
      ...(token !== undefined && headers.authorization === undefined && { authorization: `Bearer ${token}` }),
      ...(impersonate && headers['impersonate-user'] === undefined && { 'impersonate-user': impersonate.user, ...(impersonate.groups.length > 0 && { 'impersonate-group': [...impersonate.groups] }) }),
    };
  }
}

/** The headers that mean something beyond one connection. */
export function passedOn(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  const named = new Set((headers.connection ?? '').split(',').map((name) => name.trim().toLowerCase()));
  return Object.fromEntries(Object.entries(headers).filter(([name, value]) => value !== undefined && !hopByHop.has(name) && !named.has(name)));
}

/** Those of an answer. */
export function answered(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  return Object.fromEntries(Object.entries(passedOn(headers)).filter(([name]) => !crossOrigin.test(name)));
}

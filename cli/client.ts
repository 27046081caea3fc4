import { Agent, request as httpsRequest } from 'node:https';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { isStatus, StatusError, statusCodes, type StatusCode, type StatusDetails } from '#common/errors.ts';
import { unnamedKind } from './error-text.ts';
import type { Connection } from './kubeconfig.ts';
import { checkPath } from './names.ts';

export interface RequestOptions {
  readonly body?: string | Uint8Array | undefined;
  readonly contentType?: string;
  readonly accept?: string;
  readonly signal?: AbortSignal;
  /** The path is the user's own, and goes as it is. */
  readonly rawPath?: boolean;
}

export interface Answer {
  readonly status: number;
  readonly body: string;
  /** `Warning` headers' texts. */
  readonly warnings: readonly string[];
}

const maxBodyBytes = 512 << 20;

/** The REST API over HTTPS, HTTP/1.1 with connections kept. Failures are StatusErrors; those that the server sent carry `details.kind`. */
export class RestClient {
  readonly connection: Connection;
  readonly #agent: Agent;
  readonly #warn: (text: string) => unknown;
  readonly #warned = new Set<string>();

  /** `warn` hears once what the server warns of in an answer to `json` or `find`. */
  constructor(connection: Connection, warn: (text: string) => unknown = () => undefined) {
    this.connection = connection;
    this.#warn = warn;
    const { ca, cert, key, insecure, serverName } = connection;
    this.#agent = new Agent({
      keepAlive: true, maxSockets: 8, rejectUnauthorized: !insecure,
      ...(ca !== undefined && { ca }), ...(cert !== undefined && { cert }), ...(key !== undefined && { key }), ...(serverName !== undefined && { servername: serverName }),
    });
  }

  close(): void {
    this.#agent.destroy();
  }

  /** The answer's bytes as they come; rejects when the server refuses. */
  async open(method: string, path: string, options: RequestOptions = {}): Promise<IncomingMessage> {
    if (options.rawPath !== true) checkPath(path);
    const answer = await this.#send(method, path, options);
    const status = answer.statusCode ?? 0;
    if (status >= 200 && status < 300) return answer;
    throw statusFrom(status, await readAll(answer), `${method} ${path}`);
  }

  async request(method: string, path: string, options: RequestOptions = {}): Promise<Answer> {
    const answer = await this.open(method, path, options);
    return { status: answer.statusCode ?? 0, body: await readAll(answer), warnings: warningsOf(answer.headers['warning']) };
  }

  async json<T>(method: string, path: string, body?: unknown, options: Omit<RequestOptions, 'body'> = {}): Promise<T> {
    const answer = await this.request(method, path, { ...options, body: body === undefined ? undefined : JSON.stringify(body) });
    for (const warning of answer.warnings) {
      if (!this.#warned.has(warning)) this.#warn(`Warning: ${warning}\n`);
      this.#warned.add(warning);
    }
    return JSON.parse(answer.body) as T;
  }

  /** Like `json`, but undefined when the object is not there. */
  async find<T>(path: string): Promise<T | undefined> {
    try {
      return await this.json<T>('GET', path);
    } catch (error) {
      if (isStatus(error, 'NotFound')) return undefined;
      throw error;
    }
  }

  /** A connection that the server has upgraded; rejects with its Status when it has not. */
  async upgrade(path: string, headers: Readonly<Record<string, string>>): Promise<Duplex> {
    checkPath(path);
    const { server } = this.connection;
    const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
    const sent = httpsRequest(new URL(path, server), { method: 'POST', agent: this.#agent, headers: { ...headers, connection: 'Upgrade', 'content-length': '0', ...this.#identity() } });
    sent.once('upgrade', (_answer, socket, head) => {
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
    });
    sent.once('response', (answer) => { readAll(answer).then((body) => { reject(statusFrom(answer.statusCode ?? 0, body, `POST ${path}`)); }, reject); });
    sent.once('error', (error) => { reject(connectionError(error, server)); });
    sent.end();
    return promise;
  }

  #identity(): Record<string, string | string[]> {
    const { token, impersonate } = this.connection;
    return {
      'user-agent': 'cleat', ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(impersonate && { 'impersonate-user': impersonate.user, ...(impersonate.groups.length > 0 && { 'impersonate-group': [...impersonate.groups] }) }),
    };
  }

  #send(method: string, path: string, options: RequestOptions): Promise<IncomingMessage> {
    const url = new URL(path, this.connection.server);
    const { body } = options;
    const headers: Record<string, string | string[]> = { accept: options.accept ?? 'application/json', ...this.#identity() };
    if (body !== undefined) {
      headers['content-type'] = options.contentType ?? 'application/json';
      headers['content-length'] = String(Buffer.byteLength(body));
    }
    const { server, timeoutMs } = this.connection;
    const deadline = timeoutMs > 0 ? AbortSignal.timeout(timeoutMs) : undefined;
    const signals = [options.signal, deadline].filter((signal) => signal !== undefined);
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => {
        if (options.signal?.aborted === true) reject(options.signal.reason as Error);
        else if (deadline?.aborted === true) reject(new StatusError('Timeout', `the server ${server} did not answer within ${String(timeoutMs / 1000)} s; give it longer with --request-timeout`, { cause: error }));
        else reject(connectionError(error, server));
      };
      try {
        const sent = httpsRequest(url, { method, headers, agent: this.#agent, ...(signals.length > 0 && { signal: AbortSignal.any(signals) }) }, resolve);
        sent.on('error', fail);
        sent.end(body);
      } catch (error) {
        // Bad certificates are noticed here already.
        fail(error instanceof Error ? error : new Error(String(error)));
      }
    });
  }
}

export async function readAll(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBodyBytes) throw new StatusError('RequestEntityTooLarge', `the server's answer is larger than ${String(maxBodyBytes >> 20)} MiB; narrow the request with a selector or a namespace`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** The lines of a stream of JSON lines, as a watch sends them. A connection that breaks ends it like one that is closed: whoever watches opens another. */
export async function* lines(answer: IncomingMessage): AsyncGenerator<string> {
  let rest = '';
  answer.setEncoding('utf8');
  try {
    for await (const chunk of answer as AsyncIterable<string>) {
      const parts = (rest + chunk).split('\n');
      rest = parts.pop() ?? '';
      yield* parts.filter((part) => part !== '');
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ECONNRESET') throw error;
  }
}

function warningsOf(header: string | string[] | undefined): string[] {
  const all = Array.isArray(header) ? header.join(', ') : (header ?? '');
  return [...all.matchAll(/299 \S+ "((?:[^"\\]|\\.)*)"/g)].map(([, text = '']) => text.replaceAll(/\\(.)/g, '$1'));
}

function statusFrom(http: number, body: string, request: string): StatusError {
  try {
    const status = JSON.parse(body) as { kind?: string; reason?: string; message?: string; details?: StatusDetails };
    if (status.kind === 'Status') {
      const code = status.reason !== undefined && Object.hasOwn(statusCodes, status.reason) ? (status.reason as StatusCode) : codeFor(http);
      return new StatusError(code, status.message ?? body, { details: { ...status.details, kind: status.details?.kind || unnamedKind } });
    }
  } catch {
    // Not a Status: something else answered. Say what it said.
  }
  return new StatusError(codeFor(http), `the server answered ${request} with ${String(http)}: ${body.slice(0, 500)}`);
}

function codeFor(http: number): StatusCode {
  const found = Object.entries(statusCodes).find(([, row]) => row.http === http);
  return found ? (found[0] as StatusCode) : 'InternalError';
}

function connectionError(error: Error & { code?: string }, server: string): StatusError {
  const otherCa = `the server ${server} is not the one that this kubeconfig was made for: its certificate comes from another CA. Copy the kubeconfig anew.`;
  const closed = `the server ${server} closed the connection before it answered; try again, and see the server's log if that does not help`;
  const what: Readonly<Record<string, string>> = {
    ECONNREFUSED: `the connection to the server ${server} was refused. Is the control plane running there? Start it with 'cleat up', or name another server with --server.`,
    ENOTFOUND: `the name in ${server} cannot be resolved; check the kubeconfig's server address`,
    ETIMEDOUT: `the server ${server} does not answer; check the network and the address`,
    EHOSTUNREACH: `the server ${server} cannot be reached: no route to the host`,
    ECONNRESET: closed, EPIPE: closed,
    CERT_HAS_EXPIRED: `a certificate of ${server} has expired; check this host's clock`,
    SELF_SIGNED_CERT_IN_CHAIN: otherCa, DEPTH_ZERO_SELF_SIGNED_CERT: otherCa, UNABLE_TO_VERIFY_LEAF_SIGNATURE: otherCa, UNABLE_TO_GET_ISSUER_CERT_LOCALLY: otherCa, CERT_SIGNATURE_FAILURE: otherCa,
    ERR_TLS_CERT_ALTNAME_INVALID: `the certificate of ${server} is not for that address; start the control plane with --tls-san, or use an address that it knows`,
  };
  if (error.code?.startsWith('ERR_OSSL_') === true) return new StatusError('BadRequest', `the certificates of the kubeconfig cannot be used: ${error.message}. Copy it anew from the control plane.`, { cause: error });
  return new StatusError('ServiceUnavailable', what[error.code ?? ''] ?? `cannot talk to ${server}: ${error.message}`, { cause: error });
}

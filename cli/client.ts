import { Agent, request as httpsRequest } from 'node:https';
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { isStatus, StatusError } from '#common/errors.ts';
import { onAbort } from '#common/lifecycle.ts';
import { isAnswer } from './error-text.ts';
import type { Connection } from './kubeconfig.ts';
import { checkPath } from './names.ts';
import { connectionError, notOfApi, statusFrom } from './server-error.ts';

export interface RequestOptions {
  readonly body?: string | Uint8Array | undefined;
  readonly contentType?: string;
  readonly accept?: string;
  /** Ends the request; in place of the interruption that the client knows of. */
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

/** What a client has of the world outside. */
export interface ClientIo {
  /** Hears once what the server warns of in an answer to `json` or `find`. */
  readonly err: (text: string) => unknown;
  /** Ends every request that has no signal of its own. */
  readonly interrupted: AbortSignal;
}

/** When and why a request ends early. */
interface Limits {
  readonly signal: AbortSignal;
  /** What a failure means. */
  explain(error: unknown): Error;
}

const maxBodyBytes = 512 << 20;
/** Until a connection stands and is encrypted. */
const connectMs = 30_000;
/** A server that says when it has time again is asked again, as long as that is soon. */
const attempts = 6;
const longestWaitMs = 5000;

/** The REST API over HTTPS, HTTP/1.1 with connections kept. Failures are StatusErrors; those that the server sent carry `details.kind`. */
export class RestClient {
  readonly connection: Connection;
  readonly #agent: Agent;
  readonly #io: ClientIo;
  readonly #warned = new Set<string>();

  constructor(connection: Connection, io: ClientIo = { err: () => undefined, interrupted: new AbortController().signal }) {
    this.connection = connection;
    this.#io = io;
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
    return this.#open(method, path, options, this.#limits(options));
  }

  async request(method: string, path: string, options: RequestOptions = {}): Promise<Answer> {
    const limits = this.#limits(options);
    const answer = await this.#open(method, path, options, limits);
    const body = await readAll(answer).catch((error: unknown) => { throw limits.explain(error); });
    return { status: answer.statusCode ?? 0, body, warnings: warningsOf(answer.headers['warning']) };
  }

  /** The bytes at a path as they come; what ends them early is told. */
  async *bytes(path: string, options: RequestOptions = {}): AsyncGenerator<Buffer, void, undefined> {
    const limits = this.#limits(options);
    try {
      yield* await this.#open('GET', path, { accept: '*/*', ...options }, limits) as AsyncIterable<Buffer>;
    } catch (error) {
      throw limits.explain(error);
    }
  }

  async json<T>(method: string, path: string, body?: unknown, options: Omit<RequestOptions, 'body'> = {}): Promise<T> {
    const answer = await this.request(method, path, { ...options, body: body === undefined ? undefined : JSON.stringify(body) });
    for (const warning of answer.warnings) {
      if (!this.#warned.has(warning)) this.#io.err(`Warning: ${warning}\n`);
      this.#warned.add(warning);
    }
    const value = parsed(answer.body);
    if (typeof value !== 'object' || value === null || (isOfObjects(path) && typeof (value as { kind?: unknown }).kind !== 'string')) throw notOfApi(answer.body, `${method} ${path}`, this.connection.server);
    return value as T;
  }

  /** Like `json`, but undefined when the object is not there. */
  async find<T>(path: string): Promise<T | undefined> {
    try {
      return await this.json<T>('GET', path);
    } catch (error) {
      // The server's own word: that somebody else answers 404 does not say that the object is not there.
      if (isStatus(error, 'NotFound') && isAnswer(error)) return undefined;
      throw error;
    }
  }

  /** A connection that the server has upgraded; rejects with its Status when it has not. */
  async upgrade(path: string, headers: Readonly<Record<string, string>>): Promise<Duplex> {
    checkPath(path);
    const limits = this.#limits({});
    const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
    const sent = httpsRequest(new URL(path, this.connection.server), { method: 'POST', agent: this.#agent, headers: { ...headers, connection: 'Upgrade', 'content-length': '0', ...this.#identity() } });
    limitConnecting(sent);
    // What has been upgraded lives on.
    const release = onAbort(limits.signal, () => { sent.destroy(limits.signal.reason as Error); });
    sent.once('upgrade', (_answer, socket, head) => {
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
    });
    sent.once('response', (answer) => { readAll(answer).then((body) => { reject(statusFrom(answer.statusCode ?? 0, body, `POST ${path}`, this.connection.server)); }, (error: unknown) => { reject(limits.explain(error)); }); });
    sent.once('error', (error) => { reject(limits.explain(error)); });
    sent.end();
    return promise.finally(release);
  }

  #identity(): Record<string, string | string[]> {
    const { token, impersonate } = this.connection;
    return {
      'user-agent': 'cleat', ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(impersonate && { 'impersonate-user': impersonate.user, ...(impersonate.groups.length > 0 && { 'impersonate-group': [...impersonate.groups] }) }),
    };
  }

  #limits({ signal: own }: Pick<RequestOptions, 'signal'>): Limits {
    const { server, timeoutMs } = this.connection;
    const ended = own ?? this.#io.interrupted;
    const deadline = timeoutMs > 0 ? AbortSignal.timeout(timeoutMs) : undefined;
    return {
      signal: deadline ? AbortSignal.any([ended, deadline]) : ended,
      explain(error) {
        if (ended.aborted) return ended.reason as Error;
        if (deadline?.aborted === true) return new StatusError('Timeout', `the server ${server} did not answer within ${String(timeoutMs / 1000)} s; give it longer with --request-timeout`, { cause: error });
        return isStatus(error) ? error : connectionError(error instanceof Error ? error : new Error(String(error)), server);
      },
    };
  }

  async #open(method: string, path: string, options: RequestOptions, limits: Limits): Promise<IncomingMessage> {
    if (options.rawPath !== true) checkPath(path);
    for (let attempt = 1; ; attempt++) {
      const answer = await this.#send(method, path, options, limits);
      const status = answer.statusCode ?? 0;
      if (status >= 200 && status < 300) return answer;
      const body = await readAll(answer).catch((error: unknown) => { throw limits.explain(error); });
      const waitMs = status === 429 || status === 503 ? Number(answer.headers['retry-after']) * 1000 : Number.NaN;
      if (!(waitMs >= 0 && waitMs <= longestWaitMs) || attempt === attempts) throw statusFrom(status, body, `${method} ${path}`, this.connection.server);
      await sleep(waitMs, undefined, { signal: limits.signal }).catch((error: unknown) => { throw limits.explain(error); });
    }
  }

  #send(method: string, path: string, options: RequestOptions, limits: Limits): Promise<IncomingMessage> {
    const url = new URL(path, this.connection.server);
    const { body } = options;
    const headers: Record<string, string | string[]> = { accept: options.accept ?? 'application/json', ...this.#identity() };
    if (body !== undefined) {
      headers['content-type'] = options.contentType ?? 'application/json';
      headers['content-length'] = String(Buffer.byteLength(body));
    }
    return new Promise((resolve, reject) => {
      const fail = (error: unknown): void => { reject(limits.explain(error)); };
      try {
        const sent = httpsRequest(url, { method, headers, agent: this.#agent, signal: limits.signal }, resolve);
        limitConnecting(sent);
        sent.on('error', fail);
        sent.end(body);
      } catch (error) {
        // Bad certificates are noticed here already.
        fail(error);
      }
    });
  }
}

/** A host that drops what is sent to it, or that takes a connection and is silent, must not hold us for ever. */
function limitConnecting(sent: ClientRequest): void {
  sent.once('socket', (socket) => {
    if (!socket.connecting) return;
    const timer = setTimeout(() => { sent.destroy(Object.assign(new Error('no connection'), { code: 'ETIMEDOUT' })); }, connectMs);
    const stop = (): void => { clearTimeout(timer); };
    socket.once('secureConnect', stop).once('close', stop);
  });
}

/** What the API itself answers has a kind; what is behind it, such as nodes, need not. */
function isOfObjects(path: string): boolean {
  return /^\/apis?(?![^/?])/.test(path) && !path.includes('/proxy/');
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
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

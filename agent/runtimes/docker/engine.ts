import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Clock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { isRecord } from '#api/meta/json.ts';
import { http } from '#common/node-http.ts';
import { fromDocker, unreachable } from './errors.ts';

export interface RequestOptions {
  readonly query?: Readonly<Record<string, string | number | boolean>>;
  readonly json?: unknown;
  /** Sent as it is; `application/x-tar`. */
  readonly tar?: NodeJS.ReadableStream;
  readonly headers?: Readonly<Record<string, string>>;
  /** Until the answer begins, and again until all of one that is no stream is there. What takes a time of its own rejects with Timeout after it; a mere question as if nobody were there. */
  readonly timeoutMs?: number;
  /** Names of what the answer, or each item of a list, must have to be of use. */
  readonly has?: readonly string[];
  readonly isList?: boolean;
}

type Method = 'GET' | 'POST' | 'DELETE';

const quickMs = 10_000;
const maxAnswerBytes = 32 << 20;
const maxErrorBytes = 64 << 10;

/**
 * The Engine API over Docker's unix socket. Paths have no version: the daemon takes that as its own, and what is asked
 * for here has been the same from API 1.40 on. Rejects with StatusError; an aborted call rejects with the signal's reason.
 */
export class DockerEngine {
  readonly endpoint: string;
  readonly #clock: Clock;

  /** `endpoint` is the socket's absolute path, with or without `unix://`. */
  constructor(endpoint: string, clock: Clock) {
    this.#clock = clock;
    this.endpoint = endpoint.replace(/^unix:(\/\/)?/, '');
  }

  /** The answer as JSON; undefined when it is empty. */
  async call<T>(method: Method, path: string, options: RequestOptions, signal: AbortSignal): Promise<T> {
    const answer = await this.open(method, path, options, signal);
    const chunks: Buffer[] = [];
    let bytes = 0;
    const onTime = this.#clock.after(options.timeoutMs ?? quickMs, () => { answer.destroy(this.#late(method, path, options)); });
    try {
      for await (const chunk of answer as AsyncIterable<Buffer>) {
        bytes += chunk.length;
        if (bytes > maxAnswerBytes) throw new StatusError('InternalError', `Docker's answer to ${method} ${path} is longer than ${String(maxAnswerBytes)} bytes`);
        chunks.push(chunk);
      }
    } catch (error) {
      signal.throwIfAborted();
      throw error instanceof StatusError ? error : unreachable(this.endpoint, `${method} ${path}`, error);
    } finally {
      onTime();
    }
    const text = Buffer.concat(chunks).toString('utf8');
    try {
      const parsed: unknown = text.trim() === '' ? undefined : JSON.parse(text);
      if (isOfUse(parsed, options)) return parsed as T;
    } catch (error) {
      throw new StatusError('InternalError', `what answers on ${this.endpoint} is not Docker: ${text.slice(0, 200)}`, { cause: error });
    }
    throw new StatusError('InternalError', `Docker's answer to ${method} ${path} is not what its API says; check what listens on ${this.endpoint}, or restart it: ${text.slice(0, 200)}`);
  }

  #late(method: Method, path: string, { timeoutMs }: RequestOptions): StatusError {
    const text = `did not answer ${method} ${path} on ${this.endpoint} within ${String((timeoutMs ?? quickMs) / 1000)} s; check that it is not stuck, or restart it (systemctl restart docker)`;
    return new StatusError(timeoutMs === undefined ? 'ServiceUnavailable' : 'Timeout', `Docker ${text}`);
  }

  /** The answer as it comes, once it has begun and is no error. The signal ends it at any time. */
  open(method: Method, path: string, options: RequestOptions, signal: AbortSignal): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const request = this.#request(method, path, options, {}, signal, reject);
      if (!request) return;
      request.once('response', (answer) => {
        if (isGood(answer.statusCode)) resolve(answer);
        else refuse(answer, reject);
      });
    });
  }

  /** A connection that has become a stream of bytes both ways. */
  hijack(path: string, options: RequestOptions, signal: AbortSignal): Promise<Duplex> {
    return new Promise((resolve, reject) => {
      // The signal is for the opening alone: the stream is closed by whoever has it.
      const request = this.#request('POST', path, options, { connection: 'Upgrade', upgrade: 'tcp' }, signal, reject);
      if (!request) return;
      request.once('upgrade', (_answer, socket, head) => {
        if (head.length > 0) socket.unshift(head);
        resolve(socket);
      });
      request.once('response', (answer) => {
        if (!isGood(answer.statusCode)) refuse(answer, reject);
        else request.destroy(new Error('it did not make a stream of the connection'));
      });
    });
  }

  #request(method: Method, path: string, options: RequestOptions, extra: Readonly<Record<string, string>>, signal: AbortSignal, reject: (error: unknown) => void): ClientRequest | undefined {
    if (signal.aborted) {
      reject(signal.reason);
      return undefined;
    }
    const { query = {}, json, tar, headers, timeoutMs = quickMs } = options;
    const words = Object.entries(query).map(([key, value]) => `${key}=${encodeURIComponent(String(value))}`);
    const body = json === undefined ? undefined : JSON.stringify(json);
    const request = http.request({
      socketPath: this.endpoint, method, path: `${path}${words.length > 0 ? '?' : ''}${words.join('&')}`, agent: false,
      headers: {
        host: 'docker', ...extra, ...headers,
        ...(body !== undefined && { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }),
        ...(tar !== undefined && { 'content-type': 'application/x-tar' }),
        ...(body === undefined && tar === undefined && method === 'POST' && { 'content-length': '0' }),
      },
    });
    const abort = (): void => { request.destroy(signal.reason as Error); };
    signal.addEventListener('abort', abort, { once: true });
    const onTime = this.#clock.after(timeoutMs, () => { request.destroy(this.#late(method, path, options)); });
    request.once('response', onTime);
    request.once('upgrade', () => {
      onTime();
      signal.removeEventListener('abort', abort);
    });
    request.once('close', () => {
      onTime();
      signal.removeEventListener('abort', abort);
    });
    request.on('error', (error) => { reject(signal.aborted ? signal.reason : error instanceof StatusError ? error : unreachable(this.endpoint, `${method} ${path}`, error)); });
    if (tar) tar.once('error', (error) => { request.destroy(error); }).pipe(request);
    else request.end(body);
    return request;
  }
}

function isOfUse(answer: unknown, { has, isList = false }: RequestOptions): boolean {
  if (has === undefined) return true;
  if (Array.isArray(answer) !== isList) return false;
  const items: unknown[] = Array.isArray(answer) ? answer : [answer];
  return items.every((item) => isRecord(item) && has.every((name) => item[name] !== undefined));
}

function isGood(statusCode = 0): boolean {
  return statusCode >= 200 && statusCode < 300 || statusCode === 304;
}

function refuse(answer: IncomingMessage, reject: (error: unknown) => void): void {
  let text = '';
  answer.on('data', (chunk: Buffer) => { if (text.length < maxErrorBytes) text += chunk.toString(); });
  const finish = (): void => { reject(fromDocker(answer.statusCode ?? 0, text)); };
  answer.once('end', finish);
  answer.once('error', finish);
}

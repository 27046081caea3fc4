import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { httpStatusOf, type StatusError } from '#common/errors.ts';
import { http } from '#common/node-http.ts';
import { failure, type Status } from './status.ts';
import type { HttpResponse } from './listener.ts';

/** Bodies that are sent as they become ready; each chunk waits for the client to take the one before. */
export interface ReplyStream extends AsyncIterable<Uint8Array> {
  /**
   * Between two steps of the iteration: what becomes ready is handed to `take` at once, which spares thousands of readers their
   * promises, for as long as that returns true. Resolves when the iteration has to go on.
   */
  readonly follow?: (take: (chunk: Uint8Array) => boolean) => Promise<void>;
}
/** Bodies in pieces; the next is asked for when the one before has left our memory. */
export type ReplyPieces = Iterable<Uint8Array>;

/** An answer before it meets HTTP. `null` body: none. */
export interface Reply {
  readonly status: number;
  readonly contentType: string;
  readonly body: Uint8Array | string | ReplyPieces | ReplyStream;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** Texts of `Warning` headers. */
  readonly warnings?: readonly string[];
  /** Instead of an answer in HTTP: takes an upgraded connection for as long as it runs. */
  readonly takeOver?: (socket: Duplex) => Promise<void>;
}

export const jsonType = 'application/json';

export function json(value: unknown, status = 200): Reply {
  return { status, contentType: jsonType, body: JSON.stringify(value) };
}

export function bytes(body: Uint8Array, status = 200): Reply {
  return { status, contentType: jsonType, body };
}

export function text(body: string, status = 200): Reply {
  return { status, contentType: 'text/plain; charset=utf-8', body };
}

export function errorReply(error: StatusError): Reply {
  const status: Status = failure(error);
  const headers: Record<string, string> = {};
  if (error.code === 'Unauthorized') headers['WWW-Authenticate'] = 'Bearer realm="cleat"';
  if (status.details?.retryAfterSeconds !== undefined) headers['Retry-After'] = String(status.details.retryAfterSeconds);
  return { ...json(status, httpStatusOf(error)), headers };
}

/**
 * Sends a reply. A client that takes longer than `stallMs` to read what was sent before is cut off: nothing
 * is buffered for it. Resolves when all is handed over or the client has gone; rejects when the body does.
 */
export async function sendReply(response: HttpResponse, reply: Reply, head: boolean, stallMs: number): Promise<void> {
  writeHead(response, reply);
  const { body } = reply;
  if (head) {
    response.end();
    if (typeof body === 'object' && Symbol.asyncIterator in body) await body[Symbol.asyncIterator]().return?.();
  } else if (typeof body === 'string' || body instanceof Uint8Array) {
    response.end(body);
    await taken(response, stallMs);
  } else {
    // Headers go out before the first chunk: a watch may be silent for a long time.
    if (isHttp1(response)) response.flushHeaders();
    else response.writeHead(response.statusCode);
    await (Symbol.asyncIterator in body ? sendChunks(response, body, stallMs) : sendPieces(response, body, stallMs));
  }
}

function writeHead(response: HttpResponse, reply: Reply): void {
  response.statusCode = reply.status;
  if (reply.contentType !== '') response.setHeader('Content-Type', reply.contentType);
  response.setHeader('Cache-Control', 'no-cache, private');
  for (const [name, value] of Object.entries(reply.headers ?? {})) response.setHeader(name, value);
  if (reply.warnings && reply.warnings.length > 0) response.setHeader('Warning', reply.warnings.map(warningHeader));
  if (typeof reply.body === 'string') response.setHeader('Content-Length', Buffer.byteLength(reply.body));
  else if (reply.body instanceof Uint8Array) response.setHeader('Content-Length', reply.body.length);
}

/** `299 - "text"`: RFC 7234, quoted; anything that a header cannot carry is dropped. */
function warningHeader(text: string): string {
  const clean = text.replaceAll(/[^\x20-\x7e]/gu, ' ').replaceAll(/["\\]/gu, String.raw`\$&`).slice(0, 1024);
  return `299 - "${clean}"`;
}

async function sendChunks(response: HttpResponse, body: ReplyStream, stallMs: number): Promise<void> {
  for await (const chunk of body) {
    if (gone(response)) return;
    let room = write(response, chunk);
    if (room) await body.follow?.((next) => (room = !gone(response) && write(response, next)));
    if (room || gone(response) || (await drained(response, stallMs))) continue;
    destroy(response);
    return;
  }
  if (!gone(response)) response.end();
}

async function sendPieces(response: HttpResponse, body: ReplyPieces, stallMs: number): Promise<void> {
  let before: Promise<boolean> = Promise.resolve(true);
  for (const piece of body) {
    const sent = within(response, stallMs, (done) => { write(response, piece, done); });
    if (!(await before)) return destroy(response);
    before = sent;
  }
  if (await before) response.end();
  else destroy(response);
}

function write(response: HttpResponse, chunk: Uint8Array, sent?: () => void): boolean {
  return isHttp1(response) ? response.write(chunk, sent) : response.write(chunk, sent);
}

function gone(response: HttpResponse): boolean {
  return response.destroyed || response.writableEnded || response.socket?.destroyed === true;
}

/** Waits until all is handed over. Who does not read holds its answer in our memory, and not for longer than `stallMs`. */
async function taken(response: HttpResponse, stallMs: number): Promise<void> {
  if (response.writableFinished || response.destroyed) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => { destroy(response); resolve(); }, stallMs);
    const done = (): void => { clearTimeout(timer); resolve(); };
    response.once('finish', done);
    response.once('close', done);
  });
}

function drained(response: HttpResponse, stallMs: number): Promise<boolean> {
  return within(response, stallMs, (done) => { response.once('drain', done); });
}

/** True when `start` calls back before the client has gone or `stallMs` have passed. */
function within(response: HttpResponse, stallMs: number, start: (done: () => void) => void): Promise<boolean> {
  return new Promise((resolve) => {
    const finish = (): void => {
      clearTimeout(timer);
      response.off('close', finish);
      resolve(!gone(response) && !late);
    };
    let late = false;
    const timer = setTimeout(() => { late = true; finish(); }, stallMs);
    response.once('close', finish);
    start(finish);
  });
}

function destroy(response: HttpResponse): void {
  if (isHttp1(response)) response.destroy();
  else response.stream.close();
}

function isHttp1(response: HttpResponse): response is ServerResponse {
  return response instanceof http.ServerResponse;
}

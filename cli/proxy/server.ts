import { once } from 'node:events';
import { createServer, STATUS_CODES, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { pipeline, type Duplex } from 'node:stream';
import { messageOf } from '#common/errors.ts';
import type { RequestFilter } from './filter.ts';
import { plainAnswer } from './plain-answer.ts';
import type { StaticFiles } from './static-files.ts';
import { answered, type ProxyTarget } from './target.ts';

interface ProxyParts {
  readonly target: ProxyTarget;
  /** Undefined lets everything through. */
  readonly filter: RequestFilter | undefined;
  readonly files: StaticFiles | undefined;
  /** Told of requests that could not be passed on. */
  readonly warn: (line: string) => unknown;
}

interface ProxyPrefixes {
  /** Both end with a slash. */
  readonly api: string;
  readonly files: string;
}

/** Far more than a person's tools have; a flood must not take all memory. */
const maxConnections = 4096;

/** Where a request is to go. */
type Route = { readonly kind: 'api'; readonly path: string; readonly query: string } | { readonly kind: 'files'; readonly path: string } | { readonly kind: 'moved'; readonly to: string } | { readonly kind: 'none' | 'bad' | 'forbidden' };

/** Passes requests on to the cluster's API, as somebody who may use it. Serves until it is closed. */
export class ApiProxy {
  readonly server: Server;
  readonly #parts: ProxyParts;
  readonly #prefixes: ProxyPrefixes;
  readonly #upgraded = new Set<Duplex>();

  constructor(parts: ProxyParts, prefixes: ProxyPrefixes) {
    this.#parts = parts;
    this.#prefixes = prefixes;
    this.server = createServer({ requestTimeout: 0 }, (request, response) => { this.#answer(request, response); });
    this.server.maxConnections = maxConnections;
    this.server.on('upgrade', (request, socket, head) => { this.#upgrade(request, socket, head); });
  }

  async close(): Promise<void> {
    if (!this.server.listening) return;
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    for (const socket of this.#upgraded) socket.destroy();
    await closed;
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const route = this.#route(request);
    switch (route.kind) {
      case 'api': this.#pass(request, response, route.path + route.query); break;
      case 'files': this.#parts.files?.answer(route.path, request, response); break;
      case 'moved': response.writeHead(301, { location: route.to }).end(); break;
      case 'forbidden': plainAnswer(response, 403, 'Forbidden'); break;
      case 'bad': plainAnswer(response, 400, '400 Bad Request'); break;
      case 'none': plainAnswer(response, 404, '404 page not found'); break;
    }
  }

  #route({ method = 'GET', url = '/', headers }: IncomingMessage): Route {
    const base = 'http://proxy';
    const parsed = URL.canParse(url, base) ? new URL(url.startsWith('/') ? base + url : url, base) : undefined;
    const decoded = parsed && decode(parsed.pathname);
    if (parsed === undefined || decoded === undefined) return { kind: 'bad' };
    const { api, files } = this.#prefixes;
    const { pathname, search } = parsed;
    // The longer prefix counts.
    if (this.#parts.files && pathname.startsWith(files) && !(pathname.startsWith(api) && api.length > files.length)) return { kind: 'files', path: `/${decoded.slice(files.length)}` };
    if (`${pathname}/` === api) return { kind: 'moved', to: api + search };
    if (!pathname.startsWith(api)) return { kind: 'none' };
    // A prefix such as /api/ is the API's own.
    const cut = (path: string): string => (api.startsWith('/api') ? path : path.slice(api.length - 1));
    if (this.#parts.filter?.accepts(method, cut(decoded), headers.host ?? '') === false) return { kind: 'forbidden' };
    return { kind: 'api', path: cut(pathname), query: search };
  }

  #pass(request: IncomingMessage, response: ServerResponse, path: string): void {
    const sent = this.#parts.target.request(request.method ?? 'GET', path, request.headers, request.socket.remoteAddress);
    sent.once('response', (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.statusMessage, answered(answer.headers));
      // Of a watch, too, the head is news.
      response.flushHeaders();
      pipeline(answer, response, () => undefined);
    });
    sent.once('error', (error) => {
      if (response.destroyed) return;
      this.#failed(request, path, error);
      if (response.headersSent) response.destroy();
      else plainAnswer(response, 500, messageOf(error));
    });
    // Who leaves is not to be answered, nor does the server have to go on.
    response.once('close', () => { if (!response.writableFinished) sent.destroy(); });
    pipeline(request, sent, (error) => { if (error) sent.destroy(); });
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => undefined);
    const route = this.#route(request);
    if (route.kind !== 'api') {
      const status = route.kind === 'forbidden' ? 403 : 404;
      endRaw(socket, `${String(status)} ${STATUS_CODES[status] ?? ''}`, `${STATUS_CODES[status] ?? ''}\n`);
      return;
    }
    const path = route.path + route.query;
    const sent = this.#parts.target.upgrade(request.method ?? 'GET', path, request.headers, request.socket.remoteAddress);
    this.#upgraded.add(socket);
    socket.once('close', () => {
      this.#upgraded.delete(socket);
      sent.destroy();
    });
    sent.once('upgrade', (answer, server, first) => {
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${rawHeaders(answer)}\r\n`);
      socket.write(first);
      server.write(head);
      server.on('error', () => undefined);
      pipeline(server, socket, () => { server.destroy(); });
      pipeline(socket, server, () => undefined);
    });
    // The server would not: its answer is the client's.
    sent.once('response', (answer) => {
      socket.write(`HTTP/1.1 ${String(answer.statusCode)} ${answer.statusMessage ?? ''}\r\nConnection: close\r\n${rawHeaders(answer, /^(?:connection|keep-alive|transfer-encoding)$/i)}\r\n`);
      pipeline(answer, socket, () => undefined);
    });
    sent.once('error', (error) => {
      if (socket.destroyed) return;
      this.#failed(request, path, error);
      endRaw(socket, '500 Internal Server Error', `${messageOf(error)}\n`);
    });
    sent.end();
  }

  #failed({ method = '' }: IncomingMessage, path: string, error: unknown): void {
    this.#parts.warn(`error: while proxying ${method} ${path}: ${messageOf(error)}\n`);
  }
}

function decode(path: string): string | undefined {
  try {
    return decodeURIComponent(path);
  } catch {
    return undefined;
  }
}

function rawHeaders({ rawHeaders: raw }: IncomingMessage, but?: RegExp): string {
  return raw.flatMap((name, i) => (i % 2 === 0 && but?.test(name) !== true ? [`${name}: ${raw[i + 1] ?? ''}\r\n`] : [])).join('');
}

function endRaw(socket: Duplex, status: string, text: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\nContent-Length: ${String(Buffer.byteLength(text))}\r\n\r\n${text}`);
}

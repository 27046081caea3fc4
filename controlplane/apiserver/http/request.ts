import type { IncomingHttpHeaders } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { deeperThan, maxDepth } from '#api/meta/json.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import { badRequest, noSuchPath } from '../api-errors.ts';
import type { Annotate } from '../admission/types.ts';
import type { HttpRequest } from './listener.ts';

export interface RequestLimits {
  readonly maxBodyBytes: number;
  /** All bodies that are being received or worked on, together. */
  readonly maxBodyBytesInFlight: number;
  readonly bodyTimeoutMs: number;
  readonly maxUrlBytes: number;
}

/** One request, whatever version of HTTP it came by. */
export interface ApiRequest {
  readonly method: string;
  /** The path as sent, without the query. */
  readonly path: string;
  /** The path's segments, each percent-decoded once. */
  readonly segments: readonly string[];
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly socket: TLSSocket;
  /** The message itself, for those that hand on bodies or connections as they come. */
  readonly incoming: HttpRequest;
  /** Aborts when the client has gone or the server stops. */
  readonly signal: AbortSignal;
  /** Adds to the request's audit event; absent where none is kept. */
  readonly annotate?: Annotate | undefined;
  /** The whole body, read once; empty when there is none. */
  body(): Promise<Buffer>;
}

/** The path of a proxy subresource, and behind it the path that the proxied server is asked for. */
export const proxyPath = /^(\/api\/v1\/(?:namespaces\/[^/]+\/(?:pods|services)|nodes)\/[^/]+\/proxy)(\/.*)?$/;

/** Splits and decodes a request target. Throws for what no client of ours sends. */
export function parseTarget(target: string, maxUrlBytes: number): Pick<ApiRequest, 'path' | 'segments' | 'query'> {
  if (target.length > maxUrlBytes) throw new StatusError('RequestEntityTooLarge', `the URL is ${String(target.length)} bytes long; the limit is ${String(maxUrlBytes)}`);
  const relative = target.replace(/^https?:\/\/[^/?#]*/i, '') || '/';
  if (!relative.startsWith('/')) throw badRequest('the request target must be a path');
  const [path = '/', query = ''] = splitOnce(relative, '?');
  const [, own = path] = proxyPath.exec(path) ?? [];
  return { path, segments: own.split('/').filter((part, i, all) => part !== '' || (i > 0 && i < all.length - 1)).map(decodeSegment), query: new URLSearchParams(query) };
}

function splitOnce(text: string, separator: string): string[] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

/** A segment is one name: what decodes to a separator, a dot segment or a control character names nothing. */
function decodeSegment(raw: string): string {
  let segment: string;
  try {
    segment = decodeURIComponent(raw);
  } catch (error) {
    throw badRequest(`the path segment ${JSON.stringify(raw.slice(0, 100))} is not percent-encoded UTF-8`, error);
  }
  // oxlint-disable-next-line no-control-regex
  if (segment === '' || segment === '.' || segment === '..' || /[/\\\u0000-\u001f\u007f]/.test(segment)) throw noSuchPath();
  return segment;
}

/** Counts what is held of request bodies, so that many large ones cannot fill the memory. */
export class BodyReader {
  readonly #limits: RequestLimits;
  #inFlight = 0;

  constructor(limits: RequestLimits) {
    this.#limits = limits;
  }

  /** Reads the body once, `invite`s it first; `release` gives its bytes back when the request is answered. */
  attach(request: HttpRequest, invite: () => void): { read: () => Promise<Buffer>; release: () => void } {
    let held = 0;
    let whole: Promise<Buffer> | undefined;
    const take = (bytes: number): void => {
      if (this.#inFlight + bytes > this.#limits.maxBodyBytesInFlight) throw new StatusError('TooManyRequests', 'too many large requests at once; try again', { retryAfterMs: 1000 });
      held += bytes;
      this.#inFlight += bytes;
    };
    return {
      read: () => whole ??= this.#read(request, take, invite),
      release: () => { this.#inFlight -= held; held = 0; },
    };
  }

  async #read(request: HttpRequest, take: (bytes: number) => void, invite: () => void): Promise<Buffer> {
    const { maxBodyBytes, bodyTimeoutMs } = this.#limits;
    const tooLarge = (): StatusError => new StatusError('RequestEntityTooLarge', `Request entity too large: limit is ${String(maxBodyBytes)}`);
    if (Number(request.headers['content-length'] ?? 0) > maxBodyBytes) throw tooLarge();
    invite();
    const chunks: Buffer[] = [];
    let size = 0;
    let late = false;
    const timer = setTimeout(() => { late = true; request.destroy(); }, bodyTimeoutMs);
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) {
        size += chunk.length;
        if (size > maxBodyBytes) throw tooLarge();
        take(chunk.length);
        chunks.push(chunk);
      }
    } catch (error) {
      if (error instanceof StatusError) throw error;
      throw late ? new StatusError('Timeout', `the request body did not arrive within ${String(bodyTimeoutMs)} ms`) : badRequest(`the request body could not be read: ${messageOf(error)}`, error);
    } finally {
      clearTimeout(timer);
    }
    return Buffer.concat(chunks, size);
  }
}

/** The media type without parameters, in lower case; empty when the client sent none. */
export function mediaType(request: ApiRequest): string {
  return (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
}

const protobufType = 'application/vnd.kubernetes.protobuf';
const documentTypes = ['application/json', 'application/yaml', protobufType];

async function parseDocument(type: string, body: Buffer): Promise<ReadDocument> {
  if (type === protobufType) return { value: (await import('../protobuf/decode.ts')).decodeProtobuf(body), json: undefined, duplicates: [] };
  // Bytes that are not UTF-8 become U+FFFD, as Go reads them.
  const text = body.toString('utf8');
  if (!type.endsWith('yaml')) return { value: parseJson(text), json: text, duplicates: [] };
  const value = flowJson(text);
  return value === undefined ? { json: undefined, ...(await import('./yaml.ts')).parseYaml(text) } : { value, json: text, duplicates: [] };
}

/** JSON is YAML, too, and read much faster; undefined for any other style, and for what is broken in either language. */
function flowJson(text: string): unknown {
  if (!/^\s*\{/.test(text)) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A body as it was read. */
export interface ReadDocument {
  readonly value: unknown;
  /** The text, where it was JSON. */
  readonly json: string | undefined;
  /** Keys that YAML has twice. */
  readonly duplicates: readonly string[];
}

/** The body as JSON value, from JSON, YAML or Kubernetes' protobuf. */
export async function readDocument(request: ApiRequest, accepted: readonly string[] = documentTypes): Promise<unknown> {
  return (await readBody(request, accepted)).value;
}

/** As `readDocument`, with what is needed to tell of fields that come twice. */
export async function readBody(request: ApiRequest, accepted: readonly string[] = documentTypes): Promise<ReadDocument> {
  const type = mediaType(request) || 'application/json';
  if (!accepted.includes(type)) {
    throw new StatusError('UnsupportedMediaType', `the body of the request was in an unknown format - accepted media types include: ${accepted.join(', ')}`);
  }
  const body = await request.body();
  if (body.length === 0) throw badRequest('the request has no body; send the object as JSON or YAML');
  const document = await parseDocument(type, body);
  if (deeperThan(document.value, maxDepth)) throw badRequest(`the object provided nests deeper than ${String(maxDepth)} levels`);
  return document;
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw badRequest(`couldn't get version/kind; json parse error: ${messageOf(error)}`, error);
  }
}

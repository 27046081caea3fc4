import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { pipeline, type Duplex } from 'node:stream';
import { isStatus, messageOf, StatusError } from '#common/errors.ts';
import { http } from '#common/node-http.ts';
import { relayBytes } from '#common/streams/relay.ts';
import { streamOf } from '#common/streams/socket-channels.ts';
import type { Reply } from '../../http/reply.ts';
import type { ApiRequest } from '../../http/request.ts';
import { upgradeOf } from '../protocols.ts';
import { rewriteHtml, rewriteUrl, type ProxyPlace } from './rewrite.ts';
import type { ProxyTarget } from './target.ts';

/** Of one connection only, never handed on. RFC 9110, 7.6.1. */
const hopByHop = new Set(['connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade']);
/** Who asks is this server's business alone; other origins are let in by nobody but this server. */
const notForTarget = /^(authorization|impersonate-.*|:.*|http2-settings|x-remote-.*)$/;
const notForClient = /^access-control-allow-(credentials|headers|methods|origin)$/;

/** Hands a request on, and the answer back: bodies as they come, upgrades too. `path` is the server's own, with its query; where `prefix` is empty pages stay as they are. */
export async function forward(request: ApiRequest, target: ProxyTarget, path: string, prefix: string): Promise<Reply> {
  const place = { prefix, requestHost: hostOf(request), targetHost: target.host };
  try {
    const connection = await connect(target, request.signal);
    return await exchange(request, connection, path, place, target.headers);
  } catch (error) {
    if (isStatus(error, 'TooManyRequests') || request.signal.aborted) throw error;
    throw new StatusError('ServiceUnavailable', `error trying to reach service: ${messageOf(error)}`, { cause: error });
  }
}

async function connect(target: ProxyTarget, signal: AbortSignal): Promise<Duplex> {
  const connection = await target.connect(signal);
  connection.on('error', () => undefined);
  if (!target.secure) return connection;
  const tls = await import('node:tls');
  return new Promise((resolve, reject) => {
    // As Kubernetes: what stands behind the proxy has no certificate that anybody could check.
    const secured = tls.connect({ socket: connection, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] });
    secured.once('error', reject);
    secured.once('secureConnect', () => { secured.off('error', reject).on('error', () => undefined); resolve(secured); });
  });
}

function exchange(request: ApiRequest, connection: Duplex, path: string, place: ProxyPlace, own: ProxyTarget['headers']): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const sent = http.request({ method: request.method, path, headers: { ...requestHeaders(request, place.prefix + path), ...own }, setHost: false, createConnection: () => connection, signal: request.signal });
    sent.once('error', reject);
    sent.once('response', (answer) => { sent.on('error', () => undefined); resolve(reply(answer, place)); });
    sent.once('upgrade', (answer, socket, head) => { resolve(upgraded(answer, socket, head)); });
    sendBody(request, sent);
  });
}

function sendBody({ incoming, headers, method }: ApiRequest, sent: ClientRequest): void {
  const isEmpty = 'stream' in incoming ? incoming.stream.endAfterHeaders : headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) === 0;
  if (isEmpty || upgradeOf(headers) !== '') {
    // Some methods are refused without it.
    if (headers['content-length'] === undefined && (method === 'POST' || method === 'PUT' || method === 'PATCH')) sent.setHeader('Content-Length', '0');
    sent.end();
    return;
  }
  if (headers['content-length'] === undefined) sent.setHeader('Transfer-Encoding', 'chunked');
  pipeline(incoming, sent, () => undefined);
}

function requestHeaders(request: ApiRequest, uri: string): Record<string, string | string[]> {
  const { headers, socket } = request;
  const own = new Set([...hopByHop, ...(headers.connection ?? '').split(',').map((name) => name.trim().toLowerCase())]);
  const kept: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) if (value !== undefined && !own.has(name) && !notForTarget.test(name)) kept[name] = value;
  const upgrade = upgradeOf(headers);
  const before = headers['x-forwarded-for'];
  return {
    ...kept, host: hostOf(request), 'x-forwarded-uri': uri.split('?')[0] ?? '', 'x-forwarded-for': [before, socket.remoteAddress?.replace('::ffff:', '') ?? ''].flat().filter((address) => address).join(', '),
    ...(upgrade !== '' && { connection: 'Upgrade', upgrade: headers.upgrade ?? '' }),
  };
}

function hostOf({ headers }: ApiRequest): string {
  return headers.host ?? String(headers[':authority'] ?? '');
}

async function reply(answer: IncomingMessage, place: ProxyPlace): Promise<Reply> {
  const headers = answerHeaders(answer.headers);
  const { location, 'content-type': contentType = '' } = headers;
  if (typeof location === 'string') headers['location'] = rewriteUrl(location, place);
  const isPage = place.prefix !== '' && location === undefined && typeof contentType === 'string' && /^\s*text\/html\s*(;|$)/i.test(contentType);
  const body = isPage ? await rewritten(answer, headers, place) : answer as AsyncIterable<Uint8Array>;
  delete headers['content-type'];
  return { status: answer.statusCode ?? 502, contentType: String(contentType), headers, body };
}

/** The page unpacked, where it is packed in a way that is known here; otherwise it stays as it is. */
async function rewritten(answer: IncomingMessage, headers: Record<string, string | string[]>, place: ProxyPlace): Promise<AsyncIterable<Uint8Array>> {
  const encoding = headers['content-encoding'] ?? 'identity';
  if (encoding !== 'identity' && encoding !== 'gzip' && encoding !== 'deflate') return answer as AsyncIterable<Uint8Array>;
  delete headers['content-encoding'];
  delete headers['content-length'];
  if (encoding === 'identity') return rewriteHtml(answer as AsyncIterable<Uint8Array>, place);
  const { createUnzip } = await import('node:zlib');
  return rewriteHtml(pipeline(answer, createUnzip(), () => undefined) as AsyncIterable<Uint8Array>, place);
}

function answerHeaders(headers: IncomingHttpHeaders): Record<string, string | string[]> {
  const own = new Set([...hopByHop, ...(headers.connection ?? '').split(',').map((name) => name.trim().toLowerCase())]);
  const kept: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) if (value !== undefined && !own.has(name) && !notForClient.test(name)) kept[name] = value;
  return kept;
}

function upgraded(answer: IncomingMessage, target: Duplex, head: Buffer): Reply {
  const takeOver = async (client: Duplex): Promise<void> => {
    const lines = [];
    for (let i = 0; i + 1 < answer.rawHeaders.length; i += 2) lines.push(`${answer.rawHeaders[i] ?? ''}: ${answer.rawHeaders[i + 1] ?? ''}\r\n`);
    client.write(`HTTP/1.1 101 ${answer.statusMessage || 'Switching Protocols'}\r\n${lines.join('')}\r\n`);
    client.write(head);
    const over = (): void => { client.destroy(); target.destroy(); };
    client.once('close', over);
    target.once('close', over);
    await relayBytes(streamOf(client), streamOf(target)).catch(() => undefined).finally(over);
  };
  return { status: 101, contentType: '', body: '', takeOver };
}

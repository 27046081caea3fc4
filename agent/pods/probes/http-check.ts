import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext, type SecureContext } from 'node:tls';
import type { HTTPGetAction } from '#api/gen/types.ts';
import { messageOf } from '#common/errors.ts';
import { HttpResponseReader, type HttpResponse } from './http-response.ts';
import type { CheckResult } from './types.ts';

/** Where one request goes. */
interface Place {
  readonly secure: boolean;
  readonly host: string;
  readonly port: number;
  /** With its query, as it is sent. */
  readonly path: string;
}

type Header = NonNullable<HTTPGetAction['httpHeaders']>[number];

const defaults: readonly Header[] = [{ name: 'User-Agent', value: 'kube-probe/cleat' }, { name: 'Accept', value: '*/*' }];
const usualHeaders = textOf(defaults);
/** What is said of a server that does not speak TLS. */
export const notTls = 'tls: first record does not look like a TLS handshake';
const redirects: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const maxRedirects = 10;

/**
 * One GET, as kubelet's probes send it: redirects on the same host are followed, one that leads away counts as a success
 * that is warned about. Written on a plain connection, because Node's client costs three times the CPU, and a host sends six
 * of these a second for 30 pods. Rejects when there is no answer.
 */
export async function httpCheck(action: HTTPGetAction, host: string, port: number, signal: AbortSignal): Promise<CheckResult> {
  let place: Place = { secure: action.scheme === 'HTTPS', host, port, path: pathOf(action.path ?? '/') };
  const headers = headersOf(action.httpHeaders ?? []);
  let hostHeader = action.httpHeaders?.findLast(({ name }) => name.toLowerCase() === 'host')?.value;
  for (let hops = 0; ; hops++) {
    let response: HttpResponse;
    try {
      response = await get(place, hostHeader ?? authorityOf(place), headers, signal);
    } catch (error) {
      const isPlain = (error as NodeJS.ErrnoException).code === 'ERR_SSL_WRONG_VERSION_NUMBER';
      throw new Error(`Get "${urlOf(place)}": ${isPlain ? notTls : messageOf(error)}`, { cause: error });
    }
    const { status, location } = response;
    if (!redirects.has(status) || location === undefined || location === '') return resultOf(response);
    if (!URL.canParse(location, urlOf(place))) throw new Error(`Get "${urlOf(place)}": failed to parse Location header ${JSON.stringify(location)}`);
    const next = new URL(location, urlOf(place));
    if (next.hostname !== new URL(urlOf(place)).hostname) return resultOf(response);
    if (hops >= maxRedirects) throw new Error(`Get "${urlOf(place)}": stopped after ${String(maxRedirects)} redirects`);
    // A name that was asked for stays while the answer does not name another.
    if (URL.canParse(location)) hostHeader = undefined;
    place = placeOf(next, place.host);
  }
}

function resultOf({ status, body }: HttpResponse): CheckResult {
  if (status >= 200 && status < 300) return { ok: true, output: '' };
  if (status < 400) return { ok: true, warning: true, output: `Probe terminated redirects, Response body: ${Buffer.from(body, 'latin1').toString()}` };
  return { ok: false, answered: true, output: `HTTP probe failed with statuscode: ${String(status)}` };
}

/** What arrives is taken from here at once, so that all connections share it: a buffer for each read would be most of what a probe throws away. */
const arrived = Buffer.allocUnsafeSlow(4096);

async function get(place: Place, authority: string, headers: string, signal: AbortSignal): Promise<HttpResponse> {
  const request = `GET ${place.path} HTTP/1.1\r\nHost: ${valid('Host', authority)}\r\n${headers}Connection: close\r\n\r\n`;
  const { promise, resolve, reject } = Promise.withResolvers<HttpResponse>();
  const reader = new HttpResponseReader();
  const settle = (read: () => HttpResponse | undefined): void => {
    try {
      const response = read();
      if (response) resolve(response);
    } catch (error) {
      reject(error);
    }
  };
  const take = (length: number, from: Uint8Array): boolean => {
    settle(() => reader.take(Buffer.from(from.buffer, from.byteOffset, length)));
    return true;
  };
  const socket = place.secure ? connectSecurely(place, authority) : connect({ host: place.host, port: place.port, onread: { buffer: arrived, callback: take } });
  if (place.secure) socket.on('data', (chunk: Buffer) => take(chunk.length, chunk));
  const abort = (): void => { socket.destroy(new Error('no answer in time')); };
  signal.addEventListener('abort', abort);
  if (signal.aborted) abort();
  socket.on('error', reject);
  socket.on('end', () => { settle(() => reader.end()); });
  socket.on(place.secure ? 'secureConnect' : 'connect', () => { socket.write(request); });
  try {
    return await promise;
  } finally {
    signal.removeEventListener('abort', abort);
    socket.destroy();
  }
}

/** Of all probes, none of which trusts anybody: one for each would be 0.2 ms, and 55 KB outside of V8's heap until that is collected. */
let sharedContext: SecureContext | undefined;

/** A probe asks whether the program answers; whom its certificate names is another question. */
function connectSecurely({ host, port }: Place, authority: string): Socket {
  const name = authority.replace(/:\d*$/, '');
  sharedContext ??= createSecureContext({ ca: [] });
  return connectTls({ host, port, secureContext: sharedContext, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'], ...(isIP(name) === 0 && !name.startsWith('[') && { servername: name }) });
}

/** What is asked for goes before what is usual; an empty value takes a usual one away. */
function headersOf(given: readonly Header[]): string {
  if (given.length === 0) return usualHeaders;
  const names = new Set(given.map(({ name }) => name.toLowerCase()));
  const all = [...defaults.filter(({ name }) => !names.has(name.toLowerCase())), ...given.filter(({ name, value }) => name.toLowerCase() !== 'host' && (value !== '' || !isDefault(name)))];
  return textOf(all);
}

function textOf(headers: readonly Header[]): string {
  return headers.map(({ name, value }) => `${name}: ${valid(name, value)}\r\n`).join('');
}

function isDefault(name: string): boolean {
  return defaults.some((header) => header.name.toLowerCase() === name.toLowerCase());
}

/** Text of others stays in its line. */
function valid(name: string, value: string): string {
  if (!/^[!#$%&'*+\-.^_`|~\w]+$/.test(name)) throw new Error(`invalid header field name ${JSON.stringify(name)}`);
  // oxlint-disable-next-line no-control-regex
  if (/[\0-\x08\x0a-\x1f\x7f]/.test(value)) throw new Error(`invalid header field value for ${JSON.stringify(name)}`);
  return value;
}

function pathOf(path: string): string {
  const [sent = ''] = path.split('#');
  return `${sent.startsWith('/') ? '' : '/'}${sent.replace(/[^\x21-\x7e]/gu, encodeURIComponent)}`;
}

function placeOf(url: URL, host: string): Place {
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new Error(`unsupported protocol scheme ${JSON.stringify(url.protocol)}`);
  const secure = url.protocol === 'https:';
  return { secure, host, port: url.port === '' ? (secure ? 443 : 80) : Number(url.port), path: `${url.pathname}${url.search}` };
}

function authorityOf({ host, port }: Place): string {
  return `${host.includes(':') ? `[${host}]` : host}:${String(port)}`;
}

function urlOf(place: Place): string {
  return `${place.secure ? 'https' : 'http'}://${authorityOf(place)}${place.path}`;
}

import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { isDigest, type Blob } from '#common/archive-parts.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import { LineReader } from '#common/image-push.ts';
import { onAbort } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import { subjectOf } from '#common/pki/certificate.ts';
import { streamOf } from '#common/streams/socket-channels.ts';
import type { Identity } from '#agent/session/identity.ts';

/**
 * One connection is one blob: the digest and a newline go there, the size, a newline and the blob come back; `-` when it
 * is not there. With a space and a number behind the digest, as much is left out at the beginning of the blob.
 */
const protocol = 'cleat-blob/1';
const handshakeMs = 3000;
/** Nothing comes for so long: whoever is at the other end is gone. */
const silentMs = 30_000;
const maxConnections = 16;
const maxRequestBytes = 96;

/** What a node hands to others of its cluster while a push goes on. */
export interface PeerServerDeps {
  readonly identity: Identity;
  readonly log: Log;
  /** All after the first `from` bytes, with the size of the whole. Undefined for what is not here. */
  readonly open: (digest: string, from: number) => Promise<{ readonly size: number; readonly bytes: AsyncIterable<Uint8Array> } | undefined>;
}

/** Listens, on a port that nobody knows before, for the nodes named, until the signal aborts. Resolves with the port. */
export async function servePeers({ identity, log, open }: PeerServerDeps, nodes: readonly string[], signal: AbortSignal): Promise<number> {
  const allowed = new Set(nodes);
  const server = createServer({
    cert: identity.certPem, key: identity.keyPem, ca: identity.caPem, requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3', ALPNProtocols: [protocol], handshakeTimeout: handshakeMs, allowHalfOpen: true,
  });
  server.maxConnections = maxConnections;
  const sockets = new Set<TLSSocket>();
  // Whatever a stranger does is no error of ours.
  server.on('tlsClientError', (error, socket) => { log.debug({ err: messageOf(error) }, 'a peer was refused'); socket.destroy(); });
  server.on('secureConnection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => { sockets.delete(socket); }).on('error', () => undefined).setTimeout(silentMs, () => { socket.destroy(); });
    const name = nodeOf(socket, identity, Date.now());
    if (name === undefined || !allowed.has(name)) socket.destroy();
    else void answer(socket, open).catch((error: unknown) => { log.debug({ node: name, err: messageOf(error) }, 'a blob was not sent whole'); }).finally(() => { socket.destroySoon(); });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, resolve);
  });
  server.on('error', () => undefined);
  onAbort(signal, () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function answer(socket: TLSSocket, open: PeerServerDeps['open']): Promise<void> {
  const [digest, from = '0', ...rest] = (await requestOf(socket)).split(' ');
  const found = isDigest(digest) && /^\d{1,15}$/.test(from) && rest.length === 0 ? await open(digest, Number(from)) : undefined;
  const stream = streamOf(socket);
  await stream.write(Buffer.from(found ? `${String(found.size)}\n` : '-\n'));
  if (found) for await (const chunk of found.bytes) await stream.write(chunk);
  await stream.end();
}

async function requestOf(socket: TLSSocket): Promise<string> {
  let text = '';
  for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    text += chunk.toString('latin1');
    if (text.includes('\n') || text.length > maxRequestBytes) break;
  }
  return text.split('\n')[0] ?? '';
}

export interface Peer { readonly node: string; readonly hosts: readonly string[]; readonly port: number }

/**
 * A blob from a peer, all after its first `from` bytes, for `keep` to verify. Rejects with `ServiceUnavailable` when the
 * peer cannot be reached or breaks off, `Forbidden` when it is not the node that it should be, `NotFound` when it does
 * not have it, or is of an older version and `from` is not 0.
 */
export async function fetchBlob(identity: Identity, { node, hosts, port }: Peer, { digest, size }: Blob, from: number, keep: (source: AsyncIterable<Uint8Array>) => Promise<void>, signal: AbortSignal): Promise<void> {
  const failures: string[] = [];
  for (const host of hosts.filter((one) => isIP(one) !== 0)) {
    let socket: TLSSocket;
    try {
      socket = await dial(identity, host, port, signal);
    } catch (error) {
      signal.throwIfAborted();
      failures.push(messageOf(error));
      continue;
    }
    const forget = onAbort(signal, () => { socket.destroy(); });
    try {
      if (nodeOf(socket, identity, Date.now()) !== node) throw new StatusError('Forbidden', `what answers at ${host} is not node ${node}`);
      const reader = new LineReader(unbroken(socket, node));
      socket.write(from > 0 ? `${digest} ${String(from)}\n` : `${digest}\n`);
      const said = await reader.line();
      if (said === undefined) throw new StatusError('ServiceUnavailable', `node ${node} closed the connection`);
      if (said !== String(size)) throw new StatusError('NotFound', `node ${node} does not have ${digest} any more`);
      await keep(reader.bytes({ size: size - from }));
      return;
    } finally {
      forget();
      socket.destroy();
    }
  }
  throw new StatusError('ServiceUnavailable', `node ${node} cannot be reached from here: ${failures.join('; ') || 'it has no address'}`);
}

function dial(identity: Identity, host: string, port: number, signal: AbortSignal): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    // Certificates of nodes are for clients, which a server's must not be by the usual rules: ours are applied below, by `nodeOf`.
    const socket = connect({ host, port, cert: identity.certPem, key: identity.keyPem, ca: identity.caPem, rejectUnauthorized: false, minVersion: 'TLSv1.3', ALPNProtocols: [protocol] });
    const failed = (error: Error): void => {
      forget();
      socket.destroy();
      reject(error);
    };
    const forget = onAbort(signal, () => { failed(signal.reason as Error); });
    socket.setTimeout(handshakeMs, () => { failed(new Error(`nothing answers at ${host}`)); });
    socket.once('error', failed);
    socket.once('secureConnect', () => {
      forget();
      socket.off('error', failed).on('error', () => undefined);
      socket.setTimeout(silentMs, () => { socket.destroy(new Error('silent')); });
      resolve(socket);
    });
  });
}

async function* unbroken(socket: TLSSocket, node: string): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* socket as AsyncIterable<Uint8Array>;
  } catch (error) {
    throw new StatusError('ServiceUnavailable', `node ${node} broke off: ${messageOf(error)}`, { cause: error });
  }
}

/** Which node of the cluster is at the other end: one whose certificate a CA of ours has signed, and that is valid now. */
function nodeOf(socket: TLSSocket, { caPem }: Identity, nowMs: number): string | undefined {
  const certificate = socket.getPeerX509Certificate();
  if (!certificate) return undefined;
  const authorities = (caPem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).map((pem) => new X509Certificate(pem));
  const signed = authorities.some((ca) => ca.ca && certificate.checkIssued(ca) && certificate.verify(ca.publicKey));
  if (!signed || certificate.ca || nowMs < certificate.validFromDate.getTime() || nowMs > certificate.validToDate.getTime()) return undefined;
  const subject = subjectOf(certificate);
  return subject?.organizations?.includes('system:nodes') === true && subject.commonName.startsWith('system:node:') ? subject.commonName.slice('system:node:'.length) : undefined;
}

import type { AddressInfo, Socket } from 'node:net';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import * as http2 from 'node:http2';
import type { Duplex } from 'node:stream';
import * as tls from 'node:tls';
import { messageOf, StatusError } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import { http } from '#common/node-http.ts';
import { guardIdle } from './idle-guard.ts';

export type HttpRequest = IncomingMessage | http2.Http2ServerRequest;
export type HttpResponse = ServerResponse | http2.Http2ServerResponse;

export interface ListenerConfig {
  readonly port: number;
  readonly bindAddress: string;
  /** PEM of the serving key and certificate, and of the CAs whose client certificates are asked for. */
  readonly tlsKey: string;
  readonly tlsCertificate: string;
  readonly clientCa: string;
  readonly maxHeaderBytes: number;
  readonly maxConnections: number;
  /** A client must finish its TLS handshake, and send a request's headers, within this time. */
  readonly handshakeTimeoutMs: number;
  /** An HTTP/1.1 client must have sent the whole request within this time. */
  readonly requestTimeoutMs: number;
  /** A connection without a request under way is closed after this time. */
  readonly idleTimeoutMs: number;
  /** TLS server name (SNI) by which agents ask for gRPC instead of REST. */
  readonly agentServerName: string;
}

/**
 * One TLS port for everything. TLS ends here; the decrypted socket goes by its server name to the agents'
 * gRPC server, or by ALPN to HTTP/2 or HTTP/1.1. Client certificates are asked for, never required: who
 * the client is decides the authenticator.
 */
export class Listener {
  readonly #tls: tls.Server;
  readonly #http1: Server;
  readonly #http2: http2.Http2Server;
  readonly #config: ListenerConfig;
  /** As accepted: those that have not finished their handshake, too. */
  readonly #sockets = new Map<string, Socket>();
  #agents: ((socket: tls.TLSSocket) => void) | undefined;

  constructor(deps: { readonly log: Log; readonly handle: (request: HttpRequest, response: HttpResponse) => void }, config: ListenerConfig) {
    this.#config = config;
    const { log, handle } = deps;
    this.#http1 = http.createServer({
      maxHeaderSize: config.maxHeaderBytes, headersTimeout: config.handshakeTimeoutMs, requestTimeout: config.requestTimeoutMs,
      shouldUpgradeCallback: mayUpgrade, keepAliveTimeout: config.idleTimeoutMs, connectionsCheckingInterval: Math.min(5000, Math.ceil(config.handshakeTimeoutMs / 3)),
    }, handle);
    // Node arms these limits when a server begins to listen; this one never does, its connections are handed to it.
    this.#http1.emit('listening');
    this.#http1.on('clientError', answerClientError);
    this.#http1.on('checkContinue', handle);
    this.#http1.on('upgrade', (request, socket, head) => { handle(request, upgradeResponse(request, socket as Socket, head)); });
    // A CONNECT is an ordinary request to us: it gets a Status instead of a closed connection.
    this.#http1.on('connect', (_request, socket) => { socket.end(plainStatus(405, 'MethodNotAllowed', 'the CONNECT method is not supported')); });
    this.#http2 = http2.createServer({
      maxSessionMemory: 32,
      settings: { maxConcurrentStreams: 250, maxHeaderListSize: config.maxHeaderBytes, enableConnectProtocol: false },
    });
    this.#http2.on('session', (session) => { guardIdle(session, { firstRequestMs: config.handshakeTimeoutMs, idleMs: config.idleTimeoutMs }); });
    this.#http2.on('request', handle);
    this.#http2.on('sessionError', (error) => { log.debug({ err: messageOf(error) }, 'http/2 session ended with an error'); });
    this.#tls = tls.createServer({
      key: config.tlsKey,
      cert: config.tlsCertificate,
      ca: config.clientCa,
      requestCert: true,
      rejectUnauthorized: false,
      minVersion: 'TLSv1.2',
      handshakeTimeout: config.handshakeTimeoutMs,
      ALPNCallback: ({ protocols }) => (protocols.includes('h2') ? 'h2' : protocols.includes('http/1.1') ? 'http/1.1' : undefined),
    });
    this.#tls.maxConnections = config.maxConnections;
    this.#tls.on('connection', (socket: Socket) => {
      const peer = peerOf(socket);
      this.#sockets.set(peer, socket);
      socket.on('close', () => { this.#sockets.delete(peer); });
    });
    this.#tls.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
      log.debug({ err: messageOf(error) }, 'tls handshake failed');
      const plain = error.code === 'ERR_SSL_HTTP_REQUEST' ? this.#sockets.get(peerOf(socket)) : undefined;
      if (plain?.writable === true) plain.on('error', () => undefined).end('HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n', () => { plain.destroy(); });
      // One that took too long is only told of, not closed.
      socket.destroy();
    });
    this.#tls.on('secureConnection', (socket) => { this.#route(socket); });
  }

  /** The port listened on, once `listen` has resolved. */
  get port(): number {
    const address = this.#tls.address();
    return address !== null && typeof address === 'object' ? address.port : 0;
  }

  /** Connections whose SNI is the agents' name go here, decrypted. One handler; the last one set wins. */
  onAgentConnection(handler: (socket: tls.TLSSocket) => void): void {
    this.#agents = handler;
  }

  /** Takes a renewed serving certificate without a restart. */
  setCertificate(key: string, certificate: string): void {
    this.#tls.setSecureContext({ key, cert: certificate, ca: this.#config.clientCa, minVersion: 'TLSv1.2' });
  }

  async listen(): Promise<AddressInfo> {
    const { port, bindAddress } = this.#config;
    await new Promise<void>((resolve, reject) => {
      this.#tls.once('error', (error: NodeJS.ErrnoException) => {
        const why: Readonly<Record<string, string>> = {
          EADDRINUSE: 'another process listens there; stop that one, or choose another port with --port',
          EADDRNOTAVAIL: 'this host does not have that address; check --bind-address',
          EACCES: 'only root may use ports below 1024; use sudo, or choose another port with --port',
        };
        const where = bindAddress.includes(':') ? `[${bindAddress}]` : bindAddress;
        reject(new StatusError('ServiceUnavailable', `cannot listen on ${where}:${String(port)}: ${why[error.code ?? ''] ?? `${error.message}; check --bind-address and --port`}`, { cause: error }));
      });
      // Without a host Node takes IPv4 alone where the kernel has no IPv6.
      this.#tls.listen({ port, ...(bindAddress !== '::' && { host: bindAddress }) }, () => { resolve(); });
    });
    return this.#tls.address() as AddressInfo;
  }

  /** Refuses new connections, ends open ones: at once, so that a restart is quick and watchers reconnect. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => { this.#tls.close(() => { resolve(); }); });
    for (const socket of this.#sockets.values()) socket.destroy();
    this.#http1.closeAllConnections();
    this.#http1.close();
    await closed;
  }

  #route(socket: tls.TLSSocket): void {
    // A peer that resets its connection is no concern of ours; requests on it see their abort signal.
    socket.on('error', () => undefined);
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 30_000);
    if (socket.servername === this.#config.agentServerName) {
      if (this.#agents) this.#agents(socket);
      else socket.destroy();
    } else if (socket.alpnProtocol === 'h2') {
      this.#http2.emit('connection', socket);
    } else {
      this.#http1.emit('connection', socket);
    }
  }
}

function peerOf({ remoteAddress = '', remotePort = 0 }: Socket): string {
  return `${remoteAddress} ${String(remotePort)}`;
}

/** Upgrades that nothing here is behind are passed over, as HTTP allows: the request is answered as if none was asked for. */
function mayUpgrade({ headers, url = '' }: IncomingMessage): boolean {
  return /^(websocket|spdy\/3\.1)$/i.test(headers.upgrade ?? '') || /\/proxy(\/|\?|$)/.test(url);
}

/** An ordinary response on a connection that may be taken over; when it is not, the connection ends with it. */
function upgradeResponse(request: IncomingMessage, socket: Socket, head: Buffer): ServerResponse {
  if (head.length > 0) socket.unshift(head);
  const response = new http.ServerResponse(request);
  response.shouldKeepAlive = false;
  response.assignSocket(socket);
  response.once('finish', () => { socket.end(); });
  return response;
}

/** What Node's parser refuses never reaches a handler; it is answered with a Status all the same. */
function answerClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, reason] = error.code === 'HPE_HEADER_OVERFLOW' ? [431, 'RequestEntityTooLarge'] as const
    : error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? [408, 'Timeout'] as const
      : [400, 'BadRequest'] as const;
  socket.end(plainStatus(status, reason, `the server could not read the request: ${error.message}`));
}

function plainStatus(code: number, reason: string, message: string): string {
  const body = JSON.stringify({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, code });
  return `HTTP/1.1 ${String(code)} ${http.STATUS_CODES[code] ?? 'Error'}\r\nContent-Type: application/json\r\nContent-Length: ${String(Buffer.byteLength(body))}\r\nConnection: close\r\n\r\n${body}`;
}

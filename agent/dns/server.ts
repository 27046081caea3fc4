import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, isIPv6, type Server, type Socket } from 'node:net';
import { messageOf, StatusError } from '#common/errors.ts';

export interface DnsServerConfig {
  readonly address: string;
  /** 0 for any free one, which must then be free for UDP and TCP alike. */
  readonly port: number;
}

/** See `Resolver.respond`. */
export type Respond = (message: Buffer, transport: 'udp' | 'tcp', mayWait: boolean) => Buffer | undefined | Promise<Buffer | undefined>;

const maxConnections = 64;
const idleMs = 10_000;
/** Questions of one connection that are answered at the same time; the rest wait unread. */
const maxPerConnection = 16;
/** Questions over UDP that wait for other servers. Beyond, only what can be answered at once is. */
const maxWaiting = 1024;
const receiveBufferBytes = 1024 * 1024;

/** Answers on one address, over UDP and TCP. */
export class DnsServer {
  readonly #respond: Respond;
  readonly #config: DnsServerConfig;
  #udp: UdpSocket | undefined;
  #tcp: Server | undefined;
  #waiting = 0;

  constructor(respond: Respond, config: DnsServerConfig) {
    this.#respond = respond;
    this.#config = config;
  }

  get port(): number { return this.#udp?.address().port ?? 0; }

  /** Rejects with `Conflict` when somebody else has the port, `ServiceUnavailable` when the address cannot be used. `onError` tells of a socket that broke later. */
  async open(onError: (error: Error) => void): Promise<void> {
    const { address, port } = this.#config;
    try {
      const udp = this.#udp = createSocket({ type: isIPv6(address) ? 'udp6' : 'udp4' });
      udp.on('message', (message, peer) => { this.#onMessage(udp, message, peer.port, peer.address); });
      udp.bind({ address, port, exclusive: true });
      await once(udp, 'listening');
      udp.on('error', onError);
      grow(udp);
      const tcp = this.#tcp = createServer((socket) => { this.#onConnection(socket); });
      tcp.maxConnections = maxConnections;
      tcp.listen({ host: address, port: udp.address().port });
      await once(tcp, 'listening');
      tcp.on('error', onError);
    } catch (error) {
      this.close();
      const taken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
      throw new StatusError(taken ? 'Conflict' : 'ServiceUnavailable', taken
        ? `another program on this host answers on port ${String(port)} of ${address}, or of every address (see: ss -lunp 'sport = :${String(port)}'); let it listen on its own addresses only (dnsmasq: bind-interfaces)`
        : `cannot listen on ${address}:${String(port)}: ${messageOf(error)}`, { cause: error });
    }
  }

  close(): void {
    this.#udp?.close();
    this.#tcp?.close();
    this.#udp = undefined;
    this.#tcp = undefined;
  }

  #onMessage(udp: UdpSocket, message: Buffer, port: number, address: string): void {
    const send = (reply: Buffer | undefined): void => {
      // The client may be gone, and the server closed: either way there is nobody to tell.
      if (reply && udp === this.#udp) udp.send(reply, port, address, () => undefined);
    };
    const reply = this.#respond(message, 'udp', this.#waiting < maxWaiting);
    if (!(reply instanceof Promise)) {
      send(reply);
      return;
    }
    this.#waiting++;
    void reply.then(send, () => undefined).finally(() => { this.#waiting--; });
  }

  #onConnection(socket: Socket): void {
    let received: Buffer = Buffer.alloc(0);
    let open = 0;
    const answer = (reply: Buffer | undefined): void => {
      open--;
      if (!reply) socket.destroy();
      else if (!socket.destroyed) socket.write(Buffer.concat([Buffer.from([reply.length >> 8, reply.length & 0xff]), reply]));
      next();
    };
    const next = (): void => {
      while (open < maxPerConnection && received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
        const end = 2 + received.readUInt16BE(0);
        const message = received.subarray(2, end);
        received = received.subarray(end);
        open++;
        void Promise.resolve(this.#respond(message, 'tcp', true)).then(answer, () => { socket.destroy(); });
      }
      if (open >= maxPerConnection || socket.writableNeedDrain) socket.pause();
      else socket.resume();
    };
    socket.setTimeout(idleMs, () => { socket.destroy(); });
    socket.on('error', () => { socket.destroy(); });
    socket.on('drain', next);
    socket.on('data', (chunk) => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
      next();
    });
  }
}

/** Bursts wait in the kernel rather than being lost; a host that allows less gets what it allows. */
function grow(socket: UdpSocket): void {
  try {
    socket.setRecvBufferSize(receiveBufferBytes);
  } catch {
    // the default will do
  }
}

import { randomBytes } from 'node:crypto';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer, isIPv6, type Server } from 'node:net';
import type { Clock } from '#common/clock.ts';
import { messageOf, StatusError } from '#common/errors.ts';

/** Where agents answer each other on the pods' network, UDP and TCP. */
export const probePort = 8473;

const magic = Buffer.from('cleat1');
const headerBytes = magic.length + 1 + 8 + 2;
const [asks, answers] = [1, 2];
const timeoutMs = 700;
const tcpTimeoutMs = 3000;
const maxConnections = 64;
/** What a TCP check sends: enough segments of full size to fill the first windows. */
const streamBytes = 256 << 10;

export interface ProberConfig {
  /** This host's end on the pods' network: only peers' ends and this host's pods reach it. */
  readonly address: string;
  readonly port: number;
}

/** Asks other hosts' agents through the pods' network, and answers them: with a few bytes, however many were sent. */
export class Prober {
  readonly #clock: Clock;
  readonly #config: ProberConfig;
  readonly #waiting = new Map<string, () => void>();
  #udp: UdpSocket | undefined;
  #tcp: Server | undefined;

  constructor(clock: Clock, config: ProberConfig) {
    this.#clock = clock;
    this.#config = config;
  }

  get address(): string { return this.#config.address; }

  /** Rejects when the address cannot be listened on. `heard`: somebody asked from this address. */
  async open(heard: (address: string) => void): Promise<void> {
    const { address, port } = this.#config;
    const udp = this.#udp = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
    udp.on('message', (message, from) => { this.#onMessage(udp, message, from.address, from.port, heard); });
    try {
      udp.bind({ address, port });
      await once(udp, 'listening');
      udp.on('error', () => undefined); // a peer that refuses: whoever waits for it runs out of time
      const tcp = this.#tcp = createServer({ allowHalfOpen: true }, (socket) => {
        let bytes = 0;
        socket.setTimeout(tcpTimeoutMs, () => { socket.destroy(); });
        socket.on('error', () => { socket.destroy(); });
        socket.on('data', (chunk) => { bytes += chunk.length; });
        socket.on('end', () => { socket.end(`${String(bytes)}\n`); });
      });
      tcp.maxConnections = maxConnections;
      tcp.listen({ host: address, port });
      await once(tcp, 'listening');
      tcp.on('error', () => undefined);
    } catch (error) {
      this.close();
      throw new StatusError('ServiceUnavailable', `cannot listen on ${address}, port ${String(port)}, where agents check the network between hosts: ${messageOf(error)}`, { cause: error });
    }
  }

  close(): void {
    this.#udp?.close();
    this.#tcp?.close();
    this.#udp = undefined;
    this.#tcp = undefined;
  }

  /** Whether an IP packet of `packetBytes` reaches the peer and is answered; resolves with the time that took. Tries `attempts` times. */
  async ask(address: string, packetBytes: number, attempts: number, signal: AbortSignal): Promise<number | undefined> {
    for (let i = 0; i < attempts; i++) {
      const rtt = await this.#askOnce(address, packetBytes, signal);
      if (rtt !== undefined) return rtt;
    }
    return undefined;
  }

  async #askOnce(address: string, packetBytes: number, signal: AbortSignal): Promise<number | undefined> {
    signal.throwIfAborted();
    const udp = this.#udp;
    if (!udp) return undefined;
    const message = Buffer.alloc(Math.max(headerBytes, packetBytes - headersOf(address)));
    const id = randomBytes(8);
    Buffer.concat([magic, Buffer.from([asks]), id]).copy(message);
    message.writeUInt16BE(message.length, headerBytes - 2);
    const sentMs = this.#clock.monotonic();
    const key = id.toString('hex');
    return new Promise((resolve, reject) => {
      const settle = (end: () => void): void => {
        cancel();
        signal.removeEventListener('abort', abort);
        this.#waiting.delete(key);
        end();
      };
      const abort = (): void => { settle(() => { reject(signal.reason as Error); }); };
      const cancel = this.#clock.after(timeoutMs, () => { settle(() => { resolve(undefined); }); });
      signal.addEventListener('abort', abort, { once: true });
      this.#waiting.set(key, () => { settle(() => { resolve(this.#clock.monotonic() - sentMs); }); });
      // No route, or larger than the route takes: the same as no answer.
      udp.send(message, probePort, address, (error) => { if (error) settle(() => { resolve(undefined); }); });
    });
  }

  /** Sends a stream of full segments to the peer; resolves with why it did not arrive, undefined when it did. */
  async stream(address: string, signal: AbortSignal): Promise<string | undefined> {
    signal.throwIfAborted();
    const socket = connect({ host: address, port: probePort, localAddress: this.#config.address });
    const limit = AbortSignal.any([signal, AbortSignal.timeout(tcpTimeoutMs)]);
    const stop = (): void => { socket.destroy(); };
    limit.addEventListener('abort', stop, { once: true });
    let answer = '';
    let connected = false;
    socket.once('connect', () => { connected = true; socket.end(Buffer.alloc(streamBytes)); });
    socket.on('data', (chunk: Buffer) => { answer += chunk.toString(); });
    try {
      await new Promise<void>((resolve, reject) => { socket.once('error', reject).once('close', () => { resolve(); }); });
    } catch (error) {
      return `connection failed: ${(error as NodeJS.ErrnoException).code ?? messageOf(error)}`;
    } finally {
      limit.removeEventListener('abort', stop);
    }
    signal.throwIfAborted();
    if (answer.trim() === String(streamBytes)) return undefined;
    return connected ? 'the connection stands, but full segments do not arrive' : 'no connection';
  }

  #onMessage(udp: UdpSocket, message: Buffer, address: string, port: number, heard: (address: string) => void): void {
    if (message.length < headerBytes || !message.subarray(0, magic.length).equals(magic)) return;
    const kind = message[magic.length];
    const id = message.subarray(magic.length + 1, headerBytes - 2);
    if (kind === answers) {
      this.#waiting.get(id.toString('hex'))?.();
      return;
    }
    if (kind !== asks || message.readUInt16BE(headerBytes - 2) !== message.length) return;
    heard(address);
    udp.send(Buffer.concat([magic, Buffer.from([answers]), id, Buffer.alloc(2)]), port, address, () => undefined);
  }
}

/** Bytes of the IP and UDP headers. */
function headersOf(address: string): number {
  return isIPv6(address) ? 48 : 28;
}

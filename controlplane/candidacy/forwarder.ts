import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net';
import { messageOf, StatusError } from '#common/errors.ts';
import type { Log } from '#common/log.ts';

export interface ForwarderConfig {
  readonly host: string;
  readonly port: number;
}

const mostConnections = 1000;
const connectMs = 10_000;

/** Hands connections to whoever leads, byte by byte: clients and agents reach the cluster by the address of any control plane. */
export class Forwarder {
  readonly #log: Log;
  readonly #config: ForwarderConfig;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #target: { readonly host: string; readonly port: number } | undefined;
  #listening: Promise<void> | undefined;

  constructor(log: Log, config: ForwarderConfig) {
    this.#log = log;
    this.#config = config;
    this.#server = createServer({ pauseOnConnect: true }, (socket) => { this.#forward(socket); });
    this.#server.maxConnections = mostConnections;
  }

  get port(): number { return (this.#server.address() as AddressInfo).port; }

  /** Connections of before stay where they are: a leader that is none any more ends them itself. */
  aim(host: string, port: number): void {
    this.#target = { host, port };
  }

  /** Once; rejects when the port is taken. */
  listen(): Promise<void> {
    return this.#listening ??= new Promise((resolve, reject) => {
      this.#server.once('error', (error) => {
        reject(new StatusError('ServiceUnavailable', `port ${String(this.#config.port)} of ${this.#config.host} cannot be listened on: ${messageOf(error)}; stop what has it, or choose another with --port`, { cause: error }));
      });
      this.#server.listen({ host: this.#config.host, port: this.#config.port }, resolve);
    });
  }

  async close(): Promise<void> {
    if (!this.#listening) return;
    const closed = new Promise<void>((resolve) => { this.#server.close(() => { resolve(); }); });
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #forward(from: Socket): void {
    const to = this.#target && connect({ ...this.#target, timeout: connectMs });
    this.#keep(from);
    if (!to) { from.destroy(); return; }
    this.#keep(to);
    to.once('timeout', () => { to.destroy(); });
    to.once('connect', () => {
      to.setTimeout(0);
      // Who goes silently is noticed by neither end otherwise.
      for (const socket of [from, to]) socket.setKeepAlive(true, 30_000).setNoDelay(true);
      from.pipe(to).pipe(from);
    });
    to.on('error', (error) => { this.#log.debug({ err: messageOf(error) }, 'the leader was not reached'); });
    from.once('close', () => { to.destroy(); });
    to.once('close', () => { from.destroy(); });
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => { this.#sockets.delete(socket); });
  }
}

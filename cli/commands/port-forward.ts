import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { messageOf, StatusError } from '#common/errors.ts';
import type { SpdyConnection } from '#common/spdy/connection.ts';
import { relayBytes } from '#common/streams/relay.ts';
import { streamOf } from '#common/streams/socket-channels.ts';
import { connect } from '../cluster-command.ts';
import { clusterFlags, helpText, parseFlags, refuse, type Flag } from '../flags.ts';
import { findPod, podPath, type ServicePort, type TargetPod } from '../pod-target.ts';
import { openSpdy } from '../stream-client.ts';
import type { Command, Io } from '../types.ts';

const flags: readonly Flag[] = [
  ...clusterFlags,
  { name: 'address', type: 'string', default: '127.0.0.1', description: 'address of this host to listen on' },
];

interface Forwarded { readonly local: number; readonly remote: number }

export const command: Command = {
  help: () => helpText('port-forward (POD | TYPE/NAME) [LOCAL:]REMOTE...', 'Make ports of a pod reachable on this host, until interrupted.', flags, ['cleat port-forward web-0 8080:80', 'cleat port-forward service/web :80']),
  async run(argv, io) {
    const parsed = parseFlags('port-forward', flags, argv);
    const [name, ...specs] = parsed.args;
    if (name === undefined || specs.length === 0) throw refuse('port-forward', 'expected a pod, or TYPE/NAME, and at least one port');
    const client = await connect(parsed, io);
    const servers: Server[] = [];
    try {
      const { pod, servicePorts } = await findPod(client, name);
      const { phase = 'Pending' } = pod.status ?? {};
      if (phase !== 'Running') throw new StatusError('BadRequest', `unable to forward port because pod is not running. Current status=${phase}`);
      const ports = specs.map((spec) => portsOf(spec, pod, servicePorts));
      const connection = await openSpdy(client, `${podPath(pod)}/portforward`, 'portforward.k8s.io');
      const forward = new Forwarder(connection, io);
      const address = parsed.string('address') ?? '127.0.0.1';
      for (const { local, remote } of ports) servers.push(await listen(address, local, (socket) => { forward.accept(socket, remote); }, (port) => { io.out(`Forwarding from ${address}:${String(port)} -> ${String(remote)}\n`); }));
      const stop = (): void => { connection.close(); };
      io.interrupted.addEventListener('abort', stop, { once: true });
      if (io.interrupted.aborted) stop();
      await connection.closed;
      if (io.interrupted.aborted) return 130;
      throw new StatusError('ServiceUnavailable', 'lost connection to pod');
    } finally {
      for (const server of servers) server.close();
      client.close();
    }
  },
};

/** `8080:80`, `80`, `:80`; the port of a Service is that of its pod. */
function portsOf(spec: string, pod: TargetPod, servicePorts: readonly ServicePort[] | undefined): Forwarded {
  const [, given, asked = ''] = /^(?:(\d*):)?([a-z0-9-]+)$/.exec(spec) ?? [];
  const named = (name: string): number | undefined => pod.spec.containers.flatMap(({ ports = [] }) => ports).find((port) => port.name === name)?.containerPort;
  const port = /^\d+$/.test(asked) ? Number(asked) : named(asked);
  const service = servicePorts?.find((one) => one.port === port);
  if (servicePorts && !service) throw refuse('port-forward', `the Service has no port ${asked}`);
  const target = service?.targetPort ?? port;
  const remote = typeof target === 'string' ? named(target) : target;
  const local = given === undefined ? port : Number(given);
  const isPort = (number: number | undefined, least: number): number is number => number !== undefined && number >= least && number < 65_536;
  if (!isPort(remote, 1) || !isPort(local, 0)) throw refuse('port-forward', `${JSON.stringify(spec)} is no port; expected [LOCAL:]REMOTE`);
  return { local, remote };
}

function listen(address: string, port: number, accept: (socket: Socket) => void, listening: (port: number) => void): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer({ allowHalfOpen: true }, accept);
    server.once('error', (error) => { reject(new StatusError('ServiceUnavailable', `unable to listen on ${address}:${String(port)}: ${error.message}`, { cause: error })); });
    server.listen(port, address, () => {
      listening((server.address() as AddressInfo).port);
      resolve(server);
    });
  });
}

/** One connection to the server, through which each local one gets a pair of streams. */
class Forwarder {
  readonly #connection: SpdyConnection;
  readonly #io: Io;
  /** Streams are opened one after the other. */
  #last: Promise<unknown> = Promise.resolve();
  #next = 0;

  constructor(connection: SpdyConnection, io: Io) {
    this.#connection = connection;
    this.#io = io;
  }

  accept(socket: Socket, remote: number): void {
    socket.on('error', () => undefined);
    const opened = this.#last.then(() => this.#open(remote));
    this.#last = opened.catch(() => undefined);
    opened.then(async ({ data, error }) => {
      socket.once('close', () => { data.reset(); });
      data.onReset = () => { socket.destroy(); };
      await Promise.all([relayBytes(streamOf(socket), data), this.#report(error, remote)]);
    }).catch((error: unknown) => {
      if (!socket.destroyed) this.#io.err(`error: ${messageOf(error)}\n`);
    }).finally(() => { socket.destroySoon(); });
  }

  async #open(remote: number): Promise<{ data: Awaited<ReturnType<SpdyConnection['open']>>; error: AsyncIterable<Uint8Array> }> {
    const id = String(this.#next++);
    const headers = (type: string): Map<string, string> => new Map([['streamtype', type], ['port', String(remote)], ['requestid', id]]);
    const error = await this.#connection.open(headers('error'));
    await error.end();
    return { data: await this.#connection.open(headers('data')), error };
  }

  async #report(error: AsyncIterable<Uint8Array>, remote: number): Promise<void> {
    let text = '';
    for await (const chunk of error) text += Buffer.from(chunk).toString();
    if (text !== '') this.#io.err(`an error occurred forwarding to ${String(remote)}: ${text}\n`);
  }
}

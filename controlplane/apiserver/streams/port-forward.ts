import type { Duplex } from 'node:stream';
import type { Pod } from '#api/gen/types.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf } from '#common/errors.ts';
import { SpdyConnection, type SpdyStream } from '#common/spdy/connection.ts';
import type { ByteStream, Channels } from '#common/streams/channels.ts';
import { relayBytes } from '#common/streams/relay.ts';
import { badRequest } from '../api-errors.ts';
import type { Reply } from '../http/reply.ts';
import type { ApiRequest } from '../http/request.ts';
import type { RouteDeps } from '../routes/types.ts';
import { negotiate, portForwardOffer, tunnelledSpdy, type Upgrade } from './protocols.ts';
import { createStreamsMs, switchProtocols } from './spdy-server.ts';
import { nodeOf } from './target.ts';
import { acceptWebSocket, duplexOf, WebSocketChannels } from './websocket.ts';

/** Connections forwarded at once over one connection of a client; each has two streams. */
const maxForwards = 100;
const maxPorts = 32;

/** Makes one connection to a port of the pod. */
type Connect = (port: number, signal: AbortSignal) => Promise<Channels>;

/** Answers pods/NAME/portforward. */
export function servePortForward(deps: RouteDeps, request: ApiRequest, pod: Pod): Reply {
  const { nodes, nodeName } = nodeOf(deps, pod);
  const upgrade = negotiate(request.headers, portForwardOffer);
  const podUid = pod.metadata?.uid ?? '';
  const connect: Connect = (port, signal) => nodes.open(nodeName, { kind: 'port-forward', podUid, port }, [0], signal);
  const forward = new Forward(deps.clock, connect, `${pod.metadata?.name ?? ''}, uid ${podUid}`, request.signal);
  const ports = upgrade.transport === 'websocket' && upgrade.protocol !== tunnelledSpdy ? portsOf(request.query) : [];
  return { status: 101, contentType: '', body: '', takeOver: (socket) => run(forward, request, socket, upgrade, ports) };
}

async function run(forward: Forward, request: ApiRequest, socket: Duplex, { transport, protocol }: Upgrade, ports: readonly number[]): Promise<void> {
  if (transport === 'spdy') {
    switchProtocols(socket, 'SPDY/3.1', { 'X-Stream-Protocol-Version': 'portforward.k8s.io' });
    await forward.spdy(socket);
    return;
  }
  const webSocket = await acceptWebSocket(request.incoming, socket, protocol);
  if (protocol === tunnelledSpdy) await forward.spdy(await duplexOf(webSocket));
  else await forward.channels(new WebSocketChannels(webSocket, protocol, ports.flatMap((_, i) => [2 * i, 2 * i + 1])), ports);
}

function portsOf(query: URLSearchParams): number[] {
  const ports = query.getAll('ports').flatMap((list) => list.split(',')).map(Number);
  if (ports.length === 0) throw badRequest('query parameter "ports" is required');
  if (ports.length > maxPorts) throw badRequest(`at most ${String(maxPorts)} ports can be forwarded by one connection`);
  if (!ports.every(isPort)) throw badRequest('query parameter "ports" must be numbers from 1 to 65535');
  return ports;
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port > 0 && port < 65_536;
}

/** One client's connections to one pod. */
class Forward {
  readonly #clock: Clock;
  readonly #connect: Connect;
  readonly #pod: string;
  readonly #signal: AbortSignal;

  constructor(clock: Clock, connect: Connect, pod: string, signal: AbortSignal) {
    this.#clock = clock;
    this.#connect = connect;
    this.#pod = pod;
    this.#signal = signal;
  }

  /** A pair of streams for each connection: `data`, and `error` for what went wrong. */
  async spdy(socket: Duplex): Promise<void> {
    const waiting = new Map<string, { readonly stream: SpdyStream; readonly cancel: () => void }>();
    const connection = new SpdyConnection(socket, {
      role: 'server', maxStreams: 2 * maxForwards,
      accept: (stream) => {
        const { headers, id } = stream;
        const type = headers.get('streamtype');
        const port = Number(headers.get('port'));
        if ((type !== 'data' && type !== 'error') || !isPort(port)) return undefined;
        // The first clients sent no number: there the error stream came right before its data stream.
        const request = headers.get('requestid') ?? String(type === 'error' ? id : id - 2);
        const other = waiting.get(request);
        if (!other) {
          waiting.set(request, { stream, cancel: this.#clock.after(createStreamsMs, () => { waiting.delete(request); stream.reset(); }) });
          return () => undefined;
        }
        if (other.stream.headers.get('streamtype') === type) return undefined;
        waiting.delete(request);
        other.cancel();
        const [data, error] = type === 'data' ? [stream, other.stream] : [other.stream, stream];
        const given = new AbortController();
        data.onReset = () => { given.abort(); };
        return () => { void this.#one(port, data, error, AbortSignal.any([this.#signal, given.signal])); };
      },
    });
    const stop = (): void => { connection.close(); };
    this.#signal.addEventListener('abort', stop, { once: true });
    if (this.#signal.aborted) stop();
    await connection.closed;
    this.#signal.removeEventListener('abort', stop);
    for (const { cancel } of waiting.values()) cancel();
  }

  /** Two channels for each port, which begin with its number; one connection each. */
  async channels(user: WebSocketChannels, ports: readonly number[]): Promise<void> {
    const stop = (): void => { user.close(); };
    this.#signal.addEventListener('abort', stop, { once: true });
    await Promise.race([user.closed, Promise.all(ports.map(async (port, i) => {
      const [data, error] = [user.channel(2 * i), user.channel(2 * i + 1)];
      const number = Buffer.of(port & 0xff, port >> 8);
      await data.write(number);
      await error.write(number);
      // These protocols cannot tell that a direction has ended: it is over when the pod says so.
      const over = Promise.withResolvers<undefined>();
      const whole: ByteStream = { write: (bytes) => data.write(bytes), end: () => { over.resolve(undefined); return Promise.resolve(); }, [Symbol.asyncIterator]: () => data[Symbol.asyncIterator]() };
      await Promise.race([this.#one(port, whole, error, this.#signal), over.promise]);
    }))]).catch(() => undefined);
    this.#signal.removeEventListener('abort', stop);
    user.close();
    await user.closed;
  }

  /** Never rejects. */
  async #one(port: number, data: ByteStream, error: ByteStream, signal: AbortSignal): Promise<void> {
    let target: Channels | undefined;
    try {
      target = await this.#connect(port, signal);
      await relayBytes(data, target.channel(0));
    } catch (cause) {
      await error.write(Buffer.from(`error forwarding port ${String(port)} to pod ${this.#pod}: ${messageOf(cause)}`)).catch(() => undefined);
    }
    target?.close();
    await Promise.all([data.end(), error.end()]).catch(() => undefined);
  }
}

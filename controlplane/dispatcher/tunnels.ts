import { randomUUID } from 'node:crypto';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { Clock } from '#common/clock.ts';
import { StatusError, statusCodes } from '#common/errors.ts';
import type { Channels } from '#common/streams/channels.ts';
import type { TunnelFrame, TunnelKind } from '#proto/edge/v1/messages.ts';
import { remoteError, TunnelChannels } from '#proto/edge/v1/tunnel-channels.ts';
import type { NodeIdentity } from './peer.ts';
import type { NodeSession } from './session.ts';
import { finish, grpcCancelled } from './stream.ts';

type Call = ServerDuplexStream<TunnelFrame, TunnelFrame>;

/** How long an agent may take to open a tunnel that it was asked for. */
const openTimeoutMs = 10_000;
/** How long what was asked for may take to stand: a command to start, a connection to be made. */
const startTimeoutMs = 30_000;
const maxTunnelsPerNode = 200;

interface Awaited {
  readonly nodeName: string;
  readonly opened: (call: Call) => void;
  readonly failed: (error: StatusError) => void;
}

/** Streams that agents open on our request: asked for through the session, matched by id. */
export class Tunnels {
  readonly #clock: Clock;
  readonly #awaited = new Map<string, Awaited>();
  readonly #open = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Data frames of a new tunnel to the session's node, until its end. Cancels the agent's work when the caller stops or the signal aborts. */
  async *read(session: NodeSession, kind: TunnelKind, request: unknown, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    const { name } = session.identity;
    const leave = this.#enter(name);
    const ends = AbortSignal.any([signal, session.signal]);
    let call: Call | undefined;
    try {
      call = await this.#openTunnel(session, kind, request, ends);
      yield* frames(call, ends, name);
      finish(call, undefined);
    } catch (error) {
      if (signal.aborted) return;
      if (session.signal.aborted) throw new StatusError('ServiceUnavailable', `node ${name} went away`, { cause: error });
      throw error;
    } finally {
      if (call) finish(call, { code: grpcCancelled, details: 'nobody reads any more' });
      leave();
    }
  }

  /**
   * A tunnel that goes both ways, once the agent says that what was asked for stands; rejects with its reason when it
   * does not. Ends when closed, when the signal aborts, and with the session.
   */
  async open(session: NodeSession, kind: TunnelKind, request: unknown, channels: readonly number[], signal: AbortSignal): Promise<Channels> {
    const { name } = session.identity;
    const leave = this.#enter(name);
    const ends = AbortSignal.any([signal, session.signal]);
    try {
      const call = await this.#openTunnel(session, kind, request, ends);
      const tunnel = new TunnelChannels(call, channels, (error) => { finish(call, error && { code: grpcCancelled, details: error.message }); });
      const abort = (): void => { tunnel.close(new StatusError('ServiceUnavailable', signal.aborted ? 'nobody needs this stream any more' : `node ${name} went away`)); };
      ends.addEventListener('abort', abort, { once: true });
      void tunnel.closed.then(() => {
        ends.removeEventListener('abort', abort);
        leave();
        // The agent has said that it is done, or is gone: nothing of the call is left open.
        finish(call, undefined);
      });
      if (ends.aborted) abort();
      const late = this.#clock.after(startTimeoutMs, () => { tunnel.close(new StatusError('Timeout', `node ${name} did not start the stream within ${String(startTimeoutMs / 1000)} s`)); });
      await tunnel.opened.finally(late);
      return tunnel;
    } catch (error) {
      leave();
      throw error;
    }
  }

  /** Counts a tunnel of the node; the returned function counts it off, once. */
  #enter(name: string): () => void {
    const open = this.#open.get(name) ?? 0;
    if (open >= maxTunnelsPerNode) throw new StatusError('TooManyRequests', `node ${name} has too many open streams; close some of them`, { retryAfterMs: 1000 });
    this.#open.set(name, open + 1);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      const rest = (this.#open.get(name) ?? 1) - 1;
      if (rest > 0) this.#open.set(name, rest);
      else this.#open.delete(name);
    };
  }

  /** Takes a tunnel that an agent opened. */
  accept(node: NodeIdentity, call: Call): void {
    call.on('error', () => undefined);
    const refuse = (error: StatusError): void => { finish(call, { code: statusCodes[error.code].grpc, details: error.message }); };
    const cancel = this.#clock.after(openTimeoutMs, () => { refuse(new StatusError('Timeout', 'the first frame of a tunnel did not come')); });
    call.once('close', cancel);
    // The first frame only; the rest is left in the stream for whoever asked.
    call.once('readable', () => {
      cancel();
      const frame = call.read() as TunnelFrame | null;
      const awaited = frame?.id === undefined ? undefined : this.#awaited.get(frame.id);
      if (frame?.id !== undefined && awaited?.nodeName === node.name) awaited.opened(call);
      else refuse(new StatusError('NotFound', 'nobody waits for this tunnel'));
    });
  }

  async #openTunnel(session: NodeSession, kind: TunnelKind, request: unknown, signal: AbortSignal): Promise<Call> {
    const id = randomUUID();
    const { name } = session.identity;
    let cancelTimeout = (): void => undefined;
    const abort = (): void => { this.#awaited.get(id)?.failed(new StatusError('ServiceUnavailable', `node ${name} went away`)); };
    try {
      return await new Promise<Call>((resolve, reject) => {
        signal.throwIfAborted();
        this.#awaited.set(id, { nodeName: name, opened: resolve, failed: reject });
        signal.addEventListener('abort', abort, { once: true });
        cancelTimeout = this.#clock.after(openTimeoutMs, () => { reject(new StatusError('Timeout', `node ${name} did not answer within ${String(openTimeoutMs / 1000)} s`)); });
        session.openTunnel({ id, kind, request: Buffer.from(JSON.stringify(request)) });
      });
    } finally {
      cancelTimeout();
      signal.removeEventListener('abort', abort);
      this.#awaited.delete(id);
    }
  }
}

async function* frames(call: Call, signal: AbortSignal, nodeName: string): AsyncGenerator<Uint8Array, void, undefined> {
  const abort = (): void => { finish(call, { code: grpcCancelled, details: 'cancelled' }); };
  signal.addEventListener('abort', abort, { once: true });
  try {
    for await (const frame of call.iterator({ destroyOnReturn: false }) as AsyncIterable<TunnelFrame>) {
      if (frame.error !== undefined) throw remoteError(frame.error);
      if (frame.end === true) return;
      if (frame.data !== undefined) yield frame.data;
    }
    throw new StatusError('ServiceUnavailable', `node ${nodeName} broke off`);
  } catch (error) {
    throw error instanceof StatusError ? error : new StatusError('ServiceUnavailable', `the connection to node ${nodeName} broke`, { cause: error });
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

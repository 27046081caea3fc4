import { isRecord } from '#api/meta/json.ts';
import { StatusError, toStatus } from '#common/errors.ts';
import type { TaskGroup } from '#common/lifecycle.ts';
import { maxTunnelDataBytes, type OpenTunnel } from '#proto/edge/v1/messages.ts';
import type { EdgeClient } from './edge-client.ts';
import { send } from './stream.ts';
import type { LogQuery, TunnelHandlers } from './types.ts';

const maxTunnels = 200;
const bothWays: ReadonlySet<OpenTunnel['kind']> = new Set(['EXEC', 'ATTACH', 'PORT_FORWARD', 'DIAL', 'HOST', 'IMAGES']);

/** Serves what the control plane asks for through tunnels; each ends when its work does, or when nobody reads any more. */
export class AgentTunnels {
  readonly #handlers: TunnelHandlers;
  readonly #tasks: TaskGroup;
  #open = 0;

  constructor(handlers: TunnelHandlers, tasks: TaskGroup) {
    this.#handlers = handlers;
    this.#tasks = tasks;
  }

  open(client: EdgeClient, request: OpenTunnel, signal: AbortSignal): void {
    this.#open++;
    this.#tasks.run('tunnel', signal, async () => {
      try {
        await this.#serve(client, request, signal);
      } finally {
        this.#open--;
      }
    });
  }

  async #serve(client: EdgeClient, request: OpenTunnel, signal: AbortSignal): Promise<void> {
    if (bothWays.has(request.kind)) {
      const { serveStream } = await import('./stream-tunnel.ts');
      await serveStream(client.tunnel(), request, this.#open > maxTunnels ? undefined : this.#handlers, signal);
      return;
    }
    const call = client.tunnel();
    const gone = new AbortController();
    const ends = AbortSignal.any([signal, gone.signal]);
    const stop = (): void => { gone.abort(new StatusError('ServiceUnavailable', 'nobody reads this tunnel any more')); };
    call.on('error', stop);
    call.on('end', stop);
    call.resume(); // nothing comes down yet but the end
    const cancel = (): void => { call.cancel(); };
    signal.addEventListener('abort', cancel, { once: true });
    try {
      await send(call, { id: request.id }, ends);
      await this.#answer(request, async (data) => {
        for (let at = 0; at < data.length; at += maxTunnelDataBytes) await send(call, { data: data.subarray(at, at + maxTunnelDataBytes) }, ends);
      }, ends);
      await send(call, { end: true }, ends);
    } catch (error) {
      if (!ends.aborted) {
        const { code, message } = toStatus(error);
        await send(call, { error: Buffer.from(JSON.stringify({ code, message })) }, ends).catch(() => undefined);
      }
    } finally {
      signal.removeEventListener('abort', cancel);
      call.end();
    }
  }

  async #answer(request: OpenTunnel, write: (data: Uint8Array) => Promise<void>, signal: AbortSignal): Promise<void> {
    if (this.#open > maxTunnels) throw new StatusError('TooManyRequests', 'too many streams are open on this node');
    switch (request.kind) {
      case 'LOGS':
        await pump(this.#handlers.logs(parseLogQuery(request.request), signal), write, signal);
        return;
      case 'USAGE':
        await write(Buffer.from(JSON.stringify(await unlessAborted(this.#handlers.usage(signal, { volumes: wants(request.request, 'volumes'), cgroups: wants(request.request, 'cgroups') }), signal))));
        return;
      case 'REMOVE_VOLUME':
        if (this.#handlers.removeVolume === undefined) break;
        await this.#handlers.removeVolume(parseVolumeName(request.request));
        return;
      case 'NETWORK':
        if (this.#handlers.network === undefined) break;
        await write(Buffer.from(JSON.stringify(await unlessAborted(this.#handlers.network(wants(request.request, 'check'), signal), signal))));
        return;
      case 'KUBELET':
        if (this.#handlers.kubelet === undefined) break;
        await write(Buffer.from(JSON.stringify(await unlessAborted(this.#handlers.kubelet(parseAbout(request.request), signal), signal))));
        return;
      default:
    }
    throw new StatusError('MethodNotAllowed', 'this agent is too old for what was asked; upgrade it');
  }
}

/** Hands on every chunk. Does not wait for a source that is slow to stop. */
async function pump(source: AsyncIterable<Uint8Array>, write: (data: Uint8Array) => Promise<void>, signal: AbortSignal): Promise<void> {
  const iterator = source[Symbol.asyncIterator]();
  try {
    for (let next = await unlessAborted(iterator.next(), signal); next.done !== true; next = await unlessAborted(iterator.next(), signal)) await write(next.value);
  } finally {
    iterator.return?.().catch(() => undefined);
  }
}

function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => { reject(signal.reason as Error); };
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => { signal.removeEventListener('abort', abort); }).catch(() => undefined);
  });
}

function wants(bytes: Buffer, what: 'check' | 'volumes' | 'cgroups'): boolean {
  const query: unknown = JSON.parse(bytes.toString());
  return isRecord(query) && query[what] === true;
}

function parseAbout(bytes: Buffer): string {
  const query: unknown = JSON.parse(bytes.toString());
  return isRecord(query) && typeof query['about'] === 'string' ? query['about'] : '';
}

/** The name becomes a part of a path. */
function parseVolumeName(bytes: Buffer): string {
  const query: unknown = JSON.parse(bytes.toString());
  if (!isRecord(query) || typeof query['name'] !== 'string' || !/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(query['name'])) throw new StatusError('BadRequest', 'the name of a volume that is none');
  return query['name'];
}

function parseLogQuery(bytes: Buffer): LogQuery {
  const query: unknown = JSON.parse(bytes.toString());
  if (!isRecord(query) || typeof query['podUid'] !== 'string' || typeof query['container'] !== 'string') throw new StatusError('BadRequest', 'a log query that is not what the edge contract says');
  return query as unknown as LogQuery;
}

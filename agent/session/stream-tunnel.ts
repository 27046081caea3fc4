import type { ClientDuplexStream } from '@grpc/grpc-js';
import { isRecord } from '#api/meta/json.ts';
import { StatusError, toStatus } from '#common/errors.ts';
import { onAbort } from '#common/lifecycle.ts';
import { channelsOf, relayBytes, relayCommand } from '#common/streams/relay.ts';
import type { OpenTunnel, TunnelFrame } from '#proto/edge/v1/messages.ts';
import { isHostTask } from '#common/host-task.ts';
import { TunnelChannels } from '#proto/edge/v1/tunnel-channels.ts';
import type { StreamRequest, TunnelHandlers } from './types.ts';

/** Serves a tunnel that goes both ways until the work is done, the control plane ends it, or the signal aborts. `handlers` is absent when there are too many. */
export async function serveStream(call: ClientDuplexStream<TunnelFrame, TunnelFrame>, { id, kind, request: bytes }: OpenTunnel, handlers: TunnelHandlers | undefined, signal: AbortSignal): Promise<void> {
  const gone = new AbortController();
  const ends = AbortSignal.any([signal, gone.signal]);
  const forget = onAbort(signal, () => { call.cancel(); });
  const request = parseRequest(kind, bytes);
  const command = request && 'stdin' in request ? request : undefined;
  const tunnel = new TunnelChannels(call, command ? channelsOf(command) : [0], () => { call.end(); });
  void tunnel.closed.then(() => { gone.abort(new StatusError('ServiceUnavailable', 'nobody needs this stream any more')); });
  try {
    await tunnel.send({ id });
    if (!request) throw new StatusError('BadRequest', 'a stream request that is not what the edge contract says');
    if (!handlers) throw new StatusError('TooManyRequests', 'too many streams are open on this node');
    if (!handlers.open) throw new StatusError('MethodNotAllowed', 'this agent serves no streams');
    const target = await handlers.open(request, ends);
    const release = onAbort(ends, () => { target.close(ends.reason as Error); });
    try {
      await tunnel.send({ opened: true });
      await (command ? relayCommand(endless(tunnel), target, command) : relayBytes(tunnel.channel(0), target.channel(0)));
    } finally {
      release();
      target.close();
    }
    await tunnel.send({ end: true });
  } catch (error) {
    const { code, message } = toStatus(error);
    if (!ends.aborted) await tunnel.send({ error: Buffer.from(JSON.stringify({ code, message })) }).catch(() => undefined);
  } finally {
    forget();
    tunnel.close();
  }
}

/** The relay closes the user's side when the program is done; here the last word is `end` or `error`. */
function endless(tunnel: TunnelChannels): { channel: TunnelChannels['channel']; closed: Promise<undefined>; close: () => void } {
  return { channel: (number) => tunnel.channel(number), closed: tunnel.closed, close: () => undefined };
}

const kinds: Readonly<Partial<Record<OpenTunnel['kind'], StreamRequest['kind']>>> = { EXEC: 'exec', ATTACH: 'attach', PORT_FORWARD: 'port-forward', DIAL: 'dial', HOST: 'host', IMAGES: 'images' };

/** Undefined when it is not what the contract says. */
function parseRequest(wireKind: OpenTunnel['kind'], bytes: Buffer): StreamRequest | undefined {
  const kind = kinds[wireKind];
  const request = parseJson(bytes);
  if (!isRecord(request) || kind === undefined) return undefined;
  if (kind === 'images') return isImageRequest(request) ? { ...request, kind } as unknown as StreamRequest : undefined;
  if (kind === 'host') return isHostTask(request) ? { ...request, kind } as unknown as StreamRequest : undefined;
  const isPort = Number.isInteger(request['port']) && Number(request['port']) > 0 && Number(request['port']) < 65_536;
  const named = kind === 'dial' ? isPort && typeof request['host'] === 'string' : typeof request['podUid'] === 'string';
  const whole = kind === 'port-forward' ? isPort : kind === 'dial' || typeof request['container'] === 'string';
  if (!named || !whole || (kind === 'exec' && !(Array.isArray(request['command']) && request['command'].every((part) => typeof part === 'string')))) return undefined;
  return { ...request, kind } as unknown as StreamRequest;
}

function isImageRequest({ verb, image, dryRun, loaded }: Record<string, unknown>): boolean {
  if (verb === 'save') return typeof image === 'string' && image !== '';
  return verb === 'list' || verb === 'load' || verb === 'push' || (verb === 'prune' && typeof dryRun === 'boolean' && typeof loaded === 'boolean');
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
}

import type { Duplex } from 'node:stream';
import type { Pod } from '#api/gen/types.ts';
import { isStatus, toStatus } from '#common/errors.ts';
import { commandChannels, type ByteStream, type Channels } from '#common/streams/channels.ts';
import { channelsOf, relayCommand, type CommandStreams } from '#common/streams/relay.ts';
import { badRequest } from '../api-errors.ts';
import { failure } from '../http/status.ts';
import type { Reply } from '../http/reply.ts';
import type { ApiRequest } from '../http/request.ts';
import { booleanParameter } from '../list-options.ts';
import type { RouteDeps } from '../routes/types.ts';
import { commandOffer, negotiate, type Upgrade } from './protocols.ts';
import { nodeOf } from './target.ts';

export interface CommandTarget {
  readonly pod: Pod;
  readonly container: string;
  readonly kind: 'exec' | 'attach';
}

/** Whether stdout and stderr are wanted when nothing is said: yes. */
function streamsOf(query: URLSearchParams): CommandStreams {
  const tty = booleanParameter(query, 'tty');
  const wanted = (name: string): boolean => !query.has(name) || booleanParameter(query, name);
  const streams = { stdin: booleanParameter(query, 'stdin'), stdout: wanted('stdout'), stderr: wanted('stderr') && !tty, tty };
  if (!streams.stdin && !streams.stdout && !streams.stderr) throw badRequest('you must specify at least 1 of stdin, stdout, stderr');
  return streams;
}

/** Answers pods/NAME/exec and pods/NAME/attach. The command runs before the connection is upgraded, so that what is wrong is still said as a Status. */
export async function serveCommand(deps: RouteDeps, request: ApiRequest, { pod, container, kind }: CommandTarget): Promise<Reply> {
  const command = request.query.getAll('command').filter((part, i) => part !== '' || i > 0);
  if (kind === 'exec' && command.length === 0) throw badRequest('you must specify at least 1 command for the container');
  const streams = streamsOf(request.query);
  const { nodes, nodeName } = nodeOf(deps, pod);
  const about = { podUid: pod.metadata?.uid ?? '', container, ...streams };
  return serveProgram(deps, request, streams, () => nodes.open(nodeName, kind === 'exec' ? { kind, command, ...about } : { kind, ...about }, channelsOf(streams), request.signal));
}

/** Connects the client's streams with those of what `open` resolves with, once that stands. */
export async function serveProgram(deps: RouteDeps, request: ApiRequest, streams: CommandStreams, open: () => Promise<Channels>): Promise<Reply> {
  const upgrade = negotiate(request.headers, commandOffer);
  const program = await open();
  return { status: 101, contentType: '', body: '', takeOver: (socket) => run(deps, request, socket, upgrade, program, streams) };
}

async function run(deps: RouteDeps, request: ApiRequest, socket: Duplex, upgrade: Upgrade, program: Channels, streams: CommandStreams): Promise<void> {
  const user = await accept(deps, request, socket, upgrade, streams);
  const stop = (): void => { user.close(); };
  request.signal.addEventListener('abort', stop, { once: true });
  try {
    await relayCommand(user, program, streams);
  } catch (error) {
    const status = user.channel(commandChannels.status);
    await status.write(Buffer.from(JSON.stringify(failure(toStatus(error))))).then(() => status.end()).catch(() => undefined);
  } finally {
    request.signal.removeEventListener('abort', stop);
    user.close();
    await user.closed;
  }
}

async function accept(deps: RouteDeps, request: ApiRequest, socket: Duplex, { transport, protocol }: Upgrade, streams: CommandStreams): Promise<Channels> {
  let user: Channels;
  if (transport === 'spdy') {
    const { acceptCommand, switchProtocols } = await import('./spdy-server.ts');
    switchProtocols(socket, 'SPDY/3.1', protocol === '' ? {} : { 'X-Stream-Protocol-Version': protocol });
    user = await acceptCommand(socket, protocol, streams, deps.clock);
  } else {
    const { acceptWebSocket, WebSocketChannels } = await import('./websocket.ts');
    user = new WebSocketChannels(await acceptWebSocket(request.incoming, socket, protocol), protocol, channelsOf(streams));
    // An empty message says that the connection stands.
    await user.channel(streams.stdout ? commandChannels.stdout : streams.stderr ? commandChannels.stderr : commandChannels.status).write(new Uint8Array());
  }
  return /^v[45]\./.test(protocol) ? user : withPlainErrors(user);
}

/** Before version 4 the status channel brings words, and nothing when all went well. */
function withPlainErrors(user: Channels): Channels {
  const status = user.channel(commandChannels.status);
  let text = '';
  const plain: ByteStream = {
    write: (data) => { text += Buffer.from(data).toString(); return Promise.resolve(); },
    end: async () => {
      const message = failureIn(text);
      if (message !== undefined) await status.write(Buffer.from(message));
      await status.end();
    },
    [Symbol.asyncIterator]: () => status[Symbol.asyncIterator](),
  };
  return { channel: (number) => (number === commandChannels.status ? plain : user.channel(number)), closed: user.closed, close: (error) => { user.close(error); } };
}

function failureIn(text: string): string | undefined {
  try {
    const status = JSON.parse(text) as { status?: string; message?: string };
    return status.status === 'Success' ? undefined : status.message ?? text;
  } catch (error) {
    if (isStatus(error)) throw error;
    return text === '' ? undefined : text;
  }
}

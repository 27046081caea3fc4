import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import type { HttpRequest } from '../http/listener.ts';
import type { Reply, ReplyStream } from '../http/reply.ts';
import { askedProtocols, upgradeOf } from './protocols.ts';
import { acceptWebSocket } from './websocket.ts';

/** A watch or a log asked for by WebSocket: each event a message, text in pieces. Undefined where the answer is one of HTTP. */
export function overWebSocket(request: HttpRequest, reply: Reply, verb: string): Reply['takeOver'] {
  const { body, status } = reply;
  if (upgradeOf(request.headers) !== 'websocket' || status !== 200 || typeof body !== 'object' || !(Symbol.asyncIterator in body)) return undefined;
  const [protocol = ''] = askedProtocols(request.headers);
  const messages = verb === 'watch' ? lines(body) : protocol.startsWith('base64.') ? base64(body) : body;
  return (socket) => send(request, socket, protocol, messages);
}

async function send(request: HttpRequest, socket: Duplex, protocol: string, messages: AsyncIterable<Uint8Array | string>): Promise<void> {
  const webSocket = await acceptWebSocket(request, socket, protocol);
  const closed = new Promise<void>((resolve) => { webSocket.once('close', () => { resolve(); }); });
  await Promise.race([closed, sendAll(webSocket, messages)]);
  webSocket.close(1000);
}

async function sendAll(webSocket: WebSocket, messages: AsyncIterable<Uint8Array | string>): Promise<void> {
  for await (const message of messages) {
    await new Promise<void>((resolve, reject) => {
      webSocket.send(message, (error) => {
        if (error) reject(error);
        else resolve();
      });
    });
  }
}

async function* lines(body: ReplyStream): AsyncGenerator<string> {
  let rest = '';
  const decoder = new TextDecoder();
  for await (const chunk of body) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = parts.pop() ?? '';
    yield* parts.filter((part) => part !== '');
  }
  if (rest !== '') yield rest;
}

async function* base64(body: ReplyStream): AsyncGenerator<string> {
  for await (const chunk of body) yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length).toString('base64');
}

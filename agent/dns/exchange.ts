import { createSocket } from 'node:dgram';
import { randomInt } from 'node:crypto';
import { connect, isIPv6 } from 'node:net';
import { messageOf, StatusError } from '#common/errors.ts';
import { onAbort } from '#common/lifecycle.ts';
import { encodeQuestion, parseReply } from './message.ts';
import { splitServer } from './upstreams.ts';
import { rcodes, type Exchange, type Question, type Reply } from './types.ts';

const timeoutMs = 2000;

/**
 * Over UDP from a port of its own (so that nobody can guess where the answer is awaited); over TCP when it comes cut off;
 * without EDNS when that is what the server, an old one, did not understand (RFC 6891, 7).
 */
export const exchange: Exchange = async (server, question, signal) => {
  signal.throwIfAborted();
  const reply = await exchangeOnce(server, question, true, signal);
  return reply.rcode === rcodes.formatError || reply.rcode === rcodes.notImplemented ? exchangeOnce(server, question, false, signal) : reply;
};

async function exchangeOnce(server: string, question: Question, withEdns: boolean, signal: AbortSignal): Promise<Reply> {
  const id = randomInt(65_536);
  const query = encodeQuestion(id, question, withEdns);
  const { reply, truncated } = await overUdp(server, id, query, question, signal);
  signal.throwIfAborted();
  return truncated ? overTcp(server, id, query, question, signal) : reply;
}

function overUdp(server: string, id: number, query: Buffer, question: Question, signal: AbortSignal): Promise<{ readonly reply: Reply; readonly truncated: boolean }> {
  const { address, port } = splitServer(server);
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  return settled(server, signal, () => { socket.close(); }, (resolve, reject) => {
    socket.on('error', reject);
    socket.on('message', (message) => {
      const parsed = parseReply(message, id, question);
      if (parsed) resolve(parsed);
    });
    // Connected, so that the kernel drops what others send and says at once when nobody listens there.
    socket.connect(port, address, () => { socket.send(query, (error) => { if (error) reject(error); }); });
  });
}

function overTcp(server: string, id: number, query: Buffer, question: Question, signal: AbortSignal): Promise<Reply> {
  const { address, port } = splitServer(server);
  const socket = connect({ host: address, port });
  return settled(server, signal, () => { socket.destroy(); }, (resolve, reject) => {
    let received = Buffer.alloc(0);
    socket.on('error', reject);
    socket.on('close', () => { reject(new Error('the connection was closed before the answer')); });
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      const length = received.length >= 2 ? received.readUInt16BE(0) : Number.POSITIVE_INFINITY;
      if (received.length < 2 + length) return;
      const parsed = parseReply(received.subarray(2, 2 + length), id, question);
      if (parsed) resolve(parsed.reply);
      else reject(new Error('the answer is to another question'));
    });
    socket.write(Buffer.concat([Buffer.from([query.length >> 8, query.length & 0xff]), query]));
  });
}

/** One exchange with a deadline; whatever comes first ends it, and the socket with it. */
async function settled<T>(server: string, signal: AbortSignal, close: () => void, begin: (resolve: (value: T) => void, reject: (error: Error) => void) => void): Promise<T> {
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const abort = (): void => { reject(signal.aborted ? signal.reason as Error : new StatusError('Timeout', `no answer from DNS server ${server} in ${String(timeoutMs)} ms`)); };
  const forget = onAbort(deadline, abort);
  try {
    begin(resolve, (error) => { reject(new StatusError('ServiceUnavailable', `DNS server ${server}: ${messageOf(error)}`, { cause: error })); });
    return await promise;
  } finally {
    forget();
    close();
  }
}

import { decode, encode, RECURSION_DESIRED, RECURSION_AVAILABLE, AUTHORITATIVE_ANSWER, TRUNCATED_RESPONSE, type DecodedPacket, type Packet } from 'dns-packet';
import { rcodes, type DnsRecord, type Question, type Reply } from './types.ts';

/** The largest answer over UDP: passes every usual link in one piece (https://www.dnsflagday.net/2020/). */
export const udpPayloadBytes = 1232;
const plainUdpBytes = 512;
const headerBytes = 12;
const opcodeMask = 0x7800;

/** What a client sent, as far as it can be made sense of. */
export interface Query {
  readonly id: number;
  readonly recursionDesired: boolean;
  readonly question: Question;
  /** Set when the client speaks EDNS: the largest UDP answer it takes. */
  readonly ednsBytes: number | undefined;
}

/** A refusal that is known before any look-up, as a finished message; or nothing at all for what is not a query. */
export interface Malformed { readonly reply: Buffer | undefined }

/** Reads a client's message. Never throws. */
export function parseQuery(message: Buffer): Query | Malformed {
  if (message.length < headerBytes) return { reply: undefined };
  const flags = message.readUInt16BE(2);
  // An answer to an answer would go round for ever.
  if ((flags & 0x8000) !== 0) return { reply: undefined };
  const refuse = (rcode: number): Malformed => ({ reply: bareReply(message, rcode) });
  if ((flags & opcodeMask) !== 0) return refuse(rcodes.notImplemented);
  if (message.readUInt16BE(4) !== 1) return refuse(rcodes.formatError);
  const packet = tryDecode(message);
  const question = packet?.questions?.[0];
  if (!packet || !question || !isFaithful(question.name, message)) return refuse(rcodes.formatError);
  if ((question.class ?? 'IN') !== 'IN' || question.type === 'AXFR' || question.type === 'IXFR') return refuse(rcodes.refused);
  const edns = packet.additionals?.find((record) => record.type === 'OPT');
  return {
    id: packet.id ?? 0, recursionDesired: (flags & RECURSION_DESIRED) !== 0, question: { name: question.name, type: question.type },
    ednsBytes: edns?.type === 'OPT' ? Math.max(plainUdpBytes, Math.min(edns.udpPayloadSize, udpPayloadBytes)) : undefined,
  };
}

/** Whether the name, written down again, has the labels that were sent: not so where one holds a dot, or bytes that are no text. */
function isFaithful(name: string, message: Buffer): boolean {
  if (name.includes('\ufffd')) return false;
  const labels = name === '.' || name === '' ? [] : name.split('.');
  let at = headerBytes;
  for (const label of labels) {
    if (message[at] !== Buffer.byteLength(label)) return false;
    at += 1 + (message[at] ?? 0);
  }
  return message[at] === 0;
}

/** The answer as bytes. Over UDP one that is too long is cut, with the mark that it was: the client asks again over TCP. */
export function encodeReply(query: Query, reply: Reply, transport: 'udp' | 'tcp'): Buffer {
  const flags = reply.rcode | RECURSION_AVAILABLE | (query.recursionDesired ? RECURSION_DESIRED : 0) | (reply.authoritative ? AUTHORITATIVE_ANSWER : 0);
  const base: Packet = { type: 'response', id: query.id, flags, questions: [query.question], ...(query.ednsBytes !== undefined && { additionals: [edns] }) };
  const whole = encode({ ...base, answers: [...reply.answers], authorities: [...reply.authorities] });
  if (transport === 'tcp' || whole.length <= (query.ednsBytes ?? plainUdpBytes)) return whole;
  return encode({ ...base, flags: flags | TRUNCATED_RESPONSE });
}

const edns = { type: 'OPT', name: '.', udpPayloadSize: udpPayloadBytes, extendedRcode: 0, ednsVersion: 0, flags: 0, flag_do: false, options: [] } as const satisfies DnsRecord;

/** A question to another server, with recursion, and EDNS unless it knows none. */
export function encodeQuestion(id: number, question: Question, withEdns = true): Buffer {
  return encode({ type: 'query', id, flags: RECURSION_DESIRED, questions: [{ ...question }], ...(withEdns && { additionals: [edns] }) });
}

/** Another server's answer to exactly this question, or undefined: anybody can send to a UDP port. */
export function parseReply(message: Buffer, id: number, question: Question): { readonly reply: Reply; readonly truncated: boolean } | undefined {
  const packet = message.length >= headerBytes && message.readUInt16BE(0) === id ? tryDecode(message) : undefined;
  const asked = packet?.questions?.[0];
  if (packet?.type !== 'response' || asked?.type !== question.type || asked.name.toLowerCase() !== question.name.toLowerCase()) return undefined;
  const flags = message.readUInt16BE(2);
  return {
    truncated: (flags & TRUNCATED_RESPONSE) !== 0,
    reply: { rcode: flags & 0xf, authoritative: false, answers: packet.answers ?? [], authorities: packet.authorities ?? [] },
  };
}

function tryDecode(message: Buffer): DecodedPacket | undefined {
  try {
    return decode(message);
  } catch {
    return undefined;
  }
}

/** The header alone, with a code: what is told to a message that cannot be read. */
function bareReply(message: Buffer, rcode: number): Buffer {
  const reply = Buffer.alloc(headerBytes);
  reply.writeUInt16BE(message.readUInt16BE(0), 0);
  reply.writeUInt16BE(0x8000 | (message.readUInt16BE(2) & (opcodeMask | RECURSION_DESIRED)) | rcode, 2);
  return reply;
}

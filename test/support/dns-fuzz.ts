import { decode, encode, type Answer, type Packet, type RecordType } from 'dns-packet';
import { parseReply } from '#agent/dns/message.ts';
import type { Resolver } from '#agent/dns/resolver.ts';

export interface FuzzConfig {
  readonly packets: number;
  readonly seed: number;
}

export interface FuzzResult {
  readonly checked: number;
  /** By how much the heap is larger than after the first tenth, which fills caches. */
  readonly grownBytes: number;
}

const signal = new AbortController().signal;
const types: readonly RecordType[] = ['A', 'AAAA', 'SRV', 'PTR', 'TXT', 'SOA', 'NS', 'CNAME'];
const names = ['db.default.svc.cluster.local', '10-42-0-1.db.default.svc.cluster.local', '_http._tcp.db.default.svc.cluster.local', '1.0.42.10.in-addr.arpa', 'cluster.local', 'example.com', ''];

/**
 * Sends packets to a resolver that are broken in every way: bits turned, cut, grown, put together from two, made of
 * nothing but chance; and reads each as another server's answer, too. Throws when a packet makes anything throw, or is
 * answered with something else than an answer to it. The same seed makes the same packets.
 */
export async function fuzzDns(resolver: Resolver, { packets, seed }: FuzzConfig): Promise<FuzzResult> {
  const random = randomOf(seed);
  const originals = originalsOf();
  let before = 0;
  for (let i = 0; i < packets; i++) {
    if (i === Math.floor(packets / 10)) before = heapBytes();
    const message = broken(originals, random);
    try {
      await check(resolver, message, random() < 0.5 ? 'udp' : 'tcp');
    } catch (error) {
      throw new Error(`packet ${String(i)} of seed ${String(seed)}: ${message.toString('hex')}`, { cause: error });
    }
  }
  return { checked: packets, grownBytes: heapBytes() - before };
}

async function check(resolver: Resolver, message: Buffer, transport: 'udp' | 'tcp'): Promise<void> {
  const reply = await resolver.respond(message, transport, true, signal);
  if (reply) {
    if (reply.readUInt16BE(0) !== message.readUInt16BE(0)) throw new Error('the id is another one');
    if (decode(reply).type !== 'response') throw new Error('the answer is none');
    if (transport === 'udp' && reply.length > 1232) throw new Error('the answer is too long');
  }
  if (message.length >= 2) parseReply(message, message.readUInt16BE(0), { name: 'example.com', type: 'A' });
}

function originalsOf(): Buffer[] {
  const opt = { type: 'OPT', name: '.', udpPayloadSize: 4096, extendedRcode: 0, ednsVersion: 0, flags: 0, flag_do: false, options: [] } satisfies Answer;
  const packets = names.flatMap((name) => types.flatMap((type): Packet[] => [
    { type: 'query', id: 1, flags: 0x100, questions: [{ name, type }] },
    { type: 'query', id: 2, flags: 0x100, questions: [{ name, type }], additionals: [opt] },
  ]));
  const answer: Packet = {
    type: 'response', id: 3, questions: [{ name: 'example.com', type: 'A' }], additionals: [opt],
    answers: [{ type: 'CNAME', name: 'example.com', ttl: 1, data: 'www.example.com' }, { type: 'A', name: 'www.example.com', ttl: 1, data: '192.0.2.1' }, { type: 'TXT', name: 'example.com', ttl: 1, data: 'x'.repeat(200) }],
    authorities: [{ type: 'SOA', name: 'example.com', ttl: 1, data: { mname: 'a', rname: 'b', serial: 1, refresh: 1, retry: 1, expire: 1, minimum: 1 } }],
  };
  return [...packets, answer].map((packet) => encode(packet));
}

function broken(originals: readonly Buffer[], random: () => number): Buffer {
  const upTo = (limit: number): number => Math.floor(random() * limit);
  const original = (): Buffer => Buffer.from(originals[upTo(originals.length)] ?? '');
  const noise = (most: number): Buffer => Buffer.from(Array.from({ length: upTo(most) }, () => upTo(256)));
  const kind = upTo(6);
  if (kind === 0) return noise(300);
  let message = original();
  if (kind === 1) message = message.subarray(0, upTo(message.length));
  if (kind === 2) message = Buffer.concat([message, noise(64)]);
  if (kind === 3) message = Buffer.concat([message.subarray(0, upTo(message.length)), original().subarray(12)]);
  if (kind === 4 && message.length > 14) message.writeUInt16BE(0xc000 | upTo(message.length), 12 + upTo(message.length - 13));
  for (let changes = upTo(6); changes > 0 && message.length > 0; changes--) message[upTo(message.length)] = upTo(256);
  return message;
}

function heapBytes(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}

/** A linear congruential generator: the same numbers everywhere. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

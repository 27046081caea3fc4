import { encodeReply, parseQuery, type Query } from './message.ts';
import type { Forwarder } from './forwarder.ts';
import { rcodes, type DnsRecord, type Question, type Reply } from './types.ts';
import type { Zone } from './zone.ts';

export interface ResolverDeps {
  readonly zone: Zone;
  readonly forwarder: Forwarder;
  /** Grows whenever an answer about the cluster may have changed. */
  readonly generation: () => number;
  readonly random: () => number;
}

/** ExternalNames that point at each other end here. */
const maxAliases = 8;
const maxRemembered = 2048;
const maxRememberedBytes = 512;

/** From a client's bytes to the bytes of the answer. */
export class Resolver {
  readonly #deps: ResolverDeps;
  /** Finished answers about the cluster, by the client's bytes after the id: the same few questions come again and again. */
  #remembered = new Map<string, Buffer>();
  #generation = -1;
  /** Names that were made up to find out who sends questions back here. */
  readonly #probes = new Map<string, { arrived: boolean }>();

  constructor(deps: ResolverDeps) {
    this.#deps = deps;
  }

  /** The answer, now or, with `mayWait`, later; undefined for what gets none. Never throws; rejects with the signal's reason only. */
  respond(message: Buffer, transport: 'udp' | 'tcp', mayWait: boolean, signal: AbortSignal): Buffer | undefined | Promise<Buffer | undefined> {
    const key = transport === 'udp' && message.length <= maxRememberedBytes ? message.toString('latin1', 2) : undefined;
    const remembered = key === undefined ? undefined : this.#recall(key);
    if (remembered) {
      const copy = Buffer.from(remembered);
      copy[0] = message[0] ?? 0;
      copy[1] = message[1] ?? 0;
      return copy;
    }
    const query = parseQuery(message);
    if ('reply' in query) return query.reply;
    const reply = this.#resolve(query.question, mayWait, signal);
    if (reply instanceof Promise) return reply.then((later) => encoded(query, later, transport));
    const bytes = encoded(query, this.#shuffled(reply), transport);
    // Several addresses are given in another order each time, so these are not kept.
    if (key !== undefined && reply.authoritative && reply.answers.length <= 1) this.#remember(key, bytes);
    return bytes;
  }

  /** Runs `ask` with a name that only this resolver knows; true when the name came back here meanwhile. */
  async probe(name: string, ask: () => Promise<unknown>): Promise<boolean> {
    const probe = { arrived: false };
    this.#probes.set(name, probe);
    try {
      await ask();
      return probe.arrived;
    } finally {
      this.#probes.delete(name);
    }
  }

  #resolve(question: Question, mayWait: boolean, signal: AbortSignal): Reply | Promise<Reply> {
    const probe = this.#probes.get(question.name.toLowerCase());
    if (probe) {
      probe.arrived = true;
      return failure;
    }
    const found = this.#deps.zone.answer(question);
    if (!found) return this.#deps.forwarder.resolve(question, mayWait, signal);
    return 'alias' in found ? this.#follow(question, [found.alias], found.target, mayWait, signal) : found;
  }

  #follow(question: Question, aliases: readonly DnsRecord[], target: string, mayWait: boolean, signal: AbortSignal): Reply | Promise<Reply> {
    const next = { name: target, type: question.type };
    const found = aliases.length < maxAliases ? this.#deps.zone.answer(next) : failure;
    if (found && 'alias' in found) return this.#follow(question, [...aliases, found.alias], found.target, mayWait, signal);
    const join = (reply: Reply): Reply => ({ ...reply, authoritative: false, answers: [...aliases, ...reply.answers] });
    if (found) return join(found);
    const later = this.#deps.forwarder.resolve(next, mayWait, signal);
    return later instanceof Promise ? later.then(join) : join(later);
  }

  /** Clients take the first: each should be first as often as the others. */
  #shuffled(reply: Reply): Reply {
    if (!reply.authoritative || reply.answers.length < 2) return reply;
    const start = Math.floor(this.#deps.random() * reply.answers.length);
    return { ...reply, answers: [...reply.answers.slice(start), ...reply.answers.slice(0, start)] };
  }

  #recall(key: string): Buffer | undefined {
    const generation = this.#deps.generation();
    if (generation !== this.#generation) {
      this.#generation = generation;
      this.#remembered = new Map();
    }
    return this.#remembered.get(key);
  }

  #remember(key: string, bytes: Buffer): void {
    if (this.#remembered.size >= maxRemembered) this.#remembered = new Map();
    this.#remembered.set(key, bytes);
  }
}

const failure: Reply = { rcode: rcodes.serverFailure, authoritative: false, answers: [], authorities: [] };

/** A record of another server's that cannot be written is that server's failure, not ours to fall over. */
function encoded(query: Query, reply: Reply, transport: 'udp' | 'tcp'): Buffer {
  try {
    return encodeReply(query, reply, transport);
  } catch {
    return encodeReply(query, failure, transport);
  }
}

import type { Clock } from '#common/clock.ts';
import { isStatus } from '#common/errors.ts';
import { AnswerCache } from './cache.ts';
import { rcodes, type Exchange, type Question, type Reply, type Upstreams } from './types.ts';

export interface ForwarderDeps {
  readonly exchange: Exchange;
  readonly clock: Clock;
}

const maxCached = 4096;
/** Questions in flight at a time; beyond, a client is told at once. */
const maxPending = 512;
/** A server that did not answer is asked last for so long. */
const penaltyMs = 10_000;

/**
 * Asks other servers. The same question of many clients is asked once, so that a server that sends questions back
 * here makes one of them fail and never a loop. When nobody answers, what was true not long ago is said again.
 */
export class Forwarder {
  readonly #deps: ForwarderDeps;
  readonly #cache = new AnswerCache(maxCached);
  readonly #pending = new Map<string, Promise<Reply>>();
  readonly #penaltyUntilMs = new Map<string, number>();
  #upstreams: Upstreams = { servers: [], stubDomains: new Map() };

  constructor(deps: ForwarderDeps) {
    this.#deps = deps;
  }

  use(upstreams: Upstreams): void {
    this.#upstreams = upstreams;
    this.#penaltyUntilMs.clear();
  }

  /** Never rejects but for the signal: who cannot be asked, or without `mayWait` would have to be, is a server failure to the client. */
  resolve(question: Question, mayWait: boolean, signal: AbortSignal): Reply | Promise<Reply> {
    const key = `${question.type} ${question.name.toLowerCase()}`;
    const cached = this.#cache.fresh(key, this.#deps.clock.monotonic());
    if (cached) return named(cached, question);
    if (!mayWait) return failure;
    const asked = this.#pending.get(key);
    if (asked) return asked.then((reply) => named(reply, question));
    if (this.#pending.size >= maxPending) return failure;
    // Noted before anything is sent: the question may come back here.
    const asking = Promise.resolve().then(() => this.#ask(key, question, signal)).finally(() => { this.#pending.delete(key); });
    this.#pending.set(key, asking);
    return asking;
  }

  async #ask(key: string, question: Question, signal: AbortSignal): Promise<Reply> {
    const { clock } = this.#deps;
    let last: Reply | undefined;
    for (const server of this.#serversFor(question.name)) {
      try {
        const reply = await this.#deps.exchange(server, question, signal);
        if (reply.rcode === rcodes.noError || reply.rcode === rcodes.nameError) {
          this.#cache.put(key, reply, clock.monotonic());
          return reply;
        }
        last = reply;
      } catch (error) {
        signal.throwIfAborted();
        if (!isStatus(error, 'Timeout', 'ServiceUnavailable')) throw error;
        this.#penaltyUntilMs.set(server, clock.monotonic() + penaltyMs);
      }
    }
    return this.#cache.stale(key, clock.monotonic()) ?? last ?? failure;
  }

  /** The servers of the longest domain that the name is in; those that lately answered first. */
  #serversFor(name: string): string[] {
    const now = this.#deps.clock.monotonic();
    const lower = name.toLowerCase();
    const domain = [...this.#upstreams.stubDomains.keys()].filter((d) => lower === d || lower.endsWith(`.${d}`)).sort((a, b) => b.length - a.length)[0];
    const servers = (domain === undefined ? undefined : this.#upstreams.stubDomains.get(domain)) ?? this.#upstreams.servers;
    const punished = (server: string): boolean => (this.#penaltyUntilMs.get(server) ?? 0) > now;
    return [...servers.filter((s) => !punished(s)), ...servers.filter(punished)];
  }
}

const failure: Reply = { rcode: rcodes.serverFailure, authoritative: false, answers: [], authorities: [] };

/** The owner name as this client wrote it: some check that letters come back as they were sent. */
function named(reply: Reply, { name }: Question): Reply {
  const lower = name.toLowerCase();
  return { ...reply, answers: reply.answers.map((record) => (record.name !== name && record.name.toLowerCase() === lower ? { ...record, name } : record)) };
}

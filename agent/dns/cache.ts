import { rcodes, type DnsRecord, type Reply } from './types.ts';

const maxTtlSeconds = 3600;
const maxNegativeTtlSeconds = 300;
/** After this an answer is worth nothing even where no better one can be had (RFC 8767 allows days). */
const maxStaleMs = 3_600_000;
const staleTtlSeconds = 30;

interface Entry { readonly reply: Reply; readonly storedAtMs: number; readonly freshUntilMs: number }

/** Other servers' answers for as long as they say (RFC 2308 for the negative ones); the least recently used goes first. */
export class AnswerCache {
  readonly #maxEntries: number;
  readonly #entries = new Map<string, Entry>();

  constructor(maxEntries: number) {
    this.#maxEntries = maxEntries;
  }

  get size(): number { return this.#entries.size; }

  put(key: string, reply: Reply, nowMs: number): void {
    const ttl = ttlOf(reply);
    if (ttl === undefined || ttl <= 0) return;
    this.#entries.delete(key);
    this.#entries.set(key, { reply, storedAtMs: nowMs, freshUntilMs: nowMs + 1000 * ttl });
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#maxEntries) break;
      this.#entries.delete(oldest);
    }
  }

  /** With the time that is left in it; undefined when there is none, or none that is still true. */
  fresh(key: string, nowMs: number): Reply | undefined {
    const entry = this.#entries.get(key);
    if (!entry || nowMs >= entry.freshUntilMs) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    const age = Math.floor((nowMs - entry.storedAtMs) / 1000);
    return withTtl(entry.reply, (ttl) => Math.max(0, ttl - age));
  }

  /** What was true not long ago, for when nobody answers. */
  stale(key: string, nowMs: number): Reply | undefined {
    const entry = this.#entries.get(key);
    if (!entry || nowMs > entry.freshUntilMs + maxStaleMs) return undefined;
    return withTtl(entry.reply, () => staleTtlSeconds);
  }
}

function withTtl(reply: Reply, change: (ttl: number) => number): Reply {
  const each = (records: readonly DnsRecord[]): DnsRecord[] => records.map((record) => ('ttl' in record && record.ttl !== undefined ? { ...record, ttl: change(record.ttl) } : record) as DnsRecord);
  return { ...reply, answers: each(reply.answers), authorities: each(reply.authorities) };
}

/** Seconds that an answer may be kept; undefined when it says nothing of that. */
function ttlOf({ rcode, answers, authorities }: Reply): number | undefined {
  const ttls = answers.flatMap((record) => ('ttl' in record && record.ttl !== undefined ? [record.ttl] : []));
  if (rcode === rcodes.noError && ttls.length > 0) return Math.min(maxTtlSeconds, ...ttls);
  if (rcode !== rcodes.noError && rcode !== rcodes.nameError) return undefined;
  const soa = authorities.find((record) => record.type === 'SOA');
  return soa?.type === 'SOA' ? Math.min(maxNegativeTtlSeconds, soa.ttl ?? 0, soa.data.minimum ?? 0) : undefined;
}

import type { Clock } from '#common/clock.ts';

/** Allows `burst` at once and `perSecond` on average. */
export class TokenBucket {
  readonly #clock: Clock;
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #at: number;

  constructor(clock: Clock, perSecond: number, burst: number) {
    this.#clock = clock;
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
    this.#at = clock.monotonic();
  }

  /** Takes one if there is one. */
  take(): boolean {
    const now = this.#clock.monotonic();
    this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#at) / 1000) * this.#perSecond);
    this.#at = now;
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}

const maxAddresses = 1000;

/** One bucket per address; the least recently used is forgotten when there are too many. */
export class AddressLimiter {
  readonly #buckets = new Map<string, TokenBucket>();
  readonly #make: () => TokenBucket;

  constructor(make: () => TokenBucket) {
    this.#make = make;
  }

  take(address: string): boolean {
    const bucket = this.#buckets.get(address) ?? this.#make();
    this.#buckets.delete(address);
    this.#buckets.set(address, bucket);
    if (this.#buckets.size > maxAddresses) for (const oldest of this.#buckets.keys()) { this.#buckets.delete(oldest); break; }
    return bucket.take();
  }
}

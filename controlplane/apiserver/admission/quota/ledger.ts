import type { ResourceQuota } from '#api/gen/types.ts';
import { parseQuantity } from '#api/meta/quantity.ts';
import { inScope, resourceOf, type Counted } from './usage.ts';

interface Account {
  readonly quota: ResourceQuota;
  readonly hard: ReadonlyMap<string, bigint>;
  readonly used: Map<string, bigint>;
}

/** What a quota would be left with: those of its amounts that a write makes too large. */
export interface Exceeded {
  readonly quota: string;
  readonly amounts: readonly { readonly name: string; readonly requested: bigint; readonly used: bigint; readonly hard: bigint }[];
}

/**
 * The quotas of one namespace and what is used of them: every object that counts by its uid, the sums by quota.
 * All in memory and synchronous, hence exact however many writes are under way.
 */
export class Ledger {
  readonly #accounts = new Map<string, Account>();
  readonly #objects = new Map<string, Counted>();
  /** Uids written while stored objects are being read: what is read may be older. */
  #written: Set<string> | undefined;
  readonly #loaded = new Map<string, Promise<void>>();
  readonly #complete = new Set<string>();

  get isEmpty(): boolean { return this.#accounts.size === 0; }
  get quotas(): readonly ResourceQuota[] { return [...this.#accounts.values()].map(({ quota }) => quota); }

  setQuota(quota: ResourceQuota): void {
    const hard = new Map(Object.entries(quota.spec?.hard ?? {}).map(([name, amount]) => [name, parseQuantity(amount)]));
    const account: Account = { quota, hard, used: new Map() };
    this.#accounts.set(quota.metadata?.name ?? '', account);
    for (const counted of this.#objects.values()) add(account, counted, 1n);
  }

  removeQuota(name: string): void {
    this.#accounts.delete(name);
  }

  /** True when some quota counts objects of a resource. */
  counts(resource: string): boolean {
    for (const { hard } of this.#accounts.values()) for (const name of hard.keys()) if (resourceOf(name) === resource) return true;
    return false;
  }

  /** Reads stored objects of a resource, once. Writes go on meanwhile, and win. */
  load(resource: string, read: () => Promise<readonly { readonly uid: string; readonly counted: Counted }[]>): Promise<void> {
    let loading = this.#loaded.get(resource);
    if (!loading) {
      this.#written ??= new Set();
      this.#loaded.set(resource, loading = this.#load(resource, read));
    }
    return loading;
  }

  async #load(resource: string, read: () => Promise<readonly { readonly uid: string; readonly counted: Counted }[]>): Promise<void> {
    try {
      for (const { uid, counted } of await read()) if (!this.#written?.has(uid)) this.#put(uid, counted);
      this.#complete.add(resource);
      if (this.#complete.size === this.#loaded.size) this.#written = undefined;
    } catch (error) {
      this.#loaded.delete(resource);
      throw error;
    }
  }

  isLoaded(resource: string): boolean {
    return this.#complete.has(resource);
  }

  get(uid: string): Counted | undefined {
    return this.#objects.get(uid);
  }

  /** Notes what an object counts for now; undefined: it is gone. */
  set(uid: string, counted: Counted | undefined): void {
    this.#written?.add(uid);
    this.#put(uid, counted);
  }

  #put(uid: string, counted: Counted | undefined): void {
    const before = this.#objects.get(uid);
    for (const account of this.#accounts.values()) {
      if (before) add(account, before, -1n);
      if (counted) add(account, counted, 1n);
    }
    if (counted) this.#objects.set(uid, counted);
    else this.#objects.delete(uid);
  }

  /** The first quota that `next` in place of what `uid` counts for now would exceed. */
  exceededBy(uid: string, next: Counted): Exceeded | undefined {
    const before = this.#objects.get(uid);
    for (const [quota, { hard, used, quota: { spec } }] of this.#accounts) {
      if (!inScope(spec ?? {}, next)) continue;
      const had = before && inScope(spec ?? {}, before) ? before.usage : undefined;
      const amounts = [...hard].flatMap(([name, most]) => {
        const requested = (next.usage.get(name) ?? 0n) - (had?.get(name) ?? 0n);
        const now = used.get(name) ?? 0n;
        return requested > 0n && now + requested > most ? [{ name, requested, used: now, hard: most }] : [];
      });
      if (amounts.length > 0) return { quota, amounts: amounts.sort((a, b) => (a.name < b.name ? -1 : 1)) };
    }
    return undefined;
  }

  used(quota: string): ReadonlyMap<string, bigint> {
    return this.#accounts.get(quota)?.used ?? new Map();
  }
}

function add({ quota, hard, used }: Account, counted: Counted, sign: bigint): void {
  if (!inScope(quota.spec ?? {}, counted)) return;
  for (const [name, amount] of counted.usage) if (hard.has(name)) used.set(name, (used.get(name) ?? 0n) + sign * amount);
}

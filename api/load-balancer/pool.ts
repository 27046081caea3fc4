import { ipToBigInt, isCIDR, isIP, isIPv4 } from '../meta/ip.ts';

/** The Secret by which hosts learn of the pool, and know each other's words. Its data: `pool`, as text, and `key`. */
export const poolSecret = { namespace: 'kube-system', name: 'cleat-load-balancer' } as const;

/** A class that asks for an address of the pool, and one for those of every host, whatever is the default. */
export const poolClass = 'cleat.dev/pool';
export const hostsClass = 'cleat.dev/hosts';

interface Range {
  readonly first: bigint;
  readonly last: bigint;
  readonly isV6: boolean;
}

/** Addresses for Services of type LoadBalancer: `192.168.1.240-192.168.1.250`, `192.168.2.0/28`, `fd00::1`, in the order in which they are given away. */
export class AddressPool {
  /** As it was written. */
  readonly texts: readonly string[];
  readonly #ranges: readonly Range[];

  private constructor(texts: readonly string[], ranges: readonly Range[]) {
    this.texts = texts;
    this.#ranges = ranges;
  }

  /** Throws a plain Error that says what is wrong. */
  static parse(texts: readonly string[]): AddressPool {
    const ranges = texts.map(parseRange);
    for (const [i, one] of ranges.entries()) {
      const other = ranges.findIndex((each) => each.isV6 === one.isV6 && each.first <= one.last && one.first <= each.last);
      if (other < i) throw new Error(`${texts[other] ?? ''} and ${texts[i] ?? ''} overlap; choose ranges that share no address`);
    }
    return new AddressPool(texts, ranges);
  }

  has(ip: string): boolean {
    if (!isIP(ip)) return false;
    const [value, isV6] = [ipToBigInt(ip), !isIPv4(ip)];
    return this.#ranges.some((range) => range.isV6 === isV6 && range.first <= value && value <= range.last);
  }

  hasFamily(isV6: boolean): boolean {
    return this.#ranges.some((range) => range.isV6 === isV6);
  }

  /** The first address that nobody has; undefined when the pool is exhausted. */
  next(isV6: boolean, taken: ReadonlySet<string>): string | undefined {
    for (const range of this.#ranges) {
      if (range.isV6 !== isV6) continue;
      for (let value = range.first; value <= range.last; value++) {
        const ip = toText(value, isV6);
        if (!taken.has(ip)) return ip;
      }
    }
    return undefined;
  }
}

function parseRange(text: string): Range {
  const [from = '', to = from, ...more] = text.split('-').map((part) => part.trim());
  if (more.length === 0 && isCIDR(text)) {
    const [address = '', bits = ''] = text.split('/');
    const isV6 = !isIPv4(address);
    const free = BigInt((isV6 ? 128 : 32) - Number(bits));
    const first = (ipToBigInt(address) >> free) << free;
    const last = first + (1n << free) - 1n;
    // The addresses of the network itself and of all of its hosts are nobody's.
    return !isV6 && free > 1n ? { first: first + 1n, last: last - 1n, isV6 } : { first, last, isV6 };
  }
  if (more.length > 0 || !isIP(from) || !isIP(to) || isIPv4(from) !== isIPv4(to)) throw new Error(`${JSON.stringify(text)} is no range of addresses; expected one such as 192.168.1.240-192.168.1.250 or 192.168.1.240/28`);
  const range = { first: ipToBigInt(from), last: ipToBigInt(to), isV6: !isIPv4(from) };
  if (range.first > range.last) throw new Error(`the range ${text} ends before it begins`);
  return range;
}

/** As the kernel and RFC 5952 write it. */
function toText(value: bigint, isV6: boolean): string {
  if (!isV6) return [24n, 16n, 8n, 0n].map((shift) => String((value >> shift) & 255n)).join('.');
  const groups = Array.from({ length: 8 }, (_, i) => ((value >> BigInt(16 * (7 - i))) & 0xffffn).toString(16));
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}

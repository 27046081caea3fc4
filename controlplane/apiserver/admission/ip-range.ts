import { isIPv4 } from 'node:net';
import { StatusError } from '#common/errors.ts';

/**
 * The addresses or ports that can be handed out: `size` numbers from `base`. Kubernetes keeps the lower band
 * for those asked for by name and hands out the others from above it, so that the two seldom meet.
 */
export class NumberPool {
  readonly #base: number;
  readonly #size: number;
  readonly #lowerBand: number;
  readonly #owners = new Map<number, string>();
  readonly #reserved: ReadonlySet<number>;
  #cursor: number;

  constructor(base: number, size: number, lowerBand: number, reserved: Iterable<number> = []) {
    this.#base = base;
    this.#size = size;
    this.#lowerBand = Math.min(lowerBand, size - 1);
    this.#reserved = new Set(reserved);
    this.#cursor = this.#lowerBand;
  }

  contains(value: number): boolean {
    return value >= this.#base && value < this.#base + this.#size;
  }

  ownerOf(value: number): string | undefined {
    return this.#owners.get(value);
  }

  /** False when someone else holds it. */
  take(value: number, owner: string): boolean {
    const holder = this.#owners.get(value);
    if (holder !== undefined && holder !== owner) return false;
    this.#owners.set(value, owner);
    return true;
  }

  /** The next free number: round the upper band, so that a freed one rests a while, then the lower. */
  next(owner: string): number | undefined {
    const upper = this.#size - this.#lowerBand;
    for (let i = 0; i < this.#size; i++) {
      const inUpper = i < upper;
      const offset = inUpper ? this.#lowerBand + ((this.#cursor - this.#lowerBand + i) % upper) : this.#size - 1 - i;
      const value = this.#base + offset;
      if (this.#owners.has(value) || this.#reserved.has(value)) continue;
      if (inUpper) this.#cursor = this.#lowerBand + ((offset + 1 - this.#lowerBand) % upper);
      this.#owners.set(value, owner);
      return value;
    }
    return undefined;
  }

  /** Gives back, if `owner` still holds it. */
  release(value: number, owner: string): void {
    if (this.#owners.get(value) === owner) this.#owners.delete(value);
  }
}

export interface Ipv4Range {
  /** First and number of usable addresses: without the network's own and the broadcast address. */
  readonly first: number;
  readonly size: number;
}

export function parseIpv4Range(cidr: string): Ipv4Range {
  const [address = '', prefix = ''] = cidr.split('/');
  const bits = Number(prefix);
  if (!isIPv4(address) || !/^\d+$/.test(prefix) || bits < 8 || bits > 30) {
    throw new StatusError('Invalid', `the service range ${JSON.stringify(cidr)} is not an IPv4 range from /8 to /30; set --service-cidr, for example to 10.43.0.0/16`);
  }
  const size = 2 ** (32 - bits);
  const network = Math.floor(ipv4ToNumber(address) / size) * size;
  return { first: network + 1, size: size - 2 };
}

export function ipv4ToNumber(address: string): number {
  return address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
}

export function numberToIpv4(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');
}

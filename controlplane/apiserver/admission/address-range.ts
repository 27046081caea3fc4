import { bigIntToIp, ipToBigInt, isCIDR, isIP, isIPv4 } from '#api/meta/ip.ts';
import { StatusError } from '#common/errors.ts';
import { NumberPool } from './ip-range.ts';

export type IpFamily = 'IPv4' | 'IPv6';

/** Kubernetes hands out no more of a larger range, either. */
const maxBits = 20;

/** The addresses of one family that Services get: without the network's own and the last one. */
export class AddressRange {
  readonly cidr: string;
  readonly family: IpFamily;
  /** The address of the Service default/kubernetes, where this range is the cluster's first. */
  readonly first: string;
  readonly #base: bigint;
  readonly #pool: NumberPool;

  /** `reserved`: never handed out. Throws `Invalid` for what is no range of a usable size. */
  constructor(cidr: string, reserved: readonly string[]) {
    const [address = '', prefix = ''] = cidr.split('/');
    const width = isIPv4(address) ? 32 : 128;
    const bits = width - Number(prefix);
    if (!isCIDR(cidr) || bits < 2 || bits > (width === 32 ? 24 : 64)) {
      throw new StatusError('Invalid', `the service range ${JSON.stringify(cidr)} is not an IPv4 range from /8 to /30 or an IPv6 range from /64 to /126; set --service-cidr, for example to 10.43.0.0/16`);
    }
    this.cidr = cidr;
    this.family = width === 32 ? 'IPv4' : 'IPv6';
    this.#base = ((ipToBigInt(address) >> BigInt(bits)) << BigInt(bits)) + 1n;
    this.first = this.#ip(0);
    const size = 2 ** (width === 32 ? bits : Math.min(bits, maxBits)) - 2;
    const offsets = reserved.map((ip) => this.#offset(ip)).filter((offset) => offset >= 0 && offset < size);
    this.#pool = new NumberPool(0, size, Math.min(Math.max(16, Math.floor(size / 16)), 256), [0, ...offsets]);
  }

  contains(ip: string): boolean { return this.#pool.contains(this.#offset(ip)); }

  /** False when someone else holds it. */
  take(ip: string, owner: string): boolean {
    return !this.contains(ip) || this.#pool.take(this.#offset(ip), owner);
  }

  /** A free one; undefined when there is none. */
  next(owner: string): string | undefined {
    const offset = this.#pool.next(owner);
    return offset === undefined ? undefined : this.#ip(offset);
  }

  release(ip: string, owner: string): void {
    if (this.contains(ip)) this.#pool.release(this.#offset(ip), owner);
  }

  #ip(offset: number): string {
    return bigIntToIp(this.#base + BigInt(offset), this.family === 'IPv4' ? 4 : 6);
  }

  /** -1 for an address of the other family, or far away. */
  #offset(ip: string): number {
    if (!isIP(ip) || isIPv4(ip) !== (this.family === 'IPv4')) return -1;
    const offset = ipToBigInt(ip) - this.#base;
    return offset >= 0n && offset < 1n << 53n ? Number(offset) : -1;
  }
}

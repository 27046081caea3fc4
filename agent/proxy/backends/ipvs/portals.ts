import { hash } from 'node:crypto';
import { BlockList, SocketAddress } from 'node:net';
import { familyOf, type Family } from '../../families.ts';

/** As the kernel writes it. */
export function canonical(ip: string): string {
  return ip.includes(':') ? new SocketAddress({ address: ip, family: 'ipv6' }).address : ip;
}

/** Tells whether an address is in one of the ranges. */
export function inRanges(cidrs: readonly string[]): (ip: string) => boolean {
  const list = new BlockList();
  const kindOf = (ip: string): 'ipv4' | 'ipv6' => (familyOf(ip) === 'ip' ? 'ipv4' : 'ipv6');
  for (const [address = '', length] of cidrs.map((cidr) => cidr.split('/'))) list.addSubnet(address, Number(length), kindOf(address));
  return (ip) => list.check(ip, kindOf(ip));
}

const lastPort = 65_534;

/**
 * Where traffic to node ports and to external addresses is translated to, for IPVS to go on from there: node ports to
 * the same port of the first address of the service range, everything else to a port of the last address. Neither is
 * handed out to Services.
 */
export class Portals {
  readonly #ranges: ReadonlyMap<Family, { readonly first: string; readonly last: string }>;
  /** By family, id and use; the same again after a restart, unless two fall on one port. */
  readonly #taken = new Map<string, number>();
  readonly #used = new Set<string>();

  constructor(serviceCidrs: readonly string[]) {
    this.#ranges = new Map((['ip', 'ip6'] as const).flatMap((family) => {
      const cidr = serviceCidrs.find((c) => familyOf(c) === family);
      return cidr === undefined ? [] : [[family, bounds(cidr)] as const];
    }));
  }

  /** The portal of node ports; undefined when there is no service range of the family. */
  nodePorts(family: Family): string | undefined {
    return this.#ranges.get(family)?.first;
  }

  /** The portal of a service port for one use, until `release`. */
  other(family: Family, id: string, use: 'outside' | 'inside'): { readonly ip: string; readonly port: number } {
    const key = `${id} ${family} ${use}`;
    let port = this.#taken.get(key);
    if (port === undefined) {
      port = 1 + (hash('sha256', key, 'buffer').readUInt32BE() % lastPort);
      while (this.#used.has(`${family} ${String(port)}`)) port = 1 + (port % lastPort);
      this.#taken.set(key, port);
      this.#used.add(`${family} ${String(port)}`);
    }
    return { ip: this.#ranges.get(family)?.last ?? '', port };
  }

  release(id: string): void {
    for (const family of ['ip', 'ip6'] as const) {
      for (const use of ['outside', 'inside']) {
        const port = this.#taken.get(`${id} ${family} ${use}`);
        if (port === undefined) continue;
        this.#taken.delete(`${id} ${family} ${use}`);
        this.#used.delete(`${family} ${String(port)}`);
      }
    }
  }

  /** The addresses that this host needs for them. */
  addresses(family: Family): string[] {
    const range = this.#ranges.get(family);
    return range ? [range.first, range.last] : [];
  }

  /** A virtual server without endpoints that only shows whether IPVS was flushed: the port that `other` never gives. */
  sentinel(): { readonly ip: string; readonly port: number } | undefined {
    const [range] = this.#ranges.values();
    return range && { ip: range.last, port: lastPort + 1 };
  }
}

/** The first and last address of a range. */
function bounds(cidr: string): { readonly first: string; readonly last: string } {
  const [address = '', length = ''] = cidr.split('/');
  const v6 = address.includes(':');
  const bits = v6 ? 128n : 32n;
  const ones = (1n << (bits - BigInt(length))) - 1n;
  const number = toNumber(address);
  return { first: toAddress(number & ~ones, v6), last: toAddress(number | ones, v6) };
}

function toNumber(ip: string): bigint {
  if (!ip.includes(':')) return ip.split('.').reduce((sum, part) => (sum << 8n) + BigInt(part), 0n);
  const [head = '', tail] = ip.split('::');
  const parts = (text: string): string[] => (text === '' ? [] : text.split(':'));
  const [front, back] = [parts(head), parts(tail ?? '')];
  const groups = tail === undefined ? front : [...front, ...Array<string>(8 - front.length - back.length).fill('0'), ...back];
  return groups.reduce((sum, group) => (sum << 16n) + BigInt(`0x${group}`), 0n);
}

function toAddress(number: bigint, v6: boolean): string {
  if (!v6) return [24n, 16n, 8n, 0n].map((shift) => String((number >> shift) & 255n)).join('.');
  return canonical(Array.from({ length: 8 }, (_, i) => ((number >> BigInt(112 - i * 16)) & 0xffffn).toString(16)).join(':'));
}

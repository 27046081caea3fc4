import { ipToBigInt, isCIDR, isIP, isIPv4 } from '../../meta/ip.ts';
import { CelError } from '../errors.ts';
import { define, type Overload } from '../functions.ts';
import { Opaque } from '../values.ts';

type Family = 4 | 6;
const bitsOf = (family: Family): number => (family === 4 ? 32 : 128);

class Ip extends Opaque {
  readonly typeName: string = 'net.IP';
  readonly family: Family;
  readonly number: bigint;
  constructor(family: Family, number: bigint) { super(); this.family = family; this.number = number; }
  equals(other: Opaque): boolean { return other instanceof Ip && other.family === this.family && other.number === this.number; }
}

class Cidr extends Opaque {
  readonly typeName: string = 'net.CIDR';
  readonly address: Ip;
  readonly prefix: number;
  constructor(address: Ip, prefix: number) { super(); this.address = address; this.prefix = prefix; }
  equals(other: Opaque): boolean { return other instanceof Cidr && other.prefix === this.prefix && this.address.equals(other.address); }
}

/** Neither zones nor IPv4 in IPv6's clothes: programs disagree on what they mean. */
function isPlainIp(text: string): boolean {
  return isIP(text) && !(text.includes(':') && text.includes('.'));
}

function parseIp(text: string): Ip {
  if (!isPlainIp(text)) throw new CelError(`IP Address ${JSON.stringify(text)} parse error during conversion from string: unable to parse IP`);
  return new Ip(isIPv4(text) ? 4 : 6, ipToBigInt(text));
}

function parseCidr(text: string): Cidr {
  if (!isPlainCidr(text)) throw new CelError(`network address parse error during conversion from string: invalid CIDR address ${JSON.stringify(text)}`);
  const [address = '', prefix = '0'] = text.split('/');
  return new Cidr(parseIp(address), Number(prefix));
}

function isPlainCidr(text: string): boolean {
  return isCIDR(text) && isPlainIp(text.split('/')[0] ?? '');
}

/** RFC 5952: the longest run of zeros is left out. */
function print({ family, number }: Ip): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => String((number >> shift) & 255n)).join('.');
  const groups = Array.from({ length: 8 }, (_, i) => ((number >> BigInt(112 - 16 * i)) & 0xffffn).toString(16));
  let [best, length] = [-1, 1];
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (groups[end] === '0') end++;
    if (end - i > length) [best, length] = [i, end - i];
  }
  return best < 0 ? groups.join(':') : `${groups.slice(0, best).join(':')}::${groups.slice(best + length).join(':')}`;
}

function masked({ family, number }: Ip, prefix: number): bigint {
  const free = BigInt(bitsOf(family) - prefix);
  return (number >> free) << free;
}

const within = (cidr: string) => {
  const range = parseCidr(cidr);
  return (ip: Ip): boolean => ip.family === range.address.family && masked(ip, range.prefix) === masked(range.address, range.prefix);
};
const anyOf = (...cidrs: string[]) => {
  const tests = cidrs.map(within);
  return (ip: Ip): boolean => tests.some((test) => test(ip));
};
const isUnspecified = anyOf('0.0.0.0/32', '::/128');
const isLoopback = anyOf('127.0.0.0/8', '::1/128');
const isLinkLocalMulticast = anyOf('224.0.0.0/24', 'ff02::/16');
const isLinkLocalUnicast = anyOf('169.254.0.0/16', 'fe80::/10');
const isMulticast = anyOf('224.0.0.0/4', 'ff00::/8', '255.255.255.255/32');
const isGlobalUnicast = (ip: Ip): boolean => ![isUnspecified, isLoopback, isMulticast, isLinkLocalUnicast].some((test) => test(ip));

const containsIp = ({ address, prefix }: Cidr, ip: Ip): boolean => ip.family === address.family && masked(ip, prefix) === masked(address, prefix);

/** Source: https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-ip-address-library */
export const addresses: readonly Overload[] = [
  define('ip(string): net.IP', parseIp),
  define('isIP(string): bool', isPlainIp),
  define('@ip.isCanonical(string): bool', (text: string) => print(parseIp(text)) === text),
  define('net.IP.family(): int', ({ family }: Ip) => BigInt(family)),
  define('net.IP.isUnspecified(): bool', isUnspecified),
  define('net.IP.isLoopback(): bool', isLoopback),
  define('net.IP.isLinkLocalMulticast(): bool', isLinkLocalMulticast),
  define('net.IP.isLinkLocalUnicast(): bool', isLinkLocalUnicast),
  define('net.IP.isGlobalUnicast(): bool', isGlobalUnicast),
  define('string(net.IP): string', print),
  define('cidr(string): net.CIDR', parseCidr),
  define('isCIDR(string): bool', isPlainCidr),
  define('net.CIDR.containsIP(net.IP): bool', containsIp),
  define('net.CIDR.containsIP(string): bool', (range: Cidr, text: string) => containsIp(range, parseIp(text))),
  define('net.CIDR.containsCIDR(net.CIDR): bool', (range: Cidr, other: Cidr) => other.prefix >= range.prefix && containsIp(range, other.address)),
  define('net.CIDR.containsCIDR(string): bool', (range: Cidr, text: string) => {
    const other = parseCidr(text);
    return other.prefix >= range.prefix && containsIp(range, other.address);
  }),
  define('net.CIDR.ip(): net.IP', ({ address }: Cidr) => address),
  define('net.CIDR.masked(): net.CIDR', ({ address, prefix }: Cidr) => new Cidr(new Ip(address.family, masked(address, prefix)), prefix)),
  define('net.CIDR.prefixLength(): int', ({ prefix }: Cidr) => BigInt(prefix)),
  define('string(net.CIDR): string', ({ address, prefix }: Cidr) => `${print(address)}/${prefix}`),
];

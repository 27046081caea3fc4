import { bigIntToIp, ipToBigInt, isCIDR } from '#api/meta/ip.ts';
import { StatusError } from '#common/errors.ts';

/** A range as numbers: its first address, and how many bits are fixed of how many. */
interface Range { readonly start: bigint; readonly bits: number; readonly width: 32 | 128 }

function parseRange(cidr: string): Range | undefined {
  if (!isCIDR(cidr)) return undefined;
  const [address = '', bits = ''] = cidr.split('/');
  const width = address.includes(':') ? 128 : 32;
  const free = BigInt(width - Number(bits));
  return { start: (ipToBigInt(address) >> free) << free, bits: Number(bits), width };
}

/** No cluster has so many nodes; it bounds the search in a large IPv6 range. */
const maxRanges = 65_536n;

/** The lowest range of `maskSize` bits within `cidr` that overlaps none of `used`; undefined when all are taken. */
export function nextRange(cidr: string, maskSize: number, used: Iterable<string>): string | undefined {
  const whole = parseRange(cidr);
  if (!whole || maskSize < whole.bits || maskSize > (whole.width === 32 ? 30 : 112)) {
    throw new StatusError('Invalid', `cannot cut ranges of /${String(maskSize)} for nodes from the pod range ${cidr}: choose a larger --pod-cidr`);
  }
  const shift = BigInt(whole.width - maskSize);
  const all = 1n << BigInt(maskSize - whole.bits);
  const count = all < maxRanges ? all : maxRanges;
  const taken = new Set<bigint>();
  for (const range of used) {
    const parsed = parseRange(range);
    if (parsed?.width !== whole.width) continue;
    const last = parsed.start + (1n << BigInt(parsed.width - parsed.bits)) - 1n;
    if (last < whole.start) continue;
    const from = parsed.start > whole.start ? (parsed.start - whole.start) >> shift : 0n;
    const to = (last - whole.start) >> shift;
    for (let i = from; i <= to && i < count; i++) taken.add(i);
  }
  for (let i = 0n; i < count; i++) if (!taken.has(i)) return `${bigIntToIp(whole.start + (i << shift), whole.width === 32 ? 4 : 6)}/${String(maskSize)}`;
  return undefined;
}

/** The cluster's ranges that a node has none of yet: of a family that was added since, say. */
export function missingRanges(podCidr: string, own: readonly string[]): string[] {
  const v6 = (cidr: string): boolean => cidr.includes(':');
  return podCidr.split(',').filter((cidr) => !own.some((range) => v6(range) === v6(cidr)));
}

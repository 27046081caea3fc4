import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net';
import { text } from './config.ts';
import { StatusError } from './errors.ts';

/** What every part of Cleat on one host shares. */
export const hostSettings = {
  stateDir: text('state-dir', { default: '/var/lib/cleat', placeholder: 'DIR', description: 'where all state is kept' }),
  logLevel: text('log-level', {
    default: 'warn', placeholder: 'LEVEL', description: 'error, warn, info or debug',
    check: (value) => (['error', 'warn', 'info', 'debug', 'silent'].includes(value) ? undefined : 'expected error, warn, info or debug'),
  }),
  podCidr: text('pod-cidr', { default: '10.42.0.0/16', placeholder: 'CIDR', description: 'range of the pods of all nodes; one of each family, with a comma between, for dual stack', check: checkPodCidr }),
  serviceCidr: text('service-cidr', { default: '10.43.0.0/16', placeholder: 'CIDR', description: 'range of Service addresses; one of each family for dual stack', check: checkServiceCidr }),
  clusterDns: text('cluster-dns', { default: '10.43.0.10', placeholder: 'IP', description: 'address of the cluster DNS, which pods of dnsPolicy ClusterFirst ask', check: checkIp }),
  ingress: text('ingress', { default: 'on', placeholder: 'on|off', description: "whether Ingresses of Cleat's class are served: for an agent by this host, for a control plane by the cluster at all", check: (value) => (value === 'on' || value === 'off' ? undefined : 'expected on or off') }),
  clusterDomain: text('cluster-domain', { default: 'cluster.local', placeholder: 'DOMAIN', description: 'suffix of all Service names', check: checkDomain }),
} as const;

/** Why `value` is no IP address; undefined when it is one. */
export function checkIp(value: string): string | undefined {
  return isIP(value) === 0 ? 'expected an IP address such as 10.0.0.1' : undefined;
}

/** Why `value` is no lower-case DNS name; undefined when it is one. */
export function checkDomain(value: string): string | undefined {
  const valid = value.length <= 253 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(value);
  return valid ? undefined : "expected lower case letters, digits, '-' and '.', beginning and ending with a letter or digit";
}

const example = 'expected an IPv4 range such as 10.42.0.0/16';

/** Why `value` is no IPv4 range of at most 30 bits; undefined when it is one. */
export function checkCidr(value: string): string | undefined {
  const [address = '', bits = '', ...more] = value.split('/');
  if (!isIPv4(address) || !/^([1-9]|[12]\d|30)$/.test(bits) || more.length > 0) return example;
  const start = (toNumber(address) & maskOf(Number(bits))) >>> 0;
  if (start === toNumber(address)) return undefined;
  return `that address is inside of the range; did you mean ${[24, 16, 8, 0].map((shift) => String((start >>> shift) & 255)).join('.')}/${bits}?`;
}

/** Why `value` is no IPv6 range whose length lies between; undefined when it is one. */
function checkCidrV6(value: string, least: number, most: number): string | undefined {
  const [address = '', bits = '', ...more] = value.split('/');
  if (!isIPv6(address) || !/^\d{1,3}$/.test(bits) || more.length > 0) return 'expected an IPv6 range such as fd42::/56';
  if (Number(bits) < least || Number(bits) > most) return `an IPv6 range from /${String(least)} to /${String(most)} is needed here`;
  return groupsOf(address).every((group, i) => (group & (0xffff >> Math.min(16, Math.max(0, Number(bits) - 16 * i)))) === 0) ? undefined : 'that address is inside of the range; all bits behind its length must be zero';
}

/** One range, or one of each family. */
function checkList(value: string, check: (cidr: string) => string | undefined): string | undefined {
  const cidrs = value.split(',');
  if (cidrs.length > 2 || (cidrs.length === 2 && cidrs[0]?.includes(':') === cidrs[1]?.includes(':'))) return 'expected one range, or one IPv4 and one IPv6 range with a comma between';
  for (const cidr of cidrs) {
    const problem = check(cidr);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** Each node takes a /24, or a /64 of IPv6. */
function checkPodCidr(value: string): string | undefined {
  return checkList(value, (cidr) => {
    if (cidr.includes(':')) return checkCidrV6(cidr, 40, 64);
    return checkCidr(cidr) ?? (Number(cidr.split('/')[1]) > 24 ? 'too small: every node takes a /24 of it; expected a range such as 10.42.0.0/16' : undefined);
  });
}

function checkServiceCidr(value: string): string | undefined {
  return checkList(value, (cidr) => (cidr.includes(':') ? checkCidrV6(cidr, 64, 124) : checkCidr(cidr)));
}

/** Refuses ranges that cannot be told apart by an address, and families that only pods or only Services would have. */
export function checkRanges({ podCidr, serviceCidr }: { readonly podCidr: string; readonly serviceCidr: string }): void {
  const families = (text: string): string => text.split(',').map((cidr) => (cidr.includes(':') ? 'IPv6' : 'IPv4')).sort().join(' and ');
  if (families(podCidr) !== families(serviceCidr)) throw new StatusError('Invalid', `--pod-cidr has ranges of ${families(podCidr)} and --service-cidr of ${families(serviceCidr)}; give both ranges of the same families`);
  for (const pods of podCidr.split(',')) {
    for (const services of serviceCidr.split(',')) {
      if (rangesOverlap(pods, services)) throw new StatusError('Invalid', `--pod-cidr ${podCidr} and --service-cidr ${serviceCidr} overlap; choose ranges that share no address`);
    }
  }
}

/** Whether two ranges of addresses have some in common: then one of them contains the other. */
export function rangesOverlap(one: string, other: string): boolean {
  const family = (cidr: string): 'ipv4' | 'ipv6' => (cidr.includes(':') ? 'ipv6' : 'ipv4');
  if (family(one) !== family(other)) return false;
  const within = (inner: string, outer: string): boolean => {
    const list = new BlockList();
    const [network = '', bits = ''] = outer.split('/');
    list.addSubnet(network, Number(bits), family(outer));
    return list.check(inner.split('/')[0] ?? '', family(inner));
  };
  return within(one, other) || within(other, one);
}

/** An IPv6 address as its eight numbers of 16 bits. */
function groupsOf(address: string): number[] {
  const numbers = (half: string): number[] => (half === '' ? [] : half.split(':').map((group) => Number.parseInt(group, 16)));
  const [head = '', tail] = new URL(`http://[${address}]/`).hostname.slice(1, -1).split('::');
  const [before, after] = [numbers(head), numbers(tail ?? '')];
  return [...before, ...Array.from({ length: tail === undefined ? 0 : 8 - before.length - after.length }, () => 0), ...after];
}

function toNumber(address: string): number {
  return address.split('.').reduce((sum, octet) => ((sum << 8) | Number(octet)) >>> 0, 0);
}

function maskOf(bits: number): number {
  return (-1 << (32 - bits)) >>> 0;
}

import { isIP, isIPv4 } from 'node:net';
import { text } from './config.ts';
import { StatusError } from './errors.ts';

/** What every part of Cleat on one host shares. */
export const hostSettings = {
  stateDir: text('state-dir', { default: '/var/lib/cleat', placeholder: 'DIR', description: 'where all state is kept' }),
  logLevel: text('log-level', {
    default: 'warn', placeholder: 'LEVEL', description: 'error, warn, info or debug',
    check: (value) => (['error', 'warn', 'info', 'debug', 'silent'].includes(value) ? undefined : 'expected error, warn, info or debug'),
  }),
  podCidr: text('pod-cidr', { default: '10.42.0.0/16', placeholder: 'CIDR', description: 'range of the pods of all nodes', check: checkPodCidr }),
  serviceCidr: text('service-cidr', { default: '10.43.0.0/16', placeholder: 'CIDR', description: 'range of Service addresses', check: checkCidr }),
  clusterDns: text('cluster-dns', { default: '10.43.0.10', placeholder: 'IP', description: 'address of the cluster DNS, which pods of dnsPolicy ClusterFirst ask', check: checkIp }),
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

/** Why `value` is no IPv4 range of at most 30 bits; undefined when it is one. */
export function checkCidr(value: string): string | undefined {
  const [address = '', bits = '', ...more] = value.split('/');
  if (!isIPv4(address) || !/^([1-9]|[12]\d|30)$/.test(bits) || more.length > 0) return 'expected an IPv4 range such as 10.42.0.0/16';
  const start = (toNumber(address) & maskOf(Number(bits))) >>> 0;
  if (start === toNumber(address)) return undefined;
  return `that address is inside of the range; did you mean ${[24, 16, 8, 0].map((shift) => String((start >>> shift) & 255)).join('.')}/${bits}?`;
}

/** Each node takes a /24. */
function checkPodCidr(value: string): string | undefined {
  return checkCidr(value) ?? (Number(value.split('/')[1]) > 24 ? 'too small: every node takes a /24 of it; expected a range such as 10.42.0.0/16' : undefined);
}

/** Refuses ranges that cannot be told apart by an address. */
export function checkRanges({ podCidr, serviceCidr }: { readonly podCidr: string; readonly serviceCidr: string }): void {
  const [pods, services] = [podCidr, serviceCidr].map((cidr) => ({ start: toNumber(cidr.split('/')[0] ?? ''), bits: Number(cidr.split('/')[1]) }));
  if (!pods || !services) return;
  const mask = maskOf(Math.min(pods.bits, services.bits));
  if ((pods.start & mask) === (services.start & mask)) throw new StatusError('Invalid', `--pod-cidr ${podCidr} and --service-cidr ${serviceCidr} overlap; choose ranges that share no address`);
}

function toNumber(address: string): number {
  return address.split('.').reduce((sum, octet) => ((sum << 8) | Number(octet)) >>> 0, 0);
}

function maskOf(bits: number): number {
  return (-1 << (32 - bits)) >>> 0;
}

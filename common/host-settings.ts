import { text } from './config.ts';

/** What every part of Cleat on one host shares. */
export const hostSettings = {
  stateDir: text('state-dir', { default: '/var/lib/cleat', placeholder: 'DIR', description: 'where all state is kept' }),
  logLevel: text('log-level', {
    default: 'warn', placeholder: 'LEVEL', description: 'error, warn, info or debug',
    check: (value) => (['error', 'warn', 'info', 'debug', 'silent'].includes(value) ? undefined : 'expected error, warn, info or debug'),
  }),
  podCidr: text('pod-cidr', { default: '10.42.0.0/16', placeholder: 'CIDR', description: 'range of the pods of all nodes', check: checkCidr }),
  serviceCidr: text('service-cidr', { default: '10.43.0.0/16', placeholder: 'CIDR', description: 'range of Service addresses', check: checkCidr }),
  clusterDns: text('cluster-dns', { default: '10.43.0.10', placeholder: 'IP', description: 'address of the cluster DNS' }),
  clusterDomain: text('cluster-domain', { default: 'cluster.local', placeholder: 'DOMAIN', description: 'suffix of all Service names' }),
} as const;

/** Why `value` is no IPv4 range of at most 30 bits; undefined when it is one. */
export function checkCidr(value: string): string | undefined {
  const [address = '', bits = ''] = value.split('/');
  const octets = address.split('.');
  const valid = octets.length === 4 && octets.every((octet) => /^\d{1,3}$/.test(octet) && Number(octet) <= 255) && /^\d{1,2}$/.test(bits) && Number(bits) <= 30;
  return valid ? undefined : 'expected an IPv4 range such as 10.42.0.0/16';
}

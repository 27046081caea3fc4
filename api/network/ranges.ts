import type { ConfigMap } from '../gen/types.ts';
import { isCIDR, isIP } from '../meta/ip.ts';

/** The ConfigMap by which agents learn the cluster's ranges; the control plane writes it. */
export const rangesConfigMap = { namespace: 'kube-system', name: 'cleat-network' } as const;

/** The addresses of a cluster: one range, or one of each family with a comma between. */
export interface ClusterRanges {
  readonly podCidr: string;
  readonly serviceCidr: string;
  readonly clusterDns: string;
}

/** Undefined where it is not there, or says what no agent could work with. */
export function rangesFrom(configMap: ConfigMap | undefined): ClusterRanges | undefined {
  const { podCidr = '', serviceCidr = '', clusterDns = '' } = configMap?.data ?? {};
  const valid = [podCidr, serviceCidr].every((text) => text.split(',').every(isCIDR)) && isIP(clusterDns);
  return valid ? { podCidr, serviceCidr, clusterDns } : undefined;
}

/**
 * Adds IPv6 to ranges of IPv4 alone. `known`: what the cluster had before, whose IPv6 ranges stay; a new cluster gets a
 * unique local network of its own (RFC 4193) from 40 random bits, given as ten hexadecimal digits.
 */
export function withIpv6(ranges: ClusterRanges, known: ClusterRanges | undefined, random: string): ClusterRanges {
  const digits = `fd${random}`;
  const network = `${digits.slice(0, 4)}:${digits.slice(4, 8)}:${digits.slice(8, 12)}`.replaceAll(/(^|:)0+(?=[0-9a-f])/g, '$1');
  const add = (text: string, before: string | undefined, generated: string): string => {
    if (text.includes(':')) return text;
    return `${text},${before?.split(',').find((cidr) => cidr.includes(':')) ?? generated}`;
  };
  return {
    ...ranges,
    podCidr: add(ranges.podCidr, known?.podCidr, `${network}:4200::/56`),
    serviceCidr: add(ranges.serviceCidr, known?.serviceCidr, `${network}:4300::/112`),
  };
}

import type { ProxyConfig } from './types.ts';

export type Family = 'ip' | 'ip6';

/** The families that the configured ranges use. */
export function familiesOf(config: ProxyConfig): Family[] {
  const ranges = [...config.podCidrs, ...config.serviceCidrs];
  return (['ip', 'ip6'] as const).filter((family) => family === 'ip' || ranges.some((r) => familyOf(r) === 'ip6'));
}

/** Of an address or a range. */
export function familyOf(address: string): Family {
  return address.includes(':') ? 'ip6' : 'ip';
}

import { isIPv6 } from 'node:net';
import type { ServiceSpec } from '#api/gen/types.ts';
import { invalid, type FieldError } from '#api/meta/field-error.ts';

/**
 * Fills in what a Service does not say about address families, for a cluster whose Services have IPv4 addresses only,
 * and tells what it asks for that such a cluster cannot give. PreferDualStack gets the one family that there is.
 * Source: pkg/registry/core/service/storage/alloc.go (initIPFamilyFields).
 */
export function settleIpFamilies(spec: ServiceSpec): FieldError[] {
  if (spec.type === 'ExternalName') return [];
  const addresses = spec.clusterIPs ?? (spec.clusterIP ? [spec.clusterIP] : []);
  const headless = addresses[0] === 'None';
  const families = [...spec.ipFamilies ?? []];
  if (!headless) for (const address of addresses.slice(families.length)) families.push(isIPv6(address) ? 'IPv6' : 'IPv4');
  const forAnyFamily = headless && Object.keys(spec.selector ?? {}).length === 0;
  // Whoever names the endpoints of such a Service knows which families they have.
  spec.ipFamilyPolicy ??= forAnyFamily || families.length > 1 ? 'RequireDualStack' : 'SingleStack';
  const errors = policyErrors(spec.ipFamilyPolicy, families, headless ? [] : addresses);
  if (families.length === 0) families.push('IPv4');
  if (forAnyFamily && spec.ipFamilyPolicy !== 'SingleStack' && families.length === 1) families.push(families[0] === 'IPv4' ? 'IPv6' : 'IPv4');
  spec.ipFamilies = families;
  if (forAnyFamily || errors.length > 0) return errors;
  if (spec.ipFamilyPolicy === 'RequireDualStack') errors.push(invalid('spec.ipFamilyPolicy', spec.ipFamilyPolicy, 'Cluster is not configured for dual stack services'));
  for (const [i, family] of families.entries()) if (family !== 'IPv4') errors.push(invalid(`spec.ipFamilies[${String(i)}]`, family, 'not configured on this cluster'));
  return errors;
}

function policyErrors(policy: string, families: readonly string[], addresses: readonly string[]): FieldError[] {
  if (policy !== 'SingleStack') return [];
  const refuse = (what: string): FieldError => invalid('spec.ipFamilyPolicy', policy, `must be 'RequireDualStack' or 'PreferDualStack' when multiple '${what}' are specified`);
  return [...(addresses.length > 1 ? [refuse('clusterIPs')] : []), ...(families.length > 1 ? [refuse('ipFamilies')] : [])];
}

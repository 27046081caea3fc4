import { isIPv6 } from 'node:net';
import type { ServiceSpec } from '#api/gen/types.ts';
import { equal } from '#api/meta/equal.ts';
import { invalid, type FieldError } from '#api/meta/field-error.ts';
import type { IpFamily } from './address-range.ts';

/**
 * Fills in what a Service does not say about address families, for a cluster whose Services have addresses of `cluster`,
 * the first of them by default, and tells what it asks for that such a cluster cannot give. PreferDualStack gets as many
 * families as there are. `before`: what the Service was; a cluster that got another family changes no Service by itself.
 * Source: pkg/registry/core/service/storage/alloc.go (initIPFamilyFields), strategy.go (trimFieldsForDualStackDowngrade).
 */
export function settleIpFamilies(spec: ServiceSpec, cluster: readonly IpFamily[] = ['IPv4'], before?: ServiceSpec): FieldError[] {
  if (spec.type === 'ExternalName') return [];
  if (before) dropSecond(spec, before);
  if (before && keepsWhatItPrefers(spec, before)) return [];
  const addresses = spec.clusterIPs ?? (spec.clusterIP ? [spec.clusterIP] : []);
  const headless = addresses[0] === 'None';
  const families = [...spec.ipFamilies ?? []];
  if (!headless) for (const address of addresses.slice(families.length)) families.push(isIPv6(address) ? 'IPv6' : 'IPv4');
  const forAnyFamily = headless && Object.keys(spec.selector ?? {}).length === 0;
  // Whoever names the endpoints of such a Service knows which families they have.
  spec.ipFamilyPolicy ??= forAnyFamily || families.length > 1 ? 'RequireDualStack' : 'SingleStack';
  const errors = [...policyErrors(spec.ipFamilyPolicy, families, headless ? [] : addresses), ...addressErrors(families, headless ? [] : addresses)];
  if (families.length === 0) families.push(cluster[0] ?? 'IPv4');
  const asked = families.length;
  if ((forAnyFamily || cluster.length > 1) && spec.ipFamilyPolicy !== 'SingleStack' && asked === 1) families.push(families[0] === 'IPv4' ? 'IPv6' : 'IPv4');
  spec.ipFamilies = families;
  if (forAnyFamily || errors.length > 0) return errors;
  if (spec.ipFamilyPolicy === 'RequireDualStack' && cluster.length < 2) errors.push(invalid('spec.ipFamilyPolicy', spec.ipFamilyPolicy, 'Cluster is not configured for dual stack services'));
  for (const [i, family] of families.slice(0, asked).entries()) if (!cluster.some((known) => known === family)) errors.push(invalid(`spec.ipFamilies[${String(i)}]`, family, 'not configured on this cluster'));
  return errors;
}

/** Who goes back to a single family need not say that the second address goes. */
function dropSecond(spec: ServiceSpec, before: ServiceSpec): void {
  if (spec.ipFamilyPolicy !== 'SingleStack' || (before.ipFamilyPolicy ?? 'SingleStack') === 'SingleStack') return;
  if ((spec.clusterIPs ?? []).length > 1 && equal(spec.clusterIPs, before.clusterIPs)) spec.clusterIPs = spec.clusterIPs?.slice(0, 1);
  if ((spec.ipFamilies ?? []).length > 1 && equal(spec.ipFamilies, before.ipFamilies)) spec.ipFamilies = spec.ipFamilies?.slice(0, 1);
}

function keepsWhatItPrefers(spec: ServiceSpec, before: ServiceSpec): boolean {
  return spec.ipFamilyPolicy === 'PreferDualStack' && before.ipFamilyPolicy === 'PreferDualStack' && before.type !== 'ExternalName'
    && (spec.ipFamilies ?? []).length > 0 && equal(spec.ipFamilies, before.ipFamilies) && equal(spec.clusterIPs, before.clusterIPs) && spec.clusterIP === before.clusterIP;
}

function policyErrors(policy: string, families: readonly string[], addresses: readonly string[]): FieldError[] {
  if (policy !== 'SingleStack') return [];
  const refuse = (what: string): FieldError => invalid('spec.ipFamilyPolicy', policy, `must be 'RequireDualStack' or 'PreferDualStack' when multiple '${what}' are specified`);
  return [...(addresses.length > 1 ? [refuse('clusterIPs')] : []), ...(families.length > 1 ? [refuse('ipFamilies')] : [])];
}

function addressErrors(families: readonly string[], addresses: readonly string[]): FieldError[] {
  const errors = addresses.flatMap((address, i) => {
    const family = families[i];
    if (family === undefined || address === '' || isIPv6(address) === (family === 'IPv6')) return [];
    return [invalid(`spec.clusterIPs[${String(i)}]`, address, `expected an ${family} value as indicated by \`ipFamilies[${String(i)}]\``)];
  });
  return families.length === 2 && families[0] === families[1] ? [...errors, invalid('spec.ipFamilies[1]', families[1], 'may not repeat a family')] : errors;
}

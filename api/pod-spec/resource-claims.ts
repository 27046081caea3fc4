import type { ContainerResourceClaim, PodResourceClaim, PodSpec } from '../gen/types.ts';
import { duplicate, invalid, notFound, required, type FieldError } from '../meta/field-error.ts';
import { dns1123Label, dns1123Subdomain } from '../meta/names.ts';
import { named, requiredNamed } from '../meta/rules.ts';

/** The devices that a pod claims, and that its containers share: each has a name, and one place that it comes from. */
export function validateResourceClaims(spec: PodSpec, field: string): FieldError[] {
  const { resourceClaims = [], initContainers = [] } = spec;
  const names = [...new Set(resourceClaims.map(({ name }) => name))].sort();
  return [
    ...resourceClaims.flatMap((claim, i) => validateClaim(claim, resourceClaims.findIndex(({ name }) => name === claim.name) < i, `${field}.resourceClaims[${i}]`)),
    ...initContainers.flatMap(({ resources }, i) => validateUses(resources?.claims ?? [], names, `${field}.initContainers[${i}].resources.claims`)),
    ...(spec.containers ?? []).flatMap(({ resources }, i) => validateUses(resources?.claims ?? [], names, `${field}.containers[${i}].resources.claims`)),
  ];
}

function validateClaim(claim: PodResourceClaim, isRepeated: boolean, field: string): FieldError[] {
  const { name, resourceClaimName, resourceClaimTemplateName } = claim;
  const errors = isRepeated && name ? [duplicate(`${field}.name`, name)] : requiredNamed(`${field}.name`, name, dns1123Label);
  if (resourceClaimName !== undefined && resourceClaimTemplateName !== undefined) errors.push(invalid(field, claim, 'at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified'));
  if (resourceClaimName === undefined && resourceClaimTemplateName === undefined) errors.push(invalid(field, claim, 'must specify one of: `resourceClaimName`, `resourceClaimTemplateName`'));
  if (resourceClaimName !== undefined) errors.push(...named(`${field}.resourceClaimName`, resourceClaimName, dns1123Subdomain));
  if (resourceClaimTemplateName !== undefined) errors.push(...named(`${field}.resourceClaimTemplateName`, resourceClaimTemplateName, dns1123Subdomain));
  return errors;
}

function validateUses(claims: readonly ContainerResourceClaim[], names: readonly string[], field: string): FieldError[] {
  const seen = new Set<string>();
  return claims.flatMap(({ name, request }, i): FieldError[] => {
    const at = `${field}[${i}]`;
    if (!name) return [required(`${at}.name`)];
    const key = request ? `${name}/${request}` : name;
    const errors = request ? named(`${at}.request`, request, dns1123Label) : [];
    if (seen.has(key)) errors.push(duplicate(at, key));
    seen.add(key);
    if (names.includes(name)) return errors;
    const missing = notFound(`${at}.name`, name);
    return [...errors, { ...missing, message: `${missing.message}: must be one of the names in pod.spec.resourceClaims${names.length === 0 ? ' which is empty' : `: ${names.join(', ')}`}` }];
  });
}

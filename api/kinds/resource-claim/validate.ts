import type { AllocatedDeviceStatus, ResourceClaim, ResourceClaimConsumerReference, ResourceClaimSpec, ResourceClaimStatus } from '../../gen/types.ts';
import { equal } from '../../meta/equal.ts';
import { duplicate, forbidden, invalid, tooMany, type FieldError } from '../../meta/field-error.ts';
import { dns1123Label, dns1123Subdomain } from '../../meta/names.ts';
import { immutable, requiredNamed, requiredText } from '../../meta/rules.ts';
import { driverProblem, poolProblem, validateClaimSpec } from '../device-rules.ts';

const maxReservations = 256;
const maxResults = 32;

export function validateClaim({ spec }: ResourceClaim, old?: ResourceClaim): FieldError[] {
  if (old !== undefined) return immutable('spec', spec, old.spec);
  return validateClaimSpec(spec ?? {}, 'spec');
}

export function hasSelectors(spec: ResourceClaimSpec | undefined): boolean {
  return (spec?.devices?.requests ?? []).some(({ exactly, firstAvailable = [] }) => [...(exactly ? [exactly] : []), ...firstAvailable].some(({ selectors = [] }) => selectors.length > 0));
}

/** An allocation stays as it was made until it is taken back, and nobody uses a claim without one. */
export function validateClaimStatus({ status = {} }: ResourceClaim, { spec, status: before = {}, metadata }: ResourceClaim): FieldError[] {
  const { allocation, reservedFor = [], devices = [] } = status;
  const errors = [...validateReservations(reservedFor), ...validateAllocation(status, spec), ...devices.flatMap((device, i) => validateDevice(device, status, `status.devices[${i}]`))];
  if (reservedFor.length > 0 && allocation === undefined) errors.push(forbidden('status.reservedFor', 'may not be specified when `allocated` is not set'));
  const added = reservedFor.filter((one) => !(before.reservedFor ?? []).some((other) => equal(one, other)));
  if (added.length > 0 && metadata?.deletionTimestamp !== undefined) errors.push(forbidden('status.reservedFor', 'new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set'));
  if (before.allocation !== undefined && allocation !== undefined) errors.push(...immutable('status.allocation', allocation, before.allocation));
  return errors;
}

function validateReservations(reservedFor: readonly ResourceClaimConsumerReference[]): FieldError[] {
  const field = 'status.reservedFor';
  const errors = reservedFor.length > maxReservations ? [tooMany(field, reservedFor.length, maxReservations)] : [];
  for (const [i, { apiGroup, resource, name, uid }] of reservedFor.entries()) {
    const at = `${field}[${i}]`;
    if (apiGroup) errors.push(...requiredNamed(`${at}.apiGroup`, apiGroup, dns1123Subdomain));
    errors.push(...requiredText(`${at}.resource`, resource), ...requiredText(`${at}.name`, name), ...requiredText(`${at}.uid`, uid));
    if (reservedFor.findIndex((other) => other.uid === uid) < i) errors.push(duplicate(`${at}.uid`, uid));
  }
  return errors;
}

function validateAllocation({ allocation }: ResourceClaimStatus, spec: ResourceClaimSpec | undefined): FieldError[] {
  const results = allocation?.devices?.results ?? [];
  const field = 'status.allocation.devices.results';
  const requests = spec?.devices?.requests ?? [];
  const names = new Set(requests.flatMap(({ name, firstAvailable = [] }) => [name, ...firstAvailable.map((one) => `${name}/${one.name}`)]));
  return [
    ...(results.length > maxResults ? [tooMany(field, results.length, maxResults)] : []),
    ...results.flatMap(({ request, driver, pool, device }, i) => [
      ...(names.has(request) ? [] : [invalid(`${field}[${i}].request`, request, "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'")]),
      ...requiredNamed(`${field}[${i}].driver`, driver, driverProblem), ...requiredNamed(`${field}[${i}].pool`, pool, poolProblem), ...requiredNamed(`${field}[${i}].device`, device, dns1123Label),
    ]),
  ];
}

function validateDevice({ driver, pool, device }: AllocatedDeviceStatus, { allocation }: ResourceClaimStatus, field: string): FieldError[] {
  const missing = [...requiredNamed(`${field}.driver`, driver, driverProblem), ...requiredNamed(`${field}.pool`, pool, poolProblem), ...requiredNamed(`${field}.device`, device, dns1123Label)];
  if (missing.length > 0) return missing;
  const allocated = (allocation?.devices?.results ?? []).some((one) => one.driver === driver && one.pool === pool && one.device === device);
  return allocated ? [] : [invalid(field, { driver, pool, device }, 'must be an allocated device in the claim')];
}

import { invalid, required, tooLong, type FieldError } from '../meta/field-error.ts';
import { dns1123Subdomain } from '../meta/names.ts';

const maxParameters = 512;
const maxParametersBytes = 256 << 10;

/** Names of storage drivers: a domain of at most 63 characters, in any case. */
export function validateDriverName(name: string | undefined, field: string): FieldError[] {
  if (!name) return [required(field)];
  const problem = dns1123Subdomain(name.toLowerCase());
  return [...(name.length > 63 ? [tooLong(field, 63)] : []), ...(problem === undefined ? [] : [invalid(field, name, problem)])];
}

/** What a driver is told: opaque here, within limits. */
export function validateParameters(parameters: Readonly<Record<string, string>> | undefined, field: string, needed = false): FieldError[] {
  const entries = Object.entries(parameters ?? {});
  if (needed && entries.length === 0) return [required(field, 'must contain at least one key/value pair')];
  if (entries.length > maxParameters) return [tooLong(field, maxParameters)];
  const size = entries.reduce((sum, [key, value]) => sum + Buffer.byteLength(key) + Buffer.byteLength(value), 0);
  return [...entries.flatMap(([key]) => (key === '' ? [invalid(field, key, 'field can not be empty.')] : [])), ...(size > maxParametersBytes ? [tooLong(field, maxParametersBytes)] : [])];
}

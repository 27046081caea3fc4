import type { DeviceClaim, DeviceClaimConfiguration, DeviceConstraint, DeviceRequest, DeviceSelector, DeviceSubRequest, ExactDeviceRequest, OpaqueDeviceConfiguration, ResourceClaimSpec } from '../gen/types.ts';
import { duplicate, invalid, notSupported, required, tooLong, tooMany, type FieldError } from '../meta/field-error.ts';
import { isRecord } from '../meta/json.ts';
import { dns1123Label, dns1123Subdomain, qualifiedName } from '../meta/names.ts';
import { requiredNamed } from '../meta/rules.ts';
import { deviceExpressionErrors } from './expression-checks.ts';

/** What claims, their templates and classes of devices share. */

const maxRequests = 32;
const maxSelectors = 32;
const maxAlternatives = 8;
const maxParametersBytes = 10 << 10;
const maxExpressionBytes = 10 << 10;
const maxDriverName = 63;
const maxPoolName = 253;

type Ask = ExactDeviceRequest | DeviceSubRequest;

/** One device of the class, unless more are asked for. */
export function setClaimDefaults(spec: ResourceClaimSpec | undefined): void {
  for (const { exactly, firstAvailable = [] } of spec?.devices?.requests ?? []) for (const ask of exactly ? [exactly, ...firstAvailable] : firstAvailable) setCount(ask);
}

function setCount(ask: Ask): void {
  ask.allocationMode ||= 'ExactCount';
  if (ask.allocationMode === 'ExactCount') ask.count ||= 1;
}

export function validateClaimSpec({ devices = {} }: ResourceClaimSpec, field: string): FieldError[] {
  const at = `${field}.devices`;
  const { requests = [], constraints = [], config = [] } = devices;
  const names = requestNames(devices);
  return [
    ...listOf(requests, maxRequests, `${at}.requests`, validateRequest), ...repeated(requests, `${at}.requests`),
    ...listOf(constraints, maxRequests, `${at}.constraints`, (one, where) => validateConstraint(one, where, names)),
    ...listOf(config, maxRequests, `${at}.config`, (one, where) => validateConfig(one, where, names)),
  ];
}

/** A request by its name, an alternative of it by both: `gpu/small`. */
function requestNames({ requests = [] }: DeviceClaim): ReadonlySet<string> {
  return new Set(requests.flatMap(({ name, firstAvailable = [] }) => [name, ...firstAvailable.map((one) => `${name}/${one.name}`)]));
}

function listOf<T>(list: readonly T[], max: number, field: string, check: (item: T, field: string) => FieldError[]): FieldError[] {
  return [...(list.length > max ? [tooMany(field, list.length, max)] : []), ...list.slice(0, max).flatMap((item, i) => check(item, `${field}[${i}]`))];
}

export function repeated(list: readonly { readonly name: string }[], field: string): FieldError[] {
  return list.flatMap(({ name }, i) => (name && list.findIndex((other) => other.name === name) < i ? [duplicate(`${field}[${i}].name`, name)] : []));
}

function validateRequest({ name, exactly, firstAvailable = [] }: DeviceRequest, field: string): FieldError[] {
  const errors = requiredNamed(`${field}.name`, name, dns1123Label);
  if (exactly === undefined && firstAvailable.length === 0) errors.push(required(field, 'exactly one of `exactly` or `firstAvailable` is required'));
  if (exactly !== undefined && firstAvailable.length > 0) errors.push(invalid(field, undefined, 'exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set'));
  return [
    ...errors,
    ...(exactly === undefined ? [] : validateAsk(exactly, `${field}.exactly`)),
    ...listOf(firstAvailable, maxAlternatives, `${field}.firstAvailable`, (one, where) => [...requiredNamed(`${where}.name`, one.name, dns1123Label), ...validateAsk(one, where)]),
    ...repeated(firstAvailable, `${field}.firstAvailable`),
  ];
}

function validateAsk({ deviceClassName, selectors = [], allocationMode, count = 0 }: Ask, field: string): FieldError[] {
  const errors = [...requiredNamed(`${field}.deviceClassName`, deviceClassName, dns1123Subdomain), ...validateSelectors(selectors, `${field}.selectors`)];
  if (allocationMode === 'All') return count === 0 ? errors : [...errors, invalid(`${field}.count`, count, "must not be specified when allocationMode is 'All'")];
  if (allocationMode === 'ExactCount') return count > 0 ? errors : [...errors, invalid(`${field}.count`, count, 'must be greater than zero')];
  return [...errors, notSupported(`${field}.allocationMode`, allocationMode, ['All', 'ExactCount'])];
}

export function validateSelectors(selectors: readonly DeviceSelector[], field: string): FieldError[] {
  return listOf(selectors, maxSelectors, field, ({ cel }, where) => {
    if (cel === undefined) return [required(`${where}.cel`)];
    if (!cel.expression) return [required(`${where}.cel.expression`)];
    if (Buffer.byteLength(cel.expression) > maxExpressionBytes) return [tooLong(`${where}.cel.expression`, maxExpressionBytes)];
    return deviceExpressionErrors(cel.expression, `${where}.cel.expression`);
  });
}

function referenceErrors(requests: readonly string[] = [], names: ReadonlySet<string>, field: string): FieldError[] {
  return listOf(requests, maxRequests, `${field}.requests`, (name, where) => (names.has(name) ? [] : [invalid(where, name, "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'")]));
}

function validateConstraint({ requests, matchAttribute, distinctAttribute }: DeviceConstraint, field: string, names: ReadonlySet<string>): FieldError[] {
  const errors = referenceErrors(requests, names, field);
  if (matchAttribute === undefined && distinctAttribute === undefined) return [...errors, required(`${field}.matchAttribute`)];
  const attribute = matchAttribute ?? distinctAttribute ?? '';
  const at = `${field}.${matchAttribute === undefined ? 'distinctAttribute' : 'matchAttribute'}`;
  return [...errors, ...(attribute.includes('/') ? attributeErrors(attribute, at) : [invalid(at, attribute, 'must include a domain')])];
}

/** `[domain/]name`, where the name is an identifier. */
export function attributeErrors(name: string, field: string): FieldError[] {
  const [id = '', domain] = name.split('/').reverse();
  const problem = name.split('/').length > 2 ? qualifiedName(name) : domain === undefined ? undefined : driverProblem(domain);
  if (problem !== undefined) return [invalid(field, name, problem)];
  if (id === '') return [required(field, 'the name must not be empty')];
  if (id.length > 32) return [tooLong(field, 32)];
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(id) ? [] : [invalid(field, id, "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')")];
}

function validateConfig({ requests, opaque }: DeviceClaimConfiguration, field: string, names: ReadonlySet<string>): FieldError[] {
  return [...referenceErrors(requests, names, field), ...validateOpaque(opaque, field)];
}

export function validateClassConfig(config: readonly { readonly opaque?: OpaqueDeviceConfiguration | undefined }[], field: string): FieldError[] {
  return listOf(config, maxRequests, field, ({ opaque }, where) => validateOpaque(opaque, where));
}

function validateOpaque(opaque: OpaqueDeviceConfiguration | undefined, field: string): FieldError[] {
  if (opaque === undefined) return [required(`${field}.opaque`)];
  const { driver, parameters } = opaque;
  const at = `${field}.opaque.parameters`;
  const text = JSON.stringify(parameters);
  const errors = requiredNamed(`${field}.opaque.driver`, driver, driverProblem);
  if ((parameters ?? null) === null) return [...errors, required(at)];
  if (Buffer.byteLength(text) > maxParametersBytes) return [...errors, tooLong(at, maxParametersBytes)];
  return isRecord(parameters) ? errors : [...errors, invalid(at, '<value omitted>', 'error parsing data as JSON: must be a JSON object')];
}

/** Names of drivers. */
export function driverProblem(name: string): string | undefined {
  return name.length > maxDriverName ? `must be no more than ${maxDriverName} bytes` : dns1123Subdomain(name);
}

/** Names of pools: subdomains with slashes between them. */
export function poolProblem(name: string): string | undefined {
  if (name.length > maxPoolName) return `must be no more than ${maxPoolName} bytes`;
  return name.split('/').map((part) => dns1123Subdomain(part)).find((problem) => problem !== undefined);
}


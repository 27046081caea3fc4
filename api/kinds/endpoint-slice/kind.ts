import type { Endpoint, EndpointSlice } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { duplicate, invalid, notSupported, required, tooMany, type FieldError } from '../../meta/field-error.ts';
import { isIPv4, isIPv6, specialAddressProblem } from '../../meta/ip.ts';
import { validateLabels } from '../../meta/metadata.ts';
import { dns1123Label, dns1123Subdomain, labelValue, portName, qualifiedName } from '../../meta/names.ts';
import { inRange, named, supported } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { endpointSlices } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

const addressTypes = ['FQDN', 'IPv4', 'IPv6'];
const maxEndpoints = 1000;
const maxPorts = 20_000;
const maxAddresses = 100;
const maxTopologyLabels = 16;
const maxHints = 8;

function setDefaults({ ports }: EndpointSlice): void {
  for (const port of ports ?? []) {
    port.name ??= '';
    port.protocol ||= 'TCP';
  }
}

function addressProblem(type: string, address: string): string | undefined {
  if (type === 'IPv4') return isIPv4(address) ? specialAddressProblem(address) : 'must be an IPv4 address';
  if (type === 'IPv6') return isIPv6(address) ? specialAddressProblem(address) : 'must be an IPv6 address';
  return type === 'FQDN' ? dns1123Subdomain(address) : undefined;
}

function validateEndpoints({ addressType, endpoints = [] }: EndpointSlice): FieldError[] {
  const errors = endpoints.length > maxEndpoints ? [tooMany('endpoints', endpoints.length, maxEndpoints)] : [];
  for (const [index, endpoint] of endpoints.slice(0, maxEndpoints).entries()) {
    const path = `endpoints[${index}]`;
    const addresses = endpoint.addresses ?? [];
    if (addresses.length === 0) errors.push(required(`${path}.addresses`, 'must contain at least 1 address'));
    else if (addresses.length > maxAddresses) errors.push(tooMany(`${path}.addresses`, addresses.length, maxAddresses));
    for (const [i, address] of addresses.slice(0, maxAddresses).entries()) {
      const problem = addressProblem(addressType, address);
      if (problem !== undefined) errors.push(invalid(`${path}.addresses[${i}]`, address, problem));
    }
    if (endpoint.hostname) errors.push(...named(`${path}.hostname`, endpoint.hostname, dns1123Label));
    if (endpoint.nodeName) errors.push(...named(`${path}.nodeName`, endpoint.nodeName, dns1123Subdomain));
    errors.push(...validateTopology(endpoint, path));
  }
  return errors;
}

function validateTopology({ deprecatedTopology = {}, hints = {} }: Endpoint, field: string): FieldError[] {
  const topology = `${field}.deprecatedTopology`;
  const size = Object.keys(deprecatedTopology).length;
  const zone = deprecatedTopology['topology.kubernetes.io/zone'];
  return [
    ...(size > maxTopologyLabels ? [tooMany(topology, size, maxTopologyLabels)] : validateLabels(deprecatedTopology, topology)),
    ...(zone === undefined ? [] : [invalid(`${topology}[topology.kubernetes.io/zone]`, zone, 'reserved key cannot be set in deprecatedTopology')]),
    ...validateHints(hints.forZones ?? [], `${field}.hints.forZones`, labelValue), ...validateHints(hints.forNodes ?? [], `${field}.hints.forNodes`, dns1123Subdomain),
  ];
}

function validateHints(hints: readonly { readonly name: string }[], field: string, problem: (name: string) => string | undefined): FieldError[] {
  if (hints.length > maxHints) return [tooMany(field, hints.length, maxHints)];
  const names = hints.map(({ name }) => name);
  return names.flatMap((name, i) => [...(names.indexOf(name) < i ? [duplicate(`${field}[${i}].name`, name)] : []), ...named(`${field}[${i}].name`, name ?? '', problem)]);
}

function validatePorts({ ports = [] }: EndpointSlice): FieldError[] {
  const errors = ports.length > maxPorts ? [tooMany('ports', ports.length, maxPorts)] : [];
  const names = new Set<string>();
  for (const [index, port] of ports.slice(0, maxPorts).entries()) {
    const path = `ports[${index}]`;
    const name = port.name ?? '';
    if (name !== '') errors.push(...named(`${path}.name`, name, ports.length > 1 ? dns1123Label : portNameOrLabel));
    if (names.has(name)) errors.push(duplicate(`${path}.name`, name));
    names.add(name);
    errors.push(...inRange(`${path}.port`, port.port, 1, 65_535), ...supported(`${path}.protocol`, port.protocol, ['SCTP', 'TCP', 'UDP']));
    if (port.appProtocol) errors.push(...named(`${path}.appProtocol`, port.appProtocol, qualifiedName));
  }
  return errors;
}

function portNameOrLabel(name: string): string | undefined {
  return portName(name) === undefined ? undefined : dns1123Label(name);
}

function validate(slice: EndpointSlice, old?: EndpointSlice): FieldError[] {
  const { addressType } = slice;
  const errors: FieldError[] = [];
  if (!addressType) errors.push(required('addressType'));
  else if (!addressTypes.includes(addressType)) errors.push(notSupported('addressType', addressType, addressTypes));
  if (old !== undefined && old.addressType !== addressType) errors.push(invalid('addressType', addressType, 'field is immutable'));
  return [...errors, ...validateEndpoints(slice), ...validatePorts(slice)];
}

function firstOf(items: readonly string[]): string {
  const max = 3;
  return items.length > max ? `${items.slice(0, max).join(',')} + ${items.length - max} more...` : items.join(',');
}

export const endpointSlice: KindDefinition<EndpointSlice> = {
  resource: endpointSlices,
  singular: 'endpointslice',
  shortNames: [],
  categories: [],
  schema: () => schemaNamed('EndpointSlice'),
  storage: 'durable',
  status: false,
  generation: true,
  nameRule: 'dns-subdomain',
  setDefaults,
  validate,
  warnings: ({ addressType }) => (addressType === 'FQDN' ? ['addressType: FQDN endpoints are deprecated'] : []),
  selectableFields: {},
  columns: [
    nameColumn(),
    column('AddressType', 'IPv4, IPv6 or FQDN', ({ addressType }) => addressType ?? ''),
    column('Ports', 'Ports of every endpoint', ({ ports }) => firstOf((ports ?? []).map(({ port }) => (port === undefined ? '*' : String(port)))) || '<unset>'),
    column('Endpoints', 'Addresses of the endpoints', ({ endpoints }) => firstOf((endpoints ?? []).flatMap(({ addresses }) => addresses ?? [])) || '<unset>'),
    ageColumn(),
  ],
};

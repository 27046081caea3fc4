import type { EndpointPort, EndpointSubset, Endpoints } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { invalid, required, type FieldError } from '../../meta/field-error.ts';
import { ipProblem, specialAddressProblem } from '../../meta/ip.ts';
import { dns1123Label, portNumber } from '../../meta/names.ts';
import { named, requiredNamed, supported } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { endpoints as resource } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

function setDefaults({ subsets }: Endpoints): void {
  for (const subset of subsets ?? []) for (const port of subset.ports ?? []) port.protocol ||= 'TCP';
}

function validatePort(port: EndpointPort, field: string, nameNeeded: boolean): FieldError[] {
  const problem = portNumber(port.port ?? 0);
  return [
    ...(nameNeeded ? requiredNamed(`${field}.name`, port.name, dns1123Label) : port.name ? named(`${field}.name`, port.name, dns1123Label) : []),
    ...(problem === undefined ? [] : [invalid(`${field}.port`, port.port ?? 0, problem)]),
    ...supported(`${field}.protocol`, port.protocol, ['SCTP', 'TCP', 'UDP']),
  ];
}

function validateSubset(subset: EndpointSubset, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const { addresses = [], notReadyAddresses = [], ports = [] } = subset;
  if (addresses.length + notReadyAddresses.length === 0) errors.push(required(field, 'must specify `addresses` or `notReadyAddresses`'));
  for (const [name, list] of [['addresses', addresses], ['notReadyAddresses', notReadyAddresses]] as const) {
    for (const [index, { ip, hostname }] of list.entries()) {
      const path = `${field}.${name}[${index}]`;
      const problem = ipProblem(ip ?? '') ?? specialAddressProblem(ip ?? '');
      if (problem !== undefined) errors.push(invalid(`${path}.ip`, ip ?? '', problem));
      if (hostname) errors.push(...named(`${path}.hostname`, hostname, dns1123Label));
    }
  }
  return [...errors, ...ports.flatMap((port, i) => validatePort(port, `${field}.ports[${i}]`, ports.length > 1))];
}

function print({ subsets = [] }: Endpoints): string {
  const max = 3;
  const all = subsets.flatMap(({ addresses = [], ports = [] }) => (ports.length === 0
    ? addresses.map(({ ip }) => ip)
    : ports.flatMap(({ port }) => addresses.map(({ ip }) => (ip?.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`)))));
  if (all.length === 0) return '<none>';
  return all.length > max ? `${all.slice(0, max).join(',')} + ${all.length - max} more...` : all.join(',');
}

export const endpoints: KindDefinition<Endpoints> = {
  resource,
  singular: 'endpoints',
  shortNames: ['ep'],
  categories: [],
  schema: () => schemaNamed('Endpoints'),
  storage: 'durable',
  status: false,
  nameRule: 'dns-subdomain',
  warning: 'v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice',
  setDefaults,
  validate: ({ subsets }) => (subsets ?? []).flatMap((subset, i) => validateSubset(subset, `subsets[${i}]`)),
  selectableFields: {},
  columns: [nameColumn(), column('Endpoints', 'Addresses that are ready', print), ageColumn()],
};

import type { IPAddress } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { required, type FieldError } from '../../meta/field-error.ts';
import { ipProblem } from '../../meta/ip.ts';
import { dns1123Subdomain, pathSegment } from '../../meta/names.ts';
import { immutable, named, requiredNamed } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { ipAddresses } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

function validate({ metadata, spec }: IPAddress, old?: IPAddress): FieldError[] {
  const address = metadata?.name ? named('metadata.name', metadata.name, ipProblem) : [];
  const parent = spec?.parentRef;
  if (parent === undefined) return [...address, required('spec.parentRef')];
  const { group, resource, name, namespace } = parent;
  return [
    ...address,
    ...(group ? named('spec.parentRef.group', group, dns1123Subdomain) : []),
    ...requiredNamed('spec.parentRef.resource', resource, pathSegment), ...requiredNamed('spec.parentRef.name', name, pathSegment),
    ...(namespace ? named('spec.parentRef.namespace', namespace, pathSegment) : []),
    ...(old === undefined ? [] : immutable('spec.parentRef', parent, old.spec?.parentRef)),
  ];
}

function parentOf({ spec }: IPAddress): string {
  const { group, resource, namespace, name } = spec?.parentRef ?? { resource: '', name: '' };
  return [`${resource}${group ? `.${group}` : ''}`, ...(namespace ? [namespace] : []), name].join('/');
}

export const ipAddress: KindDefinition<IPAddress> = {
  resource: ipAddresses,
  singular: 'ipaddress',
  shortNames: ['ip'],
  categories: [],
  schema: () => schemaNamed('IPAddress'),
  storage: 'durable',
  status: false,
  nameRule: 'path-segment',
  validate,
  selectableFields: {},
  columns: [nameColumn(), column('ParentRef', 'What the address belongs to', parentOf), ageColumn()],
};

import type { ServiceCIDR } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { invalid, required, type FieldError } from '../../meta/field-error.ts';
import { cidrProblem } from '../../meta/ip.ts';
import { immutable, named } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { serviceCidrs } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

function validate({ spec }: ServiceCIDR, old?: ServiceCIDR): FieldError[] {
  const cidrs = spec?.cidrs ?? [];
  const errors = cidrs.flatMap((cidr, i) => named(`spec.cidrs[${i}]`, cidr, cidrProblem));
  if (cidrs.length === 0) errors.push(required('spec.cidrs', 'at least one CIDR required'));
  if (cidrs.length > 2) errors.push(invalid('spec.cidrs', cidrs, 'may only hold up to 2 values'));
  if (cidrs.length === 2 && cidrs[0]?.includes(':') === cidrs[1]?.includes(':')) errors.push(invalid('spec.cidrs', cidrs, 'may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/96'));
  // A cluster of one family may become one of two.
  const had = old?.spec?.cidrs ?? [];
  const widened = had.length === 1 && cidrs.length === 2 && cidrs[0] === had[0];
  return [...errors, ...(old === undefined || widened ? [] : immutable('spec.cidrs', cidrs, had))];
}

export const serviceCidr: KindDefinition<ServiceCIDR> = {
  resource: serviceCidrs,
  singular: 'servicecidr',
  shortNames: [],
  categories: [],
  schema: () => schemaNamed('ServiceCIDR'),
  storage: 'durable',
  status: true,
  generation: false,
  nameRule: 'dns-subdomain',
  validate,
  selectableFields: {},
  columns: [nameColumn(), column('CIDRs', 'Ranges that cluster addresses come from', ({ spec }) => (spec?.cidrs ?? []).join(',')), ageColumn()],
};

import type { Ingress, IngressSpec } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { invalid, type FieldError } from '../../meta/field-error.ts';
import { ipProblem, isIP } from '../../meta/ip.ts';
import { dns1123Subdomain, wildcardSubdomain } from '../../meta/names.ts';
import { named } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { ingresses } from '../resources.ts';
import type { KindDefinition } from '../types.ts';
import { validateSpec } from './validate.ts';

const classAnnotation = 'kubernetes.io/ingress.class';

function validate({ metadata, spec }: Ingress, old?: Ingress): FieldError[] {
  const annotated = metadata?.annotations?.[classAnnotation];
  const twice = old === undefined && annotated !== undefined && spec?.ingressClassName !== undefined;
  return [...(twice ? [invalid(`annotations.${classAnnotation}`, annotated, 'can not be set when the class field is also set')] : []), ...validateSpec(spec ?? {})];
}

function validateStatus({ status }: Ingress): FieldError[] {
  return (status?.loadBalancer?.ingress ?? []).flatMap(({ ip, hostname }, i) => {
    const path = `status.loadBalancer.ingress[${i}]`;
    const address = ip ? named(`${path}.ip`, ip, ipProblem) : [];
    if (!hostname) return address;
    const isAddress = isIP(hostname) ? [invalid(`${path}.hostname`, hostname, 'must be a DNS name, not an IP address')] : [];
    return [...address, ...named(`${path}.hostname`, hostname, hostname.includes('*') ? wildcardSubdomain : dns1123Subdomain), ...isAddress];
  });
}

const shownHosts = 3;

function hosts({ rules = [] }: IngressSpec): string {
  const named = rules.flatMap(({ host }) => (host ? [host] : []));
  const shown = named.slice(0, shownHosts).join(',') || '*';
  return named.length > shownHosts ? `${shown} + ${rules.length - shownHosts} more...` : shown;
}

export const ingress: KindDefinition<Ingress> = {
  resource: ingresses,
  singular: 'ingress',
  shortNames: ['ing'],
  categories: [],
  schema: () => schemaNamed('Ingress'),
  storage: 'durable',
  status: true,
  nameRule: 'dns-subdomain',
  prepareForCreate: (object) => { object.status = { loadBalancer: {} }; },
  validate,
  validateStatus,
  warnings: ({ metadata, spec }) => (metadata?.annotations?.[classAnnotation] !== undefined && spec?.ingressClassName === undefined ? [`annotation ${JSON.stringify(classAnnotation)} is deprecated, please use 'spec.ingressClassName' instead`] : []),
  selectableFields: {},
  columns: [
    nameColumn(),
    column('Class', 'Which controller serves it', ({ spec }) => spec?.ingressClassName ?? '<none>'),
    column('Hosts', 'Hosts that it answers for', ({ spec }) => hosts(spec ?? {})),
    column('Address', 'Where it can be reached', ({ status }) => (status?.loadBalancer?.ingress ?? []).map(({ ip, hostname }) => ip || hostname || '').filter(Boolean).join(',')),
    column('Ports', 'Ports that are open', ({ spec }) => ((spec?.tls ?? []).length > 0 ? '80, 443' : '80')),
    ageColumn(),
  ],
};

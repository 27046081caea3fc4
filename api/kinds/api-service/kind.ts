import type { APIService, APIServiceReference } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { invalid, required, type FieldError } from '../../meta/field-error.ts';
import { dns1035Label, dns1123Subdomain } from '../../meta/names.ts';
import { named, requiredNamed } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { apiServices } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

function validateService({ name, namespace, port }: APIServiceReference, field: string): FieldError[] {
  return [
    ...(namespace ? [] : [required(`${field}.namespace`)]), ...(name ? [] : [required(`${field}.name`)]),
    ...(port !== undefined && !(port >= 1 && port <= 65_535) ? [invalid(`${field}.port`, port, 'port is not valid: must be between 1 and 65535, inclusive')] : []),
  ];
}

function validate({ metadata, spec }: APIService): FieldError[] {
  if (spec === undefined) return [required('spec')];
  const { group = '', version = '', groupPriorityMinimum, versionPriority, service, caBundle, insecureSkipTLSVerify } = spec;
  const name = `${version}.${group}`;
  const errors = metadata?.name === name ? [] : [invalid('metadata.name', metadata?.name ?? '', `must be \`spec.version+"."+spec.group\`: ${JSON.stringify(name)}`)];
  if (group !== '') errors.push(...named('spec.group', group, dns1123Subdomain));
  errors.push(...requiredNamed('spec.version', version, dns1035Label));
  if (!(groupPriorityMinimum > 0 && groupPriorityMinimum <= 20_000)) errors.push(invalid('spec.groupPriorityMinimum', groupPriorityMinimum, 'must be positive and less than 20000'));
  if (!(versionPriority > 0 && versionPriority <= 1000)) errors.push(invalid('spec.versionPriority', versionPriority, 'must be positive and less than 1000'));
  if (service !== undefined) {
    if (insecureSkipTLSVerify && caBundle) errors.push(invalid('spec.insecureSkipTLSVerify', true, 'may not be true if caBundle is present'));
    return [...errors, ...validateService(service, 'spec.service')];
  }
  if (caBundle) errors.push(invalid('spec.caBundle', `${Buffer.byteLength(caBundle)} bytes`, 'local APIServices may not have a caBundle'));
  if (insecureSkipTLSVerify) errors.push(invalid('spec.insecureSkipTLSVerify', true, 'local APIServices may not have insecureSkipTLSVerify'));
  return errors;
}

function available({ status }: APIService): string {
  const found = (status?.conditions ?? []).find(({ type }) => type === 'Available');
  if (found === undefined) return 'Unknown';
  return found.status === 'True' ? 'True' : `${found.status} (${found.reason ?? ''})`;
}

export const apiService: KindDefinition<APIService> = {
  resource: apiServices,
  singular: 'apiservice',
  shortNames: [],
  categories: ['api-extensions'],
  schema: () => schemaNamed('APIService'),
  storage: 'durable',
  status: true,
  generation: false,
  nameRule: 'path-segment',
  setDefaults: ({ spec }) => { if (spec?.service) spec.service.port ??= 443; },
  prepareForCreate: (object) => { object.status = {}; },
  validate,
  selectableFields: {},
  columns: [
    nameColumn(),
    column('Service', 'Who serves it', ({ spec }) => (spec?.service ? `${spec.service.namespace ?? ''}/${spec.service.name ?? ''}` : 'Local')),
    column('Available', 'Whether it can be reached', available),
    ageColumn(),
  ],
};

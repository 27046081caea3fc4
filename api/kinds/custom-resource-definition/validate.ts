import type { CustomResourceColumnDefinition, CustomResourceConversion, CustomResourceDefinition, CustomResourceDefinitionNames, CustomResourceDefinitionSpec, CustomResourceDefinitionVersion } from '../../gen/types.ts';
import { compileJsonPath } from '../../custom/json-path.ts';
import { equal } from '../../meta/equal.ts';
import { duplicate, forbidden, invalid, notSupported, required, type FieldError } from '../../meta/field-error.ts';
import { dns1035Label, dns1123Subdomain } from '../../meta/names.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { checkStructure } from '../../meta/validate.ts';
import { messageOf } from '#common/errors.ts';
import { validateSelectableFields } from './selectable-fields.ts';
import { validateVersionSchema } from './structural.ts';

/** Kubernetes' rules of a definition. Source: the API reference, and the messages of k8s.io/apiextensions-apiserver. */
export function validate(object: CustomResourceDefinition, old?: CustomResourceDefinition): FieldError[] {
  const { metadata, spec, status } = object;
  const broken = checkStructure(schemaNamed('CustomResourceDefinition'), object).errors.filter(({ field }) => !field.startsWith('metadata'));
  if (broken.length > 0) return broken;
  const wanted = `${spec.names.plural}.${spec.group}`;
  return [
    ...(metadata?.name !== wanted ? [invalid('metadata.name', metadata?.name, 'must be spec.names.plural+"."+spec.group')] : []),
    ...approvalErrors(object, old),
    ...specErrors(spec, old?.spec),
    ...(old ? updateErrors(spec, old) : []),
    ...(old ? storedVersionErrors(status?.storedVersions ?? [], spec) : []),
  ];
}

export function validateStatus({ spec, status }: CustomResourceDefinition): FieldError[] {
  const names = status?.acceptedNames;
  return [
    ...(names === undefined ? [] : nameErrors(names, 'status.acceptedNames')),
    ...((status?.storedVersions ?? []).length === 0 ? [invalid('status.storedVersions', [], 'must have at least one stored version')] : []),
    ...storedVersionErrors(status?.storedVersions ?? [], spec),
  ];
}

const approval = 'api-approved.kubernetes.io';

/** Groups of the Kubernetes community need its word. */
function approvalErrors({ metadata, spec }: CustomResourceDefinition, old: CustomResourceDefinition | undefined): FieldError[] {
  if (!/(^|\.)(k8s\.io|kubernetes\.io)$/.test(spec.group ?? '')) return [];
  const given = metadata?.annotations?.[approval];
  if (old && equal(given, old.metadata?.annotations?.[approval])) return [];
  const field = `metadata.annotations[${approval}]`;
  if (given === undefined || given === '') return [required(field, 'protected groups must have approval annotation "api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111')];
  return given.startsWith('unapproved') || URL.canParse(given) ? [] : [invalid(field, given, 'protected groups must have approval annotation "api-approved.kubernetes.io" with either a URL or a reason starting with "unapproved", see https://github.com/kubernetes/enhancements/pull/1111')];
}

function specErrors(spec: CustomResourceDefinitionSpec, old: CustomResourceDefinitionSpec | undefined): FieldError[] {
  const { group, scope, names, versions, conversion, preserveUnknownFields } = spec;
  const errors: FieldError[] = [];
  if (group === '') errors.push(required('spec.group'));
  else if (dns1123Subdomain(group) !== undefined) errors.push(invalid('spec.group', group, dns1123Subdomain(group) ?? ''));
  else if (!group.includes('.')) errors.push(invalid('spec.group', group, 'should be a domain with at least one dot'));
  if (!scope) errors.push(required('spec.scope'));
  else if (scope !== 'Cluster' && scope !== 'Namespaced') errors.push(notSupported('spec.scope', scope, ['Cluster', 'Namespaced']));
  if (preserveUnknownFields === true && old?.preserveUnknownFields !== true) {
    errors.push(invalid('spec.preserveUnknownFields', true, 'cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead'));
  }
  errors.push(...versionsErrors(versions));
  for (const name of ['plural', 'singular', 'kind', 'listKind'] as const) if (!names?.[name]) errors.push(required(`spec.names.${name}`));
  if (names !== undefined) errors.push(...nameErrors(names, 'spec.names'));
  for (const [i, version] of versions.entries()) errors.push(...versionErrors(version, old?.versions?.find(({ name }) => name === version.name), `spec.versions[${i}]`));
  return [...errors, ...conversionErrors(conversion, versions)];
}

function versionsErrors(versions: readonly CustomResourceDefinitionVersion[]): FieldError[] {
  const errors: FieldError[] = [];
  for (const [i, { name }] of versions.entries()) {
    const problem = dns1035Label(name);
    if (problem !== undefined) errors.push(invalid(`spec.versions[${i}].name`, name, problem));
  }
  if (new Set(versions.map(({ name }) => name)).size !== versions.length) errors.push(invalid('spec.versions', versions, 'must contain unique version names'));
  if (versions.filter(({ storage }) => storage).length !== 1) errors.push(invalid('spec.versions', versions, 'must have exactly one version marked as storage version'));
  return errors;
}

function versionErrors(version: CustomResourceDefinitionVersion, old: CustomResourceDefinitionVersion | undefined, field: string): FieldError[] {
  const { schema, subresources, additionalPrinterColumns, deprecated, deprecationWarning } = version;
  const errors: FieldError[] = [];
  if (deprecationWarning !== undefined) {
    if (deprecated !== true) errors.push(invalid(`${field}.deprecationWarning`, deprecationWarning, 'can only be set for deprecated versions'));
    if (deprecationWarning === '') errors.push(invalid(`${field}.deprecationWarning`, deprecationWarning, 'must not be empty'));
    else if (deprecationWarning.length > 256) errors.push(invalid(`${field}.deprecationWarning`, deprecationWarning, 'must be 256 characters or less'));
    else if (/[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/u.test(deprecationWarning)) errors.push(invalid(`${field}.deprecationWarning`, deprecationWarning, 'must only contain printable UTF-8 characters'));
  }
  if (schema?.openAPIV3Schema === undefined) errors.push(required(`${field}.schema.openAPIV3Schema`, 'schemas are required'));
  else errors.push(...validateVersionSchema(version, old, `${field}.schema.openAPIV3Schema`));
  if (subresources?.scale) {
    const { specReplicasPath, statusReplicasPath, labelSelectorPath } = subresources.scale;
    errors.push(...scalePathErrors(specReplicasPath, '.spec', `${field}.subresources.scale.specReplicasPath`, true));
    errors.push(...scalePathErrors(statusReplicasPath, '.status', `${field}.subresources.scale.statusReplicasPath`, true));
    errors.push(...scalePathErrors(labelSelectorPath, '.status', `${field}.subresources.scale.labelSelectorPath`, false));
  }
  for (const [i, column] of (additionalPrinterColumns ?? []).entries()) errors.push(...columnErrors(column, `${field}.additionalPrinterColumns[${i}]`));
  return [...errors, ...validateSelectableFields(version, `${field}.selectableFields`)];
}

function scalePathErrors(path: string | undefined, below: '.spec' | '.status', field: string, isRequired: boolean): FieldError[] {
  if (!path) return isRequired ? [required(field)] : [];
  if (!path.startsWith('.')) return [invalid(field, path, 'must be a simple json path starting with .')];
  if (path.split('.').slice(1).some((part) => part === '')) return [invalid(field, path, 'must be a json path in the dot notation')];
  const prefixes = below === '.status' && field.endsWith('labelSelectorPath') ? ['.spec.', '.status.'] : [`${below}.`];
  return prefixes.some((prefix) => path.startsWith(prefix)) ? [] : [invalid(field, path, `should be a json path under ${prefixes.map((prefix) => prefix.slice(0, -1)).join(' or ')}`)];
}

const columnTypes = ['boolean', 'date', 'integer', 'number', 'string'];
const columnFormats = ['byte', 'date', 'date-time', 'double', 'float', 'int32', 'int64', 'password'];

function columnErrors({ name, type, format, jsonPath }: CustomResourceColumnDefinition, field: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!name) errors.push(required(`${field}.name`));
  if (!type) errors.push(required(`${field}.type`, `must be one of ${columnTypes.join(',')}`));
  else if (!columnTypes.includes(type)) errors.push(invalid(`${field}.type`, type, `must be one of ${columnTypes.join(',')}`));
  if (format && !columnFormats.includes(format)) errors.push(invalid(`${field}.format`, format, `must be one of ${columnFormats.join(',')}`));
  if (!jsonPath) return [...errors, required(`${field}.jsonPath`)];
  if (!jsonPath.startsWith('.')) return [...errors, invalid(`${field}.jsonPath`, jsonPath, 'must be a simple json path starting with .')];
  try {
    compileJsonPath(jsonPath);
  } catch (error) {
    errors.push(invalid(`${field}.jsonPath`, jsonPath, messageOf(error)));
  }
  return errors;
}

function nameErrors(names: CustomResourceDefinitionNames, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const check = (name: string, value: string | undefined, start = ''): void => {
    const problem = value ? dns1035Label(start === '' ? value : value.toLowerCase()) : undefined;
    if (problem !== undefined) errors.push(invalid(`${field}.${name}`, value, start + problem));
  };
  const mixed = 'may have mixed case, but should otherwise match: ';
  check('plural', names.plural);
  check('singular', names.singular);
  check('kind', names.kind, mixed);
  check('listKind', names.listKind, mixed);
  for (const [i, name] of (names.shortNames ?? []).entries()) check(`shortNames[${i}]`, name);
  for (const [i, name] of (names.categories ?? []).entries()) check(`categories[${i}]`, name);
  if (names.kind && names.kind === names.listKind) errors.push(invalid(`${field}.listKind`, names.listKind, 'kind and listKind may not be the same'));
  return errors;
}

function conversionErrors(conversion: CustomResourceConversion | undefined, versions: readonly CustomResourceDefinitionVersion[]): FieldError[] {
  const field = 'spec.conversion';
  const { strategy, webhook } = conversion ?? {};
  if (!strategy) return [required(`${field}.strategy`)];
  if (strategy !== 'None' && strategy !== 'Webhook') return [notSupported(`${field}.strategy`, strategy, ['None', 'Webhook'])];
  if (strategy === 'None') return webhook ? [forbidden(`${field}.webhook`, 'should not be set when strategy is not set to Webhook')] : [];
  const { clientConfig, conversionReviewVersions = [] } = webhook ?? {};
  const errors: FieldError[] = [];
  if (versions.length > 0 && clientConfig === undefined) errors.push(required(`${field}.webhook.clientConfig`, 'required when strategy is set to Webhook'));
  if (clientConfig) {
    const { url, service } = clientConfig;
    const path = `${field}.webhook.clientConfig`;
    if ((url === undefined) === (service === undefined)) errors.push(required(path, 'exactly one of url or service is required'));
    if (url !== undefined) errors.push(...urlErrors(url, `${path}.url`));
    if (service) {
      if (!service.name) errors.push(required(`${path}.service.name`, 'service name is required'));
      if (!service.namespace) errors.push(required(`${path}.service.namespace`, 'service namespace is required'));
      if (service.port !== undefined && !(service.port >= 1 && service.port <= 65_535)) errors.push(invalid(`${path}.service.port`, service.port, 'port is not valid: must be between 1 and 65535, inclusive'));
    }
  }
  if (conversionReviewVersions.length === 0) return [...errors, required(`${field}.webhook.conversionReviewVersions`)];
  for (const [i, version] of conversionReviewVersions.entries()) {
    const problem = dns1035Label(version);
    if (problem !== undefined) errors.push(invalid(`${field}.webhook.conversionReviewVersions[${i}]`, version, problem));
    if (conversionReviewVersions.indexOf(version) !== i) errors.push(duplicate(`${field}.webhook.conversionReviewVersions[${i}]`, version));
  }
  if (!conversionReviewVersions.some((version) => version === 'v1' || version === 'v1beta1')) {
    errors.push(invalid(`${field}.webhook.conversionReviewVersions`, conversionReviewVersions, 'must include at least one of v1, v1beta1'));
  }
  return errors;
}

function urlErrors(text: string, field: string): FieldError[] {
  const hint = '; desired format: https://host[/path]';
  if (!URL.canParse(text)) return [required(field, `url must be a valid URL${hint}`)];
  const url = new URL(text);
  const errors: FieldError[] = [];
  if (url.protocol !== 'https:') errors.push(invalid(field, url.protocol.slice(0, -1), `'https' is the only allowed URL scheme${hint}`));
  if (url.hostname === '') errors.push(invalid(field, '', `host must be specified${hint}`));
  if (url.username !== '' || url.password !== '') errors.push(invalid(field, url.username, 'user information is not permitted in the URL'));
  if (url.hash !== '') errors.push(invalid(field, url.hash.slice(1), 'fragments are not permitted in the URL'));
  if (url.search !== '') errors.push(invalid(field, url.search.slice(1), 'query parameters are not permitted in the URL'));
  return errors;
}

/** What decides where and how objects are stored stays. */
function updateErrors(spec: CustomResourceDefinitionSpec, old: CustomResourceDefinition): FieldError[] {
  const errors: FieldError[] = [];
  const same = (field: string, value: unknown, before: unknown): void => { if (!equal(value, before)) errors.push(invalid(field, value, 'field is immutable')); };
  if (old.status?.conditions?.some(({ type, status }) => type === 'Established' && status === 'True')) {
    same('spec.scope', spec.scope, old.spec?.scope);
    same('spec.names.kind', spec.names?.kind, old.spec?.names?.kind);
  }
  same('spec.group', spec.group, old.spec?.group);
  same('spec.names.plural', spec.names?.plural, old.spec?.names?.plural);
  return errors;
}

function storedVersionErrors(stored: readonly string[], spec: CustomResourceDefinitionSpec | undefined): FieldError[] {
  const known = new Set(spec?.versions?.map(({ name }) => name));
  return stored.flatMap((version, i) => (known.has(version) ? [] : [invalid(`status.storedVersions[${i}]`, version, `missing from spec.versions; ${version} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in ${version} and removes ${version} from status.storedVersions`)]));
}

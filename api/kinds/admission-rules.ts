import type { LabelSelector, MatchCondition, MatchResources, NamedRuleWithOperations, RuleWithOperations, WebhookClientConfig } from '../gen/types.ts';
import { duplicate, invalid, notSupported, required, tooMany, type FieldError } from '../meta/field-error.ts';
import { qualifiedName } from '../meta/names.ts';
import { supportedIfSet } from '../meta/rules.ts';
import { validateLabelSelector } from '../meta/selectors.ts';

/** What the kinds of admissionregistration.k8s.io share: which requests they are about, and whom they call. */
const operations = ['*', 'CONNECT', 'CREATE', 'DELETE', 'UPDATE'];
const scopes = ['*', 'Cluster', 'Namespaced'];
const maxConditions = 64;

export function setRuleDefaults(rules: readonly RuleWithOperations[] | undefined): void {
  for (const rule of rules ?? []) rule.scope ??= '*';
}

export function setMatchDefaults(match: MatchResources | undefined): void {
  if (match === undefined) return;
  match.matchPolicy ??= 'Equivalent';
  match.namespaceSelector ??= {};
  match.objectSelector ??= {};
  setRuleDefaults(match.resourceRules);
  setRuleDefaults(match.excludeResourceRules);
}

function wildcardAlone(values: readonly string[] | undefined, field: string, others: string): FieldError[] {
  if (!values || values.length === 0) return [required(field)];
  return values.length > 1 && values.includes('*') ? [invalid(field, values, `if '*' is present, must not specify other ${others}`)] : [];
}

export function validateRule(rule: RuleWithOperations & Partial<Pick<NamedRuleWithOperations, 'resourceNames'>>, field: string): FieldError[] {
  const { apiVersions = [], resourceNames = [] } = rule;
  return [
    ...wildcardAlone(rule.operations, `${field}.operations`, 'operations'),
    ...(rule.operations ?? []).flatMap((operation, i) => (operations.includes(operation) ? [] : [notSupported(`${field}.operations[${i}]`, operation, operations)])),
    ...wildcardAlone(rule.apiGroups, `${field}.apiGroups`, 'API groups'),
    ...wildcardAlone(apiVersions, `${field}.apiVersions`, 'API versions'),
    ...apiVersions.flatMap((version, i) => (version === '' ? [required(`${field}.apiVersions[${i}]`)] : [])),
    ...validateResources(rule.resources ?? [], `${field}.resources`),
    ...resourceNames.flatMap((name, i) => (resourceNames.indexOf(name) < i ? [duplicate(`${field}.resourceNames[${i}]`, name)] : [])),
    ...supportedIfSet(`${field}.scope`, rule.scope, scopes),
  ];
}

function validateResources(resources: readonly string[], field: string): FieldError[] {
  if (resources.length === 0) return [required(field)];
  const errors: FieldError[] = [];
  for (const [i, resource] of resources.entries()) {
    const path = `${field}[${i}]`;
    if (resource === '') errors.push(required(path));
    const [main = '', sub] = resource.split('/');
    if (sub !== undefined && resource !== '*/*' && resources.includes(`${main}/*`) && sub !== '*') errors.push(invalid(path, resource, `if '${main}/*' is present, must not specify ${resource}`));
    if (sub !== undefined && resource !== '*/*' && resources.includes(`*/${sub}`) && main !== '*') errors.push(invalid(path, resource, `if '*/${sub}' is present, must not specify ${resource}`));
    if (sub === undefined && resource !== '*' && resources.includes('*')) errors.push(invalid(field, resources, "if '*' is present, must not specify other resources without subresources"));
  }
  if (resources.length > 1 && resources.includes('*/*')) errors.push(invalid(field, resources, "if '*/*' is present, must not specify other resources"));
  return errors;
}

export function validateMatch(match: MatchResources, field: string): FieldError[] {
  const rules = (name: 'resourceRules' | 'excludeResourceRules'): FieldError[] => (match[name] ?? []).flatMap((rule, i) => validateRule(rule, `${field}.${name}[${i}]`));
  return [
    ...supportedIfSet(`${field}.matchPolicy`, match.matchPolicy, ['Equivalent', 'Exact']),
    ...validateSelector(match.namespaceSelector, `${field}.namespaceSelector`), ...validateSelector(match.objectSelector, `${field}.objectSelector`),
    ...rules('resourceRules'), ...rules('excludeResourceRules'),
  ];
}

export function validateSelector(selector: LabelSelector | undefined, field: string): FieldError[] {
  return validateLabelSelector(selector, field);
}

/** Without the expressions' own syntax. */
export function validateConditions(conditions: readonly MatchCondition[], field: string): FieldError[] {
  const names = conditions.map(({ name }) => name);
  return [
    ...(conditions.length > maxConditions ? [tooMany(field, conditions.length, maxConditions)] : []),
    ...conditions.flatMap(({ name, expression }, i) => {
      const problem = name ? qualifiedName(name) : undefined;
      return [
        ...(name ? [] : [required(`${field}[${i}].name`)]), ...(problem === undefined ? [] : [invalid(`${field}[${i}].name`, name, problem)]),
        ...(name && names.indexOf(name) < i ? [duplicate(`${field}[${i}].name`, name)] : []),
        ...((expression ?? '').trim() === '' ? [required(`${field}[${i}].expression`)] : []),
      ];
    }),
  ];
}

const urlForm = '; desired format: https://host[/path]';

export function validateClientConfig({ url, service }: WebhookClientConfig, field: string): FieldError[] {
  if ((url === undefined) === (service === undefined)) return [required(field, 'exactly one of url or service is required')];
  if (url !== undefined) return validateUrl(url, `${field}.url`);
  const { name, namespace, path, port } = service ?? {};
  return [
    ...(name ? [] : [required(`${field}.service.name`)]), ...(namespace ? [] : [required(`${field}.service.namespace`)]),
    ...(port !== undefined && !(port >= 1 && port <= 65_535) ? [invalid(`${field}.service.port`, port, 'port is not valid: must be between 1 and 65535, inclusive')] : []),
    ...(path === undefined || path.startsWith('/') ? [] : [invalid(`${field}.service.path`, path, "must start with a '/'")]),
    ...(path !== undefined && path.slice(1).split('/').some((segment) => segment === '') && path !== '/' && !path.endsWith('/') ? [invalid(`${field}.service.path`, path, 'segment may not be empty')] : []),
  ];
}

function validateUrl(url: string, field: string): FieldError[] {
  if (!URL.canParse(url)) return [required(field, `url must be a valid URL: ${JSON.stringify(url)}${urlForm}`)];
  const { protocol, host, username, hash, search } = new URL(url);
  return [
    ...(protocol === 'https:' ? [] : [invalid(field, protocol.slice(0, -1), `'https' is the only allowed URL scheme${urlForm}`)]),
    ...(host === '' ? [invalid(field, host, `host must be specified${urlForm}`)] : []),
    ...(username === '' ? [] : [invalid(field, username, `user information is not permitted in the URL${urlForm}`)]),
    ...(hash === '' ? [] : [invalid(field, hash.slice(1), `fragments are not permitted in the URL${urlForm}`)]),
    ...(search === '' ? [] : [invalid(field, search.slice(1), `query parameters are not permitted in the URL${urlForm}`)]),
  ];
}

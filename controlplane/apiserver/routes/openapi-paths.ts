import { apiVersionOf } from '#api/kinds/resources.ts';
import type { KindDefinition } from '#api/kinds/types.ts';
import type { OpenApiNames } from '#api/meta/openapi-names.ts';
import type { OpenApiVersion } from '#api/meta/openapi.ts';
import { applyType, patchTypes } from './write-parameters.ts';

type Json = Readonly<Record<string, unknown>>;
interface Style { readonly version: OpenApiVersion; readonly names: OpenApiNames }

const writeParameters = ['dryRun', 'fieldManager', 'fieldValidation'];
const listParameters = ['allowWatchBookmarks', 'continue', 'fieldSelector', 'labelSelector', 'limit', 'resourceVersion', 'resourceVersionMatch', 'sendInitialEvents', 'timeoutSeconds', 'watch'];
const deleteParameters = ['dryRun', 'gracePeriodSeconds', 'orphanDependents', 'propagationPolicy'];
const integers = new Set(['gracePeriodSeconds', 'limit', 'timeoutSeconds']);
const booleans = new Set(['allowWatchBookmarks', 'force', 'orphanDependents', 'sendInitialEvents', 'watch']);

const parametersOf: Readonly<Record<string, readonly string[]>> = {
  list: listParameters, post: writeParameters, put: writeParameters, patch: [...writeParameters, 'force'], delete: deleteParameters, deletecollection: [...listParameters, ...deleteParameters],
};

/** What may be asked of `kinds`: enough for clients that look for a kind's verbs, parameters and types. */
export function pathsOf(kinds: readonly KindDefinition[], style: Style): Record<string, unknown> {
  const paths: Record<string, unknown> = {};
  for (const kind of kinds) {
    const { parts = {}, resource, status, scale } = kind;
    const prefix = `/${resource.group === '' ? 'api' : 'apis'}/${apiVersionOf(resource)}`;
    const base = `${prefix}/${resource.namespaced ? 'namespaces/{namespace}/' : ''}${resource.plural}`;
    const do_ = (action: string): Json => operation(kind, action, style);
    const within = resource.namespaced ? [parameter('namespace', 'path', style)] : [];
    const one = [...within, parameter('name', 'path', style)];
    if (isComputed(kind)) {
      paths[base] = { post: do_('post'), parameters: within };
      continue;
    }
    paths[base] = { get: do_('list'), post: do_('post'), delete: do_('deletecollection'), parameters: within };
    paths[`${base}/{name}`] = { get: do_('get'), put: do_('put'), patch: do_('patch'), delete: do_('delete'), parameters: one };
    if (resource.namespaced) paths[`${prefix}/${resource.plural}`] = { get: do_('list') };
    if (status) paths[`${base}/{name}/status`] = { get: do_('get'), put: do_('put'), patch: do_('patch'), parameters: one };
    for (const part of Object.keys(parts)) paths[`${base}/{name}/${part}`] = { get: do_('get'), put: do_('put'), patch: do_('patch'), parameters: one };
    if (!scale) continue;
    const scaled: KindDefinition = { ...kind, resource: { ...resource, group: 'autoscaling', version: 'v1', kind: 'Scale' } };
    paths[`${base}/{name}/scale`] = { get: operation(scaled, 'get', style), put: operation(scaled, 'put', style), patch: operation(scaled, 'patch', style), parameters: one };
  }
  return paths;
}

/** Answered, and never kept. */
export function isComputed({ columns }: Pick<KindDefinition, 'columns'>): boolean {
  return columns.length === 0;
}

function operation(kind: KindDefinition, action: string, { version, names }: Style): Json {
  const { group, version: apiVersion, kind: word } = kind.resource;
  const root = version === 2 ? '#/definitions/' : '#/components/schemas/';
  const own = { $ref: root + (word === 'Scale' ? names.of('Scale') : names.ofKind(kind)) };
  const deletion = action === 'delete' || action === 'deletecollection';
  const result = action === 'list' ? { $ref: `${own.$ref}List` } : deletion ? { $ref: root + names.of('Status') } : own;
  const query = (parametersOf[action] ?? []).map((name) => parameter(name, 'query', { version, names }));
  const common = { 'x-kubernetes-action': action, 'x-kubernetes-group-version-kind': { group, version: apiVersion, kind: word } };
  const sent = action === 'post' || action === 'put' ? own : deletion ? { $ref: root + names.of('DeleteOptions') } : action === 'patch' ? { type: 'object' } : undefined;
  if (version === 2) {
    const body = sent && { name: 'body', in: 'body', required: !deletion, schema: sent };
    return { ...common, parameters: body ? [body, ...query] : query, responses: { 200: { description: 'OK', schema: result } } };
  }
  // kubectl looks here whether a kind takes strategic merge patches; custom resources do not.
  const types = action === 'patch' ? [...Object.keys(patchTypes).filter((type) => patchTypes[type] !== 'strategic' || !kind.structure || word === 'Scale'), applyType] : ['*/*'];
  const requestBody = sent && { content: Object.fromEntries(types.map((type) => [type, { schema: sent }])) };
  return { ...common, parameters: query, ...(requestBody && { requestBody }), responses: { 200: { description: 'OK', content: { 'application/json': { schema: result } } } } };
}

function parameter(name: string, place: 'path' | 'query', { version }: Style): Json {
  const type = integers.has(name) ? 'integer' : booleans.has(name) ? 'boolean' : 'string';
  return { name, in: place, ...(place === 'path' && { required: true }), ...(version === 2 ? { type, uniqueItems: true } : { schema: { type, uniqueItems: true } }) };
}

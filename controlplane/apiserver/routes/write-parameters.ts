import type { KindDefinition } from '#api/kinds/types.ts';
import { invalid as invalidField, tooLong, type FieldError } from '#api/meta/field-error.ts';
import { isRecord } from '#api/meta/json.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { StatusError } from '#common/errors.ts';
import { badRequest, invalid } from '../api-errors.ts';
import { readDocument, type ApiRequest } from '../http/request.ts';
import { booleanParameter, integerParameter } from '../list-options.ts';
import type { WriteOptions } from '../resource-store.ts';
import type { DeleteRequest, User } from '../types.ts';

export { decodeFor, readStrictly } from './documents.ts';

export function writeOptions(request: Pick<ApiRequest, 'query' | 'headers' | 'annotate'>, user: User, kind = 'CreateOptions'): WriteOptions {
  return { user, annotate: request.annotate, dryRun: dryRun(request.query.getAll('dryRun'), kind), fieldManager: fieldManager(request, kind), asked: askedOptions(request.query) };
}

function askedOptions(query: URLSearchParams): Readonly<Record<string, unknown>> {
  return Object.fromEntries(['fieldManager', 'fieldValidation'].flatMap((name) => { const value = query.get(name); return value ? [[name, value]] : []; }));
}

const maxManagerLength = 128;

/** As the client says, or the program's name at the beginning of its User-Agent. */
function fieldManager({ query, headers }: Pick<ApiRequest, 'query' | 'headers'>, kind: string): string {
  const given = query.get('fieldManager') ?? '';
  const refuse = (error: FieldError): StatusError => invalid({ group: 'meta.k8s.io', kind }, '', [error]);
  if (Buffer.byteLength(given) > maxManagerLength) throw refuse(tooLong('fieldManager', maxManagerLength));
  if (/\p{C}/u.test(given)) throw refuse(invalidField('fieldManager', given, 'should only contain printable characters'));
  return given || ((headers['user-agent'] ?? '').split('/')[0]?.replaceAll(/\p{C}/gu, '').slice(0, maxManagerLength) || 'unknown');
}

/** What server-side apply needs to know, and refuses without. */
export function applyOptions(query: URLSearchParams): { readonly manager: string; readonly force: boolean } {
  const manager = query.get('fieldManager') ?? '';
  if (manager === '') throw invalid({ group: 'meta.k8s.io', kind: 'PatchOptions' }, '', [{ type: 'FieldValueRequired', field: 'fieldManager', message: 'Required value: is required for apply patch' }]);
  return { manager, force: booleanParameter(query, 'force') };
}

function dryRun(values: readonly unknown[], kind: string): boolean {
  const wanted = values.filter((value) => value !== '');
  for (const value of wanted) {
    if (value !== 'All') throw invalid({ group: 'meta.k8s.io', kind }, '', [{ type: 'FieldValueNotSupported', field: 'dryRun', message: `Unsupported value: ${JSON.stringify(value)}: supported values: "All"` }]);
  }
  return wanted.length > 0;
}

/** What a client asks of a delete. */
export interface DeleteOptions extends DeleteRequest, WriteOptions {
  /** Said in the old way: dependents go too. A delete that is not done yet is then answered as such. */
  readonly cascades: boolean;
}

/** DeleteOptions come as a body, as query parameters, or not at all. */
export async function deleteOptions(request: ApiRequest, user: User): Promise<DeleteOptions> {
  const body = await request.body();
  return { ...parseDeleteOptions(body.length > 0 ? await readDocument(request) : {}, request.query, user), annotate: request.annotate };
}

export function parseDeleteOptions(given: unknown, query: URLSearchParams, user: User): DeleteOptions {
  if (!isRecord(given)) throw badRequest('the DeleteOptions provided are not a JSON object');
  if (given['kind'] !== undefined && given['kind'] !== 'DeleteOptions') throw badRequest(`the object provided is a ${JSON.stringify(given['kind'])}; DeleteOptions are needed`);
  const grace = given['gracePeriodSeconds'] ?? integerParameter(query, 'gracePeriodSeconds');
  const policy = given['propagationPolicy'] ?? (query.get('propagationPolicy') || undefined);
  const orphan = given['orphanDependents'] ?? (query.has('orphanDependents') ? booleanParameter(query, 'orphanDependents') : undefined);
  if (grace !== undefined && (typeof grace !== 'number' || !Number.isSafeInteger(grace))) throw badRequest('gracePeriodSeconds must be an integer');
  if (orphan !== undefined && typeof orphan !== 'boolean') throw badRequest('orphanDependents must be a boolean');
  const refuse = (type: FieldError['type'], message: string): StatusError => invalid({ group: 'meta.k8s.io', kind: 'DeleteOptions' }, '', [{ type, field: 'propagationPolicy', message }]);
  if (policy !== undefined && orphan !== undefined) throw refuse('FieldValueInvalid', `Invalid value: ${JSON.stringify(policy)}: orphanDependents and deletionPropagation cannot be both set`);
  if (policy !== undefined && policy !== 'Foreground' && policy !== 'Background' && policy !== 'Orphan') {
    throw refuse('FieldValueNotSupported', `Unsupported value: ${JSON.stringify(policy)}: supported values: "Foreground", "Background", "Orphan", "nil"`);
  }
  const dryRuns = Array.isArray(given['dryRun']) ? given['dryRun'] as unknown[] : query.getAll('dryRun');
  const preconditions = preconditionsOf(given['preconditions']);
  const propagationPolicy = policy ?? (orphan === undefined ? undefined : orphan ? 'Orphan' : 'Background');
  return {
    user, dryRun: dryRun(dryRuns, 'DeleteOptions'), cascades: orphan === false,
    asked: { ...(grace !== undefined && { gracePeriodSeconds: grace }), ...(preconditions && { preconditions }), ...(orphan !== undefined && { orphanDependents: orphan }), ...(policy !== undefined && { propagationPolicy: policy }) },
    ...(preconditions && { preconditions }),
    ...(typeof grace === 'number' && { gracePeriodSeconds: grace }),
    ...(propagationPolicy && { propagationPolicy }),
  };
}

function preconditionsOf(value: unknown): { uid?: string; resourceVersion?: string } | undefined {
  if (value === undefined || value === null) return undefined;
  if (!isRecord(value)) throw badRequest('preconditions must be an object');
  const { uid, resourceVersion } = value;
  if ((uid !== undefined && typeof uid !== 'string') || (resourceVersion !== undefined && typeof resourceVersion !== 'string')) throw badRequest('preconditions must be strings');
  return { ...(uid !== undefined && { uid }), ...(resourceVersion !== undefined && { resourceVersion }) };
}

export const patchTypes: Readonly<Record<string, 'json' | 'merge' | 'strategic'>> = {
  'application/json-patch+json': 'json',
  'application/merge-patch+json': 'merge',
  'application/strategic-merge-patch+json': 'strategic',
};

/** Server-side apply. */
export const applyType = 'application/apply-patch+yaml';

/** Strategic merge needs to know what is merged by which key, which a custom resource does not say. */
export function patchTypeOf(type: string, { structure }: Pick<KindDefinition, 'structure'>, query: URLSearchParams): 'json' | 'merge' | 'strategic' {
  const patchType = Object.hasOwn(patchTypes, type) ? patchTypes[type] : undefined;
  const served = (one: string | undefined): boolean => one !== 'strategic' || structure === undefined;
  if (patchType && served(patchType)) {
    if (!query.get('force')) return patchType;
    throw invalid({ group: 'meta.k8s.io', kind: 'PatchOptions' }, '', [{ type: 'FieldValueForbidden', field: 'force', message: 'Forbidden: may not be specified for non-apply patch' }]);
  }
  const accepted = Object.keys(patchTypes).filter((one) => served(patchTypes[one]));
  throw new StatusError('UnsupportedMediaType', `the body of the request was in an unknown format - accepted media types include: ${[...accepted, applyType].join(', ')}`);
}

/** An object must be what its URL says; what it leaves out of that is filled in. */
export function checkAddress(object: KubeObject, namespace: string | undefined, name: string): void {
  object.metadata ??= {};
  const meta = object.metadata;
  if (meta.name !== undefined && meta.name !== '' && meta.name !== name) throw badRequest(`the name of the object (${meta.name}) does not match the name on the URL (${name})`);
  if (meta.namespace && meta.namespace !== namespace) throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
  meta.name = name;
  if (namespace !== undefined) meta.namespace = namespace;
}

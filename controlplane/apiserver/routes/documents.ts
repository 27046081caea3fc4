import { decode, strictError } from '#api/kinds/engine.ts';
import { apiVersionOf } from '#api/kinds/resources.ts';
import type { KindDefinition } from '#api/kinds/types.ts';
import { equal } from '#api/meta/equal.ts';
import { invalid as invalidField } from '#api/meta/field-error.ts';
import { isRecord } from '#api/meta/json.ts';
import { duplicatesIn } from '#api/meta/managed-fields/duplicates.ts';
import { withNulls } from '#api/meta/managed-fields/nulls.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { isStatus } from '#common/errors.ts';
import { badRequest, invalid } from '../api-errors.ts';
import { duplicateField, duplicateFields, problemsInOrder, unknownField } from '../http/duplicate-fields.ts';
import { mediaType, readBody, type ApiRequest } from '../http/request.ts';

/** How bodies become objects, and what is said of their fields that are unknown or come twice, as `fieldValidation` asks. */
type FieldValidation = 'Strict' | 'Warn' | 'Ignore';
type Kind<T extends KubeObject> = Pick<KindDefinition<T>, 'resource' | 'schema' | 'structure'>;

export function fieldValidation(query: URLSearchParams): FieldValidation {
  const value = query.get('fieldValidation') ?? '';
  if (value === 'Strict' || value === 'Warn' || value === 'Ignore') return value;
  if (value === '') return 'Warn';
  throw invalid({ group: 'meta.k8s.io', kind: 'CreateOptions' }, '', [{ type: 'FieldValueNotSupported', field: 'fieldValidation', message: `Unsupported value: ${JSON.stringify(value)}: supported values: "Ignore", "Strict", "Warn"` }]);
}

/** A document as a client sent it, with what its reading has lost. */
export interface Document {
  readonly value: unknown;
  /** What is wrong with its fields, given those that the kind does not know; `mixed`: in the order of the text where that is known. */
  readonly problems: (unknown: readonly string[], mixed: boolean) => readonly string[];
}

const jsonPatchType = 'application/json-patch+json';
const applyType = 'application/apply-patch+yaml';

/** The body, ready to tell of its duplicate fields unless the client does not care. */
export async function readStrictly(request: ApiRequest, accepted?: readonly string[]): Promise<Document> {
  const { value, json, duplicates } = await readBody(request, accepted);
  if (fieldValidation(request.query) === 'Ignore') return { value, problems: () => [] };
  const type = mediaType(request);
  if (type === applyType) {
    const lines = json === undefined || duplicateFields(json).length === 0 ? duplicates : (await import('../http/yaml.ts')).parseYaml(json).duplicates;
    return { value, problems: () => lines };
  }
  const isPatch = type.endsWith('-patch+json');
  const own = json === undefined ? duplicates : type === jsonPatchType ? patchProblems(json, value) : duplicateFields(json).map(duplicateField);
  return {
    value,
    problems: (unknown, mixed) => (json !== undefined && mixed && !isPatch && unknown.length > 0 ? problemsInOrder(json, unknown) : [...own, ...[...unknown].sort().map(unknownField)]),
  };
}

const patchFields = new Set(['op', 'path', 'from', 'value']);

/** Of the operations themselves: what their values bring is seen in the result. */
function patchProblems(json: string, operations: unknown): string[] {
  const unknown = Array.isArray(operations) ? operations.flatMap((operation: unknown, i) => (isRecord(operation) ? Object.keys(operation).filter((key) => !patchFields.has(key)).map((key) => `[${String(i)}].${key}`) : [])) : [];
  return problemsInOrder(json, unknown).map((problem) => `json patch ${problem}`);
}

/** Decodes what a client sent, and refuses or warns of unknown and duplicate fields as it asked. */
export function decodeFor<T extends KubeObject>(kind: Kind<T>, { value, problems }: Document, query: URLSearchParams, warnings: string[]): T {
  const { object, unknown } = decodeTyped(kind, value);
  report(kind, problems(unknown, kind.structure === undefined), query, warnings);
  dropRepeatedOwners(object, warnings);
  return object;
}

/** An owner that is named twice is kept once, and said. */
function dropRepeatedOwners({ metadata }: KubeObject, warnings: string[]): void {
  const owners = metadata?.ownerReferences;
  if (!metadata || !owners || owners.length < 2) return;
  const kept = owners.filter((owner, i) => owners.findIndex((other) => equal(other, owner)) === i);
  if (kept.length === owners.length) return;
  const repeated = new Set(owners.filter((owner, i) => owners.findIndex((other) => equal(other, owner)) !== i).map(({ uid }) => uid));
  metadata.ownerReferences = kept;
  warnings.push(`metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: ${[...repeated].join(', ')}`);
}

/** As `decodeFor`, for what a patch has made; what is wrong with it is the patch's fault. */
export function decodePatched<T extends KubeObject>(kind: Kind<T>, patch: Document, patched: unknown, query: URLSearchParams, warnings: string[]): T {
  try {
    return decodeFor(kind, { ...patch, value: patched }, query, warnings);
  } catch (error) {
    if (!isStatus(error, 'BadRequest')) throw error;
    const why = error.message.replace(/^\S+ in version "\S+" cannot be handled as a \S+: /, '');
    throw invalid({ group: '', kind: '' }, '', [invalidField('patch', JSON.stringify(patch.value), why)]);
  }
}

/** As `decodeFor`, for an applied configuration: nobody can own a field that does not exist. */
export function decodeApplied<T extends KubeObject>(kind: Kind<T>, { value, problems }: Document, namespace: string | undefined, query: URLSearchParams, warnings: string[]): T {
  const { object, unknown } = decodeTyped(kind, value);
  const lines = problems([], false);
  if (lines.length > 0 && fieldValidation(query) === 'Strict') throw badRequest(`error strict decoding YAML: error converting YAML to JSON: ${listOf(lines)}`);
  warnings.push(...lines);
  const problemsOfType = unknown.length > 0 ? unknown.map((path) => `.${path}: field not declared in schema`) : duplicatesIn(kind.schema(), object);
  if (problemsOfType.length === 0) return withNulls(kind.schema(), value, object) as T;
  const { group, version, kind: name } = kind.resource;
  throw badRequest(`failed to create typed patch object (${namespace ?? ''}/${object.metadata?.name ?? ''}; ${group}/${version}, Kind=${name}): ${problemsOfType.length === 1 ? problemsOfType[0] ?? '' : `errors:\n  ${problemsOfType.join('\n  ')}`}`);
}

function decodeTyped<T extends KubeObject>(kind: Kind<T>, value: unknown): { readonly object: T; readonly unknown: readonly string[] } {
  if (!isRecord(value)) throw badRequest(`the object provided is unrecognized (must be of type ${kind.resource.kind}): it is not a JSON object`);
  const decoded = decode(kind, { ...value, apiVersion: value['apiVersion'] ?? apiVersionOf(kind.resource), kind: value['kind'] ?? kind.resource.kind });
  return { object: decoded.object, unknown: decoded.unknown };
}

const maxWarnings = 20;

function report(kind: Kind<KubeObject>, problems: readonly string[], query: URLSearchParams, warnings: string[]): void {
  const mode = fieldValidation(query);
  if (problems.length === 0 || mode === 'Ignore') return;
  if (mode === 'Warn') {
    warnings.push(...problems.slice(0, maxWarnings));
    return;
  }
  const lines = problems.filter((problem) => problem.startsWith('line '));
  throw strictError(kind, [...(lines.length > 0 ? [listOf(lines)] : []), ...problems.slice(lines.length)]);
}

/** As Go's reader of YAML lists them. */
function listOf(lines: readonly string[]): string {
  return `yaml: unmarshal errors:\n  ${lines.join('\n  ')}`;
}

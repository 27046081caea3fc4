import { StatusError } from '#common/errors.ts';
import { equal } from '../meta/equal.ts';
import { printFieldError, type FieldError } from '../meta/field-error.ts';
import { copyJson, isRecord, own, setOwn, type JsonRecord } from '../meta/json.ts';
import { validateMetadata, validateMetadataUpdate } from '../meta/metadata.ts';
import type { KubeObject, ObjectMeta } from '../meta/object.ts';
import { omitEmpty } from '../meta/omit-empty.ts';
import { schemaNamed } from '../meta/schema.ts';
import { typeWords } from '../meta/type-words.ts';
import { checkStructure, cleanCopy } from '../meta/validate.ts';
import { apiVersionOf } from './resources.ts';
import type { KindDefinition, ObjectPart } from './types.ts';

export interface Decoded<T extends KubeObject> {
  /** A new object without the unknown fields. */
  readonly object: T;
  /** Dotted paths of what was dropped: warn or refuse (`strictError`), as `fieldValidation` says. */
  readonly unknown: string[];
}

/** `status`, `scale` and so on; undefined is the main resource. */
export type Subresource = 'status' | 'scale' | 'binding' | 'finalize' | 'eviction' | 'ephemeralcontainers' | 'resize' | 'approval';

/**
 * Checks apiVersion, kind and types of parsed JSON. Throws BadRequest. Never changes `value`.
 * Missing fields are not its business: `validate` names them together with all other broken rules.
 */
export function decode<T extends KubeObject>(kind: Pick<KindDefinition<T>, 'resource' | 'schema' | 'structure'>, value: unknown): Decoded<T> {
  const apiVersion = apiVersionOf(kind.resource);
  if (!isRecord(value)) throw unreadable(kind, 'the body must be a JSON object');
  for (const [field, expected] of [['apiVersion', apiVersion], ['kind', kind.resource.kind]] as const) {
    const found = own(value, field) ?? '';
    if (found !== '' && found !== expected) {
      throw new StatusError('BadRequest', `the ${field === 'kind' ? 'kind' : 'API version'} in the data (${String(JSON.stringify(found)).slice(1, -1)}) does not match the expected ${field === 'kind' ? 'kind' : 'API version'} (${expected})`);
    }
  }
  const { value: copy, errors, unknown, mistyped } = kind.structure?.clean(value) ?? cleanCopy(kind.schema(), value);
  const wrong = errors.filter((error) => error.type !== 'FieldValueRequired');
  if (wrong.length > 0) throw unreadable(kind, mistyped ? typeWords(kind.schema(), kind.resource.kind, mistyped) : wrong.map(printFieldError).join(', '));
  const object: JsonRecord = { apiVersion, kind: kind.resource.kind, ...(isRecord(copy) ? copy : {}) };
  if (!isRecord(object['metadata'])) object['metadata'] = {};
  // The schema has just vouched for the shape that `T` describes.
  return { object: { ...object, apiVersion, kind: kind.resource.kind } as unknown as T, unknown };
}

function unreadable(kind: Pick<KindDefinition, 'resource'>, reason: string): StatusError {
  const { version, kind: name } = kind.resource;
  return new StatusError('BadRequest', `${name} in version ${JSON.stringify(version)} cannot be handled as a ${name}: ${reason}`);
}

/** The answer to `unknown field "a.b"`, `duplicate field "c"` under `fieldValidation=Strict`, as kubectl expects it. */
export function strictError(kind: Pick<KindDefinition, 'resource'>, problems: readonly string[]): StatusError {
  return unreadable(kind, `strict decoding error: ${problems.join(', ')}`);
}

/** Fills in defaults, for what is empty, too. Changes `object` in place and returns it. Idempotent. */
export function applyDefaults<T extends KubeObject>(kind: KindDefinition<T>, object: T): T {
  omitEmptyFields(kind, object);
  kind.setDefaults?.(object);
  return object;
}

/**
 * Drops what a client may not decide on create: uid, resourceVersion, creationTimestamp, deletionTimestamp, status;
 * generation becomes 1 where the kind has one. `uid` is the new object's; the caller has set a generated name and sets creationTimestamp.
 * Changes `object` in place and returns it.
 */
export function prepareCreate<T extends KubeObject>(kind: KindDefinition<T>, object: T, uid?: string): T {
  const meta: ObjectMeta = (object.metadata ??= {});
  for (const field of ['uid', 'resourceVersion', 'creationTimestamp', 'deletionTimestamp', 'deletionGracePeriodSeconds', 'selfLink', 'generation'] as const) delete meta[field];
  if (countsGenerations(kind)) meta.generation = 1;
  if (uid !== undefined) meta.uid = uid;
  if (kind.prepareForCreate) kind.prepareForCreate(object);
  else setField(object, 'status', undefined);
  omitEmptyFields(kind, object);
  return object;
}

/**
 * Restores from `old` what the write may not change and bumps generation. A write to the main resource keeps the
 * status, a write to `status` keeps all but the status, labels and annotations. Changes `object` in place and returns it; never changes `old`.
 */
export function prepareUpdate<T extends KubeObject>(kind: KindDefinition<T>, object: T, old: T, subresource?: Subresource): T {
  const meta: ObjectMeta = (object.metadata ??= {});
  const oldMeta = old.metadata ?? {};
  if (ofStatus(subresource)) restoreAllButStatus(object, old, kind.structure ? ['resourceVersion'] : ['resourceVersion', 'labels', 'annotations']);
  else if (partOf(kind, subresource)) restoreAllButPart(kind, object, old, subresource);
  else {
    keepServerFields(meta, oldMeta);
    if (kind.status) setField(object, 'status', copyJson(field(old, 'status')));
    if (subresource === undefined) kind.prepareForUpdate?.(object, old);
  }
  omitEmptyFields(kind, object);
  const current: ObjectMeta = (object.metadata ??= {});
  const counts = countsGenerations(kind);
  if (counts) current.generation = (oldMeta.generation ?? 0) + (sameSpec(kind, object, old) ? 0 : 1);
  if (current.generation === 0 || !counts) delete current.generation;
  return object;
}

/** Of a custom resource the metadata only: the rest is its author's. */
function omitEmptyFields<T extends KubeObject>(kind: KindDefinition<T>, object: T): void {
  if (kind.structure) omitEmpty(schemaNamed('ObjectMeta'), object.metadata);
  else omitEmpty(kind.schema(), object);
}

/** Subresources by which nothing but the status is written; by `approval` a certificate signing request's decision. */
function ofStatus(subresource: Subresource | undefined): boolean {
  return subresource === 'status' || subresource === 'approval';
}

function partOf<T extends KubeObject>({ parts }: KindDefinition<T>, subresource: Subresource | undefined): ObjectPart<T> | undefined {
  return subresource !== undefined && parts !== undefined && Object.hasOwn(parts, subresource) ? parts[subresource] : undefined;
}

/** Of what was sent counts the part, and what the store compares. */
function restoreAllButPart<T extends KubeObject>(kind: KindDefinition<T>, object: T, old: T, subresource: Subresource | undefined): void {
  const sent = { ...object };
  for (const key of Object.keys(object)) setField(object, key, undefined);
  for (const [key, value] of Object.entries(old)) setField(object, key, copyJson(value as unknown));
  const meta: ObjectMeta = (object.metadata ??= {});
  for (const key of ['resourceVersion', 'managedFields'] as const) if (sent.metadata?.[key] !== undefined) setField(meta, key, sent.metadata[key]);
  partOf(kind, subresource)?.apply(object, sent);
}

function countsGenerations(kind: Pick<KindDefinition, 'status' | 'generation'>): boolean {
  return kind.generation ?? kind.status;
}

/** A client may leave these out; what it may not do is change them, which `validate` refuses. */
function keepServerFields(meta: ObjectMeta, old: ObjectMeta): void {
  if (!meta.name && old.name !== undefined) meta.name = old.name;
  if (!meta.namespace && old.namespace !== undefined) meta.namespace = old.namespace;
  if (!meta.uid && old.uid !== undefined) meta.uid = old.uid;
  meta.creationTimestamp ??= old.creationTimestamp;
  if (meta.creationTimestamp === undefined) delete meta.creationTimestamp;
  delete meta.selfLink;
  // Once set these stay; nobody but the server's delete moves them.
  if (old.deletionTimestamp !== undefined) meta.deletionTimestamp = old.deletionTimestamp;
  if (old.deletionGracePeriodSeconds !== undefined) meta.deletionGracePeriodSeconds = old.deletionGracePeriodSeconds;
}

/** The client's resourceVersion stays: the store compares it. So do labels and annotations of built-in kinds, by which status writers talk to each other. */
function restoreAllButStatus(object: KubeObject, old: KubeObject, kept: readonly ('resourceVersion' | 'labels' | 'annotations')[]): void {
  const { metadata: sent = {} } = object;
  for (const key of Object.keys(object)) if (key !== 'status') setField(object, key, undefined);
  for (const key of Object.keys(old)) if (key !== 'status') setField(object, key, copyJson(field(old, key)));
  const meta: ObjectMeta = (object.metadata ??= {});
  for (const key of kept) setField(meta, key, sent[key]);
  if (sent.managedFields !== undefined) meta.managedFields = sent.managedFields;
}

function field(object: KubeObject, key: string): unknown {
  return own(object as JsonRecord, key);
}

function setField(object: object, key: string, value: unknown): void {
  if (value === undefined) delete (object as JsonRecord)[key];
  else setOwn(object as JsonRecord, key, value);
}

const outsideSpec = new Set(['apiVersion', 'kind', 'metadata']);

/** Where the status has no subresource it is a field like others. */
function sameSpec({ status, structure }: Pick<KindDefinition, 'status' | 'structure'>, a: KubeObject, b: KubeObject): boolean {
  const apart = (key: string): boolean => outsideSpec.has(key) || (key === 'status' && (status || structure === undefined));
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].every((key) => apart(key) || equal(field(a, key), field(b, key)));
}

/** All rules: metadata, then the kind's. `old` on update; `subresource` 'status' checks the status only. Empty: valid. */
export function validate<T extends KubeObject>(kind: KindDefinition<T>, object: T, old?: T, subresource?: Subresource): FieldError[] {
  const errors = validateMetadata(object.metadata, { namespaced: kind.resource.namespaced, nameRule: kind.nameRule });
  if (old !== undefined) errors.push(...validateMetadataUpdate(object.metadata ?? {}, old.metadata ?? {}));
  if (ofStatus(subresource) && old !== undefined) errors.push(...kind.validateStatus?.(object, old) ?? []);
  // Binding and finalizing change what an ordinary update may not; the object must be sound all the same.
  else errors.push(...kind.validate?.(object, subresource === undefined || subresource === 'scale' ? old : undefined) ?? []);
  if (old === undefined) errors.push(...kind.validateNew?.(object) ?? []);
  else errors.push(...partOf(kind, subresource)?.validate(object, old) ?? []);
  if (kind.structure) return [...errors, ...kind.structure.check(object, old)];
  // A kind's own words for a missing field come first.
  const known = errors.map((error) => error.field);
  for (const error of checkStructure(kind.schema(), object).errors) {
    if (!known.some((path) => path === error.field || path.startsWith(`${error.field}.`))) errors.push(error);
  }
  return errors;
}

import type { FieldError } from '../meta/field-error.ts';
import type { KubeObject } from '../meta/object.ts';
import type { KindDefinition } from './types.ts';

export interface Decoded<T extends KubeObject> {
  /** A new object without the unknown fields. */
  readonly object: T;
  /** Dotted paths of what was dropped: warn or refuse, as `fieldValidation` says. */
  readonly unknown: string[];
}

/** `status`, `scale` and so on; undefined is the main resource. */
export type Subresource = 'status' | 'scale' | 'binding' | 'finalize' | 'eviction';

/** Checks apiVersion, kind and structure of parsed JSON. Throws BadRequest in Kubernetes' words. Never changes `value`. */
export function decode<T extends KubeObject>(kind: KindDefinition<T>, value: unknown): Decoded<T> {
  void kind; void value;
  throw new Error('not built yet');
}

/** Fills in defaults. Changes `object` in place and returns it. Idempotent. */
export function applyDefaults<T extends KubeObject>(kind: KindDefinition<T>, object: T): T {
  void kind;
  return object;
}

/**
 * Drops what a client may not decide on create: uid, resourceVersion, creationTimestamp, deletionTimestamp, status; generation
 * becomes 1 where the kind has one. The caller sets uid, creationTimestamp and a generated name. In place; returns `object`.
 */
export function prepareCreate<T extends KubeObject>(kind: KindDefinition<T>, object: T): T {
  void kind;
  return object;
}

/**
 * Restores from `old` what the write may not change and bumps generation. A write to the main resource keeps the status, a write
 * to `status` keeps all but the status. Changes `object` in place and returns it; never changes `old`.
 */
export function prepareUpdate<T extends KubeObject>(kind: KindDefinition<T>, object: T, old: T, subresource?: Subresource): T {
  void kind; void old; void subresource;
  return object;
}

/** All rules: metadata, then the kind's. `old` on update; `subresource` 'status' checks the status only. Empty: valid. */
export function validate<T extends KubeObject>(kind: KindDefinition<T>, object: T, old?: T, subresource?: Subresource): FieldError[] {
  void kind; void object; void old; void subresource;
  return [];
}

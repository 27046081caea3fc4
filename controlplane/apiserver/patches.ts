import { jsonPatch, mergePatch, strategicMergePatch } from '#api/meta/patch.ts';
import type { Schema } from '#api/meta/schema.ts';
import type { PatchType } from './types.ts';

/** The patched document, not yet decoded. Never changes what it is given. */
export function applyPatch(schema: Schema, document: unknown, type: PatchType, patch: unknown): unknown {
  if (type === 'json') return jsonPatch(document, patch);
  return type === 'merge' ? mergePatch(document, patch) : strategicMergePatch(schema, document, patch);
}

import type { Schema } from './schema.ts';

/** Kubernetes' strategic merge patch. Returns a new value. A malformed patch is BadRequest. */
export function strategicMergePatch(schema: Schema, document: unknown, patch: unknown): unknown {
  void schema; void document; void patch;
  throw new Error('not built yet');
}

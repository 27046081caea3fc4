import type { FieldError } from './field-error.ts';
import type { Schema } from './schema.ts';

export interface StructureReport {
  readonly errors: FieldError[];
  /** Dotted paths of fields that the schema lacks, e.g. `spec.containers[0].imagee`. */
  readonly unknown: string[];
}

/** Checks types, required fields, formats and enums. Reads only. Nesting beyond the limit is one clear error. */
export function checkStructure(schema: Schema, value: unknown): StructureReport {
  void schema; void value;
  throw new Error('not built yet');
}

/** Deletes from `value`, in place, every field that the schema lacks. */
export function prune(schema: Schema, value: unknown): void {
  void schema; void value;
  throw new Error('not built yet');
}

import type { KindDefinition } from '../kinds/types.ts';
import type { Schema } from './schema.ts';

/** OpenAPI v3 `components.schemas` for `kinds` with all that they refer to, under Kubernetes' full names. */
export function definitionsFor(kinds: readonly KindDefinition[]): Record<string, Schema> {
  void kinds;
  throw new Error('not built yet');
}

/** `io.k8s.api.core.v1.Pod` for the generated name `Pod`. */
export function fullName(definition: string): string {
  void definition;
  throw new Error('not built yet');
}

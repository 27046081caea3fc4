import type { ObjectMeta } from '../gen/types.ts';
import type { FieldError } from './field-error.ts';

export interface MetadataRules {
  readonly namespaced: boolean;
  readonly nameRule: 'dns-subdomain' | 'dns-label' | 'dns-1035-label' | 'path-segment';
}

/** ObjectMeta's own rules: name, generateName, namespace, labels, annotations, finalizers, ownerReferences. */
export function validateMetadata(metadata: ObjectMeta | undefined, rules: MetadataRules, field = 'metadata'): FieldError[] {
  void metadata; void rules; void field;
  throw new Error('not built yet');
}

/** What an update may not change, beyond what the engine restores. */
export function validateMetadataUpdate(metadata: ObjectMeta, old: ObjectMeta, field = 'metadata'): FieldError[] {
  void metadata; void old; void field;
  throw new Error('not built yet');
}

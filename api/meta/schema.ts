import { readFileSync } from 'node:fs';
import { StatusError } from '#common/errors.ts';

/**
 * A structural schema: the subset of OpenAPI v3 that Kubernetes allows, with Kubernetes' annotations.
 * A `$ref` is the plain name of a definition in `api/gen/schemas.json`; it may stand beside annotations.
 */
export interface Schema {
  readonly $ref?: string;
  readonly type?: string;
  /** int32, int64, double, byte, date-time, quantity, int-or-string. */
  readonly format?: string;
  readonly description?: string;
  readonly items?: Schema;
  readonly additionalProperties?: Schema | boolean;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly nullable?: boolean;
  /** What follows is said by CustomResourceDefinitions only. */
  readonly title?: string;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: boolean;
  readonly exclusiveMaximum?: boolean;
  readonly multipleOf?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly uniqueItems?: boolean;
  readonly minProperties?: number;
  readonly maxProperties?: number;
  readonly allOf?: readonly Schema[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly not?: Schema;
  readonly 'x-kubernetes-patch-merge-key'?: string;
  /** merge, replace, retainKeys, or two of them joined by a comma. */
  readonly 'x-kubernetes-patch-strategy'?: string;
  readonly 'x-kubernetes-list-type'?: string;
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
  readonly 'x-kubernetes-map-type'?: string;
  readonly 'x-kubernetes-int-or-string'?: boolean;
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean;
  readonly 'x-kubernetes-embedded-resource'?: boolean;
  readonly [extension: `x-kubernetes-${string}`]: unknown;
}

let definitions: ReadonlyMap<string, Schema> | undefined;

/** Every definition of the generated contract by name. Read from disk at first use, then kept. */
export function allDefinitions(): ReadonlyMap<string, Schema> {
  definitions ??= new Map(Object.entries(
    JSON.parse(readFileSync(new URL('../gen/schemas.json', import.meta.url), 'utf8')) as Record<string, Schema>,
  ));
  return definitions;
}

/** A definition of the generated contract. Asking for a name that it lacks is a programming error. */
export function schemaNamed(name: string): Schema {
  const schema = allDefinitions().get(name);
  if (schema === undefined) throw new StatusError('InternalError', `no schema is named ${JSON.stringify(name)}; add its model to api/gen/generate.ts`);
  return schema;
}

/** The schema itself, or the definition that its `$ref` names. Annotations beside a `$ref` stay with the caller. */
export function resolve(schema: Schema): Schema {
  return schema.$ref === undefined ? schema : schemaNamed(schema.$ref);
}

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
  /** Of the contract's definitions: optional scalars whose zero is not the same as none. */
  readonly keepsZeros?: readonly string[];
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

/** The generated contract: text until a definition is asked for, because most of them never are. */
class Definitions {
  readonly #byName = new Map<string, string | Schema>();

  /** `text` has a definition a line, as `api/gen/generate.ts` writes it. */
  constructor(text: string) {
    for (const line of text.split('\n')) {
      const end = line.indexOf('":');
      if (end > 0) this.#byName.set(line.slice(1, end), line.slice(end + 2, line.endsWith(',') ? -1 : undefined));
    }
  }

  get(name: string): Schema | undefined {
    const schema = this.peek(name);
    if (schema) this.#byName.set(name, schema);
    return schema;
  }

  peek(name: string): Schema | undefined {
    const known = this.#byName.get(name);
    return typeof known === 'string' ? JSON.parse(known) as Schema : known;
  }

  * inUse(): Generator<[string, Schema], void, void> {
    for (const [name, known] of this.#byName) if (typeof known !== 'string') yield [name, known];
  }
}

let definitions: Definitions | undefined;

function contract(): Definitions {
  definitions ??= new Definitions(readFileSync(new URL('../gen/schemas.json', import.meta.url), 'utf8'));
  return definitions;
}

/** A definition of the generated contract that is not kept: documents of all of them would hold 2 MB for ever. */
export function peekDefinition(name: string): Schema | undefined {
  return contract().peek(name);
}

/** The definitions that have been asked for by `schemaNamed`, which gives the same objects again. */
export function definitionsInUse(): Iterable<readonly [string, Schema]> {
  return contract().inUse();
}

/** A definition of the generated contract. Asking for a name that it lacks is a programming error. */
export function schemaNamed(name: string): Schema {
  const schema = contract().get(name);
  if (schema === undefined) throw new StatusError('InternalError', `no schema is named ${JSON.stringify(name)}; add its model to api/gen/generate.ts`);
  return schema;
}

/** The schema itself, or the definition that its `$ref` names. Annotations beside a `$ref` stay with the caller. */
export function resolve(schema: Schema): Schema {
  return schema.$ref === undefined ? schema : schemaNamed(schema.$ref);
}

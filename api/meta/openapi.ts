import { apiVersionOf } from '../kinds/resources.ts';
import type { KindDefinition } from '../kinds/types.ts';
import { describeFields } from './descriptions.ts';
import { OpenApiNames } from './openapi-names.ts';
import { peekDefinition, type Schema } from './schema.ts';

/** Swagger 2.0, which older kubectl reads, or OpenAPI 3.0. */
export type OpenApiVersion = 2 | 3;

const roots: Readonly<Record<OpenApiVersion, string>> = { 2: '#/definitions/', 3: '#/components/schemas/' };

/** What requests and answers of every kind are made of. */
const common = ['DeleteOptions', 'ListMeta', 'Status', 'Scale', 'Binding'];

/** Kubernetes' types of its own for scalars that JSON has no type for. */
const quantity = 'io.k8s.apimachinery.pkg.api.resource.Quantity';
const intOrString = 'io.k8s.apimachinery.pkg.util.intstr.IntOrString';
const time = 'io.k8s.apimachinery.pkg.apis.meta.v1.Time';

function scalars(version: OpenApiVersion): Readonly<Record<string, Schema>> {
  const either = (type: string): Schema => (version === 2 ? { type: 'string' } : { oneOf: [{ type: 'string' }, { type }] });
  return { [quantity]: either('number'), [intOrString]: { ...either('integer'), format: 'int-or-string' }, [time]: { type: 'string', format: 'date-time' } };
}

/**
 * The schemas of `kinds` with their lists and all that they refer to, under Kubernetes' full names. `names` gives those;
 * the default knows `kinds` only.
 */
export function definitionsFor(kinds: readonly KindDefinition[], version: OpenApiVersion = 3, names = new OpenApiNames(kinds)): Record<string, Schema> {
  return new Definitions(version, names).of(kinds);
}

class Definitions {
  readonly #version: OpenApiVersion;
  readonly #names: OpenApiNames;
  readonly #result: Record<string, Schema> = {};
  readonly #queue: string[] = [...common];
  readonly #scalars: Readonly<Record<string, Schema>>;

  constructor(version: OpenApiVersion, names: OpenApiNames) {
    this.#version = version;
    this.#names = names;
    this.#scalars = scalars(version);
  }

  of(kinds: readonly KindDefinition[]): Record<string, Schema> {
    for (const kind of kinds) {
      const name = this.#names.ofKind(kind);
      const { group, version, kind: word } = kind.resource;
      this.#result[name] = { ...this.#ofKind(kind), 'x-kubernetes-group-version-kind': [{ group, version, kind: word }] };
      if (kind.columns.length > 0) this.#result[`${name}List`] = this.#list(kind, name);
    }
    for (let name = this.#queue.pop(); name !== undefined; name = this.#queue.pop()) {
      const schema = peekDefinition(name);
      const full = this.#names.of(name);
      if (schema === undefined || Object.hasOwn(this.#result, full)) continue;
      this.#result[full] = {};
      this.#result[full] = this.#schema(describeFields(name, schema), false);
    }
    return this.#result;
  }

  /** In Swagger, fields beside others that may have any name could not be told from the only ones: kubectl takes them for that. */
  #ofKind(kind: KindDefinition): Schema {
    const schema = kind.schema();
    const isCustom = kind.structure !== undefined;
    if (this.#version === 2 && isCustom && schema['x-kubernetes-preserve-unknown-fields'] === true) return { type: 'object' };
    return this.#schema(describeFields('', schema), isCustom);
  }

  /** `isCustom`: written by a user, who may say more than Kubernetes' own schemas do. */
  #schema(schema: Schema, isCustom: boolean): Schema {
    const { $ref, items, additionalProperties, properties, keepsZeros: _, ...rest } = schema;
    if ($ref !== undefined) {
      this.#queue.push($ref);
      return this.#reference(this.#names.of($ref), rest);
    }
    const scalar = isCustom ? undefined : scalarOf(schema);
    if (scalar !== undefined) return this.#reference(scalar, extensions(rest));
    if (this.#version === 2 && isCustom && (schema.nullable === true || schema['x-kubernetes-preserve-unknown-fields'] === true)) return extensions(rest);
    const within = (part: Schema): Schema => this.#schema(part, isCustom);
    return {
      ...(this.#version === 2 ? withoutChoices(rest) : rest),
      ...(items === undefined ? {} : { items: within(items) }),
      ...(additionalProperties === undefined ? {} : { additionalProperties: typeof additionalProperties === 'boolean' ? additionalProperties : within(additionalProperties) }),
      ...(properties === undefined ? {} : { properties: Object.fromEntries(Object.entries(properties).map(([name, property]) => [name, within(property)])) }),
    };
  }

  #reference(name: string, rest: Schema): Schema {
    const scalar = this.#scalars[name];
    if (scalar) this.#result[name] ??= scalar;
    const reference: Schema = { $ref: roots[this.#version] + name };
    // A sibling of `$ref` is ignored in OpenAPI v3.0; annotations beside one need `allOf`.
    return Object.keys(rest).length === 0 || this.#version === 2 ? { ...reference, ...rest } : { ...rest, allOf: [reference] };
  }

  #list(kind: KindDefinition, name: string): Schema {
    const { group, version, kind: word } = kind.resource;
    const root = roots[this.#version];
    return {
      type: 'object',
      description: `A list of ${word} (${apiVersionOf(kind.resource)})`,
      required: ['items'],
      properties: {
        apiVersion: { type: 'string' },
        kind: { type: 'string' },
        metadata: { $ref: root + this.#names.of('ListMeta') },
        items: { type: 'array', items: { $ref: root + name } },
      },
      'x-kubernetes-group-version-kind': [{ group, version, kind: `${word}List` }],
    };
  }
}

function scalarOf(schema: Schema): string | undefined {
  if (schema['x-kubernetes-int-or-string'] === true) return intOrString;
  if (schema.format === 'quantity') return quantity;
  return schema.format === 'date-time' ? time : undefined;
}

function extensions(schema: Schema): Schema {
  return Object.fromEntries(Object.entries(schema).filter(([key]) => key === 'description' || (key.startsWith('x-') && key !== 'x-kubernetes-int-or-string')));
}

const choices = new Set(['anyOf', 'oneOf', 'not', 'nullable']);

/** Swagger 2.0 knows none of these. */
function withoutChoices(schema: Schema): Schema {
  return Object.fromEntries(Object.entries(schema).filter(([key]) => !choices.has(key)));
}

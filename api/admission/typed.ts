import type { Variable } from '../gen/types.ts';
import { compile, typeOfSchema, type Environment } from '../cel/cel.ts';
import { dyn, type CelType, type ObjectField } from '../cel/types.ts';
import { resolve, type Schema } from '../meta/schema.ts';
import { admissionLibrary, authorizerType, resourceType } from './authorizer.ts';

/** A schema that speaks of itself has no end as a type. */
function isRecursive(schema: Schema, above: ReadonlySet<Schema> = new Set()): boolean {
  const target = resolve(schema);
  if (above.has(target)) return true;
  const inner = new Set([...above, target]);
  const { items, additionalProperties, properties = {} } = target;
  return [items, typeof additionalProperties === 'object' ? additionalProperties : undefined, ...Object.values(properties)].some((part) => part !== undefined && isRecursive(part, inner));
}

function typeOf(schema: Schema): CelType {
  return isRecursive(schema) ? dyn : typeOfSchema(schema);
}

/** Checks expressions of a policy against the types of what it is about. */
export class TypedExpressions {
  readonly #environment: Environment;

  /** Variables that do not compile are of any type: they are told of by themselves. */
  constructor(object: Schema, params: Schema | undefined, variables: readonly Variable[]) {
    const type = typeOf(object);
    const functions = admissionLibrary();
    const fields = new Map<string, ObjectField>();
    const environment = (): Environment => ({ functions, variables: {
      object: type, oldObject: type, request: dyn, namespaceObject: dyn, params: params ? typeOf(params) : dyn, authorizer: authorizerType, 'authorizer.requestResource': resourceType,
      variables: { kind: 'object', name: 'variables', fields },
    } });
    for (const { name, expression } of variables) {
      let known: CelType = dyn;
      try {
        known = compile(expression, environment()).type;
      } catch {
        // Told of where it is used.
      }
      fields.set(name, { type: known, json: name });
    }
    this.#environment = environment();
  }

  /** Throws CelCompileError. */
  check(expression: string): void {
    compile(expression, this.#environment);
  }
}

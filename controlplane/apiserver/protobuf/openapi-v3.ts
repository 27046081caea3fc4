/**
 * OpenAPI 3.0 in the protobuf form of gnostic's OpenAPIv3.proto, which clients of Kubernetes may ask for in place of JSON.
 * Field numbers are facts of that contract. Loaded when first asked for.
 */
import { anyValue, extensionsOf, field, flag, members, message, named, repeated, text, varint, type Json, type Row } from './wire.ts';

const nothing = Buffer.alloc(0);

function double(number: number, value: unknown): Buffer {
  if (typeof value !== 'number') return nothing;
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return Buffer.concat([varint(number * 8 + 1), bytes]);
}

function integer(number: number, value: unknown): Buffer {
  return typeof value === 'number' && value > 0 ? Buffer.concat([varint(number * 8), varint(value)]) : nothing;
}

function list(number: number, value: unknown, write: (item: unknown) => Buffer): Buffer {
  return Array.isArray(value) ? repeated(value, number, write) : nothing;
}

/** Of a default only scalars have a form; others are left out, as gnostic does. */
function defaultOf(value: unknown): Buffer {
  switch (typeof value) {
    case 'number': return double(1, value);
    case 'boolean': return flag(2, value);
    case 'string': return field(3, text(value));
    default: return nothing;
  }
}

/** A schema, or a reference to one: what stands beside a reference does not count. */
function schema(value: unknown): Buffer {
  const object = value as Json;
  if (object['$ref'] !== undefined) return field(2, field(1, text(object['$ref'])));
  const some = (rows: Readonly<Record<string, Row>>): Buffer => members(object, rows);
  return field(1, message(
    flag(1, object['nullable']), some({ title: [9, text] }), double(10, object['multipleOf']),
    double(11, object['maximum']), flag(12, object['exclusiveMaximum']), double(13, object['minimum']), flag(14, object['exclusiveMinimum']),
    integer(15, object['maxLength']), integer(16, object['minLength']), some({ pattern: [17, text] }), integer(18, object['maxItems']), integer(19, object['minItems']), flag(20, object['uniqueItems']),
    integer(21, object['maxProperties']), integer(22, object['minProperties']), list(23, object['required'], text), list(24, object['enum'], anyValue), some({ type: [25, text] }),
    list(26, object['allOf'], schema), list(27, object['oneOf'], schema), list(28, object['anyOf'], schema),
    some({
      not: [29, (part) => innerSchema(part)],
      items: [30, (part) => field(1, schema(part))],
      properties: [31, (properties) => named(properties as Json, 1, schema)],
      additionalProperties: [32, (part) => (typeof part === 'object' ? field(1, schema(part)) : flag(2, part))],
      default: [33, defaultOf], description: [34, text], format: [35, text],
    }),
    extensionsOf(object, 36),
  ));
}

/** `not` takes a schema as it is, without the choice of a reference around it. */
function innerSchema(value: unknown): Buffer {
  const whole = schema(value);
  let start = 1;
  while (((whole[start] ?? 0) & 0x80) !== 0) start++;
  return whole.subarray(start + 1);
}

function content(value: unknown): Buffer {
  return named(value as Json, 1, (type) => members(type as Json, { schema: [1, schema] }));
}

function parameter(value: unknown): Buffer {
  const object = value as Json;
  return field(1, message(members(object, { name: [1, text], in: [2, text], description: [3, text] }), flag(4, object['required']), members(object, { schema: [10, schema] })));
}

function operation(value: unknown): Buffer {
  const object = value as Json;
  return message(
    members(object, { description: [3, text], operationId: [5, text] }), list(6, object['parameters'], parameter),
    members(object, {
      requestBody: [7, (body) => field(1, members(body as Json, { content: [2, content] }))],
      responses: [8, (responses) => named(responses as Json, 2, (response) => field(1, members(response as Json, { description: [1, text], content: [3, content] })))],
    }),
    extensionsOf(object, 13),
  );
}

function pathItem(value: unknown): Buffer {
  const object = value as Json;
  return message(members(object, { get: [4, operation], put: [5, operation], post: [6, operation], delete: [7, operation], patch: [10, operation] }), list(13, object['parameters'], parameter));
}

/** An OpenAPI 3.0 document, as `/openapi/v3/…` has it in JSON. */
export function encodeOpenApi(document: Json): Buffer {
  return message(
    members(document, {
      openapi: [1, text],
      info: [2, (info) => members(info as Json, { title: [1, text], version: [6, text] })],
      paths: [4, (paths) => named(paths as Json, 1, pathItem)],
      components: [5, (components) => members(components as Json, { schemas: [1, (schemas) => named(schemas as Json, 1, schema)] })],
    }),
  );
}

/**
 * Swagger 2.0 in the protobuf form of gnostic's OpenAPIv2.proto, which kubectl before 1.27 insists on.
 * Field numbers are facts of that contract. Loaded when first asked for.
 */
import { anyValue, extensionsOf, field, flag, members, message, named, repeated, text, type Json } from './wire.ts';

function schema(value: unknown): Buffer {
  const object = value as Json;
  return message(
    members(object, { $ref: [1, text], format: [2, text], title: [3, text], description: [4, text], default: [5, anyValue], pattern: [13, text] }),
    Array.isArray(object['required']) ? repeated(object['required'], 19, text) : Buffer.alloc(0),
    Array.isArray(object['enum']) ? repeated(object['enum'], 20, anyValue) : Buffer.alloc(0),
    members(object, {
      additionalProperties: [21, (part) => (typeof part === 'object' ? field(1, schema(part)) : flag(2, part))],
      type: [22, (type) => field(1, text(type))],
      items: [23, (items) => field(1, schema(items))],
    }),
    Array.isArray(object['allOf']) ? repeated(object['allOf'], 24, schema) : Buffer.alloc(0),
    members(object, { properties: [25, (properties) => named(properties as Json, 1, schema)] }),
    extensionsOf(object, 31),
  );
}

function parameter(value: unknown): Buffer {
  const object = value as Json;
  if (object['in'] === 'body') return field(1, field(1, message(field(2, text(object['name'])), field(3, text('body')), flag(4, object['required']), field(5, schema(object['schema'])))));
  const isPath = object['in'] === 'path';
  const own = message(flag(1, object['required']), field(2, text(object['in'])), field(4, text(object['name'])), field(isPath ? 5 : 6, text(object['type'])));
  return field(1, field(2, field(isPath ? 4 : 3, own)));
}

function response(value: unknown): Buffer {
  const object = value as Json;
  return field(1, members(object, { description: [1, text], schema: [2, (part) => field(1, schema(part))] }));
}

function operation(value: unknown): Buffer {
  const object = value as Json;
  return message(
    members(object, { operationId: [5, text] }),
    Array.isArray(object['parameters']) ? repeated(object['parameters'], 8, parameter) : Buffer.alloc(0),
    field(9, named(object['responses'] as Json, 1, response)),
    extensionsOf(object, 13),
  );
}

function pathItem(value: unknown): Buffer {
  const object = value as Json;
  return message(
    members(object, { get: [2, operation], put: [3, operation], post: [4, operation], delete: [5, operation], patch: [8, operation] }),
    Array.isArray(object['parameters']) ? repeated(object['parameters'], 9, parameter) : Buffer.alloc(0),
  );
}

/** A Swagger document as kubectl's decoder wants it. */
export function encodeSwagger(document: { readonly swagger: string; readonly info: { readonly title: string; readonly version: string }; readonly paths: Json; readonly definitions: Json }): Buffer {
  const { swagger, info, paths, definitions } = document;
  return message(
    field(1, text(swagger)), field(2, message(field(1, text(info.title)), field(2, text(info.version)))),
    field(8, named(paths, 2, pathItem)), field(9, named(definitions, 1, schema)),
  );
}

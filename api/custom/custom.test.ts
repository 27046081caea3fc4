import { describe, expect, it } from 'vitest';
import { printFieldError } from '../meta/field-error.ts';
import type { Schema } from '../meta/schema.ts';
import { checkCustom, Patterns } from './check.ts';
import { setSchemaDefaults } from './defaults.ts';
import { fitsFormat } from './formats.ts';
import { compileJsonPath } from './json-path.ts';
import { cleanCustom } from './prune.ts';
import { rootSchema } from './schema.ts';

const field = (schema: Schema): Schema => rootSchema({ type: 'object', properties: { a: schema } });
const check = (schema: Schema, a: unknown, old?: unknown): string[] => checkCustom(field(schema), { a }, old === undefined ? undefined : { a: old }, new Patterns()).map(printFieldError);

describe('values of custom resources', () => {
  it.each<[Schema, unknown, string[]]>([
    [{ type: 'string' }, 1, ['a: Invalid value: "integer": a in body must be of type string: "integer"']],
    [{ type: 'integer' }, 'x', ['a: Invalid value: "string": a in body must be of type integer: "string"']],
    [{ type: 'integer' }, 1.5, ['a: Invalid value: "number": a in body must be of type integer: "number"']],
    [{ type: 'number' }, 1, []],
    [{ type: 'object' }, [], ['a: Invalid value: "array": a in body must be of type object: "array"']],
    [{ type: 'string', nullable: true }, null, []],
    [{ 'x-kubernetes-int-or-string': true }, true, ['a: Invalid value: "boolean": a in body must be of type [integer string]: "boolean"']],
    [{ type: 'string', enum: ['x', 'y'] }, 'z', ['a: Unsupported value: "z": supported values: "x", "y"']],
    [{ type: 'string', minLength: 2, maxLength: 3 }, '😀', ['a: Invalid value: "😀": a in body should be at least 2 chars long']],
    [{ type: 'string', maxLength: 3 }, '😀😀😀', []],
    [{ type: 'string', maxLength: 2 }, 'abc', ['a: Too long: may not be more than 2 bytes']],
    [{ type: 'string', pattern: '^a+$' }, 'b', ["a: Invalid value: \"b\": a in body should match '^a+$'"]],
    [{ type: 'string', format: 'ipv4' }, 'x', ['a: Invalid value: "x": a in body must be of type ipv4: "x"']],
    [{ type: 'string', format: 'unknown' }, 'x', []],
    [{ type: 'integer', minimum: 1, maximum: 3 }, 0, ['a: Invalid value: 0: a in body should be greater than or equal to 1']],
    [{ type: 'integer', minimum: 1, exclusiveMinimum: true }, 1, ['a: Invalid value: 1: a in body should be greater than 1']],
    [{ type: 'integer', maximum: 3, exclusiveMaximum: true }, 3, ['a: Invalid value: 3: a in body should be less than 3']],
    [{ type: 'integer', multipleOf: 2 }, 3, ['a: Invalid value: 3: a in body should be a multiple of 2']],
    [{ type: 'array', items: { type: 'string' }, minItems: 1 }, [], ['a: Invalid value: []: a in body should have at least 1 items']],
    [{ type: 'array', items: { type: 'string' }, maxItems: 1 }, ['x', 'y'], ['a: Too many: 2: must have at most 1 items']],
    [{ type: 'array', items: { type: 'string' } }, ['x', 1], ['a[1]: Invalid value: "integer": a[1] in body must be of type string: "integer"']],
    [{ type: 'object', maxProperties: 1, additionalProperties: { type: 'string' } }, { x: '', y: '' }, ['a: Too many: 2: must have at most 1 items']],
    [{ type: 'object', required: ['x', 'y'], properties: { x: { type: 'string' } } }, { x: '' }, ['a.y: Required value']],
    [{ type: 'array', 'x-kubernetes-list-type': 'set', items: { type: 'string' } }, ['x', 'x'], ['a[1]: Duplicate value: "x"']],
    [{ type: 'array', 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['k'], items: { type: 'object', properties: { k: { type: 'string' } } } }, [{ k: 'x' }, { k: 'x' }], ['a[1]: Duplicate value: {"k":"x"}']],
    [{ type: 'integer', anyOf: [{ minimum: 5 }, { maximum: 1 }] }, 3, ['a: Invalid value: "": "a" must validate at least one schema (anyOf)', 'a: Invalid value: 3: a in body should be greater than or equal to 5']],
    [{ type: 'integer', oneOf: [{ minimum: 1 }, { minimum: 2 }] }, 3, ['a: Invalid value: "": "a" must validate one and only one schema (oneOf). Found 2 valid alternatives']],
    [{ type: 'integer', not: { minimum: 1 } }, 3, ['a: Invalid value: "": "a" must not validate the schema (not)']],
    [{ type: 'object', properties: { x: { type: 'string' } }, oneOf: [{ required: ['x'] }, { required: ['y'] }] }, { x: '' }, []],
    [{ type: 'object', 'x-kubernetes-embedded-resource': true, 'x-kubernetes-preserve-unknown-fields': true }, { kind: 'Pod' }, ['a.apiVersion: Required value: must not be empty']],
  ])('%j refuses of %j what it must', (schema, value, expected) => { expect(check(schema, value)).toEqual(expected); });

  it('may stay wrong where they are not changed', () => {
    const schema: Schema = { type: 'object', properties: { x: { type: 'integer', minimum: 5 }, y: { type: 'integer', minimum: 5 } } };
    expect(check(schema, { x: 1, y: 2 }, { x: 1, y: 1 })).toEqual(['a.y: Invalid value: 2: a.y in body should be greater than or equal to 5']);
  });

  it('are of the formats that Kubernetes knows', () => {
    const good: Record<string, string> = { bsonobjectid: '507f1f77bcf86cd799439011', uri: 'https://a/b', email: 'a@b.c', hostname: 'a.b', ipv4: '1.2.3.4', ipv6: '::1', cidr: '10.0.0.0/8', mac: '01:23:45:67:89:ab', uuid: '00000000-0000-4000-8000-000000000000', uuid4: '00000000-0000-4000-8000-000000000000', isbn: '0-306-40615-2', isbn13: '978-0-306-40615-7', creditcard: '4242 4242 4242 4242', ssn: '123-45-6789', hexcolor: '#fff', rgbcolor: 'rgb(1, 2, 3)', byte: 'YQ==', date: '2024-02-29', duration: '1h30m', 'date-time': '2024-01-01T00:00:00Z', 'k8s-short-name': 'a-b', 'k8s-long-name': 'a.b' };
    for (const [format, text] of Object.entries(good)) expect([format, fitsFormat(format, text)]).toEqual([format, true]);
    for (const format of Object.keys(good)) expect([format, fitsFormat(format, '@ no!')]).toEqual([format, false]);
    expect(fitsFormat('date', '2023-02-29')).toBe(false);
    expect(fitsFormat('uuid3', '00000000-0000-4000-8000-000000000000')).toBe(false);
  });
});

describe('pruning and defaults', () => {
  const schema = rootSchema({
    type: 'object',
    properties: {
      known: { type: 'object', properties: { x: { type: 'string' }, n: { type: 'string', nullable: true } } },
      open: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true, properties: { closed: { type: 'object', properties: {} } } },
      map: { type: 'object', additionalProperties: { type: 'object', properties: { v: { type: 'integer', default: 1 } } } },
      list: { type: 'array', items: { type: 'object', properties: { v: { type: 'string', default: 'd' } } } },
      pod: { type: 'object', 'x-kubernetes-embedded-resource': true, properties: { spec: { type: 'object', properties: {} } } },
      deep: { type: 'object', default: {}, properties: { at: { type: 'object', default: { a: 1 }, properties: { a: { type: 'integer' }, b: { type: 'integer', default: 2 } } } } },
    },
  });

  it('drop what the schema lacks and null where it means nothing', () => {
    const { value, unknown } = cleanCustom(schema, {
      apiVersion: 'v', kind: 'K', metadata: { name: 'x', bogus: 1 }, more: 1, known: { x: null, n: null, z: 1 }, open: { y: { z: null }, closed: { w: 1 } }, list: [{ v: 'a', w: 1 }], pod: { apiVersion: 'v1', kind: 'Pod', metadata: { labels: { a: 'b' }, odd: 1 }, spec: { x: 1 } },
    });
    expect(value).toEqual({ apiVersion: 'v', kind: 'K', metadata: { name: 'x' }, known: { n: null }, open: { y: { z: null }, closed: {} }, list: [{ v: 'a' }], pod: { apiVersion: 'v1', kind: 'Pod', metadata: { labels: { a: 'b' } }, spec: {} } });
    expect(unknown.sort()).toEqual(['known.z', 'list[0].w', 'metadata.bogus', 'more', 'open.closed.w', 'pod.metadata.odd', 'pod.spec.x']);
  });

  it('fill in what is meant, below defaults too', () => {
    const value = { map: { a: {}, b: { v: 5 } }, list: [{}] };
    setSchemaDefaults(schema, value);
    expect(value).toEqual({ map: { a: { v: 1 }, b: { v: 5 } }, list: [{ v: 'd' }], deep: { at: { a: 1, b: 2 } } });
  });
});

describe('JSONPath', () => {
  const object = { spec: { list: [{ n: 'a', v: 1 }, { n: 'b', v: 2 }, { n: 'c', v: 3 }], 'dotted.name': 'd' }, status: { conditions: [{ type: 'Ready', status: 'True' }] } };

  it.each<[string, unknown[]]>([
    ['.spec.list[0].n', ['a']], ['.spec.list[-1].n', ['c']], ['.spec.list[*].v', [1, 2, 3]], ['.spec.list[1:].n', ['b', 'c']], ['.spec.list[0:2].n', ['a', 'b']], ['.spec.list[::2].n', ['a', 'c']], ['.status.conditions[?(@.type=="Ready")].status', ['True']], ["{.spec['dotted.name']}", ['d']], ['.spec.dotted\\.name', ['d']],
    ['.spec.list[?(@.v>1)].n', ['b', 'c']], ['.spec.list[?(@.v<=1)].n', ['a']], ['.spec.list[?(@.none)].n', []], ['..n', ['a', 'b', 'c']], ['.none.at.all', []], ['.spec.list.n', []], ["$.spec['dotted.name','list'][0].n", ['a']], ['.spec.list[9]', []],
  ])('%s', (path, found) => { expect(compileJsonPath(path).find(object)).toEqual(found); });

  it.each(['.a[', '.a[x]', ".a['b", '.a[?(@.b==1', '.a..', 'a b', '.a[?(@.b==)]', '.[?(@.x=~"a")]'])('%s is none', (path) => { expect(() => compileJsonPath(path)).toThrow('JSONPath'); });
});

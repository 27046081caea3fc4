import { describe, expect, it } from 'vitest';
import { schemaNamed, type Schema } from './schema.ts';
import { checkStructure, cleanCopy, prune } from './validate.ts';

const pod = schemaNamed('Pod');
const texts = (schema: Schema, value: unknown): string[] => checkStructure(schema, value).errors.map(({ field, message }) => `${field}: ${message}`);

describe('checkStructure', () => {
  it('names wrong types and missing fields', () => {
    expect(texts(pod, { metadata: { labels: { a: 1 }, creationTimestamp: 'today' }, spec: { hostNetwork: 'yes', containers: [{ image: 5, ports: {} }], terminationGracePeriodSeconds: 1.5 } })).toEqual([
      'metadata.labels.a: Invalid value: 1: must be of type string',
      'metadata.creationTimestamp: Invalid value: "today": must be a time as in RFC 3339, e.g. 2006-01-02T15:04:05Z',
      'spec.hostNetwork: Invalid value: "yes": must be of type boolean',
      'spec.containers[0].image: Invalid value: 5: must be of type string',
      'spec.containers[0].ports: Invalid value: "object": must be of type array',
      'spec.containers[0].name: Required value',
      'spec.terminationGracePeriodSeconds: Invalid value: 1.5: must be of type integer (int64)',
    ]);
  });

  it.each([
    [{ type: 'integer', format: 'int32' }, 2 ** 31, false], [{ type: 'integer', format: 'int32' }, -(2 ** 31), true], [{ type: 'integer', format: 'int64' }, 2 ** 53, false],
    [{ type: 'string', format: 'byte' }, 'AAE=', true], [{ type: 'string', format: 'byte' }, 'AAE', false], [{ type: 'string', format: 'byte' }, 'A?==', false],
    [{ type: 'string', format: 'date-time' }, '2026-02-30T00:00:00Z', false], [{ type: 'string', format: 'date-time' }, '2026-02-28T23:59:59.123456+02:00', true],
    [{ type: 'string', format: 'quantity' }, 0.5, true], [{ type: 'string', format: 'quantity' }, '5Q', false],
    [{ 'x-kubernetes-int-or-string': true }, '25%', true], [{ 'x-kubernetes-int-or-string': true }, 1.5, false],
    [{ type: 'string', enum: ['a', 'b'] }, 'c', false], [{ type: 'string', nullable: true }, null, true], [{ type: 'string' }, null, false],
  ] as const)('%j takes %j: %j', (schema, value, valid) => expect(texts(schema as Schema, value).length === 0).toBe(valid));

  it('lists unknown fields, those of Object.prototype included', () => {
    const value = JSON.parse('{"spec":{"containers":[{"name":"a","imagee":"x"}],"__proto__":{"x":1},"constructor":1},"toString":2}');
    expect(checkStructure(pod, value).unknown).toEqual(['spec.containers[0].imagee', 'spec.__proto__', 'spec.constructor', 'toString']);
  });

  it('stops at a depth that no object needs, and after enough errors', () => {
    const deep = JSON.parse('['.repeat(50_000) + ']'.repeat(50_000));
    const endless: Schema = { type: 'array' };
    (endless as { items: Schema }).items = endless;
    expect(texts(endless, deep)[0]).toMatch(/: Invalid value: "\.\.\.": must not nest deeper than 100 levels$/);
    expect(texts({ 'x-kubernetes-preserve-unknown-fields': true }, deep)).toHaveLength(1);
    expect(texts({ type: 'array', items: { type: 'string' } }, Array.from({ length: 5000 }, () => 1))).toHaveLength(100);
  });
});

describe('cleanCopy', () => {
  it('drops null, keeps odd keys and writes quantities in one form', () => {
    const value = JSON.parse('{"metadata":{"creationTimestamp":null,"labels":{"__proto__":"x","empty":null}},"spec":{"containers":[{"name":"a","resources":{"limits":{"cpu":0.5,"memory":"1024Mi"}}}]}}');
    const { value: copy, errors } = cleanCopy(pod, value);
    expect(errors).toEqual([]);
    expect(JSON.stringify(copy)).toBe('{"metadata":{"labels":{"__proto__":"x","empty":""}},"spec":{"containers":[{"name":"a","resources":{"limits":{"cpu":"500m","memory":"1Gi"}}}]}}');
  });
});

it('prune deletes in place what the schema lacks, and nothing below what it leaves open', () => {
  const schema: Schema = { type: 'object', properties: { kept: { type: 'array', items: { type: 'object', properties: { a: {} } } }, open: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } } };
  const value = JSON.parse('{"kept":[{"a":1,"b":2}],"open":{"x":{"y":1}},"__proto__":{"z":1}}');
  prune(schema, value);
  expect(JSON.stringify(value)).toBe('{"kept":[{"a":1}],"open":{"x":{"y":1}}}');
});

describe('times', () => {
  it('are kept as Kubernetes writes them, whoever sent them', () => {
    const schema: Schema = { type: 'object', properties: { at: { type: 'string', format: 'date-time' }, renewTime: { type: 'string', format: 'date-time' } } };
    const clean = (at: string, renewTime: string): unknown => cleanCopy(schema, { at, renewTime }).value;
    expect(clean('2026-11-21T07:42:16.000Z', '2026-11-21T07:42:16.123Z')).toEqual({ at: '2026-11-21T07:42:16Z', renewTime: '2026-11-21T07:42:16.123000Z' });
    expect(clean('2026-11-21T09:42:16.999+02:00', '2026-11-21T07:42:16.123456789Z')).toEqual({ at: '2026-11-21T07:42:16Z', renewTime: '2026-11-21T07:42:16.123456Z' });
    expect(clean('2026-11-21T07:42:16Z', '2026-11-21T07:42:16Z')).toEqual({ at: '2026-11-21T07:42:16Z', renewTime: '2026-11-21T07:42:16.000000Z' });
  });
});

import { describe, expect, it } from 'vitest';
import { printFieldError } from '../meta/field-error.ts';
import type { KubeObject } from '../meta/object.ts';
import type { Schema } from '../meta/schema.ts';
import { ruleDefinitionErrors } from './rule-definitions.ts';
import { ruleChecker } from './rules.ts';
import { rootSchema } from './schema.ts';

const rule = (text: string, more: object = {}): object => ({ rule: text, ...more });
const spec = (properties: Record<string, Schema>, ...rules: object[]): Schema => rootSchema({ type: 'object', properties: { spec: { type: 'object', properties, 'x-kubernetes-validations': rules } } });
const integers = { min: { type: 'integer' }, max: { type: 'integer' } } as const;
const check = (schema: Schema, value: object, old?: object): string[] => ruleChecker(schema)({ spec: value } as KubeObject, old && { spec: old } as KubeObject).map(printFieldError);

describe('rules of a schema', () => {
  it('are true of what is let in', () => {
    const schema = spec(integers, rule('self.min <= self.max', { message: 'min must not be above max' }));
    expect(check(schema, { min: 1, max: 2 })).toEqual([]);
    expect(check(schema, { min: 3, max: 2 })).toEqual(['spec: Invalid value: "object": min must not be above max']);
    expect(check(schema, { min: 3 })).toEqual(['spec: Invalid value: "object": no such key: max evaluating rule: min must not be above max']);
  });

  it('say why in words of their own, with a reason and a field', () => {
    expect(check(spec(integers, rule('self.min <= self.max', { messageExpression: "'%d is above %d'.format([self.min, self.max])", reason: 'FieldValueForbidden', fieldPath: '.min' })), { min: 3, max: 2 })).toEqual(['spec.min: Forbidden: 3 is above 2']);
    expect(check(spec(integers, rule('self.min > 1', { messageExpression: "'a' + string(self.max)" })), { min: 0 })).toEqual(['spec: Invalid value: "object": failed rule: self.min > 1']);
    expect(check(spec(integers, rule('self.min > 1')), { min: 0 })).toEqual(['spec: Invalid value: "object": failed rule: self.min > 1']);
    expect(check(spec(integers, rule('has(self.max)', { reason: 'FieldValueRequired', fieldPath: '.max', message: 'is needed' })), { min: 0 })).toEqual(['spec.max: Required value: is needed']);
  });

  it('hold for every item of lists and maps', () => {
    const item: Schema = { type: 'object', properties: { name: { type: 'string' }, at: { type: 'integer' } }, 'x-kubernetes-validations': [rule('self.at > 0')] };
    const schema = spec({ list: { type: 'array', items: item }, map: { type: 'object', additionalProperties: item } });
    expect(check(schema, { list: [{ at: 1 }, { at: 0 }], map: { a: { at: 0 } } })).toEqual(['spec.list[1]: Invalid value: "object": failed rule: self.at > 0', 'spec.map.a: Invalid value: "object": failed rule: self.at > 0']);
  });

  it('compare with what was before, where somebody can say what that was', () => {
    const frozen: Schema = { type: 'string', 'x-kubernetes-validations': [rule('self == oldSelf', { message: 'is immutable' })] };
    const schema = spec({ name: frozen, list: { type: 'array', 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['key'], items: { type: 'object', properties: { key: { type: 'string' }, value: frozen } } } });
    expect(check(schema, { name: 'a' })).toEqual([]);
    expect(check(schema, { name: 'b' }, { name: 'a' })).toEqual(['spec.name: Invalid value: "string": is immutable']);
    expect(check(schema, { list: [{ key: 'y', value: '2' }, { key: 'x', value: '3' }] }, { list: [{ key: 'x', value: '1' }, { key: 'y', value: '2' }] })).toEqual(['spec.list[1].value: Invalid value: "string": is immutable']);
    const once = spec(integers, rule('!oldSelf.hasValue() || oldSelf.value().min == self.min', { optionalOldSelf: true }));
    expect(check(once, { min: 1 })).toEqual([]);
    expect(check(once, { min: 2 }, { min: 1 })).toHaveLength(1);
  });

  it('let pass what was wrong before and stays as it is', () => {
    const schema = spec({ ...integers, other: { type: 'string', 'x-kubernetes-validations': [rule('self != "bad"')] } });
    expect(check(schema, { min: 2, other: 'bad' }, { min: 1, other: 'bad' })).toEqual([]);
    expect(check(schema, { min: 2, other: 'bad' }, { min: 1, other: 'good' })).toHaveLength(1);
  });

  it('are ended when an object makes them cost too much', () => {
    const schema = spec({ list: { type: 'array', items: { type: 'string' } } }, rule('self.list.all(a, self.list.all(b, a == b || a != b))', { message: 'm' }));
    expect(check(schema, { list: Array.from({ length: 700 }, (_, i) => `x${String(i)}`) })).toEqual(["spec: Invalid value: \"object\": 'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to call cost exceeds limit for rule: m"]);
  });
});

describe('the definition of rules', () => {
  const errors = (schema: Schema): string[] => ruleDefinitionErrors(schema, 'schema').map(printFieldError);
  const at = 'schema.properties[spec].x-kubernetes-validations[0]';

  it.each([
    [spec(integers, rule('self.min < self.max')), []],
    [spec(integers, rule('self.nope > 1')), [`${at}.rule: Invalid value: "self.nope > 1": compilation failed: ERROR: <input>:1:5: undefined field 'nope'\n | self.nope > 1\n | ....^`]],
    [spec(integers, rule('self.min')), [`${at}.rule: Invalid value: "self.min": must evaluate to a bool`]],
    [spec(integers, rule(' ')), [`${at}.rule: Required value: rule is not specified`]],
    [spec(integers, rule('true', { reason: 'Odd', message: ' ' })), [`${at}.message: Invalid value: " ": message must be non-empty if specified`, `${at}.reason: Unsupported value: "Odd": supported values: "FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"`]],
    [spec(integers, rule('true', { fieldPath: '.max' })), []],
    [spec(integers, rule('true', { fieldPath: '.other' })), [`${at}.fieldPath: Invalid value: ".other": fieldPath must be a valid path: does not refer to a valid field: other`]],
    [spec(integers, rule('true', { messageExpression: 'self.min' })), [expect.stringContaining(`${at}.messageExpression: Invalid value: "self.min": messageExpression compilation failed:`)]],
    [spec(integers, rule('true', { optionalOldSelf: true })), [`${at}.optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule`]],
    [spec({ l: { type: 'array', items: { type: 'string', 'x-kubernetes-validations': [rule('self == oldSelf')] }, maxItems: 3 } }), ['schema.properties[spec].properties[l].items.x-kubernetes-validations[0].rule: Invalid value: "self == oldSelf": oldSelf cannot be used on the uncorrelatable portion of the schema within schema.properties[spec].properties[l].items']],
  ])('is checked %#', (schema, expected) => { expect(errors(schema)).toEqual(expected); });

  it('must be cheap for the largest object that the schema lets in', () => {
    const list = (maxItems?: number): Schema => spec({ list: { type: 'array', ...(maxItems !== undefined && { maxItems }), items: { type: 'string', ...(maxItems !== undefined && { maxLength: 20 }) } } }, rule('self.list.all(a, self.list.all(b, a == b || a != b))'));
    expect(errors(list())[0]).toContain('estimated rule cost exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)');
    expect(errors(list(50))).toEqual([]);
  });
});

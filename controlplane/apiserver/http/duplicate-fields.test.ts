import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { duplicateFields, problemsInOrder } from './duplicate-fields.ts';

describe('duplicate fields', () => {
  it.each([
    ['{"a":1,"b":2,"a":3}', ['a']],
    ['{"spec":{"containers":[{"name":"x"},{"name":"y","image":"1","image":"2"}],"x":{}}}', ['spec.containers[1].image']],
    [String.raw`{"a":1,"\u0061":2}`, ['a']],
    ['{"a":{"a":{"a":1}},"b":{"a":1}}', []],
    [String.raw`{"a":"\"b\":1,\"b\":","b":"}{,:","c\\":1,"c\\":2}`, ['c\\']],
    ['{"__proto__":1,"__proto__":2}', ['__proto__']],
    ['[{"a":1},{"a":2}]', []],
    ['"a"', []],
  ])('in %s', (text, expected) => {
    JSON.parse(text);
    expect(duplicateFields(text)).toEqual(expected);
  });

  it('and unknown ones are told of in the order of the text, in no time', () => {
    expect(problemsInOrder('{"a":1,"x.y":{"b":1,"b":2},"c":[{"z":1}],"a":2}', ['x.y', 'c[0].z'])).toEqual(['unknown field "x.y"', 'unknown field "c[0].z"', 'duplicate field "a"']);
    const keys = Array.from({ length: 50_000 }, (_, i) => `"k${String(i)}":1`).join(',');
    const begin = performance.now();
    expect(problemsInOrder(`${'{"a":'.repeat(90)}{${keys},"z":{${keys.replaceAll(/k\d+/g, 'k')}}}${'}'.repeat(90)}`, ['z', 'y'])).toHaveLength(1);
    expect(performance.now() - begin).toBeLessThan(1000);
  });

  it('are never seen where there are none', () => {
    fc.assert(fc.property(fc.json(), (text) => { expect(duplicateFields(text)).toEqual([]); }));
  });

  it('are found in a large document in no time, and not reported without end', () => {
    expect(duplicateFields(`{"a":"${'\\\\'.repeat(1 << 20)}","a":"${'x'.repeat(1 << 20)}"}`)).toEqual(['a']);
    const text = `{${Array.from({ length: 100_000 }, (_, i) => `"k${String(i % 50_000)}":[{}]`).join(',')}}`;
    const begin = performance.now();
    expect(duplicateFields(text)).toHaveLength(20);
    expect(performance.now() - begin).toBeLessThan(1000);
  });
});

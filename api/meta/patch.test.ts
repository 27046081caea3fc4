import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isStatus } from '#common/errors.ts';
import { freeze } from './equal.ts';
import { jsonPatch, mergePatch, strategicMergePatch } from './patch.ts';
import { schemaNamed } from './schema.ts';

describe('mergePatch', () => {
  // The examples of RFC 7386, appendix A.
  it.each([
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }], [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }], [{ a: 'b' }, { a: null }, {}],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }], [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }], [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [['a', 'b'], ['c', 'd'], ['c', 'd']], [{ a: 'foo' }, null, null], [{ e: null }, { a: 1 }, { e: null, a: 1 }], [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ])('%j + %j', (document, patch, expected) => expect(mergePatch(freeze(document), freeze(patch))).toEqual(expected));

  it('takes __proto__ for data', () => {
    const result = mergePatch({}, JSON.parse('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}'));
    expect(Object.hasOwn(result as object, '__proto__')).toBe(true);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  it('refuses endless nesting', () => {
    const deep = JSON.parse('{"a":'.repeat(50_000) + '1' + '}'.repeat(50_000));
    for (const patch of [() => mergePatch({}, deep), () => mergePatch(deep, {}), () => strategicMergePatch({}, {}, deep), () => jsonPatch(deep, []), () => jsonPatch({}, [{ op: 'add', path: '/a', value: deep }])]) {
      expect(patch).toThrow(/nest/);
    }
  });
});

describe('jsonPatch', () => {
  const document = freeze({ a: 1, list: [1, 2, 3], 'x/y~z': { k: 'v' } });

  it.each([
    [{ op: 'add', path: '/b', value: 2 }, { ...document, b: 2 }],
    [{ op: 'add', path: '/list/1', value: 9 }, { ...document, list: [1, 9, 2, 3] }],
    [{ op: 'add', path: '/list/-', value: 9 }, { ...document, list: [1, 2, 3, 9] }],
    [{ op: 'remove', path: '/list/0' }, { ...document, list: [2, 3] }],
    [{ op: 'replace', path: '/x~1y~0z/k', value: null }, { ...document, 'x/y~z': { k: null } }],
    [{ op: 'move', from: '/a', path: '/list/0' }, { list: [1, 1, 2, 3], 'x/y~z': { k: 'v' } }],
    [{ op: 'copy', from: '/list', path: '/b' }, { ...document, b: [1, 2, 3] }],
    [{ op: 'test', path: '/list', value: [1, 2, 3] }, document],
    [{ op: 'test', path: '/missing', value: null }, document],
    [{ op: 'add', path: '', value: 5 }, 5],
  ])('%j', (operation, expected) => expect(jsonPatch(document, [operation])).toEqual(expected));

  it.each([
    [{ op: 'test', path: '/a', value: 2 }, 'testing value /a failed: test failed'],
    [{ op: 'remove', path: '/nope' }, 'remove operation does not apply: doc is missing key: /nope: missing value'],
    [{ op: 'replace', path: '/nope', value: 1 }, 'replace operation does not apply: doc is missing key: /nope: missing value'],
    [{ op: 'add', path: '/no/where', value: 1 }, 'add operation does not apply: doc is missing path'],
    [{ op: 'add', path: '/list/7', value: 1 }, 'invalid index'],
    [{ op: 'remove', path: '/list/-1' }, 'missing value'],
    [{ op: 'move', from: '/x~1y~0z', path: '/x~1y~0z/k' }, 'cannot be moved into itself'],
    [{ op: 'remove', path: '/constructor' }, 'missing value'],
  ])('cannot apply %j', (operation, message) => {
    expect(() => jsonPatch(document, [operation])).toThrow(expect.objectContaining({ code: 'Invalid', message: expect.stringContaining(message) }));
  });

  it.each([[{}], ['x'], [[{ op: 'fly', path: '/a' }]], [[{ op: 'add', path: 'a', value: 1 }]], [[{ op: 'add', path: '/a' }]], [[{ op: 'copy', path: '/a' }]], [[null]]])('cannot read %j', (patch) => {
    expect(() => jsonPatch(document, patch)).toThrow(expect.objectContaining({ code: 'BadRequest' }));
  });

  it('bounds operations and what they copy', () => {
    expect(() => jsonPatch({}, Array.from({ length: 10_001 }, () => ({ op: 'test', path: '', value: {} })))).toThrow(expect.objectContaining({ code: 'RequestEntityTooLarge' }));
    const doubling = Array.from({ length: 60 }, (_, i) => ({ op: 'copy', from: '/l', path: `/l/${i % 2 === 0 ? '-' : '0'}` }));
    expect(() => jsonPatch({ l: [1] }, doubling)).toThrow(/copy operations add more|nest deeper/);
    const inserts = Array.from({ length: 5000 }, () => ({ op: 'add', path: '/l/0', value: 1 }));
    expect(() => jsonPatch({ l: Array.from({ length: 30_000 }, () => 1) }, inserts)).toThrow(expect.objectContaining({ code: 'RequestEntityTooLarge' }));
  });

  it('changes many members without copying the others each time, and nothing of what it was given', () => {
    const wide = freeze(Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`k${i}`, 1])));
    const value = freeze({ a: 1 });
    const result = jsonPatch({ wide }, [
      ...Array.from({ length: 9000 }, (_, i) => ({ op: 'add', path: `/wide/n${i}`, value })),
      { op: 'add', path: '/wide/n1/b', value: 2 }, { op: 'copy', from: '/wide/n1', path: '/copy' }, { op: 'replace', path: '/wide/n1/b', value: 3 },
    ]) as { wide: Record<string, unknown>; copy: unknown };
    expect(Object.keys(result.wide)).toHaveLength(29_000);
    expect([result.wide['n0'], result.wide['n1'], result.copy]).toEqual([{ a: 1 }, { a: 1, b: 3 }, { a: 1, b: 2 }]);
  });
});

it('JSON patches answer anything with a value or a StatusError, and leave their arguments alone', () => {
  const path = fc.array(fc.constantFrom('', 'a', 'b', '0', '1', '-', '~1', '__proto__', 'constructor', 'length'), { maxLength: 3 }).map((tokens) => tokens.map((token) => `/${token}`).join(''));
  const value = fc.jsonValue({ maxDepth: 2 });
  const operation = fc.record({ op: fc.constantFrom('add', 'remove', 'replace', 'move', 'copy', 'test', 'odd'), path, from: path, value }, { requiredKeys: ['op', 'path'] });
  const document = fc.constantFrom<unknown>({ a: { b: [1, { a: 2 }] }, b: [[0], 1] }, [1, { a: [] }], 'text', null);
  fc.assert(fc.property(document, fc.array(operation, { maxLength: 8 }), (input, operations) => {
    try {
      const before = JSON.stringify(input);
      const result = jsonPatch(freeze(input), freeze(operations));
      expect(JSON.stringify(input)).toBe(before);
      // Applied one by one they must give the same: nothing is shared that later changes.
      expect(JSON.stringify(operations.reduce<unknown>((current, one) => jsonPatch(freeze(current), [one]), input))).toBe(JSON.stringify(result));
    } catch (error) {
      if (!isStatus(error)) throw error;
    }
    expect(Object.keys(Object.prototype)).toEqual([]);
  }), { numRuns: 1000, seed: 20_260_101 });
});

describe('strategicMergePatch', () => {
  const patchPod = (document: unknown, patch: unknown): unknown => strategicMergePatch(schemaNamed('Pod'), freeze(document), freeze(patch));
  const containers = (...names: string[]) => ({ spec: { containers: names.map((name) => ({ name, image: `${name}:1` })) } });

  it('merges lists by their key and leaves the rest alone', () => {
    expect(patchPod(containers('a', 'b'), { spec: { containers: [{ name: 'b', image: 'b:2' }, { name: 'c', image: 'c:1' }] } }))
      .toEqual({ spec: { containers: [{ name: 'a', image: 'a:1' }, { name: 'b', image: 'b:2' }, { name: 'c', image: 'c:1' }] } });
  });

  it('deletes and replaces by directive', () => {
    expect(patchPod(containers('a', 'b'), { spec: { containers: [{ name: 'a', $patch: 'delete' }] } })).toEqual(containers('b'));
    expect(patchPod(containers('a', 'b'), { spec: { containers: [{ $patch: 'replace' }, { name: 'z' }] } })).toEqual({ spec: { containers: [{ name: 'z' }] } });
    expect(patchPod(containers('a'), { spec: { $patch: 'replace', nodeName: 'n' } })).toEqual({ spec: { nodeName: 'n' } });
    expect(patchPod({ spec: { nodeName: 'n' }, metadata: { name: 'x' } }, { spec: { $patch: 'delete' } })).toEqual({ spec: {}, metadata: { name: 'x' } });
    expect(patchPod({ metadata: { labels: { a: '1' } } }, { metadata: { labels: null } })).toEqual({ metadata: {} });
  });

  it('orders as kubectl apply asks', () => {
    expect(patchPod(containers('a', 'b', 'mine'), { spec: { '$setElementOrder/containers': [{ name: 'c' }, { name: 'b' }, { name: 'a' }], containers: [{ name: 'c', image: 'c:1' }] } }))
      .toEqual(containers('c', 'b', 'a', 'mine'));
    expect(patchPod(containers('a', 'b'), { spec: { '$setElementOrder/containers': [{ name: 'b' }, { name: 'a' }] } })).toEqual(containers('b', 'a'));
    // An item that the patch does not name stays before what followed it.
    expect(patchPod(containers('x', 'a', 'b'), { spec: { '$setElementOrder/containers': [{ name: 'b' }, { name: 'a' }] } })).toEqual(containers('x', 'b', 'a'));
    expect(() => patchPod(containers('a', 'b'), { spec: { '$setElementOrder/containers': [{ name: 'a' }], containers: [{ name: 'c' }] } })).toThrow("doesn't match $setElementOrder list");
  });

  it('merges and deletes in lists of scalars', () => {
    const document = { metadata: { finalizers: ['a/1', 'b/2'] } };
    expect(patchPod(document, { metadata: { finalizers: ['b/2', 'c/3'] } })).toEqual({ metadata: { finalizers: ['a/1', 'b/2', 'c/3'] } });
    expect(patchPod(document, { metadata: { '$deleteFromPrimitiveList/finalizers': ['a/1'], '$setElementOrder/finalizers': ['b/2'] } })).toEqual({ metadata: { finalizers: ['b/2'] } });
    expect(patchPod({ spec: { containers: [{ name: 'a', args: ['1', '2'] }] } }, { spec: { containers: [{ name: 'a', args: ['3'] }] } })).toEqual({ spec: { containers: [{ name: 'a', args: ['3'] }] } });
  });

  it('keeps only what $retainKeys names', () => {
    const document = { spec: { strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1 } } } };
    expect(strategicMergePatch(schemaNamed('Deployment'), document, { spec: { strategy: { $retainKeys: ['type'], type: 'Recreate' } } })).toEqual({ spec: { strategy: { type: 'Recreate' } } });
    expect(patchPod({ spec: { volumes: [{ name: 'v', emptyDir: {} }] } }, { spec: { volumes: [{ name: 'v', $retainKeys: ['name', 'hostPath'], hostPath: { path: '/x' } }] } }))
      .toEqual({ spec: { volumes: [{ name: 'v', hostPath: { path: '/x' } }] } });
    expect(() => patchPod({ spec: {} }, { spec: { $retainKeys: ['a'], nodeName: 'b' } })).toThrow('$retainKeys lacks "nodeName"');
  });

  it('keeps ports that share a number', () => {
    const ports = [{ port: 53, protocol: 'TCP' }, { port: 53, protocol: 'UDP' }];
    expect(strategicMergePatch(schemaNamed('Service'), { spec: { ports } }, { spec: { type: 'NodePort' } })).toEqual({ spec: { ports, type: 'NodePort' } });
    expect(strategicMergePatch(schemaNamed('Service'), { spec: { ports } }, { spec: { ports: [{ port: 80 }] } })) // as kubectl patch: what is new comes first
      .toEqual({ spec: { ports: [{ port: 80 }, ...ports] } });
  });

  it('leaves no directive behind in what it adds', () => {
    const patch = { spec: { containers: [{ name: 'a', env: [{ name: 'gone', $patch: 'delete' }, { name: 'x', value: '1' }], '$setElementOrder/env': [{ name: 'x' }], stdin: null }], '$setElementOrder/containers': [{ name: 'a' }] } };
    expect(patchPod({}, patch)).toEqual({ spec: { containers: [{ name: 'a', env: [{ name: 'x', value: '1' }] }] } });
  });

  it.each([
    [{ spec: { $patch: 'explode' } }, 'unknown $patch'],
    [{ spec: { containers: [{ image: 'x' }] } }, 'does not contain declared merge key: name'],
    [{ spec: { '$setElementOrder/containers': 'a' } }, 'must be a list'],
    ['text', 'must be an object'],
  ])('refuses %j', (patch, message) => {
    expect(() => patchPod(containers('a'), patch)).toThrow(expect.objectContaining({ code: 'BadRequest', message: expect.stringContaining(message) }));
  });
});

import { expect, test } from 'vitest';
import { nodesToFind, schedule } from './cycle.ts';
import { Framework } from './framework.ts';
import { Nominator } from './nominator.ts';
import { podInfo } from './pod-info.ts';
import { cluster, node, pod } from './testing.ts';
import type { Plugin } from './types.ts';

const nodes = ['a', 'b', 'c'].map((name) => node(name));
const incoming = podInfo(pod());
const run = (plugins: Plugin[], random = 0) => schedule({ framework: new Framework(plugins), nominator: new Nominator(), random: () => random }, cluster({ nodes }), incoming, 0);
const plugin = (name: string, rest: Partial<Plugin>): Plugin => ({ name, events: [], ...rest });

test.each([[1, 1], [99, 99], [100, 100], [1000, 420], [6000, 300], [10_000, 500]])('of %i nodes %i are enough', (count, enough) => {
  expect(nodesToFind(count)).toBe(enough);
});

test('the highest weighted sum wins', () => {
  const decision = run([
    plugin('x', { score: (_pod, { name }) => (name === 'a' ? 100 : 0) }),
    plugin('y', { weight: 2, score: (_pod, { name }) => (name === 'b' ? 60 : 0) }),
  ]);
  expect(decision).toMatchObject({ type: 'fit', node: { name: 'b' } });
});

test('every reason of every node is counted', () => {
  const decision = run([plugin('x', { filter: (_pod, { name }) => ({ reasons: name === 'a' ? ['two', 'one'] : ['one'], resolvable: false }) })]);
  expect(decision).toMatchObject({ type: 'no-fit', rejectedBy: new Set(['x']), message: '0/3 nodes are available: 1 two, 3 one.' });
});

test('a refusal for all nodes stands without counts', () => {
  const decision = run([plugin('x', { preFilter: () => ({ rejection: { reasons: ['claim not found'], resolvable: false } }) })]);
  expect(decision).toMatchObject({ type: 'no-fit', message: '0/3 nodes are available: claim not found.' });
});

test('nodes that PreFilter leaves out are explained', () => {
  const decision = run([
    plugin('x', { preFilter: () => ({ nodes: new Set(['a', 'gone']) }), filter: () => ({ reasons: ['no'], resolvable: true }) }),
    plugin('y', { preFilter: () => 'skip', filter: () => { throw new Error('skipped plugins are not asked'); } }),
  ]);
  expect(decision).toMatchObject({ type: 'no-fit', message: "0/3 nodes are available: 1 no, 2 node(s) didn't satisfy plugin(s) [x]." });
});

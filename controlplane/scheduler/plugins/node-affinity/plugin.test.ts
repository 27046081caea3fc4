import { expect, test } from 'vitest';
import type { NodeSelectorTerm } from '#api/gen/types.ts';
import { podInfo } from '../../pod-info.ts';
import { cluster, filterWith, node, pod, scoreWith } from '../../testing.ts';
import { CycleState } from '../../types.ts';
import { nodeAffinity } from './plugin.ts';

const cache = cluster({ nodes: [node('a', { labels: { disk: 'ssd', gen: '3' } }), node('b', { labels: { disk: 'hdd', gen: '12' } }), node('c')] });
const required = (...nodeSelectorTerms: NodeSelectorTerm[]) => pod({ spec: { affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } } } } });
const expression = (key: string, operator: string, ...values: string[]): NodeSelectorTerm => ({ matchExpressions: [{ key, operator, values }] });

test.each([
  ['nodeSelector', pod({ spec: { nodeSelector: { disk: 'ssd' } } }), ['b', 'c']],
  ['In', required(expression('disk', 'In', 'ssd', 'nvme')), ['b', 'c']],
  ['NotIn', required(expression('disk', 'NotIn', 'ssd')), ['a']],
  ['Exists', required(expression('disk', 'Exists')), ['c']],
  ['DoesNotExist', required(expression('disk', 'DoesNotExist')), ['a', 'b']],
  ['Gt compares numbers', required(expression('gen', 'Gt', '9')), ['a', 'c']],
  ['Lt', required(expression('gen', 'Lt', '9')), ['b', 'c']],
  ['Gt of no number', required(expression('disk', 'Gt', '9')), ['a', 'b', 'c']],
  ['terms are ORed', required(expression('disk', 'In', 'ssd'), expression('disk', 'DoesNotExist')), ['b']],
  ['requirements are ANDed', required({ matchExpressions: [{ key: 'disk', operator: 'Exists' }, { key: 'gen', operator: 'In', values: ['3'] }] }), ['b', 'c']],
  ['an empty term matches nothing', required({}), ['a', 'b', 'c']],
  ['field', required({ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['b'] }] }), ['a', 'c']],
])('filter: %s', (_name, incoming, refused) => {
  const reason = "node(s) didn't match Pod's node affinity/selector";
  expect(filterWith(nodeAffinity(), incoming, cache)).toEqual(Object.fromEntries(refused.map((name) => [name, reason])));
});

test('a pod without wishes is skipped', () => {
  expect(filterWith(nodeAffinity(), pod(), cache)).toBe('skip');
  expect(scoreWith(nodeAffinity(), pod(), cache)).toBe('skip');
});

test('a pod that names its nodes is tried there only', () => {
  const incoming = podInfo(required({ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['b'] }] }));
  expect(nodeAffinity().preFilter?.(incoming, cache, new CycleState())).toEqual({ nodes: new Set(['b']) });
});

test('score: preferred terms by weight', () => {
  const incoming = pod({ spec: { affinity: { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [
    { weight: 10, preference: expression('disk', 'Exists') }, { weight: 30, preference: expression('disk', 'In', 'ssd') },
  ] } } } });
  expect(scoreWith(nodeAffinity(), incoming, cache)).toEqual({ a: 100, b: 25, c: 0 });
});

test('a profile may add affinity to that of its pods', () => {
  const adding = (addedAffinity: unknown) => nodeAffinity({ args: new Map([['NodeAffinity', { addedAffinity }]]) });
  const plugin = adding({ requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [expression('disk', 'Exists')] }, preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 5, preference: expression('disk', 'In', 'hdd') }] });
  const enforced = "node(s) didn't match scheduler-enforced node affinity";
  expect(filterWith(plugin, pod(), cache)).toEqual({ c: enforced });
  expect(filterWith(plugin, pod({ spec: { nodeSelector: { disk: 'ssd' } } }), cache)).toEqual({ b: "node(s) didn't match Pod's node affinity/selector", c: enforced });
  expect(scoreWith(plugin, pod(), cache)).toEqual({ a: 0, b: 100, c: 0 });
  expect(() => adding({ requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [] } })).toThrow('pluginConfig of NodeAffinity: addedAffinity makes no sense: addedAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must have at least one node selector term');
  expect(() => adding({ requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: 7 } })).toThrow('addedAffinity makes no sense');
});

import { expect, it } from 'vitest';
import { testContainer, testPod } from '../testing.ts';
import { evictionMessage, ranked, type Candidate } from './rank.ts';

const mib = 1024 ** 2;
const candidate = (name: string, usage: number, request = '0', spec: object = {}, annotations: Record<string, string> = {}): Candidate => ({
  pod: testPod(name, { containers: [testContainer('app', { resources: { requests: { memory: request, 'ephemeral-storage': request } } })], ...spec }, { annotations }), usage, containers: new Map([['app', usage]]),
});
const order = (candidates: Candidate[], signal: Parameters<typeof ranked>[1]): (string | undefined)[] => ranked(candidates, signal).map(({ pod }) => pod.metadata?.name);

it.each<[string, Candidate[], Parameters<typeof ranked>[1], string[]]>([
  ['those above their request first', [candidate('within', 90 * mib, '100Mi'), candidate('above', 20 * mib, '10Mi')], 'memory.available', ['above', 'within']],
  ['then the less important', [candidate('high', 90 * mib, '0', { priority: 10 }), candidate('low', 20 * mib)], 'memory.available', ['low', 'high']],
  ['then the greedier', [candidate('little', 20 * mib), candidate('much', 90 * mib, '40Mi')], 'nodefs.available', ['much', 'little']],
  ['by priority alone where nobody can ask', [candidate('many', 90, '0', { priority: 1 }), candidate('few', 2)], 'pid.available', ['few', 'many']],
  ['never those of the system, or of this host', [candidate('system', 90, '0', { priority: 2_000_000_000 }), candidate('static', 90, '0', {}, { 'kubernetes.io/config.source': 'file' }), candidate('plain', 1)], 'nodefs.inodesFree', ['plain']],
])('evicts %s', (_what, candidates, signal, expected) => {
  expect(order(candidates, signal)).toEqual(expected);
});

it('says why, as kubelet does', () => {
  const pressure = { signal: 'memory.available', threshold: '100Mi', available: 90 * mib, hard: true } as const;
  expect(evictionMessage(candidate('a', 50 * mib), pressure)).toBe('The node was low on resource: memory. Threshold quantity: 100Mi, available: 90Mi. Container app was using 50Mi, request is 0, has larger consumption of memory. ');
  expect(evictionMessage(candidate('a', 50 * mib, '64Mi'), pressure)).toBe('The node was low on resource: memory. Threshold quantity: 100Mi, available: 90Mi. ');
});

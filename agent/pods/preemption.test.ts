import { expect, it } from 'vitest';
import type { Pod } from '#api/gen/types.ts';
import { NodeCapacity } from './allocation/capacity.ts';
import { victimsFor } from './preemption.ts';
import { testContainer, testPod } from './testing.ts';

const pod = (name: string, cpu: string | undefined, change: { limits?: object; priority?: number } = {}): Pod => testPod(name, {
  ...(change.priority !== undefined && { priority: change.priority }),
  containers: [testContainer('app', cpu === undefined ? {} : { resources: { requests: { cpu, memory: '1Mi' }, ...(change.limits && { limits: { cpu, memory: '1Mi' } }) } })],
});
const system = { priority: 2_000_000_000 };

it.each<[string, Pod[], Pod, string[] | undefined]>([
  ['nobody where there is room', [pod('a', '1')], pod('new', '1', system), []],
  ['one that will do', [pod('small', '1'), pod('large', '2'), pod('other', '1')], pod('new', '2', system), ['large']],
  ['the less guaranteed', [pod('sure', '2', { limits: {} }), pod('burst', '2')], pod('new', '2', system), ['burst']],
  ['the less important', [pod('high', '2', { priority: 9 }), pod('low', '2', { priority: 1 })], pod('new', '2', system), ['low']],
  ['nobody who would not help', [pod('none', undefined), pod('all', '4')], pod('new', '1', system), ['all']],
  ['none of the system for another of it', [pod('first', '4', system)], pod('new', '1', system), undefined],
  ['but for one that is more important', [pod('first', '4', system)], pod('new', '1', { priority: 2_000_001_000 }), ['first']],
  ['nobody where that would not do', [pod('a', '1')], pod('new', '5', system), undefined],
])('for a pod of the system goes %s', (_what, present, next, expected) => {
  const capacity = new NodeCapacity(() => ({ cpu: '4', memory: '1Gi' }), () => undefined);
  for (const other of present) expect(capacity.admit(other)).toBeUndefined();
  const others = present.map((other) => ({ uid: other.metadata?.uid ?? '', pod: other, isEnding: false }));
  expect(victimsFor(next, others, (without) => capacity.fits(next, without))?.map(({ pod: { metadata } }) => metadata?.name)).toEqual(expected);
});

it('waits for those that end anyway', () => {
  const [leaving, staying] = [pod('leaving', '2', { limits: {} }), pod('staying', '2')];
  const capacity = new NodeCapacity(() => ({ cpu: '4', memory: '1Gi' }), () => undefined);
  for (const other of [leaving, staying]) capacity.adopt(other);
  const others = [{ uid: 'leaving-uid', pod: leaving, isEnding: true }, { uid: 'staying-uid', pod: staying, isEnding: false }];
  const next = pod('new', '2', system);
  expect(victimsFor(next, others, (without) => capacity.fits(next, without))?.map(({ uid }) => uid)).toEqual(['leaving-uid']);
});

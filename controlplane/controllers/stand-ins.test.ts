import { describe, expect, it } from 'vitest';
import type { Pod, ReplicaSet } from '#api/gen/types.ts';
import { replicaSets } from '#api/kinds/resources.ts';
import { planReplicaSet } from './replica-plan.ts';
import { needlessStandIns, withoutStandIn } from './stand-ins.ts';

const owner = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web', uid: 'set', controller: true };
interface Options { readonly away?: boolean; readonly for?: string; readonly ready?: boolean; readonly one?: boolean; readonly ending?: boolean; readonly failed?: boolean }

function pod(name: string, options: Options = {}): Pod {
  const annotations = { ...(options.for && { 'cleat.dev/replaces': options.for }), ...(options.one && { 'cleat.dev/disconnect-policy': 'replace', 'cleat.dev/disconnect-copies': 'one' }) };
  return {
    metadata: { name, uid: name, labels: { app: 'web' }, ownerReferences: [owner], annotations, ...(options.ending && { deletionTimestamp: '2026-01-01T00:00:00Z' }) }, spec: { containers: [], nodeName: `on-${name}` },
    status: { phase: options.failed ? 'Failed' : 'Running', conditions: [{ type: 'Ready', status: options.ready === false ? 'False' : 'True' }, ...(options.away ? [{ type: 'cleat.dev/Replaced', status: 'True' }] : [])] },
  };
}

describe('stand-ins', () => {
  it.each<[string, Pod[], string[], string[]]>([
    ['nobody is away', [pod('a'), pod('b')], [], []],
    ['one is away', [pod('a', { away: true }), pod('b')], ['a'], []],
    ['one stands in', [pod('a', { away: true }), pod('b', { for: 'a' })], [], []],
    ['the first is back', [pod('a'), pod('b', { for: 'a' })], [], ['b']],
    ['the stand-in is away too', [pod('a', { away: true }), pod('b', { for: 'a', away: true })], ['b'], []],
    ['the stand-in has one of its own', [pod('a', { away: true }), pod('b', { for: 'a', away: true }), pod('c', { for: 'b' })], [], []],
    ['the first is back, the stand-in is not', [pod('a'), pod('b', { for: 'a', away: true }), pod('c', { for: 'b' })], [], ['c']],
    ['two stand in for one that is back', [pod('a'), pod('b', { for: 'a' }), pod('c', { for: 'a' })], [], ['b']],
    ['the first is gone for good', [pod('b', { for: 'a' })], [], []],
    ['they stand in for each other', [pod('a', { for: 'b', away: true }), pod('b', { for: 'a', away: true })], [], []],
  ])('when %s', (_, pods, missing, needless) => {
    expect([withoutStandIn(pods), needlessStandIns(pods).map(({ metadata }) => metadata?.name)]).toEqual([missing, needless]);
  });
});

describe('a ReplicaSet', () => {
  const plan = (replicas: number, pods: Pod[]) => {
    const replicaSet: ReplicaSet = { metadata: { name: 'web', uid: 'set' }, spec: { replicas, selector: { matchLabels: { app: 'web' } } } };
    const { create, standInsFor, remove, active } = planReplicaSet({ resource: replicaSets, replicaSet, pods, siblings: () => pods, nowMs: 0, burst: 500 });
    return { create, standInsFor, remove: remove.map(({ metadata }) => metadata?.name), active: active.length };
  };
  it.each<[string, number, Pod[], ReturnType<typeof plan>]>([
    ['replaces who is away', 2, [pod('a', { away: true }), pod('b')], { create: 1, standInsFor: ['a'], remove: [], active: 1 }],
    ['makes others without saying for whom', 3, [pod('a', { away: true }), pod('b')], { create: 2, standInsFor: ['a'], remove: [], active: 1 }],
    ['lets the stand-in go, not the one that is back and not quite ready', 2, [pod('a', { ready: false }), pod('b'), pod('c', { for: 'a' })], { create: 0, standInsFor: [], remove: ['c'], active: 3 }],
    ['forgets who is away when it wants nobody', 0, [pod('a', { away: true }), pod('b', { for: 'a' })], { create: 0, standInsFor: [], remove: ['a', 'b'], active: 1 }],
    ['waits for the end of the only copy', 1, [pod('a', { one: true, ending: true })], { create: 0, standInsFor: [], remove: [], active: 0 }],
    ['does not wait for one that has ended', 1, [pod('a', { one: true, ending: true, failed: true })], { create: 1, standInsFor: [], remove: [], active: 0 }],
    ['does not wait for others', 1, [pod('a', { ending: true })], { create: 1, standInsFor: [], remove: [], active: 0 }],
  ])('%s', (_, replicas, pods, expected) => {
    expect(plan(replicas, pods)).toEqual(expected);
  });
});

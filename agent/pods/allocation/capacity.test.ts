import { describe, expect, it } from 'vitest';
import type { Pod } from '#api/gen/types.ts';
import { testContainer, testPod } from '../testing.ts';
import { NodeCapacity } from './capacity.ts';

const pod = (name: string, requests: Record<string, string>, ports: object[] = []): Pod => testPod(name, { containers: [testContainer('app', { resources: { requests }, ports: ports as never })] });

describe('the capacity of a node', () => {
  const capacity = (): NodeCapacity => new NodeCapacity(() => ({ cpu: '2', memory: '1Gi', pods: '3', 'example.com/toy': '1' }), () => undefined);

  it.each<[string, Pod[], Pod, string | undefined]>([
    ['takes what fits', [pod('a', { cpu: '1' })], pod('b', { cpu: '1', memory: '1Gi' }), undefined],
    ['refuses what does not', [pod('a', { memory: '600Mi' })], pod('b', { memory: '500Mi' }), "OutOfmemory: Node didn't have enough resource: memory, requested: 524288000, used: 629145600, capacity: 1073741824"],
    ['counts pods', [pod('a', {}), pod('b', {}), pod('c', {})], pod('d', {}), "OutOfpods: Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3"],
    ['counts other things that it knows', [pod('a', { 'example.com/toy': '1' })], pod('b', { 'example.com/toy': '1' }), "OutOfexample.com/toy: Node didn't have enough resource: example.com/toy, requested: 1, used: 1, capacity: 1"],
    ['leaves those that it does not to others', [], pod('b', { 'example.com/unknown': '1' }), undefined],
    ['gives a port of the host once', [pod('a', {}, [{ containerPort: 1, hostPort: 80 }])], pod('b', {}, [{ containerPort: 2, hostPort: 80, hostIP: '192.0.2.1' }]), "NodePorts: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"],
    ['and once for each address and protocol', [pod('a', {}, [{ containerPort: 1, hostPort: 80, hostIP: '192.0.2.2' }])], pod('b', {}, [{ containerPort: 2, hostPort: 80, hostIP: '192.0.2.1' }, { containerPort: 2, hostPort: 80, hostIP: '192.0.2.2', protocol: 'UDP' }]), undefined],
  ])('%s', (_what, present, next, expected) => {
    const node = capacity();
    for (const other of present) expect(node.admit(other)).toBeUndefined();
    const refusal = node.admit(next);
    expect(refusal && `${refusal.reason}: ${refusal.message}`).toBe(expected);
  });

  it('has room again when a pod leaves', () => {
    const node = capacity();
    node.admit(pod('a', { cpu: '2' }));
    expect(node.admit(pod('b', { cpu: '1' }))).toBeDefined();
    node.release('a-uid');
    expect(node.admit(pod('b', { cpu: '1' }))).toBeUndefined();
  });
});

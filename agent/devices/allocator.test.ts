import { describe, expect, it } from 'vitest';
import type { Container, Pod } from '#api/gen/types.ts';
import { ManualClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { testContainer, testPod } from '#agent/pods/testing.ts';
import { Allocator } from './allocator.ts';
import { Inventory } from './inventory.ts';
import type { DeviceState } from './record.ts';
import { nearestNodes, type Topology, type TopologyPolicy, type TopologyScope } from './topology.ts';
import { noParts, type Device, type DeviceSource } from './types.ts';

const resource = 'example.com/toy';
const signal = new AbortController().signal;
const device = (id: string, ...numaNodes: number[]): Device => ({ id, healthy: true, numaNodes });
const podOf = (name: string, limits: Record<string, string>): Pod => testPod(name, { containers: [testContainer('app', { resources: { limits } })] });

function lab(devices: readonly Device[] = [], recorded?: DeviceState, topology: Partial<Topology> = {}) {
  const clock = new ManualClock();
  const inventory = new Inventory(clock, () => { allocator.poke(); });
  const saved: string[] = [];
  const allocator: Allocator = new Allocator({ inventory, clock, log: silentLog, bootId: 'boot', topology: { policy: 'best-effort', scope: 'container', ...topology }, save: () => { saved.push([...allocator.pods.keys()].join()); return Promise.resolve(); } }, recorded);
  if (recorded) inventory.restore(recorded.resources);
  const source: DeviceSource = { fresh: false, allocate: (ids) => Promise.resolve({ ...noParts, env: { IDS: ids.join() } }) };
  if (devices.length > 0) {
    inventory.offer(resource, source);
    inventory.update(resource, source, devices);
  }
  const idsOf = (name: string, of = resource): readonly string[] | undefined => allocator.pods.get(`${name}-uid`)?.get('app')?.get(of)?.ids;
  return { clock, inventory, allocator, source, saved, idsOf };
}

describe('who gets which device', () => {
  it('has nothing to do with pods that ask for none, or for what nobody here has', async () => {
    const { allocator, saved } = lab([device('a')]);
    expect(await allocator.admit(podOf('p', { cpu: '1' }), signal)).toBeUndefined();
    expect(await allocator.admit(podOf('p', { 'example.com/other': '1' }), signal)).toBeUndefined();
    expect(await allocator.parts(podOf('p', { 'example.com/other': '1' }), 'app', signal)).toBeUndefined();
    expect(saved).toEqual([]);
  });

  it('never is two pods, however they come, and what is decided is written down first', async () => {
    const { allocator, saved } = lab([device('a'), device('b'), device('c')]);
    const pods = ['p', 'q', 'r', 's', 't'];
    const refused = (await Promise.all(pods.map((name) => allocator.admit(podOf(name, { [resource]: '1' }), signal)))).filter(Boolean);
    expect(refused).toHaveLength(2);
    const given = [...allocator.pods.values()].map((containers) => containers.get('app')?.get(resource)?.ids.join());
    expect(new Set(given).size).toBe(3);
    expect(saved.length).toBeGreaterThan(0);
    // Asked again, they have what they have.
    const [first = ''] = allocator.pods.keys();
    expect(await allocator.admit(podOf(first.replace('-uid', ''), { [resource]: '1' }), signal)).toBeUndefined();
    expect(await allocator.admit(podOf(first.replace('-uid', ''), { [resource]: '2' }), signal)).toMatchObject({ reason: 'UnexpectedAdmissionError', message: expect.stringContaining('changed request for resource "example.com/toy" from 1 to 2') as string });
  });

  it.each<[TopologyPolicy, string[]]>([
    ['none', []], ['best-effort', []], ['restricted', ['two']], ['single-numa-node', ['all', 'two']],
  ])('keeps to the policy %s where devices are far from each other', async (policy, refused) => {
    const four = [device('a', 0), device('b', 0), device('c', 1), device('d', 1)];
    const admits = async (taken: string[], name: string, count: string): Promise<string[]> => {
      const { allocator } = lab(four, { bootId: 'boot', resources: new Map(), pods: new Map([['other', new Map([['app', new Map([[resource, { ids: taken }]])]])]]) }, { policy });
      const rejection = await allocator.admit(podOf(name, { [resource]: count }), signal);
      expect(rejection).toEqual(rejection && { reason: 'TopologyAffinityError', message: 'Resources cannot be allocated with Topology locality' });
      expect(allocator.pods.has(`${name}-uid`)).toBe(!rejection);
      return rejection ? [name] : [];
    };
    const passing = podOf('passing', { [resource]: '2' });
    const { allocator } = lab(four.slice(0, 2), undefined, { policy });
    const init = testContainer('init', { resources: { limits: { [resource]: '2' } } });
    expect(await allocator.admit({ ...passing, spec: { ...passing.spec!, initContainers: [init] } }, signal)).toBeUndefined();
    // Three need both nodes in any case; two do only because one of each is taken.
    expect([...await admits([], 'all', '3'), ...await admits(['a', 'c'], 'two', '2'), ...await admits(['a'], 'one', '2')]).toEqual(refused);
  });

  it.each<[TopologyPolicy, string, string]>([
    ['none', 'UnexpectedAdmissionError', 'UnexpectedAdmissionError'], ['best-effort', 'UnexpectedAdmissionError', 'UnexpectedAdmissionError'],
    ['restricted', 'TopologyAffinityError', 'UnexpectedAdmissionError'], ['single-numa-node', 'TopologyAffinityError', 'UnexpectedAdmissionError'],
  ])('refuses by the policy %s what is too few: %s where devices have places, %s where they have none', async (policy, ...reasons) => {
    for (const [at, devices] of [[device('a', 0), device('b', 1)], [device('a'), device('b')]].entries()) {
      const { allocator, clock } = lab(devices, undefined, { policy });
      await clock.advance(60_000);
      expect(await allocator.admit(podOf('p', { [resource]: '1' }), signal)).toBeUndefined();
      expect((await allocator.admit(podOf('q', { [resource]: '2' }), signal))?.reason).toBe(reasons[at]);
      expect((await allocator.admit(podOf('r', { [resource]: '3' }), signal))?.reason).toBe(reasons[at]);
      expect([...allocator.pods.keys()]).toEqual(['p-uid']);
    }
  });

  it('keeps the devices of all containers of a pod together where the scope is the pod', async () => {
    const want = (name: string, count: string, more: Partial<Container> = {}): Container => testContainer(name, { ...more, resources: { limits: { [resource]: count } } });
    const admit = async (scope: TopologyScope, devices: readonly Device[], spec: Partial<NonNullable<Pod['spec']>>): Promise<Record<string, string> | string | undefined> => {
      const { allocator } = lab(devices, undefined, { policy: 'single-numa-node', scope });
      const rejection = await allocator.admit(testPod('p', spec), signal);
      return rejection?.reason ?? Object.fromEntries([...allocator.pods.get('p-uid') ?? []].map(([name, own]) => [name, own.get(resource)?.ids.join() ?? '']));
    };
    const split = [device('a', 0), device('b', 1), device('c', 1)];
    const two = { containers: [want('one', '1'), want('two', '1')] };
    expect(await admit('container', split, two)).toEqual({ one: 'a', two: 'b' });
    expect(await admit('pod', split, two)).toEqual({ one: 'b', two: 'c' });
    expect(await admit('pod', split.slice(0, 2), two)).toBe('TopologyAffinityError');
    // What an init container has, the others have after it; a sidecar keeps its own.
    expect(await admit('pod', split, { ...two, initContainers: [want('first', '2')] })).toEqual({ first: 'b,c', one: 'b', two: 'c' });
    expect(await admit('pod', split, { ...two, initContainers: [want('side', '1', { restartPolicy: 'Always' })] })).toBe('TopologyAffinityError');
    expect(await admit('pod', split, { containers: [want('one', '1')], initContainers: [want('side', '1', { restartPolicy: 'Always' }), want('first', '2')] })).toBe('TopologyAffinityError');
  });

  it('wants no resource to do with more nodes than it would need alone, and what an init container had on the same ones', async () => {
    const other = 'example.com/other';
    const admit = async (policy: TopologyPolicy, toys: readonly Device[], others: readonly Device[], spec: Partial<NonNullable<Pod['spec']>>): Promise<string> => {
      const { allocator, inventory, source, idsOf } = lab(toys, undefined, { policy });
      inventory.offer(other, source);
      inventory.update(other, source, others);
      return (await allocator.admit(testPod('p', spec), signal))?.reason ?? (idsOf('p') ?? []).join();
    };
    const both = { containers: [testContainer('app', { resources: { limits: { [resource]: '1', [other]: '1' } } })] };
    // Apart for good: each alone could be had from one node.
    expect(await admit('restricted', [device('a', 0)], [device('b', 1)], both)).toBe('TopologyAffinityError');
    expect(await admit('best-effort', [device('a', 0)], [device('b', 1)], both)).toBe('a');
    expect(await admit('restricted', [device('a', 0), device('b', 1)], [device('c', 1)], both)).toBe('b');
    // One that says nothing of its place is near to all.
    expect(await admit('restricted', [device('a', 0)], [device('b')], both)).toBe('a');
    // Two of one node there would be, if one of them were not broken.
    const two = { containers: [testContainer('app', { resources: { limits: { [resource]: '2' } } })] };
    expect(await admit('restricted', [device('a', 0), { ...device('b', 0), healthy: false }, device('c', 1)], [], two)).toBe('TopologyAffinityError');
    const afterOne = { ...two, initContainers: [testContainer('init', { resources: { limits: { [resource]: '1' } } })] };
    expect(await admit('single-numa-node', [device('a', 0), device('b', 1), device('c', 1)], [], afterOne)).toBe('TopologyAffinityError');
    expect(await admit('single-numa-node', [device('a', 1), device('b', 0), device('c', 0)], [], afterOne)).toBe('b,c');
  });

  it('looks again where devices are near to each other when a plugin has said which it would choose', async () => {
    const { allocator, inventory, idsOf } = lab([], undefined, { policy: 'single-numa-node' });
    const asked: PromiseWithResolvers<readonly string[]>[] = [];
    const source: DeviceSource = {
      fresh: false, allocate: () => Promise.resolve(noParts),
      prefer: () => { const answer = Promise.withResolvers<readonly string[]>(); asked.push(answer); return answer.promise; },
    };
    inventory.offer(resource, source);
    inventory.update(resource, source, [device('a', 0), device('b', 0), device('e', 0), device('c', 1), device('d', 1), device('f', 1)]);
    const admissions = ['p', 'q'].map((name) => allocator.admit(podOf(name, { [resource]: '2' }), signal));
    for (const times of [1, 2]) {
      await expect.poll(() => asked.length).toBe(times);
      asked.at(-1)?.resolve(['a', 'b']);
    }
    expect(await Promise.all(admissions)).toEqual([undefined, undefined]);
    expect([idsOf('p'), idsOf('q')]).toEqual([['a', 'b'], ['c', 'd']]);
    // One goes bad while the plugin thinks.
    allocator.retain(new Set());
    const late = allocator.admit(podOf('r', { [resource]: '2' }), signal);
    await expect.poll(() => asked.length).toBe(3);
    inventory.update(resource, source, [device('b', 0), { ...device('a', 0), healthy: false }, device('c', 1), device('d', 1)]);
    asked.at(-1)?.resolve(['a', 'b']);
    expect(await late).toBeUndefined();
    expect(idsOf('r')).toEqual(['c', 'd']);
  });

  it('is settled for all containers of a pod before another pod may choose, and before a plugin is asked for them', async () => {
    const { allocator, inventory } = lab([], undefined, { policy: 'single-numa-node', scope: 'pod' });
    const choices: PromiseWithResolvers<undefined>[] = [];
    const given: PromiseWithResolvers<undefined>[] = [];
    const answer = (to: PromiseWithResolvers<undefined>[]): Promise<undefined> => { const one = Promise.withResolvers<undefined>(); to.push(one); return one.promise; };
    const source: DeviceSource = { fresh: false, allocate: () => answer(given).then(() => noParts), prefer: (available, _first, size) => answer(choices).then(() => available.slice(0, size)) };
    const other: DeviceSource = { fresh: false, allocate: () => Promise.resolve(noParts) };
    inventory.offer(resource, source);
    inventory.update(resource, source, [device('a', 0), device('b', 0), device('c', 0), device('d', 1), device('e', 1)]);
    inventory.offer('example.com/other', other);
    inventory.update('example.com/other', other, [device('x')]);
    const one = (name: string): Container => testContainer(name, { resources: { limits: { [resource]: '1' } } });
    const admissions = ['p', 'q'].map((name) => allocator.admit(testPod(name, { containers: [one('one'), one('two')] }), signal));
    const stop = new AbortController();
    const third = allocator.admit(podOf('r', { [resource]: '1' }), stop.signal);
    await expect.poll(() => choices.length).toBe(1);
    // Who wants something else does not wait for that, and who waits may give up.
    expect(await allocator.admit(podOf('s', { 'example.com/other': '1' }), signal)).toBeUndefined();
    stop.abort(new Error('enough'));
    await expect(third).rejects.toThrow('enough');
    for (const times of [1, 2, 3, 4]) {
      await expect.poll(() => choices.length).toBe(times);
      expect(given).toHaveLength(times > 2 ? 1 : 0);
      choices.at(-1)?.resolve(undefined);
    }
    for (const times of [1, 2]) {
      await expect.poll(() => given.length).toBe(2 * times);
      for (const { resolve } of given) resolve(undefined);
    }
    expect(await Promise.all(admissions)).toEqual([undefined, undefined]);
    const idsOf = (name: string): string[] => [...allocator.pods.get(`${name}-uid`)?.values() ?? []].flatMap((own) => [...own.get(resource)?.ids ?? []]);
    expect([idsOf('p'), idsOf('q')]).toEqual([['a', 'b'], ['d', 'e']]);
  });

  it('gives back what a plugin was not asked for after it refused', async () => {
    const { allocator, inventory } = lab();
    const source: DeviceSource = { fresh: false, allocate: () => Promise.reject(new Error('no')) };
    inventory.offer(resource, source);
    inventory.update(resource, source, [device('a'), device('b')]);
    const one = (name: string): Container => testContainer(name, { resources: { limits: { [resource]: '1' } } });
    // It has something already, so it is not forgotten as a whole.
    const had: DeviceSource = { fresh: false, allocate: () => Promise.resolve(noParts) };
    inventory.offer('example.com/other', had);
    inventory.update('example.com/other', had, [device('x')]);
    expect(await allocator.admit(podOf('p', { 'example.com/other': '1' }), signal)).toBeUndefined();
    expect(await allocator.admit(testPod('p', { containers: [one('one'), one('two')] }), signal)).toMatchObject({ reason: 'UnexpectedAdmissionError', message: 'Allocate failed due to no, which is unexpected' });
    expect([...allocator.pods.get('p-uid')?.values() ?? []].flatMap((own) => [...own.keys()])).toEqual(['example.com/other']);
  });

  it('brings a container what two plugins name alike once', async () => {
    const { allocator, inventory } = lab();
    for (const name of ['example.com/one', 'example.com/two']) {
      const source: DeviceSource = { fresh: false, allocate: () => Promise.resolve({
        ...noParts, mounts: [{ containerPath: '/lib/toy', hostPath: `/opt/${name}`, readOnly: true }],
        devices: [{ containerPath: '/dev/toyctl', hostPath: '/dev/toyctl', permissions: 'rw' }, { containerPath: `/dev/${name}`, hostPath: '/dev/null', permissions: 'rw' }],
      }) };
      inventory.offer(name, source);
      inventory.update(name, source, [device('a')]);
    }
    const pod = podOf('p', { 'example.com/one': '1', 'example.com/two': '1' });
    expect(await allocator.admit(pod, signal)).toBeUndefined();
    const parts = await allocator.parts(pod, 'app', signal);
    expect(parts?.mounts.map(({ hostPath }) => hostPath)).toEqual(['/opt/example.com/one']);
    expect(parts?.devices.map(({ containerPath }) => containerPath)).toEqual(['/dev/toyctl', '/dev/example.com/one', '/dev/example.com/two']);
  });

  it('takes what one container asks for from as few NUMA nodes as it can', async () => {
    const { allocator, idsOf } = lab([device('a', 0), device('b', 1), device('c', 1), device('d', 0, 1)]);
    await allocator.admit(podOf('p', { [resource]: '3' }), signal);
    expect([...idsOf('p') ?? []].sort()).toEqual(['b', 'c', 'd']);
    expect(nearestNodes([{ count: 1, available: [device('x', 0)] }, { count: 1, available: [device('y', 1)] }])).toEqual(new Set([0, 1]));
    expect(nearestNodes([{ count: 2, available: [device('x', 0), device('z')] }])).toEqual(new Set([0]));
    expect(nearestNodes([{ count: 2, available: [device('x')] }])).toBeUndefined();
    expect(nearestNodes([{ count: 3, available: [device('x', 0)] }])).toBeUndefined();
  });

  it('waits for a pod that is being ended, but not for ever', async () => {
    const { allocator, clock, idsOf } = lab([device('a')]);
    await allocator.admit(podOf('p', { [resource]: '1' }), signal);
    await clock.advance(60_000);
    expect(await allocator.admit(podOf('q', { [resource]: '1' }), signal)).toMatchObject({ message: 'Allocate failed due to requested number of devices unavailable for example.com/toy. Requested: 1, Available: 0, which is unexpected' });
    allocator.ending('p-uid');
    const waiting = allocator.admit(podOf('q', { [resource]: '1' }), signal);
    await clock.advance(30_000);
    allocator.release('p-uid');
    expect(await waiting).toBeUndefined();
    expect(idsOf('q')).toEqual(['a']);
    allocator.ending('q-uid');
    const never = allocator.admit(podOf('r', { [resource]: '1' }), signal);
    await clock.advance(60_000);
    expect((await never)?.reason).toBe('UnexpectedAdmissionError');
  });

  it('waits for what all containers of a pod want together', async () => {
    const { allocator, clock } = lab([device('a'), device('b'), device('c')]);
    await allocator.admit(podOf('p', { [resource]: '2' }), signal);
    allocator.ending('p-uid');
    const one = (name: string): Container => testContainer(name, { resources: { limits: { [resource]: '1' } } });
    const waiting = allocator.admit(testPod('q', { containers: [one('one'), one('two')] }), signal);
    await clock.advance(1000);
    allocator.release('p-uid');
    expect(await waiting).toBeUndefined();
    expect(allocator.pods.get('q-uid')?.size).toBe(2);
  });

  it('waits when another pod took what was free while a third is being ended', async () => {
    const { allocator, clock, idsOf } = lab([device('a'), device('b')]);
    await allocator.admit(podOf('ending', { [resource]: '1' }), signal);
    allocator.ending('ending-uid');
    const admissions = ['p', 'q'].map((name) => allocator.admit(podOf(name, { [resource]: '1' }), signal));
    await clock.advance(1000);
    allocator.release('ending-uid');
    expect(await Promise.all(admissions)).toEqual([undefined, undefined]);
    expect([idsOf('p'), idsOf('q')]).toEqual([['b'], ['a']]);
  });

  it('is forgotten of pods that are no more', async () => {
    const { allocator } = lab([device('a'), device('b')]);
    for (const name of ['p', 'q']) await allocator.admit(podOf(name, { [resource]: '1' }), signal);
    allocator.retain(new Set(['q-uid']));
    expect([...allocator.pods.keys()]).toEqual(['q-uid']);
  });

  it('keeps devices of a plugin that does not come back for five minutes, as unhealthy ones', async () => {
    const { inventory, clock, source } = lab([device('a')]);
    inventory.lose(resource, source);
    expect(inventory.amounts()).toEqual({ capacity: { [resource]: '1' }, allocatable: { [resource]: '0' } });
    await clock.advance(299_000);
    expect(inventory.amounts().capacity).toEqual({ [resource]: '1' });
    await clock.advance(2000);
    expect(inventory.amounts()).toEqual({ capacity: { [resource]: '0' }, allocatable: { [resource]: '0' } });
    // What a plugin says that has been replaced is not heard.
    const [old, next]: DeviceSource[] = [{ ...source }, { ...source }];
    for (const one of [old, next]) if (one) inventory.offer(resource, one);
    if (old) inventory.update(resource, old, [device('a'), device('b')]);
    if (old) inventory.lose(resource, old);
    if (next) inventory.update(resource, next, [device('c')]);
    expect(inventory.amounts().allocatable).toEqual({ [resource]: '1' });
  });
});

import { afterEach, describe, expect, test } from 'vitest';
import type { ContainerStatus, Node, Pod } from '#api/gen/types.ts';
import { ManualClock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { silentLog } from '#common/log.ts';
import { rfc3339 } from '#common/time.ts';
import { schedulerPlugins } from './registry.ts';
import { Scheduler } from './scheduler.ts';
import { fakeApi, FakeInformer, node, pod, type FakeApi, type PodOptions } from './testing.ts';

const stops = new Set<() => Promise<void>>();
afterEach(async () => { for (const end of stops) await end(); stops.clear(); });

interface World { readonly clock: ManualClock; readonly pods: FakeInformer<Pod>; readonly nodes: FakeInformer<Node>; readonly api: FakeApi; readonly nodeOf: (name: string) => string | undefined }

async function setup(...nodes: readonly Node[]): Promise<World> {
  const clock = new ManualClock(Date.UTC(2026, 0, 1));
  const pods = new FakeInformer<Pod>();
  const nodeInformer = new FakeInformer<Node>();
  for (const item of nodes) nodeInformer.set(item);
  const api = fakeApi(pods);
  const scheduler = new Scheduler({ api, events: api, pods, nodes: nodeInformer, namespaces: { get: () => undefined }, plugins: schedulerPlugins, clock, random: () => 0.5, log: silentLog });
  const abort = new AbortController();
  const running = scheduler.start(abort.signal);
  stops.add(async () => { abort.abort(); await running; });
  await clock.advance(0);
  return { clock, pods, nodes: nodeInformer, api, nodeOf: (name) => pods.get('default', name)?.spec?.nodeName };
}

const of = (name: string, architecture: string, options: Parameters<typeof node>[1] = {}): Node => node(name, { ...options, labels: { 'kubernetes.io/arch': architecture } });
const nothing = 'Back-off pulling image "app:1": ErrImagePull: no match for platform in manifest: not found';
const status = (message: string, more: Partial<ContainerStatus> = {}): Pod['status'] => ({ phase: 'Pending', containerStatuses: [{ name: 'c', image: 'app:1', imageID: '', ready: false, restartCount: 0, state: { waiting: { reason: 'ImagePullBackOff', message } }, ...more }] });

/** A pod that is made now. */
function made({ clock, pods }: World, options: PodOptions): Pod {
  const one = pod({ owner: 'web', ...options });
  const object = { ...one, metadata: { ...one.metadata, creationTimestamp: rfc3339(clock.now()) } };
  pods.set(object);
  return object;
}

/** A pod that was put on `big`, and cannot start there. */
async function stuck(world: World, options: PodOptions, message = nothing): Promise<Pod> {
  const { spec, ...metadata } = made(world, { ...options, spec: { ...options.spec, nodeName: 'big' } });
  await world.clock.advance(2000);
  const object = { ...metadata, spec, status: status(message) };
  world.pods.set(object);
  await world.clock.advance(2000);
  return object;
}

describe('a pod on a host that its image is not made for', () => {
  test('is made anew, and then elsewhere', async () => {
    const world = await setup(of('big', 'amd64'), of('pi', 'arm64'));
    const first = await stuck(world, { name: 'first' });
    expect(world.api.deleted).toEqual(['first']);
    const why = 'image app:1 is not made for the architecture of node big (amd64); pi can have the pod';
    expect(world.api.patches.at(-1)).toMatchObject({ name: 'first', patch: { status: { conditions: [{ type: 'DisruptionTarget', reason: 'ImageNotForNode', message: `default-scheduler: ${why}` }] } } });
    expect(world.api.recorded.at(-1)).toMatchObject({ reason: 'ImageNotForNode', message: `Deleted, for its owner to make it anew: ${why}` });
    world.pods.delete(first);
    for (const name of ['second', 'third']) made(world, { name });
    await world.clock.advance(0);
    expect(['second', 'third'].map(world.nodeOf)).toEqual(['pi', 'pi']);
  });

  test.each<[string, PodOptions, Node]>([
    ['nobody makes another', { owner: undefined }, of('pi', 'arm64')],
    ['it is to be there', { spec: { nodeSelector: { 'kubernetes.io/arch': 'amd64' } } }, of('pi', 'arm64')],
    ['the other host is no better', {}, of('big-2', 'amd64')],
    ['the other host is cordoned', {}, of('pi', 'arm64', { unschedulable: true })],
    ['the other host is tainted', {}, of('pi', 'arm64', { taints: [{ key: 'k', effect: 'NoSchedule' }] })],
    ['another scheduler put it there', { spec: { schedulerName: 'mine' } }, of('pi', 'arm64')],
  ])('is left there when %s', async (_, options, other) => {
    const world = await setup(of('big', 'amd64'), other);
    await stuck(world, { name: 'first', ...options });
    expect(world.api.deleted).toEqual([]);
  });

  test('goes though the other host is full: it may wait for room there', async () => {
    const world = await setup(of('big', 'amd64'), of('pi', 'arm64', { allocatable: { pods: '0' } }));
    await stuck(world, { name: 'first' });
    expect(world.api.deleted).toEqual(['first']);
  });

  test('goes as soon as there is a host for it', async () => {
    const world = await setup(of('big', 'amd64'));
    await stuck(world, { name: 'first' });
    expect(world.api.deleted).toEqual([]);
    world.nodes.set(of('pi', 'arm64'));
    await world.clock.advance(1000);
    expect(world.api.deleted).toEqual(['first']);
  });

  test('stays when its image is for neither: it is not passed to and fro', async () => {
    const world = await setup(of('big', 'amd64'), of('pi', 'arm64'));
    const there = made(world, { name: 'there', spec: { nodeName: 'pi' } });
    world.pods.set({ ...there, status: status(nothing) });
    await stuck(world, { name: 'first' });
    // The one on `pi` was looked at when nobody knew of `big` yet.
    expect(world.api.deleted).toEqual(['there']);
    await stuck(world, { name: 'second' });
    expect(world.api.deleted).toEqual(['there']);
  });

  test('stays when its agent says that the image has nothing for any host', async () => {
    const world = await setup(of('big', 'amd64'), of('pi', 'arm64'));
    await stuck(world, { name: 'first' }, 'wrong architecture: image app:1 is for linux/s390x, linux/riscv64, and this host is linux/amd64; build or choose an image for it');
    expect(world.api.deleted).toEqual([]);
  });

  test('stays when it was put there by name: it would come there again', async () => {
    const world = await setup(of('big', 'amd64'), of('pi', 'arm64'));
    world.pods.delete(await stuck(world, { name: 'first' }));
    await stuck(world, { name: 'second' });
    expect(world.api.deleted).toEqual(['first']);
  });

  test('goes later when the API does not answer at first', async () => {
    const world = await setup(of('big', 'amd64'), of('pi', 'arm64'));
    const remove = world.api.delete.bind(world.api);
    Object.assign(world.api, { delete: () => Promise.reject(new StatusError('ServiceUnavailable', 'not now')) });
    await stuck(world, { name: 'first' });
    expect(world.api.deleted).toEqual([]);
    Object.assign(world.api, { delete: remove });
    await world.clock.advance(31_000);
    expect(world.api.deleted).toEqual(['first']);
  });

  test('stays when it has run there: the tag moved', async () => {
    const world = await setup(of('big', 'amd64'), of('pi', 'arm64'));
    const one = made(world, { name: 'first', spec: { nodeName: 'big' } });
    world.pods.set({ ...one, status: status(nothing, { restartCount: 1 }) });
    await world.clock.advance(2000);
    expect(world.api.deleted).toEqual([]);
  });
});

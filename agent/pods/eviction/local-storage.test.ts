import { link, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Pod } from '#api/gen/types.ts';
import { podPaths } from '../paths.ts';
import { testContainer, testPod } from '../testing.ts';
import { diskUsage } from '#common/disk-usage.ts';
import { hasStorageLimits, measureStorage, storageExcess, usedOf } from './local-storage.ts';

const { signal } = new AbortController();
let dir: string;
beforeEach(async () => { dir = await mkdtemp(join(tmpdir(), 'cleat-storage-')); });
afterEach(async () => { await rm(dir, { recursive: true, force: true }); });

it('counts each file once, and nothing that is not there', async () => {
  await mkdir(join(dir, 'a', 'b'), { recursive: true });
  await writeFile(join(dir, 'a', 'b', 'file'), Buffer.alloc(100_000));
  const before = await diskUsage(dir, signal);
  expect(before.inodes).toBe(4);
  expect(before.bytes).toBeGreaterThanOrEqual(100_000);
  await link(join(dir, 'a', 'b', 'file'), join(dir, 'again'));
  expect((await diskUsage(dir, signal)).inodes).toBe(4);
  expect(await diskUsage(join(dir, 'none'), signal)).toEqual({ bytes: 0, inodes: 0 });
});

const storage = { 'ephemeral-storage': '100Ki' };
it.each<[string, Partial<NonNullable<Pod['spec']>>, string | undefined]>([
  ['a volume', { volumes: [{ name: 'v', emptyDir: { sizeLimit: '64Ki' } }] }, 'Usage of EmptyDir volume "v" exceeds the limit "64Ki". '],
  ['a volume that may be larger', { volumes: [{ name: 'v', emptyDir: { sizeLimit: '1Mi' } }] }, undefined],
  ['all that it has', { volumes: [{ name: 'v', emptyDir: {} }], containers: [testContainer('app', { resources: { limits: storage } })] }, 'Pod ephemeral local storage usage exceeds the total limit of containers 100Ki. '],
  ['a volume that has none', { volumes: [{ name: 'v', emptyDir: { sizeLimit: '0' } }], containers: [testContainer('app', { resources: { limits: { 'ephemeral-storage': '1G' } } })] }, undefined],
  ['one container, which is none', { volumes: [{ name: 'v', emptyDir: {} }], containers: [testContainer('app', { resources: { limits: { 'ephemeral-storage': '0' } } }), testContainer('other', { resources: { limits: { 'ephemeral-storage': '1Mi' } } })] }, undefined],
  ['those of its containers that have one', { volumes: [{ name: 'v', emptyDir: {} }], containers: [testContainer('app'), testContainer('other', { resources: { limits: { 'ephemeral-storage': '100k' } } })] }, 'Pod ephemeral local storage usage exceeds the total limit of containers 100k. '],
  ['one container', { volumes: [{ name: 'v', emptyDir: {} }], containers: [testContainer('app', { resources: { limits: storage } }), testContainer('other', { resources: { limits: { 'ephemeral-storage': '1Mi' } } })] }, 'Container app exceeded its local ephemeral storage limit "100Ki". '],
])('tells when a pod goes beyond its limit of %s', async (_what, spec, expected) => {
  const pod = testPod('p', spec);
  const paths = podPaths({ stateDir: dir }, { namespace: 'default', name: 'p', uid: 'p-uid' });
  for (const folder of [join(paths.volumes, 'v'), join(paths.logs, 'app')]) await mkdir(folder, { recursive: true });
  await writeFile(join(paths.volumes, 'v', 'file'), Buffer.alloc(80_000));
  expect(hasStorageLimits(pod)).toBe(true);
  expect(storageExcess(pod, await measureStorage(pod, paths, new Map([['app', { bytes: 120_000, inodes: 3 }]]), signal))?.message).toBe(expected);
});

it('measures nothing where nothing is limited', () => {
  expect(hasStorageLimits(testPod('p', { volumes: [{ name: 'z', emptyDir: { sizeLimit: '0' } }, { name: 'm', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } }, { name: 'v', emptyDir: {} }] }))).toBe(false);
});

it('counts a writable layer where it is: with images, or with the state of the agent', async () => {
  const pod = testPod('web', { containers: [testContainer('app'), testContainer('side')] });
  const { total, writable } = await measureStorage(pod, podPaths({ stateDir: '/nowhere' }, { namespace: 'default', name: 'web', uid: 'web-uid' }), new Map([['app', { bytes: 100, inodes: 3 }], ['side', { bytes: 20, inodes: 1, withState: true }]]), AbortSignal.timeout(5000));
  expect([total, writable]).toEqual([{ bytes: 120, inodes: 4 }, { bytes: 100, inodes: 3 }]);
});

it.each<[Parameters<typeof usedOf>[1], number]>([
  [{ signal: 'nodefs.available' }, 100], [{ signal: 'imagefs.available' }, 100], [{ signal: 'nodefs.inodesFree' }, 7],
  [{ signal: 'nodefs.available', imagesApart: true }, 70], [{ signal: 'imagefs.available', imagesApart: true }, 30],
  [{ signal: 'nodefs.inodesFree', imagesApart: true }, 5], [{ signal: 'imagefs.inodesFree', imagesApart: true }, 2],
])('counts what is on the disk that is short: %j', (pressure, used) => {
  expect(usedOf({ emptyDirs: new Map(), containers: new Map(), total: { bytes: 100, inodes: 7 }, writable: { bytes: 30, inodes: 2 } }, pressure)).toBe(used);
});

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { PersistentVolume, PersistentVolumeClaim } from '#api/gen/types.ts';
import { ManualClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { podPaths } from '../paths.ts';
import type { ObjectLookup } from '../spec/env.ts';
import { testPod } from '../testing.ts';
import { withHoldings } from './holdings.ts';
import { VolumeMeter } from './meter.ts';

let dir: string;
const signal = AbortSignal.timeout(20_000);
beforeEach(async () => { dir = await mkdtemp(join(tmpdir(), 'volume-stats-')); });
afterEach(async () => { await rm(dir, { recursive: true, force: true }); });

const claim: PersistentVolumeClaim = { metadata: { name: 'data', namespace: 'default', uid: 'c', annotations: { 'pv.kubernetes.io/bind-completed': 'yes' } }, spec: { volumeName: 'disk' } };
const disk = (): PersistentVolume => ({ metadata: { name: 'disk' }, spec: { claimRef: { name: 'data', namespace: 'default', uid: 'c' }, local: { path: dir } } });
const lookup: ObjectLookup = { configMap: () => undefined, secret: () => undefined, services: () => [], runtimeClass: () => undefined, claim: () => claim, volume: disk };

it('counts what volumes hold, when asked, at most once a minute', async () => {
  const pod = testPod('p', { volumes: [
    { name: 'scratch', emptyDir: {} }, { name: 'settings', configMap: { name: 'm' } }, { name: 'host', hostPath: { path: '/' } }, { name: 'data', persistentVolumeClaim: { claimName: 'data' } }, { name: 'gone', emptyDir: {} },
  ] });
  const paths = podPaths({ stateDir: dir }, { namespace: 'default', name: 'p', uid: 'p-uid' });
  for (const name of ['scratch', 'settings']) await mkdir(join(paths.volumes, name), { recursive: true });
  await writeFile(join(paths.volumes, 'scratch/file'), Buffer.alloc(1 << 20, 1));
  await mkdir(join(paths.logs, 'app'), { recursive: true });
  await writeFile(join(paths.logs, 'app', '0.log'), Buffer.alloc(200_000, 1));
  const clock = new ManualClock();
  const meter = new VolumeMeter({ clock, log: silentLog, lookup }, { stateDir: dir });
  const read = async (): Promise<readonly { readonly name: string; readonly usedBytes?: number }[]> => (await meter.read([pod], signal, signal)).pods.get('p-uid')?.volumes ?? [];
  const found = await read();
  expect(found).toMatchObject([{ name: 'scratch', inodesUsed: 2 }, { name: 'settings', inodesUsed: 1 }, { name: 'data', claim: 'data' }]);
  expect(found[0]?.usedBytes).toBeGreaterThanOrEqual(1 << 20);
  expect(found[0]?.usedBytes).toBeLessThan(2 << 20);
  for (const amounts of found) expect(amounts).toMatchObject({ capacityBytes: expect.any(Number), availableBytes: expect.any(Number), inodes: expect.any(Number) });
  const image = { id: 'i', names: ['i'], sizeBytes: 4096 };
  const container = { id: 'c', name: 'app', image: 'i', startedAtMs: 1, cpuMillis: 0, memoryBytes: 0, cpuSeconds: 0, writableBytes: 1_000_000 };
  const report = { atMs: 0, windowMs: 1, node: { cpuMillis: 0, memoryBytes: 0, cpuSeconds: 0 }, pods: [{ namespace: 'default', name: 'p', uid: 'p-uid', startedAtMs: 0, containers: [container] }] };
  const driver = { imageFolder: () => Promise.resolve(dir), listImages: () => Promise.resolve([image, image]) };
  const { node, pods: [held] } = await withHoldings(report, [pod], await meter.read([pod], signal, signal), { driver, stateDir: dir }, signal);
  expect(node).toMatchObject({ disk: { capacityBytes: expect.any(Number) }, imageDisk: { usedBytes: 8192, availableBytes: expect.any(Number) } });
  // What the claim is of is not the pod's.
  const [own, least] = [held?.ephemeral?.bytes ?? 0, (1 << 20) + 1_200_000];
  expect([own >= least, own < least + 100_000, held?.containers[0]?.logs?.inodes]).toEqual([true, true, 2]);
  await writeFile(join(paths.volumes, 'scratch/more'), Buffer.alloc(1 << 20, 1));
  expect((await read())[0]?.usedBytes).toBe(found[0]?.usedBytes);
  await clock.advance(60_000);
  expect((await read())[0]?.usedBytes).toBeGreaterThanOrEqual(2 << 20);
  await clock.advance(60_000);
  expect([...(await meter.read([], signal, signal)).pods]).toEqual([]);
});

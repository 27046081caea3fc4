import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { PersistentVolume, PersistentVolumeClaim } from '#api/gen/types.ts';
import { podPaths, type PodPaths } from '../paths.ts';
import type { ObjectLookup } from '../spec/env.ts';
import { testPod } from '../testing.ts';
import { claimedPath, ensureClaimedVolume, removeLocalVolume } from './claims.ts';

let dir: string;
let paths: PodPaths;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'claims-'));
  paths = podPaths(dir, { namespace: 'default', name: 'p', uid: 'u' });
});
afterEach(async () => { await rm(dir, { recursive: true, force: true }); });

const volume = { name: 'v', persistentVolumeClaim: { claimName: 'data' } };
const claim: PersistentVolumeClaim = { metadata: { name: 'data', namespace: 'default', uid: 'c', annotations: { 'pv.kubernetes.io/bind-completed': 'yes' } }, spec: { volumeName: 'pvc-c' } };
const claimRef = { name: 'data', namespace: 'default', uid: 'c' };
const ours: PersistentVolume = { metadata: { name: 'pvc-c', annotations: { 'pv.kubernetes.io/provisioned-by': 'cleat.dev/local-path' } }, spec: { claimRef, local: { path: '/var/lib/cleat/volumes/pvc-c' } } };
const lookup = (found?: PersistentVolumeClaim, held?: PersistentVolume): ObjectLookup => ({ configMap: () => undefined, secret: () => undefined, services: () => [], runtimeClass: () => undefined, claim: () => found, volume: () => held });

it('makes the directory of a volume of ours once, and removes it when told', async () => {
  const pod = testPod('p');
  await ensureClaimedVolume(pod, volume, paths, lookup(claim, ours));
  const path = claimedPath(pod, volume, paths, lookup(claim, ours));
  expect([path, (await stat(path)).mode & 0o7777]).toEqual([join(dir, 'volumes/pvc-c'), 0o777]);
  await writeFile(join(path, 'file'), 'kept');
  await ensureClaimedVolume(pod, volume, paths, lookup(claim, ours));
  expect(await readdir(path)).toEqual(['file']);
  await removeLocalVolume(dir, 'pvc-c');
  await removeLocalVolume(dir, 'pvc-c');
  expect(await readdir(join(dir, 'volumes'))).toEqual([]);
});

it('mounts what a volume names, which must be there', async () => {
  const path = join(dir, 'disk');
  const local: PersistentVolume = { metadata: { name: 'pvc-c' }, spec: { claimRef, local: { path } } };
  await expect(ensureClaimedVolume(testPod('p'), volume, paths, lookup(claim, local))).rejects.toThrow('does not exist');
  await mkdir(path);
  await ensureClaimedVolume(testPod('p'), volume, paths, lookup(claim, local));
  expect(claimedPath(testPod('p'), volume, paths, lookup(claim, local))).toBe(path);
});

it.each<[string, PersistentVolumeClaim | undefined, PersistentVolume | undefined]>([
  ['persistentvolumeclaim "data" not found', undefined, ours],
  ['persistentvolumeclaim "data" is not bound', claim, undefined],
  ['persistentvolumeclaim "data" is not bound', claim, { ...ours, spec: { ...ours.spec, claimRef: { ...claimRef, uid: 'other' } } }],
  ['is of a block device', { ...claim, spec: { ...claim.spec, volumeMode: 'Block' } }, ours],
  ['use local or hostPath', claim, { metadata: { name: 'pvc-c' }, spec: { claimRef, nfs: { server: 's', path: '/' } } }],
])('refuses with: %s', async (message, found, held) => {
  await expect(ensureClaimedVolume(testPod('p'), volume, paths, lookup(found, held))).rejects.toThrow(message);
});

import { chmod, mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { OwnerReference, PersistentVolume, PersistentVolumeClaim } from '#api/gen/types.ts';
import { podPaths, type PodPaths } from '../paths.ts';
import type { ObjectLookup } from '../spec/env.ts';
import { testPod } from '../testing.ts';
import { claimedFolder, ensureClaimedVolume, removeLocalVolume } from './claims.ts';

let dir: string;
let paths: PodPaths;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'claims-'));
  paths = podPaths({ stateDir: dir }, { namespace: 'default', name: 'p', uid: 'u' });
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
  const path = claimedFolder(pod, volume, paths, lookup(claim, ours));
  expect([path, (await stat(path)).mode & 0o7777]).toEqual([join(dir, 'volumes/pvc-c'), 0o777]);
  await writeFile(join(path, 'file'), 'kept');
  await ensureClaimedVolume(pod, volume, paths, lookup(claim, ours));
  expect(await readdir(path)).toEqual(['file']);
  await removeLocalVolume(dir, 'pvc-c');
  await removeLocalVolume(dir, 'pvc-c');
  expect(await readdir(join(dir, 'volumes'))).toEqual([]);
});

it('makes the directory once for pods that begin at the same time', async () => {
  const pods = Array.from({ length: 20 }, (_, i) => testPod(`p${String(i)}`));
  const seen = await Promise.all(pods.map(async (pod) => {
    await ensureClaimedVolume(pod, volume, paths, lookup(claim, ours));
    return (await stat(claimedFolder(pod, volume, paths, lookup(claim, ours)))).ino;
  }));
  expect(new Set(seen).size).toBe(1);
});

it('gives what is in a local volume to the group of a pod that begins, once', async () => {
  const path = join(dir, 'disk');
  const gid = process.getgid?.() ?? 0;
  await mkdir(join(path, 'folder'), { recursive: true, mode: 0o700 });
  await chmod(path, 0o700);
  await writeFile(join(path, 'folder', 'file'), '', { mode: 0o600 });
  await symlink('/etc/passwd', join(path, 'link'));
  const before = (await stat('/etc/passwd')).mode;
  const local: PersistentVolume = { metadata: { name: 'pvc-c' }, spec: { claimRef, local: { path } } };
  const pod = testPod('p', { securityContext: { fsGroup: gid, fsGroupChangePolicy: 'OnRootMismatch' } });
  const modes = async (): Promise<number[]> => Promise.all(['', 'folder', 'folder/file'].map(async (name) => (await stat(join(path, name))).mode & 0o7777));
  await ensureClaimedVolume(pod, volume, paths, lookup(claim, local));
  expect(await modes()).toEqual([0o700, 0o700, 0o600]);
  await ensureClaimedVolume(pod, volume, paths, lookup(claim, local), true);
  expect(await modes()).toEqual([0o2770, 0o2770, 0o660]);
  expect((await stat('/etc/passwd')).mode).toBe(before);
  await chmod(join(path, 'folder', 'file'), 0o600);
  await ensureClaimedVolume(pod, volume, paths, lookup(claim, local), true);
  expect((await modes())[2]).toBe(0o600);
  await ensureClaimedVolume(testPod('p', { securityContext: { fsGroup: gid } }), volume, paths, lookup(claim, local), true);
  expect((await modes())[2]).toBe(0o660);
});

it('mounts what a volume names, which must be there', async () => {
  const path = join(dir, 'disk');
  const local: PersistentVolume = { metadata: { name: 'pvc-c' }, spec: { claimRef, local: { path } } };
  await expect(ensureClaimedVolume(testPod('p'), volume, paths, lookup(claim, local))).rejects.toThrow('does not exist');
  await mkdir(path);
  await ensureClaimedVolume(testPod('p'), volume, paths, lookup(claim, local));
  expect(claimedFolder(testPod('p'), volume, paths, lookup(claim, local))).toBe(path);
});

it.each<[string, PersistentVolumeClaim | undefined, PersistentVolume | undefined]>([
  ['persistentvolumeclaim "data" not found', undefined, ours],
  ['persistentvolumeclaim "data" is not bound', claim, undefined],
  ['persistentvolumeclaim "data" is not bound', claim, { ...ours, spec: { ...ours.spec, claimRef: { ...claimRef, uid: 'other' } } }],
  ['use local, hostPath, nfs or csi', claim, { metadata: { name: 'pvc-c' }, spec: { claimRef, iscsi: { targetPortal: 's', iqn: 'iqn.2000-01.x:y', lun: 0 } } }],
])('refuses with: %s', async (message, found, held) => {
  await expect(ensureClaimedVolume(testPod('p'), volume, paths, lookup(found, held))).rejects.toThrow(message);
});

it('gives a pod that begins no volume of another node, where it would be an empty one', async () => {
  const of = (hostname: string): PersistentVolume => ({ ...ours, spec: { ...ours.spec, nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [hostname] }] }] } } } });
  const known = (held: PersistentVolume): ObjectLookup => ({ ...lookup(claim, held), nodeLabels: (name) => (name === 'here' ? { 'kubernetes.io/hostname': 'pi' } : undefined) });
  const pod = testPod('p', { nodeName: 'here' });
  await expect(ensureClaimedVolume(pod, volume, paths, known(of('other')), true)).rejects.toThrow('MountVolume.NodeAffinity check failed for volume "pvc-c" : no matching NodeSelectorTerms');
  expect(await readdir(dir)).toEqual([]);
  await ensureClaimedVolume(pod, volume, paths, known(of('pi')), true);
  // What runs is not ended by a label; and a node that has not heard of itself does not know better.
  await ensureClaimedVolume(pod, volume, paths, known(of('other')));
  await ensureClaimedVolume(testPod('p', { nodeName: 'unheard' }), volume, paths, known(of('other')), true);
});

it("gives a pod that is to have a claim of its own nobody else's of that name", async () => {
  const own = { name: 'data', ephemeral: { volumeClaimTemplate: { spec: {} } } };
  const named = (...ownerReferences: OwnerReference[]): ObjectLookup => lookup({ ...claim, metadata: { ...claim.metadata, ownerReferences } }, ours);
  const pod = testPod('p');
  const owner = { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'p-uid', controller: true };
  for (const others of [[], [{ ...owner, uid: 'an earlier one' }], [{ ...owner, controller: false }]]) {
    await expect(ensureClaimedVolume(pod, own, paths, named(...others))).rejects.toThrow('PVC default/p-data was not created for pod default/p (pod is not owner)');
    expect(() => claimedFolder(pod, own, paths, named(...others))).toThrow('pod is not owner');
  }
  await ensureClaimedVolume(pod, own, paths, named(owner));
  expect(claimedFolder(pod, own, paths, named(owner))).toBe(join(dir, 'volumes/pvc-c'));
});

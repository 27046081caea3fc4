import { mkdtemp, readdir, readFile, readlink, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PodSpec, Volume } from '#api/gen/types.ts';
import { StatusError } from '#common/errors.ts';
import type { PodTokenRequest } from '#agent/session/types.ts';
import { podPaths, type PodPaths } from '../paths.ts';
import { testContainer, testPod } from '../testing.ts';
import { ensureVolumes } from './volumes.ts';

let dir: string;
let paths: PodPaths;
let asked: PodTokenRequest[];
let connected: boolean;
let nowMs: number;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cleat-tokens-'));
  paths = podPaths({ stateDir: dir }, { namespace: 'default', name: 'p', uid: 'u' });
  asked = [];
  connected = true;
  nowMs = 1_000_000_000;
});
afterEach(async () => { await rm(dir, { recursive: true, force: true }); });

const hour = 3_600_000;
const facts = { nodeName: 'n', hostIps: [], podIps: [], allocatable: { cpuMillis: 2000, memoryBytes: 1 << 30 } };
const volume: Volume = { name: 'v', projected: { defaultMode: 0o644, sources: [{ serviceAccountToken: { path: 'token', expirationSeconds: 3600, audience: 'vault' } }, { downwardAPI: { items: [{ path: 'namespace', fieldRef: { fieldPath: 'metadata.namespace' } }] } }] } };

function token(request: PodTokenRequest, seconds = request.expirationSeconds): Promise<string> {
  if (!connected) return Promise.reject(new StatusError('ServiceUnavailable', 'not connected'));
  asked.push(request);
  const claims = Buffer.from(JSON.stringify({ iat: nowMs / 1000, exp: nowMs / 1000 + seconds, n: asked.length })).toString('base64url');
  return Promise.resolve(`h.${claims}.s`);
}

const ensure = (seconds?: number, fsGroup?: number, spec: Partial<PodSpec> = {}): Promise<number | undefined> => ensureVolumes(
  testPod('p', { volumes: [volume], ...(fsGroup !== undefined && { securityContext: { fsGroup } }), ...spec }), paths,
  { configMap: () => undefined, secret: () => undefined, services: () => [], runtimeClass: () => undefined, token: (request) => token(request, seconds) }, facts, nowMs,
);
const content = (): Promise<string> => readFile(join(paths.volumes, 'v/token'), 'utf8');

describe('a projected token', () => {
  it('is asked for by what the volume says, written, and kept while it is fresh', async () => {
    expect(await ensure()).toBe(0.8 * hour);
    expect(asked).toEqual([{ namespace: 'default', podName: 'p', podUid: expect.any(String) as string, audience: 'vault', expirationSeconds: 3600 }]);
    expect((await readdir(join(paths.volumes, 'v'))).filter((name) => !name.startsWith('..')).sort()).toEqual(['namespace', 'token']);
    const first = await content();
    nowMs += 0.5 * hour;
    expect(Math.round(await ensure() ?? 0)).toBe(0.3 * hour);
    expect(await content()).toBe(first);
    expect(asked).toHaveLength(1);
  });

  it('is renewed after four fifths of its life, and daily', async () => {
    await ensure();
    const first = await content();
    nowMs += 0.81 * hour;
    await ensure();
    expect(await content()).not.toBe(first);
    expect(asked).toHaveLength(2);
    nowMs += hour;
    expect(await ensure(365 * 24 * 3600)).toBe(24 * hour);
  });

  it('serves on while no other can be had; a pod that has none yet must wait', async () => {
    connected = false;
    await expect(ensure()).rejects.toThrow('MountVolume.SetUp failed for volume "v" : failed to fetch token: not connected');
    connected = true;
    await ensure();
    const first = await content();
    connected = false;
    nowMs += 30 * 24 * hour;
    expect(await ensure()).toBe(300_000);
    expect(await content()).toBe(first);
  });

  it('is for the pod\'s group alone where there is one', async () => {
    await ensure();
    expect((await stat(join(paths.volumes, 'v/token'))).mode & 0o777).toBe(0o644);
    await rm(dir, { recursive: true, force: true });
    if (process.getuid?.() !== 0) return;
    await ensure(undefined, 4711);
    const { mode, gid } = await stat(join(paths.volumes, 'v/token'));
    expect([mode & 0o777, gid]).toEqual([0o640, 4711]);
  });

  it.each<[string, PodSpec, number, number]>([
    ['their one user', { containers: [testContainer('a'), testContainer('b')], securityContext: { runAsUser: 1000 } }, 1000, 0o600],
    ['their one user, by their own words', { containers: [testContainer('a', { securityContext: { runAsUser: 7 } })], initContainers: [testContainer('i', { securityContext: { runAsUser: 7 } })], securityContext: { runAsUser: 1000 } }, 7, 0o600],
    ['their one user and their group', { containers: [testContainer('a')], securityContext: { runAsUser: 1000, fsGroup: 4711 } }, 1000, 0o640],
    ['nobody alone where one runs as another', { containers: [testContainer('a'), testContainer('b', { securityContext: { runAsUser: 7 } })], securityContext: { runAsUser: 1000 } }, 0, 0o400],
    ["nobody alone where the image of one says whom it runs as", { containers: [testContainer('a', { securityContext: { runAsUser: 7 } }), testContainer('b')] }, 0, 0o400],
  ])('is, of containers, for %s', async (_whom, spec, uid, mode) => {
    if (process.getuid?.() !== 0) return;
    const strict: Volume = { ...volume, projected: { ...volume.projected, defaultMode: 0o400 } };
    await ensure(undefined, undefined, { ...spec, volumes: [strict] });
    const found = await stat(join(paths.volumes, 'v/token'));
    expect([found.uid, found.mode & 0o777]).toEqual([uid, mode]);
    // What is beside it stays root's, as the volume says.
    expect((await stat(join(paths.volumes, 'v/namespace'))).uid).toBe(0);
    const before = await readlink(join(paths.volumes, 'v/..data'));
    await ensure(undefined, undefined, { ...spec, volumes: [strict] });
    expect(await readlink(join(paths.volumes, 'v/..data'))).toBe(before);
  });
});

import { mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { containerConfig, sandboxConfig } from '../test-configs.ts';
import { canonicalReference, parseReference } from '../image-reference.ts';
import { capabilitiesOf } from './capabilities.ts';
import { userOf } from './image-files.ts';
import { LogWriter } from './log-writer.ts';
import { containerSpec, type ContainerPlace } from './oci-spec.ts';
import { Records } from './records.ts';

let dir: string;
beforeEach(async () => { dir = await mkdtemp(join(tmpdir(), 'cleat-sandbox-')); });
afterEach(async () => { await rm(dir, { recursive: true, force: true }); });

it.each([
  ['hello', 'docker.io/library/hello:latest'], ['a/b:1', 'docker.io/a/b:1'], ['localhost:5000/x', 'localhost:5000/x:latest'],
  ['ghcr.io/a/b/c:v1', 'ghcr.io/a/b/c:v1'], ['x@sha256:ab', 'docker.io/library/x@sha256:ab'], ['r.io/x:1@sha256:ab', 'r.io/x@sha256:ab'],
])('knows image %s as %s', (image, whole) => {
  expect(canonicalReference(image)).toBe(whole);
  expect(canonicalReference(whole)).toBe(whole);
});

it('means the latest where nothing is said', () => {
  expect(parseReference('x').tag).toBe('latest');
});

it('gives capabilities as asked for, and none that this process lacks', () => {
  const wish = { privileged: false, addCapabilities: [], dropCapabilities: [] };
  const every = (1n << 41n) - 1n;
  expect(capabilitiesOf(wish, every)).toHaveLength(14);
  expect(capabilitiesOf({ ...wish, dropCapabilities: ['ALL'], addCapabilities: ['net_admin'] }, every)).toEqual(['CAP_NET_ADMIN']);
  expect(capabilitiesOf({ ...wish, addCapabilities: ['ALL'], dropCapabilities: ['CAP_CHOWN'] }, every)).toHaveLength(40);
  expect(capabilitiesOf({ ...wish, addCapabilities: ['NET_ADMIN'], dropCapabilities: ['NET_ADMIN'] }, every)).toEqual(capabilitiesOf(wish, every));
  expect(capabilitiesOf({ ...wish, privileged: true, dropCapabilities: ['CHOWN'] }, every)).toHaveLength(41);
  expect(capabilitiesOf({ ...wish, privileged: true }, 1n)).toEqual(['CAP_CHOWN']);
});

describe('users of images', () => {
  const wish = { image: '', runAsUser: undefined, runAsUserName: undefined, runAsGroup: undefined, strictGroups: false, supplementalGroups: [] };
  beforeEach(async () => {
    await mkdir(join(dir, 'etc'));
    await writeFile(join(dir, 'etc/passwd'), 'root:x:0:0::/:\nweb:x:1000:100::/:\n');
    await writeFile(join(dir, 'etc/group'), 'root:x:0:\nweb:x:100:\nlogs:x:7:web,root\n');
  });

  it('are found by name and number, with their groups', async () => {
    expect(await userOf(dir, wish)).toEqual({ uid: 0, gid: 0, additionalGids: [0, 7] });
    expect(await userOf(dir, { ...wish, image: 'web' })).toEqual({ uid: 1000, gid: 100, additionalGids: [100, 7] });
    expect(await userOf(dir, { ...wish, image: 'web:logs', supplementalGroups: [5] })).toEqual({ uid: 1000, gid: 7, additionalGids: [7, 5] });
    expect(await userOf(dir, { ...wish, image: 'web', supplementalGroups: [5], strictGroups: true })).toEqual({ uid: 1000, gid: 100, additionalGids: [100, 5] });
    expect(await userOf(dir, { ...wish, runAsUser: 4242, runAsGroup: 9 })).toEqual({ uid: 4242, gid: 9, additionalGids: [9] });
    await expect(userOf(dir, { ...wish, image: 'nobody' })).rejects.toMatchObject({ code: 'Invalid' });
  });

  it('are not read from what an image puts in the place of its files', async () => {
    await rm(join(dir, 'etc/passwd'));
    await symlink('/etc/passwd', join(dir, 'etc/passwd'));
    await expect(userOf(dir, { ...wish, image: 'root' })).rejects.toMatchObject({ code: 'Invalid' });
  });
});

it('writes logs as containerd does: lines whole, long ones in pieces, on into a new file', async () => {
  const path = join(dir, 'logs/0.log');
  const log = new LogWriter(path, systemClock);
  await log.write('stdout', Buffer.from('one\ntw'));
  await log.write('stderr', Buffer.from('oops\n'));
  await log.write('stdout', Buffer.from(`o\n${'x'.repeat(20_000)}\n`));
  await rename(path, `${path}.1`);
  await log.reopen();
  await log.write('stdout', Buffer.from('last'));
  await log.close();
  const entries = async (file: string): Promise<string[]> => (await readFile(file, 'utf8')).split('\n').filter(Boolean).map((line) => line.replace(/^\S+ /, '').replace(/x+/, (text) => String(text.length)));
  expect(await entries(`${path}.1`)).toEqual(['stdout F one', 'stderr F oops', 'stdout F two', 'stdout P 16384', 'stdout F 3616']);
  expect(await entries(path)).toEqual(['stdout P last']);
});

it('keeps records through restarts, and takes no half of one for a whole', async () => {
  const records = new Records<{ id: string; text: string }>(dir);
  await records.write({ id: 'a', text: '1' });
  await records.write({ id: 'b', text: '2' });
  await records.remove('b');
  await mkdir(join(dir, 'c'));
  await writeFile(join(dir, 'c/record.json'), '{"id":"c"');
  await mkdir(join(dir, 'd'));
  await writeFile(join(dir, 'd/record.json.new'), '{"id":');
  expect([...(await new Records<{ id: string; text: string }>(dir).all()).values()]).toEqual([{ id: 'a', text: '1' }]);
  // What was begun and died leaves nothing.
  expect(await readdir(dir)).toEqual(['a']);
});

it('makes of a pod what runc is told', () => {
  const place: ContainerPlace = {
    rootfs: '/r', cgroup: '/kubepods/podu/c', pausePid: 7, image: { Entrypoint: ['/bin/server'], Cmd: ['--default'], Env: ['A=image', 'B=image'], WorkingDir: '/srv' }, user: { uid: 0, gid: 0, additionalGids: [0] },
    capabilities: ['CAP_CHOWN'], devices: [], shm: '/shm', resolvConf: '/resolv', hostnameFile: '/hostname', unifiedCgroups: false, oomGroup: false, limitsHugePages: false, limitsSwap: false, minOomScoreAdj: 0,
  };
  const config = { ...containerConfig(''), command: [], args: ['--own'], env: [{ name: 'A', value: 'pod' }], mounts: [{ containerPath: '/data/inner', hostPath: '/i', readOnly: true, propagation: 'None' as const }, { containerPath: '/data', hostPath: '/d', readOnly: false, propagation: 'Bidirectional' as const }] };
  const spec = containerSpec(sandboxConfig('/logs', { hostname: 'web-0' }), config, place) as { process: { args: string[]; env: string[]; cwd: string }; mounts: { destination: string; options: string[] }[]; linux: { namespaces: object[]; rootfsPropagation: string } };
  expect(spec.process).toMatchObject({ args: ['/bin/server', '--own'], cwd: '/srv' });
  expect(spec.process.env).toEqual(expect.arrayContaining(['A=pod', 'B=image', 'HOSTNAME=web-0']));
  expect(spec.mounts.slice(-2)).toMatchObject([{ destination: '/data', options: ['rbind', 'rw', 'rshared'] }, { destination: '/data/inner', options: ['rbind', 'ro', 'rprivate'] }]);
  expect(spec.linux.namespaces).toEqual([{ type: 'mount' }, { type: 'network', path: '/proc/7/ns/net' }, { type: 'uts', path: '/proc/7/ns/uts' }, { type: 'ipc', path: '/proc/7/ns/ipc' }, { type: 'pid' }]);
  expect(spec.linux.rootfsPropagation).toBe('rshared');
  const huge = { ...config, resources: { ...config.resources, hugepageLimits: [{ pageSize: '2MB', limitBytes: 4 << 20 }] } };
  expect(containerSpec(sandboxConfig('/logs'), huge, { ...place, oomGroup: true, limitsHugePages: true })).toMatchObject({ linux: { resources: { unified: { 'memory.oom.group': '1' }, hugepageLimits: [{ pageSize: '2MB', limit: 4 << 20 }] } } });
  expect(containerSpec(sandboxConfig('/logs'), huge, place)).not.toHaveProperty('linux.resources.hugepageLimits');
  const limited = { ...config, resources: { ...config.resources, memoryLimitBytes: 64 << 20 } };
  expect([false, true].map((limitsSwap) => containerSpec(sandboxConfig('/logs'), limited, { ...place, limitsSwap }))).toMatchObject([{ linux: { resources: { memory: { limit: 64 << 20 } } } }, { linux: { resources: { memory: { limit: 64 << 20, swap: 64 << 20 } } } }]);
  expect(containerSpec(sandboxConfig('/logs'), limited, place)).not.toHaveProperty('linux.resources.memory.swap');
});

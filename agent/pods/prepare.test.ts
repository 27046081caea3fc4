import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Container, Pod } from '#api/gen/types.ts';
import { noParts } from '#agent/devices/types.ts';
import { podPaths } from './paths.ts';
import { prepareContainer, prepareSandbox } from './prepare.ts';
import { testContainer, testPod } from './testing.ts';

let dir: string;
beforeEach(async () => { dir = await mkdtemp(join(tmpdir(), 'cleat-prepare-')); });
afterEach(async () => { await rm(dir, { recursive: true, force: true }); });

async function dnsOf(pod: Pod, resolvConf: string): Promise<unknown> {
  await writeFile(join(dir, 'resolv.conf'), resolvConf);
  const config = { nodeName: 'node', stateDir: dir, cgroupRoot: '/none', clusterDomain: 'cluster.local', clusterDns: ['10.43.0.10'], resolvConfPath: join(dir, 'resolv.conf'), allowedUnsafeSysctls: [], parallelStarts: 1 };
  return (await prepareSandbox(pod, 0, podPaths({ stateDir: dir }, { namespace: 'default', name: 'p', uid: 'u' }), config)).dns;
}

describe('resolvers of a pod', () => {
  const host = 'nameserver 127.0.0.1\nnameserver 192.0.2.53\nnameserver ::1\nsearch home.example\n';
  it('are the cluster\'s, with its search domains before the host\'s', async () => {
    expect(await dnsOf(testPod('p'), host)).toEqual({ servers: ['10.43.0.10'], searches: ['default.svc.cluster.local', 'svc.cluster.local', 'cluster.local', 'home.example'], options: ['ndots:5'] });
  });
  it('are, where the pod wants the host\'s, those of them that it can reach', async () => {
    expect(await dnsOf(testPod('p', { dnsPolicy: 'Default' }), host)).toEqual({ servers: ['192.0.2.53'], searches: ['home.example'], options: [] });
    expect(await dnsOf(testPod('p', { hostNetwork: true }), host)).toMatchObject({ servers: ['127.0.0.1', '192.0.2.53', '::1'] });
  });
});

it('lets a container name its devices in its command, its arguments and where it mounts, but not in its own variables', async () => {
  const container = testContainer('app', {
    command: ['read', '$(CLEAT_DEVICES_SERIAL)'], args: ['--as=$(NAME)', '$(OWN)'], env: [{ name: 'NAME', value: '$(CLEAT_DEVICES_SERIAL)' }, { name: 'OWN', value: 'mine' }],
    volumeMounts: [{ name: 'v', mountPath: '/v' }],
  });
  const paths = podPaths({ stateDir: dir }, { namespace: 'default', name: 'p', uid: 'u' });
  await mkdir(join(paths.volumes, 'v'), { recursive: true });
  const prepare = (own: Container): ReturnType<typeof prepareContainer> => prepareContainer({
    pod: testPod('p', { containers: [own], volumes: [{ name: 'v', emptyDir: {} }] }), container: own, attempt: 0, paths,
    lookup: { configMap: () => undefined, secret: () => undefined, services: () => [], runtimeClass: () => undefined },
    facts: { nodeName: 'n', hostIps: [], podIps: [], allocatable: { cpuMillis: 1000, memoryBytes: 2 ** 30 } }, imageUser: undefined, targetContainerId: undefined, seccompDir: dir,
    logRotation: { maxBytes: 1, maxFiles: 1 }, abilities: { recursiveReadOnly: false, strictGroups: undefined },
    parts: { ...noParts, env: { CLEAT_DEVICES_SERIAL: '/dev/ttyUSB0', OWN: 'theirs' }, mounts: [{ containerPath: '/v', hostPath: '/none', readOnly: true }, { containerPath: '/lib/toy', hostPath: '/opt/toy', readOnly: true }] },
  });
  const { command, args, env, mounts } = await prepare(container);
  expect(command).toEqual(['read', '/dev/ttyUSB0']);
  expect(args).toEqual(['--as=$(CLEAT_DEVICES_SERIAL)', 'mine']);
  expect(env).toEqual([{ name: 'CLEAT_DEVICES_SERIAL', value: '/dev/ttyUSB0' }, { name: 'NAME', value: '$(CLEAT_DEVICES_SERIAL)' }, { name: 'OWN', value: 'mine' }]);
  expect(mounts.map(({ containerPath }) => containerPath)).toEqual(['/lib/toy', '/v', '/etc/hosts', '/dev/termination-log']);
  await expect(prepare({ ...container, volumeMounts: [{ name: 'v', mountPath: '/v', subPathExpr: '../$(CLEAT_DEVICES_SERIAL)' }] })).rejects.toThrow('subPath "..//dev/ttyUSB0" must not leave the volume');
  // Without its name the part would be another, or the whole volume.
  const nameless = { ...container, env: [{ name: 'EMPTY', value: '' }], volumeMounts: [{ name: 'v', mountPath: '/v', subPathExpr: '$(NOBODY)$(EMPTY)$(CLEAT_DEVICES_SERIAL)' }] };
  await expect(prepare(nameless)).rejects.toThrow('missing value for EMPTY, NOBODY');
});

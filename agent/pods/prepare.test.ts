import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Pod } from '#api/gen/types.ts';
import { podPaths } from './paths.ts';
import { prepareSandbox } from './prepare.ts';
import { testPod } from './testing.ts';

let dir: string;
beforeEach(async () => { dir = await mkdtemp(join(tmpdir(), 'cleat-prepare-')); });
afterEach(async () => { await rm(dir, { recursive: true, force: true }); });

async function dnsOf(pod: Pod, resolvConf: string): Promise<unknown> {
  await writeFile(join(dir, 'resolv.conf'), resolvConf);
  const config = { nodeName: 'node', stateDir: dir, cgroupRoot: '/none', clusterDomain: 'cluster.local', clusterDns: ['10.43.0.10'], resolvConfPath: join(dir, 'resolv.conf'), allowedUnsafeSysctls: [], parallelStarts: 1 };
  return (await prepareSandbox(pod, 0, podPaths(dir, { namespace: 'default', name: 'p', uid: 'u' }), config)).dns;
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

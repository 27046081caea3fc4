import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import './cgroups.contract.test.ts';
import { openContainerdLab } from './containerd/test-lab.ts';
import { runtimeDriverContract, type DriverHarness } from './contract.ts';
import { containerConfig, sandboxConfig } from './test-configs.ts';
import { openCtrLab } from './ctr/test-lab.ts';
import { openDockerLab } from './docker/test-lab.ts';
import { tellOom } from './test-oom.ts';

/** The drivers where version 2 of cgroups rules alone, which the machine that runs the other suites need not have. */
it('runs on a host with one hierarchy of cgroups', () => {
  expect(readFileSync('/proc/self/cgroup', 'utf8')).toMatch(/^0::\/[^\n]*\n$/);
});

const labs: readonly (readonly [string, () => Promise<DriverHarness & { readonly stateDir: string }>])[] = [
  ['cri on containerd', async () => {
    const lab = await openContainerdLab();
    return { driver: lab.driver, stateDir: lab.stateDir, real: true, tellOom: (id) => tellOom(lab.containerd.endpoint, 'k8s.io', id), close: () => lab.close() };
  }],
  ['ctr', async () => {
    const lab = await openCtrLab();
    return { driver: lab.driver, stateDir: lab.host.stateDir, real: true, close: () => lab.close() };
  }],
  ['docker', async () => {
    const lab = await openDockerLab();
    return { driver: lab.driver, stateDir: lab.host.stateDir, real: true, tellOom: (id) => tellOom(lab.host.containerd, 'moby', id), close: () => lab.close() };
  }],
];

for (const [name, open] of labs) runtimeDriverContract(`${name}, cgroup v2`, open);

it.each(labs)('has the kernel end all of a container of %s that runs out of memory', async (_name, open) => {
  const { driver, stateDir, close } = await open();
  try {
    const signal = AbortSignal.timeout(200_000);
    const sandbox = sandboxConfig(join(stateDir, 'logs'));
    await mkdir(sandbox.logDirectory, { recursive: true });
    const sandboxId = await driver.runSandbox(sandbox, signal);
    const id = await driver.createContainer(sandboxId, sandbox, containerConfig('sleep 1000'), signal);
    await driver.startContainer(id, signal);
    expect((await driver.exec(id, ['/bin/sh', '-c', 'cat /sys/fs/cgroup/memory.oom.group'], 60_000, signal)).output).toBe('1\n');
    await driver.stopSandbox(sandboxId, signal);
    await driver.removeSandbox(sandboxId, signal);
  } finally {
    await close();
  }
});

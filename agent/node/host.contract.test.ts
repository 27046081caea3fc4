import { expect, it } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { createLab } from '#test/support/lab/lab.ts';
import { LinuxHost } from './readings.ts';
import { NodeUsage } from './usage.ts';

it('reads this host', async () => {
  const host = new LinuxHost({ stateDirectory: '/', nodeIp: '' });
  const identity = await host.identity();
  for (const value of Object.values(identity)) expect(value).not.toBe('');
  const readings = await host.readings();
  expect(readings.cpuMillis).toBeGreaterThan(0);
  expect(readings.memoryBytes).toBeGreaterThan(readings.memoryAvailableBytes);
  expect(readings.disk.availableBytes).toBeGreaterThan(0);
  expect(readings.pids.limit).toBeGreaterThan(readings.pids.used);
  expect([(await host.readings('/')).imageDisk, (await host.readings('/absent')).imageDisk]).toEqual([undefined, undefined]);
  expect((await host.readings('/dev/shm')).imageDisk?.totalBytes).toBeGreaterThan(0);
});

it('is honest about the limits of the place where it runs', async () => {
  const lab = await createLab({ hosts: 1, memoryBytes: 512 * 1024 ** 2 });
  try {
    const script = `import { LinuxHost } from ${JSON.stringify(`${import.meta.dirname}/readings.ts`)};
      import { NodeUsage } from ${JSON.stringify(`${import.meta.dirname}/usage.ts`)};
      import { systemClock } from '#common/clock.ts';
      const usage = new NodeUsage(systemClock);
      await usage.read(new AbortController().signal);
      const until = Date.now() + 600; while (Date.now() < until);
      console.log(JSON.stringify([await new LinuxHost({ stateDirectory: '/', nodeIp: '' }).readings(), await usage.read(new AbortController().signal)]));`;
    const cwd = `${import.meta.dirname}/../..`;
    const output = await lab.host(0).execOk('node', ['--input-type=module', '-e', script], { cwd });
    const [readings, usage] = JSON.parse(output) as [{ memoryBytes: number; nodeIp: string }, { cpuMillis: number; memoryBytes: number }];
    expect(readings.memoryBytes).toBe(512 * 1024 ** 2);
    expect(readings.nodeIp).toBe(lab.host(0).address);
    expect(usage.memoryBytes).toBeLessThan(512 * 1024 ** 2);
    expect(usage.cpuMillis).toBeGreaterThan(300);
    expect(usage.cpuMillis).toBeLessThan(2000);
  } finally {
    await lab.destroy();
  }
});

it('measures the use of the host', async () => {
  const usage = await new NodeUsage(systemClock).read(new AbortController().signal);
  expect(usage.windowMs).toBeGreaterThanOrEqual(499);
  expect(usage.memoryBytes).toBeGreaterThan(1 << 20);
  expect(usage.cpuMillis).toBeGreaterThanOrEqual(0);
});

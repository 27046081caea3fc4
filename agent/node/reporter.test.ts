import { describe, expect, it } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import type { NodeReport } from '#agent/session/types.ts';
import type { HostReadings } from './readings.ts';
import { NodeReporter } from './reporter.ts';
import { parseThresholds, type Threshold } from './thresholds.ts';

const signal = new AbortController().signal;

function setUp(more: { readonly transitionMs?: number; readonly thresholds?: readonly Threshold[] } = {}) {
  const clock = new ManualClock();
  const world = { runtimeDown: false, notReady: undefined as string | undefined, available: 3e9, looks: 0, broken: false, images: [] as { names: string[]; sizeBytes: number }[] };
  const deps = {
    clock, log: silentLog,
    notReady: [() => world.notReady],
    runtime: {
      version: async () => Promise.resolve('containerd://1.6.20'),
      listImages: async () => Promise.resolve(world.images.map((image, i) => ({ id: String(i), ...image }))),
      notReady: async () => (world.runtimeDown ? Promise.reject(new Error('connect ENOENT')) : Promise.resolve([])),
    },
    host: {
      identity: async () => Promise.resolve({ hostname: 'h', architecture: 'amd64', kernelVersion: 'k', osImage: 'o', machineId: 'm', systemUuid: 's', bootId: 'b' }),
      readings: async (): Promise<HostReadings> => {
        world.looks++;
        if (world.broken) throw new Error('EIO');
        return Promise.resolve({
          cpuMillis: 2000, memoryBytes: 4e9, memoryAvailableBytes: world.available, nodeIp: '10.0.0.1', hugePages: {},
          disk: { totalBytes: 1e11, availableBytes: 5e10, inodes: 0, freeInodes: 0 }, pids: { limit: 1000, used: 1 },
        });
      },
    },
  };
  const config = { nodeName: 'n', version: '1', maxPods: 110, checkIntervalMs: 10_000, labels: { zone: 'z' }, ...more };
  return { clock, world, open: async () => NodeReporter.open(deps, config, signal) };
}

const ready = (report: NodeReport): string => {
  const c = report.status.conditions?.find((x) => x.type === 'Ready');
  return `${c?.status ?? ''} ${c?.message ?? ''}`;
};

describe('NodeReporter', () => {
  it('has a whole report from the start, and tells only of changes', async () => {
    const { clock, world, open } = setUp();
    const reporter = await open();
    expect(reporter.current().labels).toEqual({ zone: 'z', 'kubernetes.io/hostname': 'n', 'kubernetes.io/os': 'linux', 'kubernetes.io/arch': 'amd64' });
    expect(ready(reporter.current())).toMatch(/^True/);
    const told: NodeReport[] = [];
    reporter.subscribe((r) => { told.push(r); });
    const stop = new AbortController();
    const ended = reporter.start(stop.signal);
    for (let i = 0; i < 5; i++) {
      world.available += 1e6;
      await clock.advance(10_000);
    }
    expect(world.looks).toBe(6);
    expect(told).toEqual([]);
    world.available = 5e7;
    await clock.advance(10_000);
    expect(told).toHaveLength(1);
    stop.abort();
    await ended;
  });

  it('keeps a condition for a while after what brought it is gone, and tells each time that it comes back', async () => {
    const { clock, world, open } = setUp({ transitionMs: 60_000 });
    const reporter = await open();
    let pressed = 0;
    reporter.onPressed(() => { pressed++; });
    const stop = new AbortController();
    const ended = reporter.start(stop.signal);
    const found: unknown[] = [];
    for (const available of [5e7, 3e9, 3e9, 5e7, 3e9, 3e9, 3e9, 3e9, 3e9, 3e9]) {
      world.available = available;
      await clock.advance(10_000);
      found.push([reporter.isPressed, reporter.current().status.conditions?.find(({ type }) => type === 'MemoryPressure')?.status]);
    }
    expect(found).toEqual([true, false, false, true, false, false, false, false, false, false].map((isPressed, i) => [isPressed, i < 9 ? 'True' : 'False']));
    expect(pressed).toBe(2);
    stop.abort();
    await ended;
  });

  it('tells of memory first, which is the most urgent, then of hard thresholds', async () => {
    const soft = parseThresholds('pid.available<2000,memory.available<3Gi', new Map([['pid.available', 1], ['memory.available', 1]]));
    const { clock, open } = setUp({ thresholds: [...parseThresholds('nodefs.available<90%,memory.available<3Gi'), ...soft] });
    const reporter = await open();
    await clock.advance(10);
    expect((await reporter.pressures(signal)).map((pressure) => [pressure.signal, pressure.hard])).toEqual([['memory.available', true], ['memory.available', false], ['nodefs.available', true], ['pid.available', false]]);
  });

  it('looks again soon while not ready, and at once when poked', async () => {
    const { clock, world, open } = setUp();
    world.runtimeDown = true;
    const reporter = await open();
    expect(ready(reporter.current())).toBe('False the container runtime cannot be reached: connect ENOENT');
    expect(reporter.current().status.nodeInfo?.containerRuntimeVersion).toBe('');
    const stop = new AbortController();
    const ended = reporter.start(stop.signal);
    world.runtimeDown = false;
    await clock.advance(100);
    expect(ready(reporter.current())).toMatch(/^True/);
    expect(reporter.current().status.nodeInfo?.containerRuntimeVersion).toBe('containerd://1.6.20');
    world.notReady = 'no pod range';
    reporter.poke();
    await clock.advance(0);
    expect(ready(reporter.current())).toBe('False no pod range');
    stop.abort();
    await ended;
  });

  it('keeps the last report when the host cannot be read', async () => {
    const { clock, world, open } = setUp();
    const reporter = await open();
    const stop = new AbortController();
    const ended = reporter.start(stop.signal);
    world.broken = true;
    await clock.advance(30_000);
    expect(ready(reporter.current())).toMatch(/^True/);
    stop.abort();
    await ended;
  });

  it('tells of images every five minutes, the largest first, and only of those with names', async () => {
    const { clock, world, open } = setUp();
    world.images = [{ names: ['small:1'], sizeBytes: 1 }, { names: [], sizeBytes: 9 }, { names: ['a', 'b', 'c', 'd', 'e', 'f'], sizeBytes: 5 }];
    const reporter = await open();
    const first = [{ names: ['a', 'b', 'c', 'd', 'e'], sizeBytes: 5 }, { names: ['small:1'], sizeBytes: 1 }];
    expect(reporter.current().status.images).toEqual(first);
    const stop = new AbortController();
    const ended = reporter.start(stop.signal);
    world.images = Array.from({ length: 60 }, (_, i) => ({ names: [`i:${String(i)}`], sizeBytes: i + 1 }));
    await clock.advance(299_000);
    expect(reporter.current().status.images).toEqual(first);
    await clock.advance(11_000);
    expect(reporter.current().status.images?.map(({ sizeBytes }) => sizeBytes)).toEqual(Array.from({ length: 50 }, (_, i) => 60 - i));
    stop.abort();
    await ended;
  });
});

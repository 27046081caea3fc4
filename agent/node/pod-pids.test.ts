import { expect, it } from 'vitest';
import { podPidLimit } from './pod-pids.ts';
import { nodeStatus } from './node-status.ts';
import { amountsOf } from './thresholds.ts';

it.each<[string, { limit: number; used: number; inPods: number; reserved: number }, number]>([
  ['what runs outside of pods, and some room', { limit: 32_768, used: 900, inPods: 500, reserved: 0 }, 32_768 - 400 - 1000],
  ['at least as much room as ends a pod', { limit: 900, used: 100, inPods: 0, reserved: 0 }, 900 - 100 - 128],
  ['what is reserved where that is more', { limit: 32_768, used: 900, inPods: 500, reserved: 5000 }, 32_768 - 5000],
  ['never all, however much the system has', { limit: 900, used: 890, inPods: 0, reserved: 0 }, 90],
  ['no less because pods were counted a moment later', { limit: 900, used: 100, inPods: 130, reserved: 0 }, 900 - 128],
])('leaves the host %s', (_what, { reserved, inPods, ...pids }, expected) => {
  expect(podPidLimit(pids, inPods, reserved)).toBe(expected);
});

it('calls the node short of processes when pods have all that they may, and says so', () => {
  const readings = {
    cpuMillis: 4000, memoryBytes: 2 ** 32, memoryAvailableBytes: 2 ** 31, hugePages: {}, nodeIp: '192.0.2.1', disk: { totalBytes: 2 ** 40, availableBytes: 2 ** 39, inodes: 0, freeInodes: 0 },
    pids: { limit: 10_000, used: 9400, pods: { limit: 9000, used: 9000 } },
  };
  expect(amountsOf(readings, 'pid.available')).toEqual({ available: 0, capacity: 10_000 });
  const identity = { hostname: 'h', architecture: 'amd64', kernelVersion: '6', osImage: 'o', machineId: 'm', systemUuid: 's', bootId: 'b' };
  const { conditions } = nodeStatus({ nodeName: 'h', version: '1.0.0', maxPods: 110, identity, readings, containerRuntimeVersion: '', images: [], notReady: [], nowMs: 0 }, undefined);
  expect(conditions).toContainEqual(expect.objectContaining({ type: 'PIDPressure', status: 'True', message: '9400 of 10000 process ids are used and pods have 9000 of the 9000 that they may have' }));
});

import { describe, expect, it } from 'vitest';
import type { NodeStatus } from '#api/gen/types.ts';
import { defaultInterface, detectNodeIp } from '#common/host-address.ts';
import { nodeStatus, sameStatus, type NodeStatusInput } from './node-status.ts';
import type { HostReadings } from './readings.ts';
import { busyMs } from './usage.ts';

const gib = 1024 ** 3;
const readings = (change: Partial<HostReadings> = {}): HostReadings => ({
  cpuMillis: 4000, memoryBytes: 4 * gib, memoryAvailableBytes: 3 * gib, nodeIp: '10.0.0.1', hugePages: { 2048: 0, [1024 ** 2]: gib },
  disk: { totalBytes: 100 * gib, availableBytes: 50 * gib, inodes: 1000, freeInodes: 900 }, pids: { limit: 32_768, used: 300 }, ...change,
});
const input = (change: Partial<NodeStatusInput> = {}): NodeStatusInput => ({
  nodeName: 'n', version: '0.1.0', maxPods: 110, containerRuntimeVersion: 'containerd://1.6.20', images: [], notReady: [], nowMs: 0, readings: readings(),
  identity: { hostname: 'pi', architecture: 'arm64', kernelVersion: '6.1', osImage: 'Debian', machineId: 'm', systemUuid: 's', bootId: 'b' }, ...change,
});
const condition = (status: NodeStatus, type: string): string => {
  const c = status.conditions?.find((x) => x.type === type);
  return `${c?.status ?? ''} ${c?.reason ?? ''}`;
};

describe('nodeStatus', () => {
  it('says what the host has, in Kubernetes\' units', () => {
    const status = nodeStatus(input(), undefined);
    expect(status.capacity).toEqual({ cpu: '4', memory: '4194304Ki', 'ephemeral-storage': '104857600Ki', pods: '110', 'hugepages-2Mi': '0', 'hugepages-1Gi': '1048576Ki' });
    expect(status.allocatable).toMatchObject({ cpu: '4', memory: String(4_194_304 - 102_400 - 1_048_576) + 'Ki', 'ephemeral-storage': '99614720Ki' });
    expect(status.addresses).toEqual([{ type: 'InternalIP', address: '10.0.0.1' }, { type: 'Hostname', address: 'pi' }]);
    expect(status.nodeInfo).toMatchObject({ architecture: 'arm64', operatingSystem: 'linux', kubeletVersion: 'v1.34.0+cleat.0.1.0', containerRuntimeVersion: 'containerd://1.6.20' });
    expect(nodeStatus(input({ readings: readings({ cpuMillis: 1500 }) }), undefined).capacity?.['cpu']).toBe('1500m');
  });

  it('says what the runtime can do, by handler', () => {
    expect(nodeStatus(input(), undefined)).not.toHaveProperty('features');
    const { runtimeHandlers, features } = nodeStatus(input({ runtime: { strictGroups: true, handlers: [{ name: 'runc', recursiveReadOnly: true }, { name: 'crun', userNamespaces: true }] } }), undefined);
    expect(runtimeHandlers?.map(({ name, features: can }) => [name, can?.recursiveReadOnlyMounts, can?.userNamespaces])).toEqual([['', false, false], ['crun', false, true], ['runc', true, false]]);
    expect(features).toEqual({ supplementalGroupsPolicy: true });
    expect(nodeStatus(input({ runtime: {} }), undefined)).toMatchObject({ features: { supplementalGroupsPolicy: false } });
  });

  it('is Ready when nothing stands in the way, and names what does', () => {
    expect(condition(nodeStatus(input(), undefined), 'Ready')).toBe('True KubeletReady');
    const status = nodeStatus(input({ notReady: ['no runtime', 'no network'], readings: readings({ nodeIp: undefined }) }), undefined);
    expect(condition(status, 'Ready')).toBe('False KubeletNotReady');
    expect(status.conditions?.find((c) => c.type === 'Ready')?.message).toMatch(/--node-ip; no runtime; no network/);
  });

  it.each([
    ['MemoryPressure', 'KubeletHasInsufficientMemory', readings({ memoryAvailableBytes: 90 * 1024 ** 2 }), readings({ memoryAvailableBytes: 110 * 1024 ** 2 })],
    ['DiskPressure', 'KubeletHasDiskPressure', readings({ disk: { totalBytes: 100 * gib, availableBytes: 4 * gib, inodes: 0, freeInodes: 0 } }), readings({ disk: { totalBytes: 100 * gib, availableBytes: 5.5 * gib, inodes: 0, freeInodes: 0 } })],
    ['DiskPressure', 'KubeletHasDiskPressure', readings({ disk: { totalBytes: gib, availableBytes: gib, inodes: 1000, freeInodes: 10 } }), readings({ disk: { totalBytes: gib, availableBytes: gib, inodes: 1000, freeInodes: 55 } })],
    ['PIDPressure', 'KubeletHasInsufficientPID', readings({ pids: { limit: 1000, used: 960 } }), readings({ pids: { limit: 1000, used: 945 } })],
  ])('reports %s (%s), and holds it until there is clearly more', (type, reason, low, little) => {
    expect(condition(nodeStatus(input({ readings: little }), undefined), type)).toMatch(/^False/);
    const pressed = nodeStatus(input({ readings: low }), undefined);
    expect(condition(pressed, type)).toBe(`True ${reason}`);
    expect(condition(nodeStatus(input({ readings: little }), pressed), type)).toBe(`True ${reason}`);
    expect(condition(nodeStatus(input(), pressed), type)).toMatch(/^False/);
  });

  it('moves transition times only with a condition, and calls the rest the same', () => {
    const first = nodeStatus(input(), undefined);
    const later = nodeStatus(input({ nowMs: 60_000 }), first);
    expect(sameStatus(first, later)).toBe(true);
    expect(later.conditions?.[3]).toMatchObject({ lastTransitionTime: '1970-01-01T00:00:00Z', lastHeartbeatTime: '1970-01-01T00:01:00Z' });
    const down = nodeStatus(input({ nowMs: 60_000, notReady: ['x'] }), first);
    expect(sameStatus(first, down)).toBe(false);
    expect(down.conditions?.[3]?.lastTransitionTime).toBe('1970-01-01T00:01:00Z');
  });
});

describe('detectNodeIp', () => {
  const header = 'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n';
  const routes = `${header}wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\neth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\neth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n`;
  const address = (value: string, internal = false) => ({ address: value, family: value.includes(':') ? 'IPv6' : 'IPv4', internal });

  it('follows the preferred default route', () => {
    expect(defaultInterface(routes)).toBe('eth0');
    expect(detectNodeIp(routes, { wlan0: [address('10.0.0.9')], eth0: [address('169.254.1.1'), address('10.0.0.1')] })).toBe('10.0.0.1');
  });

  it('never takes the address of a container engine\'s link', () => {
    expect(detectNodeIp(header, { docker0: [address('172.17.0.1')], veth1: [address('10.42.0.1')], wlan0: [address('192.168.1.7')] })).toBe('192.168.1.7');
  });

  it('takes any usable address without one, IPv4 first', () => {
    expect(detectNodeIp(header, { lo: [address('127.0.0.1', true)], b: [address('fe80::1'), address('fd00::1')], c: [address('10.0.0.3')] })).toBe('10.0.0.3');
    expect(detectNodeIp('', { b: [address('fe80::1'), address('fd00::1')] })).toBe('fd00::1');
    expect(detectNodeIp('', { lo: [address('127.0.0.1', true)] })).toBeUndefined();
  });
});

it('counts CPU time in use', () => {
  expect(busyMs('cpu  100 10 50 1000 500 5 5 30 0 0\ncpu0 1 1 1 1\n')).toBe(2000);
  expect(busyMs('')).toBe(0);
});

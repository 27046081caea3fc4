import { describe, expect, it } from 'vitest';
import type { CgroupMore, ContainerDetails, InterfaceUsage } from '#common/container-details.ts';
import { Metrics } from '#common/metrics.ts';
import type { NodeUsage } from '../../types.ts';
import { containerFamilies } from './container-metrics.ts';

const node = { status: { capacity: { cpu: '4', memory: '1Ki' }, nodeInfo: { bootID: 'b', machineID: 'm', systemUUID: 's', kernelVersion: '6.12', osImage: 'Debian' } } } as never;
const details = (usageBytes: number, more: CgroupMore = {}): ContainerDetails => ({ memory: { usageBytes, rssBytes: 1, cacheBytes: 1, mappedBytes: 1, swapBytes: 0, pageFaults: 1, majorPageFaults: 0, oomKills: 0 }, more });
const traffic = (name: string, receivedBytes: number): InterfaceUsage => ({ name, receivedBytes, receivedPackets: 1, receiveErrors: 0, receiveDropped: 6, sentBytes: 2, sentPackets: 1, sendErrors: 0, sendDropped: 0 });
const disks = [{ device: '/dev/sda', readBytes: 1, writtenBytes: 2, reads: 3, writes: 4 }];
const usage: NodeUsage = {
  atMs: 60_000, windowMs: 1000, node: { cpuMillis: 1, memoryBytes: 1 },
  pods: [{
    namespace: 'default', name: 'web', uid: 'u', startedAtMs: 5000, network: { ...traffic('sum', 30), interfaces: [traffic('eth0', 10), traffic('net1', 20)] },
    cgroup: { path: '/kubepods/podu', cpuSeconds: 3, memoryBytes: 30, startedAtMs: 5000, details: { ...details(31), quota: { quotaMicros: 50_000, periodMicros: 100_000, periods: 7, throttledPeriods: 2, throttledSeconds: 1 } } },
    containers: [{ name: 'main', id: 'c1', image: 'x', cgroup: '/kubepods/podu/c1', cpuMillis: 1, cpuSeconds: 2, memoryBytes: 20, startedAtMs: 6000, writableBytes: 9, details: details(21, { disks, cpuShares: 2, processLimit: 0, memorySwapLimitBytes: 0 }) }],
  }],
  allPods: { path: '/kubepods', cpuSeconds: 4, memoryBytes: 40, details: {} },
  host: { path: '/', cpuSeconds: 50, memoryBytes: 500, startedAtMs: 1000, details: details(600), interfaces: [traffic('wlan0', 70)], fileSystems: [{ device: '/dev/mmcblk0p2', capacityBytes: 100, usedBytes: 60, inodes: 10, inodesFree: 4 }] },
};

function samples(name: string, of: NodeUsage = usage): string[] {
  const metrics = new Metrics();
  metrics.add(() => containerFamilies(node, of));
  return metrics.text().split('\n').filter((line) => line.startsWith(`${name}{`)).map((line) => line.slice(name.length));
}
const container = 'container="main",id="/kubepods/podu/c1",image="x",name="c1",namespace="default",pod="web"';
const pod = 'container="",id="/kubepods/podu",image="",name="",namespace="default",pod="web"';
const other = (id: string): string => `container="",id="${id}",image="",name="",namespace="",pod=""`;

describe("cAdvisor's rows", () => {
  it('are of containers, of pods as a whole, of all pods and of the host', () => {
    expect(samples('container_cpu_usage_seconds_total')).toEqual([`{${container},cpu="total"} 2`, `{${pod},cpu="total"} 3`, `{${other('/kubepods')},cpu="total"} 4`, `{${other('/')},cpu="total"} 50`]);
    expect(samples('container_memory_working_set_bytes')).toEqual([`{${container}} 20`, `{${pod}} 30`, `{${other('/kubepods')}} 40`, `{${other('/')}} 500`]);
    expect(samples('container_memory_usage_bytes')).toEqual([`{${container}} 21`, `{${pod}} 31`, `{${other('/')}} 600`]);
    expect(samples('container_start_time_seconds')).toEqual([`{${container}} 6`, `{${pod}} 5`, `{${other('/')}} 1`]);
    expect(samples('container_last_seen')).toEqual([container, pod, other('/kubepods'), other('/')].map((labels) => `{${labels}} 60`));
    expect(samples('container_cpu_cfs_throttled_periods_total')).toEqual([`{${pod}} 2`]);
  });

  it('tell what each interface of a pod, and of the host, has carried', () => {
    expect(samples('container_network_receive_bytes_total')).toEqual([`{${pod},interface="eth0"} 10`, `{${pod},interface="net1"} 20`, `{${other('/')},interface="wlan0"} 70`]);
    expect(samples('container_network_receive_packets_dropped_total')).toEqual([`{${pod},interface="eth0"} 6`, `{${pod},interface="net1"} 6`, `{${other('/')},interface="wlan0"} 6`]);
  });

  it('tell of disks and limits', () => {
    expect([samples('container_fs_reads_bytes_total'), samples('container_fs_writes_total')]).toEqual([[`{${container},device="/dev/sda"} 1`], [`{${container},device="/dev/sda"} 4`]]);
    expect(samples('container_fs_usage_bytes')).toEqual([`{${container},device=""} 9`, `{${other('/')},device="/dev/mmcblk0p2"} 60`]);
    expect([samples('container_fs_limit_bytes'), samples('container_fs_inodes_free')]).toEqual([[`{${other('/')},device="/dev/mmcblk0p2"} 100`], [`{${other('/')},device="/dev/mmcblk0p2"} 4`]]);
    // The machine's memory is the host's limit.
    expect(samples('container_spec_memory_limit_bytes')).toEqual([`{${container}} 0`, `{${pod}} 0`, `{${other('/')}} 1024`]);
    expect([samples('container_spec_cpu_shares'), samples('container_spec_cpu_quota'), samples('container_threads_max')]).toEqual([[`{${container}} 2`], [`{${pod}} 50000`], [`{${container}} 0`]]);
  });

  it('are of the machine, too', () => {
    expect([samples('machine_cpu_cores'), samples('machine_memory_bytes')]).toEqual([['{boot_id="b",machine_id="m",system_uuid="s"} 4'], ['{boot_id="b",machine_id="m",system_uuid="s"} 1024']]);
    expect(samples('cadvisor_version_info')).toEqual(['{kernelVersion="6.12",osVersion="Debian"} 1']);
  });

  it('are gone with what they were of', () => {
    const { pods: _pods, ...rest } = usage;
    expect(samples('container_memory_working_set_bytes', { ...rest, pods: [] })).toEqual([`{${other('/kubepods')}} 40`, `{${other('/')}} 500`]);
  });
});

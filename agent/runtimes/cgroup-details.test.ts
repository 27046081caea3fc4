import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { CgroupCounters } from './cgroup-details.ts';
import type { CgroupPlace } from './cgroups.ts';

let root: string;
beforeEach(async () => { root = await mkdtemp(join(tmpdir(), 'cleat-cgroups-')); });
afterEach(async () => { await rm(root, { recursive: true }); });

async function write(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), `${text}\n`);
  }
}
const unified = (path: string): CgroupPlace => ({ folder: join(root, path), path, version: 2 });
const legacy = (path: string, controller: string): CgroupPlace => ({ folder: join(root, controller, path), path, version: 1 });

it('tells all of a cgroup of version 2, and of a container in it', async () => {
  await write({
    'kubepods/pod1/memory.stat': 'anon 8\nfile 3\nfile_mapped 1\ninactive_file 2\npgfault 5\npgmajfault 4', 'kubepods/pod1/memory.current': '12', 'kubepods/pod1/memory.max': '64', 'kubepods/pod1/memory.swap.current': '6',
    'kubepods/pod1/memory.swap.max': 'max', 'kubepods/pod1/memory.min': '7', 'kubepods/pod1/memory.events': 'oom 3\noom_kill 1',
    'kubepods/pod1/cpu.stat': 'usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\nnr_periods 7\nnr_throttled 3\nthrottled_usec 250000', 'kubepods/pod1/cpu.max': '50000 100000', 'kubepods/pod1/cpu.weight': '39',
    'kubepods/pod1/pids.current': '4', 'kubepods/pod1/pids.max': '50', 'kubepods/pod1/io.stat': '999:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0',
    'kubepods/pod1/cri-containerd-abc.scope/memory.stat': 'anon 1', 'kubepods/pod1/cri-containerd-abc.scope/memory.current': '2', 'kubepods/pod1/cri-containerd-abc.scope/cpu.max': 'max 100000', 'kubepods/pod1/cri-containerd-abc.scope/pids.max': 'max',
  });
  expect(new CgroupCounters(unified, '/kubepods/pod1').usage()).toEqual({
    path: '/kubepods/pod1', cpuSeconds: 1.5, memoryBytes: 10, details: {
      memory: { usageBytes: 12, rssBytes: 8, cacheBytes: 3, mappedBytes: 1, swapBytes: 6, pageFaults: 5, majorPageFaults: 4, limitBytes: 64, oomKills: 1 }, cpu: { userSeconds: 1, systemSeconds: 0.5 },
      quota: { quotaMicros: 50_000, periodMicros: 100_000, periods: 7, throttledPeriods: 3, throttledSeconds: 0.25 }, processes: 4,
      // Of a device that is gone nothing is told.
      more: { cpuShares: 998, memorySwapLimitBytes: 0, memoryReservationBytes: 7, processLimit: 50 },
    },
  });
  const container = new CgroupCounters(unified, '/kubepods/pod1', 'abc');
  expect([container.path, container.details(), container.details(true).more?.processLimit]).toEqual(['/kubepods/pod1/cri-containerd-abc.scope', { memory: expect.objectContaining({ usageBytes: 2, rssBytes: 1 }) as object }, 0]);
  expect(container.details().memory).not.toHaveProperty('limitBytes');
});

it('tells all of a cgroup of version 1', async () => {
  await write({
    'memory/kubepods/memory.stat': 'rss 1\ntotal_rss 8\ntotal_cache 3\ntotal_mapped_file 1\ntotal_inactive_file 2\ntotal_pgfault 5\ntotal_pgmajfault 4\ntotal_swap 6', 'memory/kubepods/memory.usage_in_bytes': '12', 'memory/kubepods/memory.limit_in_bytes': '9223372036854771712',
    'memory/kubepods/memory.memsw.limit_in_bytes': '100', 'memory/kubepods/memory.soft_limit_in_bytes': '9223372036854771712', 'memory/kubepods/memory.oom_control': 'oom_kill_disable 0\noom_kill 2',
    'cpuacct/kubepods/cpuacct.usage': '1500000000', 'cpuacct/kubepods/cpuacct.usage_user': '1000000000', 'cpuacct/kubepods/cpuacct.usage_sys': '500000000',
    'cpu/kubepods/cpu.cfs_quota_us': '-1', 'cpu/kubepods/cpu.shares': '1024', 'pids/kubepods/pids.current': '4', 'pids/kubepods/pids.max': 'max',
  });
  expect(new CgroupCounters(legacy, '/kubepods').usage()).toEqual({
    path: '/kubepods', cpuSeconds: 1.5, memoryBytes: 10, details: {
      memory: { usageBytes: 12, rssBytes: 8, cacheBytes: 3, mappedBytes: 1, swapBytes: 6, pageFaults: 5, majorPageFaults: 4, oomKills: 2 }, cpu: { userSeconds: 1, systemSeconds: 0.5 }, processes: 4,
      more: { cpuShares: 1024, memorySwapLimitBytes: 100, memoryReservationBytes: 0, processLimit: 0 },
    },
  });
});

it('tells what was read from and written to each disk, in both versions', async () => {
  await write({
    'pod/io.stat': '8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n8:16 \n253:0 rbytes=5 wbytes=6 rios=7 wios=8 dbytes=0 dios=0\n999:0 rbytes=1 wbytes=1 rios=1 wios=1',
    'blkio/pod/blkio.throttle.io_service_bytes_recursive': '8:0 Read 1\n8:0 Write 2\n8:0 Sync 3\n8:0 Total 3\n253:0 Read 5\n253:0 Write 6\nTotal 14', 'blkio/pod/blkio.throttle.io_serviced_recursive': '8:0 Read 3\n8:0 Write 4\n253:0 Read 7\n253:0 Write 8\nTotal 22',
  });
  const names: Readonly<Record<string, string>> = { '8:0': '/dev/sda', '253:0': '/dev/dm-0' };
  const disks = [{ device: '/dev/sda', readBytes: 1, writtenBytes: 2, reads: 3, writes: 4 }, { device: '/dev/dm-0', readBytes: 5, writtenBytes: 6, reads: 7, writes: 8 }];
  for (const places of [unified, legacy]) expect(new CgroupCounters(places, '/pod', undefined, (number) => names[number]).details(true).more?.disks).toEqual(disks);
});

it('knows nothing of a cgroup that is not there', () => {
  expect(new CgroupCounters(unified, '/none').usage()).toBeUndefined();
  expect(new CgroupCounters(unified, '/none', 'abc').details(true)).toEqual({ more: {} });
  expect(new CgroupCounters(() => undefined, '/none').usage()).toBeUndefined();
});

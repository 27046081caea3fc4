import { readFile } from 'node:fs/promises';
import { uptime } from 'node:os';
import { fileSystemsOf } from '#agent/node/file-systems.ts';
import { CgroupCounters } from '#agent/runtimes/cgroup-details.ts';
import { cgroupPlaces } from '#agent/runtimes/cgroups.ts';
import type { RuntimeDriver } from '#agent/runtimes/types.ts';
import type { UsageReport } from '#agent/session/types.ts';
import { parseCounters } from './network-usage.ts';
import { podCgroup } from './spec/sandbox-config.ts';

export interface CgroupUsageDeps {
  readonly driver: Pick<RuntimeDriver, 'imageFolder'>;
  readonly stateDir: string;
  readonly cgroupRoot: string;
}

/** The report with what the kernel counts of containers, and, for `all`, with everything that cAdvisor's readers ask for. */
export async function withCgroups(report: UsageReport, all: boolean, { driver, stateDir, cgroupRoot }: CgroupUsageDeps, signal: AbortSignal): Promise<UsageReport> {
  const places = await cgroupPlaces();
  const pods: UsageReport['pods'][number][] = [];
  for (const pod of report.pods) {
    const parent = podCgroup(cgroupRoot, pod.uid);
    const containers = pod.containers.map((container) => {
      const counters = new CgroupCounters(places, parent, container.id);
      const cgroup = all ? counters.path : undefined;
      return { ...container, details: counters.details(all), ...(cgroup !== undefined && { cgroup }) };
    });
    const cgroup = all ? new CgroupCounters(places, parent).usage() : undefined;
    pods.push({ ...pod, containers, ...(cgroup && { cgroup: { ...cgroup, startedAtMs: pod.startedAtMs } }) });
    // The kernel's files are read at once: whoever else has something to do has it between the pods.
    await new Promise<void>((resolve) => { setImmediate(resolve); });
    signal.throwIfAborted();
  }
  if (!all) return { ...report, pods };
  const allPods = new CgroupCounters(places, cgroupRoot).usage();
  return { ...report, pods, host: await hostOf(report, new CgroupCounters(places, '/').usage(), { driver, stateDir }, signal), ...(allPods && { allPods }) };
}

/** CPU time and working set are those of the node, wherever they come from. */
async function hostOf({ node, atMs }: UsageReport, own: ReturnType<CgroupCounters['usage']>, { driver, stateDir }: Omit<CgroupUsageDeps, 'cgroupRoot'>, signal: AbortSignal): Promise<NonNullable<UsageReport['host']>> {
  const folders = [stateDir, ...await driver.imageFolder(signal).then((folder) => [folder], () => [])];
  const [interfaces, fileSystems] = await Promise.all([readFile('/proc/self/net/dev', 'utf8').catch(() => ''), fileSystemsOf(folders)]);
  return {
    path: '/', details: own?.details ?? {}, cpuSeconds: node.cpuSeconds, memoryBytes: node.memoryBytes, startedAtMs: atMs - Math.round(uptime() * 1000),
    // As with cAdvisor: the host's ends of pods' links are counted with the pods.
    interfaces: parseCounters(interfaces).filter(({ name }) => !/^(veth|docker)/.test(name)), fileSystems,
  };
}

import type { Container, Pod } from '#api/gen/types.ts';
import { quantityValue } from '#api/meta/quantity.ts';
import { podTotals } from '#api/pod-spec/totals.ts';
import type { CgroupLimits } from '#agent/runtimes/cgroups.ts';
import type { ContainerConfig } from '#agent/runtimes/types.ts';
import { containersOf, initContainersOf, isSidecar } from './containers.ts';
import { qosClassOf } from './qos.ts';
import type { FieldFacts } from './fields.ts';
import { cpuMillisOf, memoryBytesOf } from './quantities.ts';

const cpuPeriodMicros = 100_000;
const minShares = 2;
const maxShares = 262_144;
const minQuotaMicros = 1000;

/**
 * Settings of the cgroup around all of a pod's containers: shares for all that they request, limits where every one of
 * them has one, and, where the node has huge pages, those that they ask for: not every runtime can be told. Init containers run one after the other, so the largest counts; sidecars run beside the others.
 */
export function podCgroupLimits(pod: Pod, maxPids = -1, nodeHugePages: readonly string[] = []): CgroupLimits {
  const sidecars = initContainersOf(pod).filter(isSidecar);
  const together = [...containersOf(pod), ...sidecars];
  const alone = initContainersOf(pod).filter((c) => !isSidecar(c));
  const most = (amountOf: (container: Container) => number): number => Math.max(
    together.reduce((sum, container) => sum + amountOf(container), 0),
    ...alone.map((container) => amountOf(container) + sidecars.reduce((sum, sidecar) => sum + amountOf(sidecar), 0)),
  );
  // What the pod as a whole asks for counts before what its containers do. The overhead is the runtime's, and comes on top.
  const { resources: whole, overhead } = pod.spec ?? {};
  const limit = (read: typeof cpuMillisOf): number => {
    const amountOf = (container: Container): number => read(container.resources?.limits) ?? 0;
    const amount = read(whole?.limits) ?? ([...together, ...alone].every((container) => amountOf(container) > 0) ? most(amountOf) : 0);
    return amount > 0 ? amount + (read(overhead) ?? 0) : 0;
  };
  const requestMillis = cpuMillisOf(whole?.requests) ?? cpuMillisOf(whole?.limits) ?? most(requestMillisOf);
  return {
    cpuShares: sharesOf(requestMillis + (cpuMillisOf(overhead) ?? 0)), cpuQuotaMicros: quotaOf(limit(cpuMillisOf)), cpuPeriodMicros,
    memoryLimitBytes: limit(memoryBytesOf),
    ...(maxPids > 0 && { pids: maxPids }),
    ...(nodeHugePages.length > 0 && { hugepageLimits: hugepageLimits(nodeHugePages, (name) => Number((pod.spec && podTotals(pod.spec, 'limits').get(name) || 0n) / 1_000_000_000n)) }),
  };
}

/** Settings of the cgroup of all pods: what the node says that they can have. Programs of the host compete with it fairly. */
export function allPodsLimits({ cpuMillis, memoryBytes }: FieldFacts['allocatable'], pids?: number): CgroupLimits {
  return { cpuShares: sharesOf(cpuMillis), cpuQuotaMicros: 0, cpuPeriodMicros, memoryLimitBytes: memoryBytes, ...(pids !== undefined && { pids }) };
}

const hugePages = /^hugepages-(\d+[KMG])i$/;

/** Whether a resource is huge pages of some size. */
export function isHugePages(name: string): boolean {
  return hugePages.test(name);
}

/**
 * The container's cgroup settings, as kubelet derives them from requests and limits. One without a limit has its pod's, which
 * programs can see so; of the huge pages of this node (`nodeHugePages`) it has what it asks for and no more.
 */
export function cgroupResources(pod: Pod, container: Container, nodeMemoryBytes: number, nodeHugePages: readonly string[] = []): ContainerConfig['resources'] {
  const limits = container.resources?.limits ?? {};
  const whole = pod.spec?.resources?.limits;
  return {
    cpuShares: sharesOf(requestMillisOf(container)),
    cpuPeriodMicros,
    cpuQuotaMicros: quotaOf(cpuMillisOf(limits) || (cpuMillisOf(whole) ?? 0)),
    memoryLimitBytes: memoryBytesOf(limits) || (memoryBytesOf(whole) ?? 0),
    oomScoreAdj: oomScoreAdj(pod, container, nodeMemoryBytes),
    hugepageLimits: hugepageLimits([...new Set([...Object.keys(limits), ...nodeHugePages])], (name) => quantityValue(limits[name] ?? '0')),
  };
}

function hugepageLimits(names: readonly string[], bytesOf: (name: string) => number): ContainerConfig['resources']['hugepageLimits'] {
  return names.flatMap((name) => {
    const size = hugePages.exec(name)?.[1];
    return size === undefined ? [] : [{ pageSize: `${size}B`, limitBytes: bytesOf(name) }];
  });
}

function requestMillisOf({ resources }: Container): number {
  return cpuMillisOf(resources?.requests) ?? cpuMillisOf(resources?.limits) ?? 0;
}

function sharesOf(millis: number): number {
  return Math.min(maxShares, Math.max(minShares, Math.floor(millis * 1024 / 1000)));
}

function quotaOf(millis: number): number {
  return millis === 0 ? 0 : Math.max(minQuotaMicros, millis * cpuPeriodMicros / 1000);
}

function requestBytesOf({ resources }: Container): number {
  return memoryBytesOf(resources?.requests) ?? memoryBytesOf(resources?.limits) ?? 0;
}

/** Who dies first when memory runs out: pods without requests; then those that asked for least. A sidecar does not die before those that it serves. */
function oomScoreAdj(pod: Pod, container: Container, nodeMemoryBytes: number): number {
  const qos = qosClassOf(pod);
  if (qos === 'Guaranteed' || pod.spec?.priorityClassName === 'system-node-critical') return -997;
  if (qos === 'BestEffort') return 1000;
  const served = initContainersOf(pod).includes(container) && isSidecar(container) ? Math.min(...containersOf(pod).map(requestBytesOf)) : 0;
  const requestBytes = Math.max(requestBytesOf(container), served) + sharedBytes(pod);
  return Math.min(999, Math.max(3, Math.floor(1000 - 1000 * requestBytes / Math.max(1, nodeMemoryBytes))));
}

/** What each container has of the memory that was asked for the whole pod and by no container. */
function sharedBytes(pod: Pod): number {
  const { requests, limits } = pod.spec?.resources ?? {};
  const wholeBytes = memoryBytesOf(requests) ?? memoryBytesOf(limits) ?? 0;
  const all = [...containersOf(pod), ...initContainersOf(pod).filter(isSidecar)];
  return Math.max(0, wholeBytes - all.reduce((sum, container) => sum + requestBytesOf(container), 0)) / Math.max(1, all.length);
}

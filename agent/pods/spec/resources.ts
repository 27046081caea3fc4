import type { Container, Pod } from '#api/gen/types.ts';
import type { ContainerConfig } from '#agent/runtimes/types.ts';
import { qosClassOf } from './qos.ts';
import { cpuMillisOf, memoryBytesOf } from './quantities.ts';

const cpuPeriodMicros = 100_000;
const minShares = 2;
const maxShares = 262_144;
const minQuotaMicros = 1000;

/** The container's cgroup settings, as kubelet derives them from requests and limits. */
export function cgroupResources(pod: Pod, container: Container, nodeMemoryBytes: number): ContainerConfig['resources'] {
  const { requests, limits } = container.resources ?? {};
  const requestMillis = cpuMillisOf(requests) ?? cpuMillisOf(limits) ?? 0;
  const limitMillis = cpuMillisOf(limits) ?? 0;
  return {
    cpuShares: Math.min(maxShares, Math.max(minShares, Math.floor(requestMillis * 1024 / 1000))),
    cpuPeriodMicros,
    cpuQuotaMicros: limitMillis === 0 ? 0 : Math.max(minQuotaMicros, limitMillis * cpuPeriodMicros / 1000),
    memoryLimitBytes: memoryBytesOf(limits) ?? 0,
    oomScoreAdj: oomScoreAdj(pod, memoryBytesOf(requests) ?? memoryBytesOf(limits) ?? 0, nodeMemoryBytes),
  };
}

/** Who dies first when memory runs out: pods without requests; then those that asked for least. */
function oomScoreAdj(pod: Pod, requestBytes: number, nodeMemoryBytes: number): number {
  const qos = qosClassOf(pod);
  if (qos === 'Guaranteed') return -997;
  if (qos === 'BestEffort') return 1000;
  const share = Math.floor(1000 - 1000 * requestBytes / Math.max(1, nodeMemoryBytes));
  return Math.min(999, Math.max(3, share));
}

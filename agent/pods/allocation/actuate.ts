import type { Pod } from '#api/gen/types.ts';
import { StatusError } from '#common/errors.ts';
import { limitCgroup, type CgroupLimits } from '#agent/runtimes/cgroups.ts';
import type { RuntimeDriver } from '#agent/runtimes/types.ts';
import { isRunning } from '../observed.ts';
import { containerNamed } from '../spec/containers.ts';
import { cgroupResources, podCgroupLimits } from '../spec/resources.ts';
import type { PodView } from '../types.ts';
import { wholePod, type PodAllocation } from './allocation.ts';
import { needsRestart, withResources, type ResourcesByName } from './resources.ts';

export interface ActuateDeps {
  readonly driver: RuntimeDriver;
  readonly allocation: Pick<PodAllocation, 'reached'>;
  readonly cgroup: string;
  readonly nodeMemoryBytes: number;
  readonly maxPids: number | undefined;
}

/**
 * Gives running containers what the pod has been given. The pod's own cgroup has room for the old and the new meanwhile:
 * a parent may never be in the way of its children. Rejects when the kernel or the runtime refuses.
 */
export async function actuate({ driver, allocation, cgroup, nodeMemoryBytes, maxPids }: ActuateDeps, { pod, containers, resize }: PodView, signal: AbortSignal): Promise<void> {
  const former: ResourcesByName = new Map(resize?.former);
  const [before, after] = [podCgroupLimits(withResources(pod, former), maxPids), podCgroupLimits(pod, maxPids)];
  await limitCgroup(cgroup, roomier(before, after));
  for (const { id, name } of containers.filter((container) => isRunning(container) && former.has(container.name))) {
    const spec = containerNamed(pod, name);
    if (!spec) continue;
    const resources = cgroupResources(pod, spec, nodeMemoryBytes);
    await checkUsage(driver, { id, name }, resources.memoryLimitBytes, signal);
    await driver.updateContainer(id, resources, signal);
    await allocation.reached(name);
  }
  // What does not run has nothing to change; but what ended in order to change is yet to be started.
  for (const [name, had] of former) {
    const spec = containerNamed(pod, name);
    if (!containers.some((container) => container.name === name && isRunning(container)) && !(spec && needsRestart(spec, had))) await allocation.reached(name);
  }
  await limitCgroup(cgroup, after);
  await allocation.reached(wholePod);
}

/** Below what it uses a container would be killed at once. */
async function checkUsage(driver: RuntimeDriver, { id, name }: { readonly id: string; readonly name: string }, limitBytes: number, signal: AbortSignal): Promise<void> {
  if (limitBytes === 0) return;
  const { memoryBytes = 0 } = (await driver.stats(signal)).get(id) ?? {};
  if (memoryBytes > limitBytes) throw new StatusError('Conflict', `attempting to set container "${name}" memory limit (${String(limitBytes)}) below current usage (${String(memoryBytes)})`);
}

function roomier(a: CgroupLimits, b: CgroupLimits): CgroupLimits {
  const most = (x: number, y: number): number => (x === 0 || y === 0 ? 0 : Math.max(x, y));
  return {
    cpuShares: Math.max(a.cpuShares, b.cpuShares), cpuQuotaMicros: most(a.cpuQuotaMicros, b.cpuQuotaMicros), cpuPeriodMicros: b.cpuPeriodMicros,
    memoryLimitBytes: most(a.memoryLimitBytes, b.memoryLimitBytes), ...(b.pids !== undefined && { pids: b.pids }),
  };
}

/** In words for an Event. */
export function resizeText({ spec }: Pod): string {
  return `Pod resize completed: ${JSON.stringify({ containers: (spec?.containers ?? []).map(({ name, resources }) => ({ name, resources: resources ?? {} })) })}`;
}

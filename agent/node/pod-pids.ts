import { limitProcesses, processCount } from '#agent/runtimes/cgroups.ts';
import { readPids, type PidReadings } from './readings.ts';

/** Room for what the host starts beside pods: what ends them, above all. */
const mostSpare = 1000;
const leastSpare = 128;

/**
 * How many processes and threads all pods together may have: what the host may, less what runs outside of them (their
 * shims as well) and some room, or less what is reserved where that is more. Never next to nothing: pods that run have some.
 */
export function podPidLimit({ limit, used }: PidReadings, inPods: number, reserved: number): number {
  const spare = Math.min(mostSpare, Math.max(leastSpare, Math.ceil(limit / 20)));
  const outside = Math.max(0, used - inPods);
  return Math.max(Math.ceil(limit / 10), limit - Math.max(reserved, outside + spare));
}

export interface PodPidsConfig {
  /** The cgroup that all pods are in. */
  readonly cgroup: string;
  /** Processes and threads that are the system's whether or not it has them. */
  readonly reserved: number;
}

/** The limit for this host as it is now. */
export async function currentPodPids({ cgroup, reserved }: PodPidsConfig): Promise<number> {
  return podPidLimit(readPids(), await processCount(cgroup), reserved);
}

/** Holds the pods that run to the limit for this host as it is now. */
export async function limitPodPids(config: PodPidsConfig): Promise<void> {
  await limitProcesses(config.cgroup, await currentPodPids(config));
}

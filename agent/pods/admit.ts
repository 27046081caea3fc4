import { readFile } from 'node:fs/promises';
import type { Pod } from '#api/gen/types.ts';
import type { PodDevices } from '#agent/devices/types.ts';
import type { Clock } from '#common/clock.ts';
import type { NodeCapacity } from './allocation/capacity.ts';
import type { EvictablePod } from './eviction/evictor.ts';
import { isCritical } from './eviction/rank.ts';
import { asksForAppArmor, rejectionOf, type Rejection } from './spec/admission.ts';
import type { ObjectLookup } from './spec/env.ts';
import type { NodeFacts, PodManagerConfig } from './types.ts';

export interface AdmitDeps {
  readonly lookup: ObjectLookup;
  readonly node: NodeFacts;
  readonly capacity: NodeCapacity;
  readonly clock: Clock;
  /** The pods of this host. */
  readonly others: () => readonly EvictablePod[];
  /** Absent where there are none, as in some tests. */
  readonly devices?: PodDevices;
}

/**
 * Why a pod of which nothing runs here may not come. Undefined when it may: then it has its part of the node from now on,
 * and the devices that it asks for. It may have to wait for these, and, if it is one of the system, for others to go; unless it is not to `begin` now.
 */
export async function admit(pod: Pod, begin: boolean, { lookup, node, capacity, devices, clock, others }: AdmitDeps, { nodeName, allowedUnsafeSysctls }: PodManagerConfig, signal: AbortSignal): Promise<Rejection | undefined> {
  const labels = lookup.nodeLabels?.(nodeName);
  const rejection = rejectionOf(pod, {
    allowedUnsafeSysctls, strictGroups: node.strictGroups?.(), appArmor: !asksForAppArmor(pod) || await enforcesAppArmor(),
    node: labels && { name: nodeName, labels }, pressures: node.pressures?.() ?? [],
  });
  const refusal = rejection ?? (begin ? await devices?.admit(pod, signal) : undefined) ?? capacity.admit(pod);
  if (!begin || !refusal?.reason.startsWith('OutOf') || capacity.fits(pod, new Set()) || !isCritical(pod)) return refusal;
  const { admitCritical } = await import('./preemption.ts');
  return admitCritical(pod, { pods: others, capacity, clock }, signal);
}

/** Whether this host's kernel does. */
export async function enforcesAppArmor(): Promise<boolean> {
  return (await readFile('/sys/module/apparmor/parameters/enabled', 'utf8').catch(() => '')).startsWith('Y');
}

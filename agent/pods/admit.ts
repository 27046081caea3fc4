import { readFile } from 'node:fs/promises';
import type { Pod } from '#api/gen/types.ts';
import type { PodDevices } from '#agent/devices/types.ts';
import type { NodeCapacity } from './allocation/capacity.ts';
import { asksForAppArmor, rejectionOf, type Rejection } from './spec/admission.ts';
import type { ObjectLookup } from './spec/env.ts';
import type { NodeFacts, PodManagerConfig } from './types.ts';

export interface AdmitDeps {
  readonly lookup: ObjectLookup;
  readonly node: NodeFacts;
  readonly capacity: NodeCapacity;
  /** Absent where there are none, as in some tests. */
  readonly devices?: PodDevices;
}

/**
 * Why a pod of which nothing runs here may not come. Undefined when it may: then it has its part of the node from now on,
 * and the devices that it asks for, which it may have to wait for, unless it is not to `begin` now.
 */
export async function admit(pod: Pod, begin: boolean, { lookup, node, capacity, devices }: AdmitDeps, { nodeName, allowedUnsafeSysctls }: PodManagerConfig, signal: AbortSignal): Promise<Rejection | undefined> {
  const labels = lookup.nodeLabels?.(nodeName);
  const rejection = rejectionOf(pod, {
    allowedUnsafeSysctls, strictGroups: node.strictGroups?.(), appArmor: !asksForAppArmor(pod) || await enforcesAppArmor(),
    node: labels && { name: nodeName, labels }, pressures: node.pressures?.() ?? [],
  });
  return rejection ?? (begin ? await devices?.admit(pod, signal) : undefined) ?? capacity.admit(pod);
}

/** Whether this host's kernel does. */
export async function enforcesAppArmor(): Promise<boolean> {
  return (await readFile('/sys/module/apparmor/parameters/enabled', 'utf8').catch(() => '')).startsWith('Y');
}

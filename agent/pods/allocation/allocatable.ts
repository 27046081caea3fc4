import type { PodDevices } from '#agent/devices/types.ts';
import type { NodeFacts } from '../types.ts';

/** What of this node pods can have, by resource, as quantities. Devices are left out: they are counted by those who hand them out. */
export function allocatableOf(node: NodeFacts, devices: PodDevices | undefined): Readonly<Record<string, string>> {
  if (node.resources) return Object.fromEntries(Object.entries(node.resources()).filter(([name]) => devices?.manages(name) !== true));
  const { cpuMillis, memoryBytes } = node.allocatable();
  return { cpu: `${String(cpuMillis)}m`, memory: String(memoryBytes) };
}

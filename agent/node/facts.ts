import { cpuMillis, quantityValue } from '#api/meta/quantity.ts';
import type { NodeFacts } from '#agent/pods/types.ts';
import type { NodeReporter } from './reporter.ts';
import type { NodeUsage } from './usage.ts';

/** What pods have to know of their node, as it was last reported. */
export function factsOf(node: NodeReporter, usage: NodeUsage, podPids: () => Promise<number>): NodeFacts {
  const quantity = (name: string): string => node.current().status.allocatable?.[name] ?? '0';
  return {
    hostIps: () => (node.current().status.addresses ?? []).filter(({ type }) => type === 'InternalIP').map(({ address }) => address),
    allocatable: () => ({ cpuMillis: cpuMillis(quantity('cpu')), memoryBytes: quantityValue(quantity('memory')) }),
    podPids,
    resources: () => node.current().status.allocatable ?? {},
    runtimeHandlers: () => node.current().status.runtimeHandlers ?? [],
    strictGroups: () => node.current().status.features?.supplementalGroupsPolicy,
    pressures: () => (node.current().status.conditions ?? []).filter(({ type, status }) => type.endsWith('Pressure') && status === 'True').map(({ type }) => type),
    usage: (signal) => usage.read(signal),
  };
}

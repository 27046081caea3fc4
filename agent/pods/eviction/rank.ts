import type { Pod } from '#api/gen/types.ts';
import { formatQuantity, quantityValue } from '#api/meta/quantity.ts';
import { podTotals } from '#api/pod-spec/totals.ts';
import { criticalPriority } from '#agent/node/policy.ts';
import type { EvictionSignal, Pressure } from '#agent/node/thresholds.ts';

/** Of a pod that might be evicted: what it uses of the resource that is short. */
export interface Candidate {
  readonly pod: Pod;
  readonly usage: number;
  /** By container name; for the message. */
  readonly containers: ReadonlyMap<string, number>;
}

const resources: Readonly<Record<EvictionSignal, 'memory' | 'ephemeral-storage' | 'inodes' | 'pids'>> = {
  'memory.available': 'memory', 'nodefs.available': 'ephemeral-storage', 'imagefs.available': 'ephemeral-storage',
  'nodefs.inodesFree': 'inodes', 'imagefs.inodesFree': 'inodes', 'pid.available': 'pids',
};

export function resourceOf(signal: EvictionSignal): 'memory' | 'ephemeral-storage' | 'inodes' | 'pids' {
  return resources[signal];
}

/** Pods of the system, and those that this host runs by itself, are never evicted. */
export function isCritical({ metadata, spec }: Pod): boolean {
  const source = metadata?.annotations?.['kubernetes.io/config.source'];
  return (spec?.priority ?? 0) >= criticalPriority || (source !== undefined && source !== 'api');
}

/** Who goes first: pods that use more than they asked for; of those and of the rest, the less important; then the greedier. As kubelet ranks. */
export function ranked(candidates: readonly Candidate[], signal: EvictionSignal): Candidate[] {
  const resource = resourceOf(signal);
  const keys = candidates.filter(({ pod }) => !isCritical(pod)).map((candidate) => {
    const excess = candidate.usage - requestOf(candidate.pod, resource);
    // Nobody asks for process ids or inodes.
    return { candidate, exceeds: resource === 'memory' || resource === 'ephemeral-storage' ? excess > 0 : false, priority: candidate.pod.spec?.priority ?? 0, excess };
  });
  keys.sort((a, b) => Number(b.exceeds) - Number(a.exceeds) || a.priority - b.priority || b.excess - a.excess);
  return keys.map(({ candidate }) => candidate);
}

function requestOf({ spec }: Pod, resource: string): number {
  return spec === undefined ? 0 : Number((podTotals(spec, 'requests').get(resource) ?? 0n) / 1_000_000_000n);
}

/** Kubelet's words. */
export function evictionMessage({ pod, containers }: Candidate, { signal, threshold, available }: Pressure): string {
  const resource = resourceOf(signal);
  const printed = (amount: number): string => (resource === 'memory' || resource === 'ephemeral-storage' ? formatQuantity(BigInt(Math.round(amount)) * 1_000_000_000n, 'BinarySI') : String(amount));
  const greedy = (pod.spec?.containers ?? []).flatMap(({ name, resources: own }) => {
    const [used, asked] = [containers.get(name) ?? 0, quantityValue(own?.requests?.[resource] ?? '0')];
    return used > asked ? [`Container ${name} was using ${printed(used)}, request is ${asked === 0 ? '0' : own?.requests?.[resource] ?? '0'}, has larger consumption of ${resource}. `] : [];
  });
  return `The node was low on resource: ${resource}. Threshold quantity: ${threshold}, available: ${printed(available)}. ${greedy.join('')}`;
}

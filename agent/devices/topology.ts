import type { Device } from './types.ts';

/** So many of a resource's devices are asked for, out of these; those that are `given` are had in any case. */
export interface Demand { readonly count: number; readonly available: readonly Device[]; readonly given?: readonly Device[] }

/** What Kubernetes' topology manager calls its policies. */
export const topologyPolicies = ['none', 'best-effort', 'restricted', 'single-numa-node'] as const;
export type TopologyPolicy = (typeof topologyPolicies)[number];

/** Whose devices are to be near to each other: those of one container, or all of a pod's. */
export const topologyScopes = ['container', 'pod'] as const;
export type TopologyScope = (typeof topologyScopes)[number];

export interface Topology { readonly policy: TopologyPolicy; readonly scope: TopologyScope }

/** Beyond this, sets of nodes are too many to look at; the kubelet has the same limit. */
const maxNodes = 8;

/**
 * The NUMA nodes that devices should all be near to: the smallest set from which everything that is asked
 * for can be had, the lowest numbers first. Undefined where nothing says what is near to what, or nothing fits: then
 * devices are taken as they come.
 */
export function nearestNodes(demands: readonly Demand[]): ReadonlySet<number> | undefined {
  const nodes = [...new Set(demands.flatMap(({ available }) => available.flatMap(({ numaNodes }) => numaNodes)))].sort((a, b) => a - b);
  if (nodes.length === 0 || nodes.length > maxNodes) return undefined;
  const sets = Array.from({ length: 2 ** nodes.length - 1 }, (_, mask) => new Set(nodes.filter((_node, bit) => ((mask + 1) >> bit) & 1)));
  return sets.sort((a, b) => a.size - b.size).find((set) => demands.every(({ count, available, given = [] }) => given.every((device) => isNear(device, set)) && available.filter((device) => isNear(device, set)).length >= count));
}

/**
 * Whether devices may be given that are near to these nodes. `all`: what each resource ever has; none may have to do
 * with more nodes than it would need alone. Where devices have places, too few of them are near to nothing.
 */
export function isAllowed(policy: TopologyPolicy, nodes: ReadonlySet<number> | undefined, demands: readonly (Demand & { readonly all: readonly Device[] })[]): boolean {
  if (policy === 'none' || policy === 'best-effort') return true;
  if (demands.some(({ count, available, all }) => available.length < count && all.some(({ numaNodes }) => numaNodes.length > 0))) return false;
  if (nodes === undefined) return true;
  return policy === 'single-numa-node' ? nodes.size === 1 : demands.every(({ count, all }) => nodes.size <= (nearestNodes([{ count, available: all }])?.size ?? Infinity));
}

/** A pod would have devices that are too far from each other. */
export class TopologyAffinityError extends Error {
  override readonly name = 'TopologyAffinityError';

  constructor() {
    super('Resources cannot be allocated with Topology locality');
  }
}

/** A device without a place is near to all. */
export function isNear({ numaNodes }: Device, nodes: ReadonlySet<number>): boolean {
  return numaNodes.length === 0 || numaNodes.some((node) => nodes.has(node));
}

import { NodeRecord } from '../../node-info.ts';
import { PluginArgs } from '../../plugin-args.ts';
import type { ClusterEvent, NodeInfo, Plugin, PluginHandle, PodInfo, Rejection } from '../../types.ts';
import { readStrategy } from './strategy.ts';

const tooManyPods = 'Too many pods';

/** The node has room for what the pod requests; by default, the emptier the node, the better. */
export function nodeResourcesFit({ args }: Partial<PluginHandle> = {}): Plugin {
  const given = new PluginArgs(args, 'NodeResourcesFit', ['scoringStrategy', 'ignoredResources', 'ignoredResourceGroups']);
  const isIgnored = readIgnored(given);
  const shortages = (pod: PodInfo, node: NodeInfo): string[] | undefined => shortOf(pod, node, isIgnored);
  return {
    name: 'NodeResourcesFit',
    events: ['node-added', 'node-allocatable-changed', 'assigned-pod-updated', 'assigned-pod-deleted'],
    helps: (pod, event) => helps(pod, event, shortages),
    filter(pod, node) {
      const short = shortages(pod, node);
      return short && rejection(short, canEverFit(pod, node, isIgnored));
    },
    score: readStrategy(given),
  };
}

/** Extended resources that something else than the scheduler sees to. */
function readIgnored(args: PluginArgs): (name: string) => boolean {
  const names = new Set(args.list('ignoredResources'));
  const groups = new Set(args.list('ignoredResourceGroups'));
  return (name) => names.has(name) || (groups.size > 0 && groups.has(name.slice(0, name.indexOf('/'))));
}

/** Undefined, the usual case, costs no allocation. */
function shortOf({ requests }: PodInfo, node: NodeInfo, isIgnored: (name: string) => boolean): string[] | undefined {
  let short: string[] | undefined;
  const { allocatable, requested } = node;
  if (node.pods.size + 1 > node.allocatablePods) short = [tooManyPods];
  if (exceeds(requests.cpuMillis, allocatable.cpuMillis, requested.cpuMillis)) (short ??= []).push('Insufficient cpu');
  if (exceeds(requests.memoryBytes, allocatable.memoryBytes, requested.memoryBytes)) (short ??= []).push('Insufficient memory');
  if (exceeds(requests.ephemeralBytes, allocatable.ephemeralBytes, requested.ephemeralBytes)) (short ??= []).push('Insufficient ephemeral-storage');
  if (requests.scalars.size === 0) return short;
  for (const [name, amount] of requests.scalars) {
    if (!isIgnored(name) && exceeds(amount, allocatable.scalars.get(name) ?? 0, requested.scalars.get(name) ?? 0)) (short ??= []).push(`Insufficient ${name}`);
  }
  return short;
}

function exceeds(request: number, allocatable: number, requested: number): boolean {
  return request > 0 && request > allocatable - requested;
}

/** Removing pods helps only where the node would be large enough when empty. */
function canEverFit({ requests }: PodInfo, { allocatable, allocatablePods }: NodeInfo, isIgnored: (name: string) => boolean): boolean {
  if (allocatablePods < 1 || requests.cpuMillis > allocatable.cpuMillis || requests.memoryBytes > allocatable.memoryBytes || requests.ephemeralBytes > allocatable.ephemeralBytes) return false;
  for (const [name, amount] of requests.scalars) if (!isIgnored(name) && amount > (allocatable.scalars.get(name) ?? 0)) return false;
  return true;
}

/** On a full cluster every node gives the same answer, to every pod. */
const common = new Map(['Insufficient cpu', 'Insufficient memory', tooManyPods].flatMap((reason) => [true, false].map((resolvable) => [`${reason}${String(resolvable)}`, Object.freeze({ reasons: [reason], resolvable })] as const)));

function rejection(reasons: readonly string[], resolvable: boolean): Rejection {
  return (reasons.length === 1 ? common.get(`${reasons[0] ?? ''}${String(resolvable)}`) : undefined) ?? { reasons, resolvable };
}

/**
 * Room helps where there is enough of it now, or would be without less important pods. Those could have been pushed out
 * before: that one of them goes makes no difference to what could be had that way.
 */
function helps(pod: PodInfo, { type, node, pod: other, oldPod }: ClusterEvent, shortages: (pod: PodInfo, node: NodeInfo) => string[] | undefined): boolean {
  if (node === undefined) return true;
  if (type === 'assigned-pod-updated' && other && oldPod && !freesAnything(oldPod, other)) return false;
  if (shortages(pod, node) === undefined) return true;
  if (pod.pod.spec?.preemptionPolicy === 'Never' || (other !== undefined && other.priority < pod.priority)) return false;
  return shortages(pod, NodeRecord.withoutLower(node, pod.priority)) === undefined;
}

/** Requests grow and shrink when a pod is resized in place. */
function freesAnything({ requests: before }: PodInfo, { requests: after }: PodInfo): boolean {
  return after.cpuMillis < before.cpuMillis || after.memoryBytes < before.memoryBytes || after.ephemeralBytes < before.ephemeralBytes
    || [...before.scalars].some(([name, amount]) => (after.scalars.get(name) ?? 0) < amount);
}

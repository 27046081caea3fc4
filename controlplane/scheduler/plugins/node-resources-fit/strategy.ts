import { isMap, type PluginArgs, type WeighedResource } from '../../plugin-args.ts';
import { amountOf } from '../../requests.ts';
import { maxScore } from '../../scores.ts';
import type { NodeInfo, PodInfo } from '../../types.ts';

/** 0 to 100 for a node of which `used` of `capacity` would be in use. */
type Curve = (used: number, capacity: number) => number;

/** Scores a node by how much of each resource would be in use with the pod on it. */
export type Strategy = (pod: PodInfo, node: NodeInfo) => number;

const least: Curve = (used, capacity) => (used > capacity ? 0 : ((capacity - used) * maxScore) / capacity);
const most: Curve = (used, capacity) => (Math.min(used, capacity) * maxScore) / capacity;

/** `scoringStrategy` of the plugin's arguments: https://kubernetes.io/docs/concepts/scheduling-eviction/resource-bin-packing/ */
export function readStrategy(args: PluginArgs): Strategy {
  const given = args.map('scoringStrategy') ?? {};
  const { type = 'LeastAllocated', resources, requestedToCapacityRatio } = given;
  const weighed = readResources(args, resources);
  switch (type) {
    case 'LeastAllocated': return strategy(weighed, least);
    case 'MostAllocated': return strategy(weighed, most);
    case 'RequestedToCapacityRatio': return strategy(weighed, readShape(args, requestedToCapacityRatio), true);
    default: throw args.wrong('scoringStrategy.type', 'must be LeastAllocated, MostAllocated or RequestedToCapacityRatio');
  }
}

/** Resources that the node does not have say nothing about it; by a ratio, as in Kubernetes, neither do those whose score is 0. */
function strategy(resources: readonly WeighedResource[], curve: Curve, onlyPositive = false): Strategy {
  return (pod, node) => {
    let sum = 0;
    let weights = 0;
    for (const { name, weight } of resources) {
      const capacity = amountOf(name, node.allocatable);
      if (capacity <= 0) continue;
      const request = requestOf(name, pod);
      // An extended resource that the pod does not ask for is none of its business.
      if (request === 0 && name !== 'cpu' && name !== 'memory') continue;
      const score = curve(usedOf(name, node) + request, capacity);
      if (onlyPositive && score === 0) continue;
      sum += weight * score;
      weights += weight;
    }
    return weights === 0 ? 0 : sum / weights;
  };
}

function readResources(args: PluginArgs, value: unknown): readonly WeighedResource[] {
  const given = args.resources('scoringStrategy.resources', value, 100);
  return given.length > 0 ? given : [{ name: 'cpu', weight: 1 }, { name: 'memory', weight: 1 }];
}

/** Scores of 0 to 10 at utilizations of 0 to 100 percent, straight lines between them. */
function readShape(args: PluginArgs, value: unknown): Curve {
  const field = 'scoringStrategy.requestedToCapacityRatio.shape';
  const points = (args.checkList(field, isMap(value) ? value['shape'] : undefined) ?? []).map((item, i) => {
    if (!isMap(item)) throw args.wrong(`${field}[${String(i)}]`, 'must be a map');
    return {
      utilization: args.checkInteger(`${field}[${String(i)}].utilization`, item['utilization'], 0, 100),
      score: (args.checkInteger(`${field}[${String(i)}].score`, item['score'], 0, 10) * maxScore) / 10,
    };
  });
  if (points.length === 0) throw args.wrong(field, 'is required');
  if (points.some(({ utilization }, i) => i > 0 && utilization <= (points[i - 1]?.utilization ?? 0))) throw args.wrong(field, 'must be sorted by utilization, each higher than the one before');
  return (used, capacity) => between(points, used > capacity ? 100 : (used * 100) / capacity);
}

function between(points: readonly { readonly utilization: number; readonly score: number }[], utilization: number): number {
  const next = points.findIndex((point) => utilization <= point.utilization);
  const after = points[next];
  if (!after) return points.at(-1)?.score ?? 0;
  const before = points[next - 1];
  if (!before) return after.score;
  return before.score + ((after.score - before.score) * (utilization - before.utilization)) / (after.utilization - before.utilization);
}

function usedOf(name: string, node: NodeInfo): number {
  switch (name) {
    case 'cpu': return node.scoredCpuMillis;
    case 'memory': return node.scoredMemoryBytes;
    default: return amountOf(name, node.requested);
  }
}

function requestOf(name: string, pod: PodInfo): number {
  switch (name) {
    case 'cpu': return pod.scoredCpuMillis;
    case 'memory': return pod.scoredMemoryBytes;
    default: return amountOf(name, pod.requests);
  }
}

import { PluginArgs } from '../../plugin-args.ts';
import { amountOf } from '../../requests.ts';
import { maxScore } from '../../scores.ts';
import type { NodeInfo, Plugin, PluginHandle, PodInfo } from '../../types.ts';

const name = 'NodeResourcesBalancedAllocation';

/** Prefers nodes whose resources, CPU and memory by default, would be used in like proportion, so that none is left stranded. */
export function nodeResourcesBalanced({ args }: Partial<PluginHandle> = {}): Plugin {
  const resources = readResources(args);
  return {
    name,
    events: [],
    preScore: ({ requests }) => (resources.every((resource) => amountOf(resource, requests) === 0) ? 'skip' : undefined),
    score: (pod, node) => maxScore * (1 - imbalance(resources, pod, node)),
  };
}

function readResources(all: PluginHandle['args']): readonly string[] {
  const args = new PluginArgs(all, name, ['resources']);
  const given = args.resources('resources', args.list('resources'), 1).map((resource) => resource.name);
  if (new Set(given).size < given.length) throw args.wrong('resources', 'names one twice');
  return given.length > 0 ? given : ['cpu', 'memory'];
}

/** Standard deviation of the fractions that would be used. What the node does not have, and extended resources that the pod does not ask for, are left out. */
function imbalance(resources: readonly string[], { requests }: PodInfo, { requested, allocatable }: NodeInfo): number {
  const fractions = resources.flatMap((resource) => {
    const [capacity, request] = [amountOf(resource, allocatable), amountOf(resource, requests)];
    const isNone = capacity <= 0 || (request === 0 && allocatable.scalars.has(resource));
    return isNone ? [] : [Math.min(1, (amountOf(resource, requested) + request) / capacity)];
  });
  if (fractions.length < 2) return 0;
  const mean = fractions.reduce((a, b) => a + b, 0) / fractions.length;
  return Math.sqrt(fractions.reduce((total, fraction) => total + (fraction - mean) ** 2, 0) / fractions.length);
}

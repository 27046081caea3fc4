import { getCondition } from '#api/meta/conditions.ts';
import { unavailable } from '../../diagnosis.ts';
import { PluginArgs } from '../../plugin-args.ts';
import type { NodeInfo, Plugin, PluginHandle, PodInfo, PostFilterHost, PostFilterResult, Rejection, Snapshot } from '../../types.ts';
import { pickCandidate, selectVictims, type Candidate } from './victims.ts';

const name = 'DefaultPreemption';
const notHelpful: Rejection = { reasons: ['Preemption is not helpful for scheduling'], resolvable: false };

/** Makes room for a pod where none is, at the cost of pods of lower priority: https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/ */
export function defaultPreemption({ budgets, args }: PluginHandle): Plugin {
  const given = new PluginArgs(args, name, ['minCandidateNodesPercentage', 'minCandidateNodesAbsolute']);
  const percentage = given.integer('minCandidateNodesPercentage', { default: 10, min: 0, max: 100 });
  const absolute = given.integer('minCandidateNodesAbsolute', { default: 100, min: 0 });

  return {
    name,
    events: [],
    postFilter(pod, rejections, snapshot, host) {
      const why = notEligible(pod, rejections, snapshot, host.nominatedNode);
      if (why !== undefined) return { nomination: 'keep', message: `preemption: ${why}` };
      const nodes = snapshot.nodes.filter((node) => rejections.get(node)?.resolvable);
      const enough = Math.min(nodes.length, Math.max(absolute, Math.floor((nodes.length * percentage) / 100)));
      const { candidates, refusals } = findCandidates(pod, nodes, enough, host, budgets?.list() ?? []);
      const best = pickCandidate(candidates);
      return best ? { nomination: best } : explain(snapshot, refusals);
    },
  };
}

/** A pod that may not push out others, or that waits for those that it has pushed out. */
function notEligible(pod: PodInfo, rejections: ReadonlyMap<NodeInfo, Rejection>, snapshot: Snapshot, nominatedNode: string | undefined): string | undefined {
  if (pod.pod.spec?.preemptionPolicy === 'Never') return 'not eligible due to preemptionPolicy=Never.';
  const node = nominatedNode === undefined ? undefined : snapshot.node(nominatedNode);
  // Where nothing that goes could help any more, it may try elsewhere.
  if (node === undefined || rejections.get(node)?.resolvable === false) return undefined;
  const waits = [...node.pods.values()].some((other) => other.priority < pod.priority && isPreempted(other));
  return waits ? 'not eligible due to a terminating pod on the nominated node.' : undefined;
}

function isPreempted({ pod }: PodInfo): boolean {
  if (pod.metadata?.deletionTimestamp === undefined) return false;
  const condition = getCondition(pod.status?.conditions, 'DisruptionTarget');
  return condition?.status === 'True' && condition.reason === 'PreemptionByScheduler';
}

/** Looks at nodes from a random one on until there are enough candidates, one at least without harm to a budget. */
function findCandidates(
  pod: PodInfo, nodes: readonly NodeInfo[], enough: number, host: PostFilterHost, budgets: Parameters<typeof selectVictims>[2],
): { candidates: Candidate[]; refusals: Map<NodeInfo, Rejection> } {
  const candidates: Candidate[] = [];
  const refusals = new Map<NodeInfo, Rejection>();
  const offset = Math.floor(host.random() * nodes.length);
  let harmless = 0;
  for (let i = 0; i < nodes.length && (harmless === 0 || candidates.length < enough); i++) {
    const node = nodes[(offset + i) % nodes.length];
    if (!node) continue;
    const found = host.tryOn(node, (trial) => selectVictims(trial, pod, budgets));
    if ('reasons' in found) { refusals.set(node, found); continue; }
    candidates.push(found);
    if (found.violations === 0) harmless++;
  }
  return { candidates, refusals };
}

function explain(snapshot: Snapshot, refusals: ReadonlyMap<NodeInfo, Rejection>): PostFilterResult {
  const verdicts = snapshot.nodes.map((node) => refusals.get(node) ?? notHelpful);
  return { message: `preemption: ${unavailable(snapshot.nodes.length, verdicts)}.` };
}

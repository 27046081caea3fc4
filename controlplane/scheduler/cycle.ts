import { unavailable } from './diagnosis.ts';
import { noNodes, type Framework } from './framework.ts';
import { NodeFilter, type FilterPlugin, type Refusal } from './node-filter.ts';
import type { Nominator } from './nominator.ts';
import { CycleState, type NodeInfo, type Nomination, type Plugin, type PodInfo, type Rejection, type Snapshot } from './types.ts';

export interface CycleDeps {
  readonly framework: Framework;
  readonly nominator: Nominator;
  /** 0 to 1; picks among nodes of equal score. */
  readonly random: () => number;
}

export interface Fit {
  readonly type: 'fit';
  readonly node: NodeInfo;
  readonly state: CycleState;
  /** Where the next cycle should start looking, so that all nodes get their turn. */
  readonly nextStart: number;
}

export interface NoFit {
  readonly type: 'no-fit';
  /** Names of the plugins that refused. */
  readonly rejectedBy: ReadonlySet<string>;
  /** Kubernetes' text: `0/3 nodes are available: 1 Insufficient cpu, ...`. */
  readonly message: string;
  readonly nomination: Nomination | 'keep' | undefined;
}

/** Too few to be worth sampling. */
const minNodesToFind = 100;

/**
 * How many fitting nodes are enough. On a large cluster a sample is scored instead of every node: half of it
 * at 100 nodes, falling to 5 % at 6,000, never fewer than 100 nodes. `percentage` other than 0 stands in place of that.
 * Source: https://kubernetes.io/docs/concepts/scheduling-eviction/scheduler-perf-tuning/
 */
export function nodesToFind(nodeCount: number, percentage = 0): number {
  if (nodeCount < minNodesToFind || percentage >= 100) return nodeCount;
  const share = percentage > 0 ? percentage : Math.max(5, 50 - Math.floor(nodeCount / 125));
  return Math.max(minNodesToFind, Math.floor((nodeCount * share) / 100));
}

/** Decides where a pod goes. Changes nothing; the same snapshot, start and random numbers give the same decision. */
export function schedule(deps: CycleDeps, snapshot: Snapshot, pod: PodInfo, start: number): Fit | NoFit {
  if (snapshot.nodes.length === 0) return { type: 'no-fit', rejectedBy: new Set([noNodes]), message: 'no nodes available to schedule pods', nomination: undefined };
  const { framework, nominator } = deps;
  const cycle: Cycle = { ...deps, snapshot, pod, state: new CycleState() };
  const prepared = preFilter(cycle);
  if ('rejection' in prepared) return noFitAnywhere(cycle, prepared);
  const filter = new NodeFilter({ filters: prepared.filters, pod, snapshot, state: cycle.state, nominator });
  const nominated = nominatedNode(cycle, prepared, filter);
  if (nominated) return { type: 'fit', node: nominated, state: cycle.state, nextStart: start };
  const search = findFitting(prepared, filter, snapshot, start, framework.percentageOfNodesToScore);
  if (search.fitting.length === 0) {
    const message = `${unavailable(snapshot.nodes.length, search.rejections.values())}.`;
    return postFilter(cycle, filter, { ...search, message });
  }
  const node = pickBest(cycle, search.fitting);
  return { type: 'fit', node, state: cycle.state, nextStart: (start + search.visited) % snapshot.nodes.length };
}

interface Cycle extends CycleDeps {
  readonly snapshot: Snapshot;
  readonly pod: PodInfo;
  readonly state: CycleState;
}

interface Prepared {
  readonly filters: readonly FilterPlugin[];
  /** Absent: all nodes. */
  readonly only: ReadonlySet<string> | undefined;
  /** The plugins that narrowed `only`. */
  readonly narrowedBy: readonly string[];
}

function preFilter({ framework, pod, snapshot, state }: Cycle): Prepared | Refusal {
  const skipped = new Set<Plugin>();
  const narrowedBy: string[] = [];
  let only: ReadonlySet<string> | undefined;
  for (const plugin of framework.preFilter) {
    const result = plugin.preFilter(pod, snapshot, state);
    if (result === undefined) continue;
    if (result === 'skip') { skipped.add(plugin); continue; }
    if ('rejection' in result) return { plugin: plugin.name, rejection: result.rejection };
    narrowedBy.push(plugin.name);
    only = only ? new Set([...only].filter((name) => result.nodes.has(name))) : result.nodes;
  }
  return { filters: skipped.size === 0 ? framework.filter : framework.filter.filter((plugin) => !skipped.has(plugin)), only, narrowedBy };
}

/** The node on which room was made for the pod, when that has worked: it goes before all others. */
function nominatedNode({ nominator, pod, snapshot }: Cycle, { only }: Prepared, filter: NodeFilter): NodeInfo | undefined {
  const name = nominator.nodeOf(pod.uid);
  const node = name === undefined || (only && !only.has(name)) ? undefined : snapshot.node(name);
  return node && filter.check(node) === undefined ? node : undefined;
}

interface Search {
  readonly fitting: NodeInfo[];
  readonly rejections: Map<NodeInfo, Rejection>;
  readonly rejectedBy: Set<string>;
  visited: number;
}

function findFitting(prepared: Prepared, filter: NodeFilter, snapshot: Snapshot, start: number, percentage: number): Search {
  const { nodes } = snapshot;
  const search: Search = { fitting: [], rejections: new Map(), rejectedBy: new Set(), visited: 0 };
  if (prepared.only) {
    findAmong(prepared.only, prepared, filter, snapshot, search);
    return search;
  }
  const enough = nodesToFind(nodes.length, percentage);
  for (; search.visited < nodes.length && search.fitting.length < enough; search.visited++) {
    const node = nodes[(start + search.visited) % nodes.length];
    if (node) tryNode(node, filter, search);
  }
  return search;
}

function findAmong(only: ReadonlySet<string>, prepared: Prepared, filter: NodeFilter, snapshot: Snapshot, search: Search): void {
  for (const name of only) {
    const node = snapshot.node(name);
    if (node) tryNode(node, filter, search);
  }
  if (search.fitting.length > 0) return;
  for (const plugin of prepared.narrowedBy) search.rejectedBy.add(plugin);
  const rejection = { reasons: [`node(s) didn't satisfy plugin(s) [${prepared.narrowedBy.toSorted().join(' ')}]`], resolvable: false };
  for (const node of snapshot.nodes) if (!only.has(node.name)) search.rejections.set(node, rejection);
}

function tryNode(node: NodeInfo, filter: NodeFilter, search: Search): void {
  const refusal = filter.check(node);
  if (!refusal) { search.fitting.push(node); return; }
  search.rejections.set(node, refusal.rejection);
  search.rejectedBy.add(refusal.plugin);
}

function pickBest({ framework, pod, snapshot, state, random }: Cycle, nodes: readonly NodeInfo[]): NodeInfo {
  const [first] = nodes;
  if (!first) throw new Error('pickBest needs a node');
  if (nodes.length === 1) return first;
  const skipped = new Set<Plugin>();
  for (const plugin of framework.preScore) {
    if (plugin.preScore(pod, nodes, snapshot, state) === 'skip') skipped.add(plugin);
  }
  const totals = new Float64Array(nodes.length);
  const scores = new Float64Array(nodes.length);
  for (const { plugin, weight } of framework.score) {
    if (skipped.has(plugin)) continue;
    nodes.forEach((node, i) => { scores[i] = plugin.score(pod, node, state); });
    plugin.normalize?.(scores, nodes, state);
    for (let i = 0; i < totals.length; i++) totals[i] = (totals[i] ?? 0) + weight * (scores[i] ?? 0);
  }
  return nodes[indexOfBest(totals, random)] ?? first;
}

/** Among equals every one is as likely as the others. */
function indexOfBest(totals: Float64Array, random: () => number): number {
  let best = 0;
  let equals = 1;
  for (let i = 1; i < totals.length; i++) {
    const difference = (totals[i] ?? 0) - (totals[best] ?? 0);
    if (difference > 0) { best = i; equals = 1; }
    else if (difference === 0 && random() * ++equals < 1) best = i;
  }
  return best;
}

/** A PreFilter plugin refused the pod for every node at once: its words stand alone, without counts. */
function noFitAnywhere(cycle: Cycle, { plugin, rejection }: Refusal): NoFit {
  const { snapshot, pod, state, nominator } = cycle;
  // No node was looked at, so it is not known whether removing pods would help.
  const everywhere = { ...rejection, resolvable: false };
  const rejections = new Map(snapshot.nodes.map((node) => [node, everywhere]));
  const message = `0/${String(snapshot.nodes.length)} nodes are available: ${rejection.reasons.join(', ')}.`;
  const filter = new NodeFilter({ filters: [], pod, snapshot, state, nominator });
  return postFilter(cycle, filter, { rejections, rejectedBy: new Set([plugin]), message });
}

interface Failure {
  readonly rejections: ReadonlyMap<NodeInfo, Rejection>;
  readonly rejectedBy: ReadonlySet<string>;
  readonly message: string;
}

function postFilter({ framework, nominator, pod, snapshot, random }: Cycle, filter: NodeFilter, { rejections, rejectedBy, message }: Failure): NoFit {
  let text = message;
  const host = { tryOn: filter.tryOn.bind(filter), nominatedNode: nominator.nodeOf(pod.uid), random };
  for (const plugin of framework.postFilter) {
    const result = plugin.postFilter(pod, rejections, snapshot, host);
    if (!result) continue;
    if (result.message !== undefined) text += ` ${result.message}`;
    if (result.nomination !== undefined) return { type: 'no-fit', rejectedBy, message: text, nomination: result.nomination };
  }
  return { type: 'no-fit', rejectedBy, message: text, nomination: undefined };
}

import { unavailable } from './diagnosis.ts';
import { noNodes, type Framework } from './framework.ts';
import { CycleState, type NodeInfo, type Plugin, type PodInfo, type Rejection, type Snapshot } from './types.ts';

export interface CycleDeps {
  readonly framework: Framework;
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
  readonly nominatedNode: string | undefined;
}

/** Too few to be worth sampling. */
const minNodesToFind = 100;

/**
 * How many fitting nodes are enough. On a large cluster a sample is scored instead of every node: half of it
 * at 100 nodes, falling to 5 % at 6,000, never fewer than 100 nodes.
 * Source: https://kubernetes.io/docs/concepts/scheduling-eviction/scheduler-perf-tuning/
 */
export function nodesToFind(nodeCount: number): number {
  if (nodeCount < minNodesToFind) return nodeCount;
  const percentage = Math.max(5, 50 - Math.floor(nodeCount / 125));
  return Math.max(minNodesToFind, Math.floor((nodeCount * percentage) / 100));
}

/** Decides where a pod goes. Changes nothing; the same snapshot, start and random numbers give the same decision. */
export function schedule({ framework, random }: CycleDeps, snapshot: Snapshot, pod: PodInfo, start: number): Fit | NoFit {
  if (snapshot.nodes.length === 0) return { type: 'no-fit', rejectedBy: new Set([noNodes]), message: 'no nodes available to schedule pods', nominatedNode: undefined };
  const state = new CycleState();
  const prepared = preFilter(framework, pod, snapshot, state);
  if ('rejection' in prepared) return noFitAnywhere(framework, pod, prepared, snapshot, state);
  const search = findFitting(prepared, pod, snapshot, state, start);
  if (search.fitting.length === 0) {
    const message = `${unavailable(snapshot.nodes.length, search.rejections.values())}.`;
    return postFilter(framework, pod, { ...search, message }, snapshot, state);
  }
  const node = pickBest(framework, pod, search.fitting, snapshot, state, random);
  return { type: 'fit', node, state, nextStart: (start + search.visited) % snapshot.nodes.length };
}


type FilterPlugin = Plugin & Required<Pick<Plugin, 'filter'>>;

interface Refusal {
  readonly plugin: string;
  readonly rejection: Rejection;
}

interface Prepared {
  readonly filters: readonly FilterPlugin[];
  /** Absent: all nodes. */
  readonly only: ReadonlySet<string> | undefined;
  /** The plugins that narrowed `only`. */
  readonly narrowedBy: readonly string[];
}

function preFilter(framework: Framework, pod: PodInfo, snapshot: Snapshot, state: CycleState): Prepared | Refusal {
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
  return { filters: framework.filter.filter((plugin) => !skipped.has(plugin)), only, narrowedBy };
}

interface Search {
  readonly fitting: NodeInfo[];
  readonly rejections: Map<NodeInfo, Rejection>;
  readonly rejectedBy: Set<string>;
  visited: number;
}

function findFitting(prepared: Prepared, pod: PodInfo, snapshot: Snapshot, state: CycleState, start: number): Search {
  const { nodes } = snapshot;
  const search: Search = { fitting: [], rejections: new Map(), rejectedBy: new Set(), visited: 0 };
  if (prepared.only) {
    findAmong(prepared.only, prepared, pod, snapshot, state, search);
    return search;
  }
  const enough = nodesToFind(nodes.length);
  for (; search.visited < nodes.length && search.fitting.length < enough; search.visited++) {
    const node = nodes[(start + search.visited) % nodes.length];
    if (node) tryNode(node, prepared.filters, pod, state, search);
  }
  return search;
}

function findAmong(only: ReadonlySet<string>, prepared: Prepared, pod: PodInfo, snapshot: Snapshot, state: CycleState, search: Search): void {
  for (const name of only) {
    const node = snapshot.node(name);
    if (node) tryNode(node, prepared.filters, pod, state, search);
  }
  if (search.fitting.length > 0) return;
  for (const plugin of prepared.narrowedBy) search.rejectedBy.add(plugin);
  const rejection = { reasons: [`node(s) didn't satisfy plugin(s) [${prepared.narrowedBy.toSorted().join(' ')}]`], resolvable: false };
  for (const node of snapshot.nodes) if (!only.has(node.name)) search.rejections.set(node, rejection);
}

function tryNode(node: NodeInfo, filters: readonly FilterPlugin[], pod: PodInfo, state: CycleState, search: Search): void {
  for (const plugin of filters) {
    const rejection = plugin.filter(pod, node, state);
    if (rejection) {
      search.rejections.set(node, rejection);
      search.rejectedBy.add(plugin.name);
      return;
    }
  }
  search.fitting.push(node);
}

function pickBest(framework: Framework, pod: PodInfo, nodes: readonly NodeInfo[], snapshot: Snapshot, state: CycleState, random: () => number): NodeInfo {
  const [first] = nodes;
  if (!first) throw new Error('pickBest needs a node');
  if (nodes.length === 1) return first;
  const skipped = new Set<Plugin>();
  for (const plugin of framework.preScore) {
    if (plugin.preScore(pod, nodes, snapshot, state) === 'skip') skipped.add(plugin);
  }
  const totals = new Float64Array(nodes.length);
  const scores = new Float64Array(nodes.length);
  for (const plugin of framework.score) {
    if (skipped.has(plugin)) continue;
    nodes.forEach((node, i) => { scores[i] = plugin.score(pod, node, state); });
    plugin.normalize?.(scores, nodes, state);
    const weight = plugin.weight ?? 1;
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
function noFitAnywhere(framework: Framework, pod: PodInfo, { plugin, rejection }: Refusal, snapshot: Snapshot, state: CycleState): NoFit {
  const rejections = new Map(snapshot.nodes.map((node) => [node, rejection]));
  const message = `0/${String(snapshot.nodes.length)} nodes are available: ${rejection.reasons.join(', ')}.`;
  return postFilter(framework, pod, { rejections, rejectedBy: new Set([plugin]), message }, snapshot, state);
}

interface Failure {
  readonly rejections: ReadonlyMap<NodeInfo, Rejection>;
  readonly rejectedBy: ReadonlySet<string>;
  readonly message: string;
}

function postFilter(framework: Framework, pod: PodInfo, { rejections, rejectedBy, message }: Failure, snapshot: Snapshot, state: CycleState): NoFit {
  let text = message;
  for (const plugin of framework.postFilter) {
    const result = plugin.postFilter(pod, rejections, snapshot, state);
    if (!result) continue;
    text += ` ${result.message}.`;
    if (result.nominatedNode !== undefined) return { type: 'no-fit', rejectedBy, message: text, nominatedNode: result.nominatedNode };
  }
  return { type: 'no-fit', rejectedBy, message: text, nominatedNode: undefined };
}

import type { LabelSelector, Node, NodeSelectorTerm, Pod, PodAffinityTerm, TopologySpreadConstraint } from '#api/gen/types.ts';

/**
 * For tests: what Kubernetes' documentation says about where a pod may go, written down as plainly as can be, without
 * a thought for speed and without anything of the scheduler's own.
 */
export interface World {
  readonly nodes: readonly Node[];
  readonly placed: readonly Pod[];
  readonly namespaces?: Readonly<Record<string, Record<string, string>>>;
}

/** Why the pod may not be on the node; empty when it may. */
export function objections(world: World, pod: Pod, node: Node): string[] {
  const there = world.placed.filter((other) => other.spec?.nodeName === node.metadata?.name);
  const found: string[] = [];
  if (node.spec?.unschedulable && !toleratesAll(pod, [{ key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' }])) found.push('cordoned');
  if (!toleratesAll(pod, (node.spec?.taints ?? []).filter((taint) => taint.effect !== 'PreferNoSchedule'))) found.push('tainted');
  if (!selects(pod, node)) found.push('node affinity');
  if (!hasRoom(pod, there, node)) found.push('room');
  const ports = there.flatMap(portsOf);
  if (portsOf(pod).some((port) => ports.includes(port))) found.push('ports');
  if (!isNear(world, pod, node)) found.push('affinity');
  if (isTooNear(world, pod, node)) found.push('anti-affinity');
  for (const constraint of pod.spec?.topologySpreadConstraints ?? []) if (!isEven(world, pod, node, constraint)) found.push('spreading');
  return found;
}

const isCounted = (pod: Pod): boolean => pod.metadata?.deletionTimestamp === undefined;
const labelOf = (node: Node | undefined, key: string): string | undefined => node?.metadata?.labels?.[key];
const nodeOf = (world: World, pod: Pod): Node | undefined => world.nodes.find((node) => node.metadata?.name === pod.spec?.nodeName);

function toleratesAll(pod: Pod, taints: readonly { key: string; value?: string | undefined; effect: string }[]): boolean {
  return taints.every((taint) => (pod.spec?.tolerations ?? []).some((one) => (!one.effect || one.effect === taint.effect)
    && (one.operator === 'Exists' ? !one.key || one.key === taint.key : one.key === taint.key && (one.value ?? '') === (taint.value ?? ''))));
}

function selects(pod: Pod, node: Node): boolean {
  const { nodeSelector = {}, affinity } = pod.spec ?? {};
  if (!Object.entries(nodeSelector).every(([key, value]) => labelOf(node, key) === value)) return false;
  const terms = affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  return terms === undefined || terms.some((term) => selectsTerm(term, node));
}

function selectsTerm({ matchExpressions = [] }: NodeSelectorTerm, node: Node): boolean {
  return matchExpressions.length > 0 && matchExpressions.every(({ key, operator, values = [] }) => {
    const value = labelOf(node, key);
    if (operator === 'In') return value !== undefined && values.includes(value);
    if (operator === 'NotIn') return value === undefined || !values.includes(value);
    return operator === 'Exists' ? value !== undefined : value === undefined;
  });
}

const cpuOf = (pod: Pod): number => (pod.spec?.containers ?? []).reduce((sum, { resources }) => sum + Number(resources?.requests?.['cpu'] ?? 0), 0);

function hasRoom(pod: Pod, there: readonly Pod[], node: Node): boolean {
  const { cpu = '0', pods = '0' } = node.status?.allocatable ?? {};
  const free = Number(cpu) - there.reduce((sum, other) => sum + cpuOf(other), 0);
  return there.length + 1 <= Number(pods) && (cpuOf(pod) === 0 || cpuOf(pod) <= free);
}

function portsOf(pod: Pod): number[] {
  return (pod.spec?.containers ?? []).flatMap(({ ports = [] }) => ports.flatMap(({ hostPort }) => hostPort ?? []));
}

function matches(selector: LabelSelector | undefined, labels: Record<string, string> = {}): boolean {
  if (selector === undefined) return false;
  return Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value);
}

/** True when the term of `owner` is about `other`. */
function isAbout(world: World, term: PodAffinityTerm, owner: Pod, other: Pod): boolean {
  const namespace = other.metadata?.namespace ?? '';
  const named = term.namespaces ?? [];
  const inNamespace = named.includes(namespace) || (term.namespaceSelector !== undefined && matches(term.namespaceSelector, world.namespaces?.[namespace]))
    || (named.length === 0 && term.namespaceSelector === undefined && namespace === owner.metadata?.namespace);
  const mine = owner.metadata?.labels ?? {};
  const theirs = other.metadata?.labels ?? {};
  return inNamespace && matches(term.labelSelector, theirs)
    && (term.matchLabelKeys ?? []).every((key) => mine[key] === undefined || mine[key] === theirs[key])
    && (term.mismatchLabelKeys ?? []).every((key) => mine[key] === undefined || mine[key] !== theirs[key]);
}

const required = (pod: Pod, kind: 'podAffinity' | 'podAntiAffinity'): readonly PodAffinityTerm[] => pod.spec?.affinity?.[kind]?.requiredDuringSchedulingIgnoredDuringExecution ?? [];

function isNear(world: World, pod: Pod, node: Node): boolean {
  const terms = required(pod, 'podAffinity');
  if (!terms.every((term) => labelOf(node, term.topologyKey) !== undefined)) return false;
  const wanted = world.placed.filter((other) => terms.every((term) => isAbout(world, term, pod, other)));
  const near = terms.every((term) => wanted.some((other) => labelOf(nodeOf(world, other), term.topologyKey) === labelOf(node, term.topologyKey)));
  const nowhere = !wanted.some((other) => terms.some((term) => labelOf(nodeOf(world, other), term.topologyKey) !== undefined));
  return near || (nowhere && terms.every((term) => isAbout(world, term, pod, pod)));
}

function isTooNear(world: World, pod: Pod, node: Node): boolean {
  const inDomain = (other: Pod, key: string): boolean => labelOf(node, key) !== undefined && labelOf(nodeOf(world, other), key) === labelOf(node, key);
  return world.placed.some((other) => required(pod, 'podAntiAffinity').some((term) => isAbout(world, term, pod, other) && inDomain(other, term.topologyKey))
    || required(other, 'podAntiAffinity').some((term) => isAbout(world, term, other, pod) && inDomain(other, term.topologyKey)));
}

function isEven(world: World, pod: Pod, node: Node, constraint: TopologySpreadConstraint): boolean {
  const { topologyKey, maxSkew, minDomains = 1, whenUnsatisfiable, labelSelector, matchLabelKeys = [], nodeAffinityPolicy, nodeTaintsPolicy } = constraint;
  if (whenUnsatisfiable !== 'DoNotSchedule') return true;
  const here = labelOf(node, topologyKey);
  if (here === undefined) return false;
  const hard = (pod.spec?.topologySpreadConstraints ?? []).filter((one) => one.whenUnsatisfiable === 'DoNotSchedule');
  const eligible = world.nodes.filter((one) => hard.every((each) => labelOf(one, each.topologyKey) !== undefined)
    && (nodeAffinityPolicy === 'Ignore' || selects(pod, one))
    && (nodeTaintsPolicy !== 'Honor' || toleratesAll(pod, (one.spec?.taints ?? []).filter((taint) => taint.effect !== 'PreferNoSchedule'))));
  const isSpread = (other: Pod): boolean => isCounted(other) && other.metadata?.namespace === pod.metadata?.namespace && matches(labelSelector, other.metadata?.labels)
    && matchLabelKeys.every((key) => pod.metadata?.labels?.[key] === undefined || pod.metadata.labels[key] === other.metadata?.labels?.[key]);
  const inDomain = (value: string): number => world.placed.filter((other) => isSpread(other) && eligible.some((one) => one.metadata?.name === other.spec?.nodeName && labelOf(one, topologyKey) === value)).length;
  const domains = [...new Set(eligible.map((one) => labelOf(one, topologyKey) ?? ''))];
  const fewest = domains.length < minDomains ? 0 : Math.min(...domains.map(inDomain));
  return inDomain(here) + (isSpread(pod) ? 1 : 0) - (Number.isFinite(fewest) ? fewest : 0) <= maxSkew;
}

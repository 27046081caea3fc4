import type { Node, Pod } from '#api/gen/types.ts';
import { formatQuantity, parseQuantity } from '#api/meta/quantity.ts';
import { podAmount, sum } from '../pod-resources.ts';
import type { Finding, PodFacts } from './types.ts';

interface Reason {
  /** How many nodes it holds for; undefined for what holds for all of them. */
  readonly count: number | undefined;
  readonly text: string;
}

/** Reads the scheduler's `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable. preemption: …`. */
export function reasonsOf(message: string): readonly Reason[] {
  const [, list = message] = /^0\/\d+ nodes are available: ([^]*?)\.?(?: preemption: [^]*)?$/.exec(message) ?? [];
  return list.split(/, (?=\d+ )/).map((part) => {
    const [, count, text = part] = /^(\d+) ([^]*)$/.exec(part) ?? [];
    return { count: count === undefined ? undefined : Number(count), text };
  });
}

/** Why no node is chosen for a pod, one finding for each reason that the scheduler gives. */
export function explainScheduling(facts: PodFacts): readonly Finding[] {
  const { pod, nodes } = facts;
  const condition = pod.status?.conditions?.find(({ type, status }) => type === 'PodScheduled' && status === 'False');
  if (condition?.reason === 'SchedulingGated') {
    const gates = (pod.spec?.schedulingGates ?? []).map(({ name }) => name);
    return [{ cause: 'Scheduling', says: `It is held back by ${plural(gates.length, 'scheduling gate')}: ${gates.join(', ')}.`, helps: ['Whoever set the gates takes them out of spec.schedulingGates when the pod may go on.'] }];
  }
  if (nodes.length === 0) return [{ cause: 'Scheduling', says: 'The cluster has no node yet.', helps: ['Add one: cleat token create prints the line to run on it.'] }];
  if (condition?.reason === 'Unschedulable') {
    // Which claim is not bound, and why, is said of the claim.
    const found = reasonsOf(condition.message ?? '').filter(({ text }) => text !== unboundClaim || facts.claims.length === 0).map((reason) => explainReason(reason, facts));
    const { nominatedNodeName } = pod.status ?? {};
    return nominatedNodeName ? [{ cause: 'Scheduling', says: `Room is being made for it on ${nominatedNodeName}: pods of less priority there are ending.`, helps: ['Wait until they have ended.'] }, ...found] : found;
  }
  const scheduler = pod.spec?.schedulerName ?? 'default-scheduler';
  return [scheduler === 'default-scheduler'
    ? { cause: 'Scheduling', says: `The scheduler has not looked at it yet${condition?.message ? `: ${condition.message}` : ''}.`, helps: ['Wait a moment; if it stays so, look at the control plane\'s log.'] }
    : { cause: 'Scheduling', says: `It asks for the scheduler "${scheduler}", which has not answered.`, helps: [`Start that scheduler, or make the pod anew without spec.schedulerName.`] }];
}

/** Says of how many nodes something is true, with its verb. */
type Where = (one: string, many: string) => string;
type Explain = (match: RegExpExecArray, facts: PodFacts, where: Where) => Omit<Finding, 'cause'> & { readonly cause?: Finding['cause'] };

const unboundClaim = 'pod has unbound immediate PersistentVolumeClaims';
const addNode = 'Add a node: cleat token create prints the line to run on it.';

/** The scheduler's reasons, which are Kubernetes', in plain words. */
const reasons: readonly (readonly [RegExp, Explain])[] = [
  [/^Insufficient (.+)$/, ([, resource = ''], facts, where) => insufficient(resource, facts, where)],
  [/^Too many pods$/, (_, _facts, where) => ({ says: `${where('runs', 'run')} as many pods already as the node may (status.allocatable.pods).`, helps: ['Remove pods there, or let the node take more.', addNode] })],
  [/^node\(s\) were unschedulable$/, (_, { nodes }) => {
    const names = nodes.filter(({ spec }) => spec?.unschedulable).map(nameOf);
    return { says: `${listed(names, 'node')} cordoned.`, helps: names.map((name) => `cleat uncordon ${name}`) };
  }],
  [/^node\(s\) had untolerated taint(?:\(s\)|s)? ?\{([^:}]*):? ?([^}]*)\}$/, ([, key = '', value = ''], { nodes }) => tainted(key, value, nodes)],
  [/^node\(s\) had untolerated taint/, () => ({ says: 'Nodes have taints that the pod does not tolerate.', helps: ['See them: cleat describe nodes. Tolerate them in spec.tolerations, or remove them with cleat taint.'] })],
  [/^node\(s\) didn't match Pod's node affinity\/selector$/, (_, { pod }, where) => wantsLabels(pod, where)],
  [/^node\(s\) didn't match the requested node name$/, (_, { pod }) => ({ says: `It asks for the node ${pod.spec?.nodeName ?? ''}, which is not there.`, helps: ['Leave spec.nodeName out.'] })],
  [/^node\(s\) didn't have free ports/, (_, { pod }, where) => ({ says: `${where('has', 'have')} no free host port ${hostPorts(pod).join(', ')}: another pod holds it.`, helps: ['Use a Service or a NodePort in place of hostPort, or another port.', addNode] })],
  [/^node\(s\) didn't match pod anti-affinity rules$/, (_, _facts, where) => ({ says: `${where('has', 'have')} a pod that this one refuses to stand beside (spec.affinity.podAntiAffinity).`, helps: [addNode, 'Prefer in place of require: preferredDuringSchedulingIgnoredDuringExecution.'] })],
  [/^node\(s\) didn't satisfy existing pods anti-affinity rules$/, (_, _facts, where) => ({ says: `${where('has', 'have')} a pod that refuses this one beside it (its spec.affinity.podAntiAffinity).`, helps: [addNode, 'Change that pod\'s rule or this pod\'s labels.'] })],
  [/^node\(s\) didn't match pod affinity rules$/, (_, _facts, where) => ({ says: `${where('has', 'have')} no pod of the kind that this one wants beside it (spec.affinity.podAffinity).`, helps: ['Start the pods that it wants to stand beside, or change the rule.'] })],
  [/^node\(s\) didn't match pod topology spread constraints \(missing required label\)$/, (_, { pod }, where) => ({ says: `${where('has', 'have')} none of the labels that it is to be spread over: ${spreadKeys(pod).join(', ')}.`, helps: spreadKeys(pod).map((key) => `cleat label node NAME ${key}=VALUE`) })],
  [/^node\(s\) didn't match pod topology spread constraints$/, (_, { pod }, where) => ({ says: `${where('has', 'have')} more of its like already than spreading over ${spreadKeys(pod).join(', ')} allows.`, helps: ['Raise maxSkew, or set whenUnsatisfiable: ScheduleAnyway.', addNode] })],
  [/^node\(s\) (?:had volume node affinity conflict|didn't match PersistentVolume's node affinity)$/, (_, _facts, where) => ({ cause: 'Volume', says: `${where('has', 'have')} no access to a volume of the pod, which is on another node.`, helps: ['Free the node that has the volume for it: cleat get pv -o wide shows where it is.', 'Or make the claim anew: it gets an empty volume, and what is in this one is deleted with the claim, or kept where the volume says persistentVolumeReclaimPolicy: Retain.'] })],
  [/^node\(s\) didn't find available persistent volumes to bind$/, () => ({ cause: 'Claim', says: 'No volume that is free fits its claim.', helps: ['Make a PersistentVolume of that size, access mode and class, or use a StorageClass that makes volumes: cleat get storageclass.'] })],
  [/^persistentvolumeclaim "([^"]+)" not found$/, ([, name = '']) => ({ cause: 'Claim', says: `Its claim ${name} does not exist.`, helps: [`Make the PersistentVolumeClaim ${name}, or name another in spec.volumes.`] })],
  [/^persistentvolumeclaim "([^"]+)" is being deleted$/, ([, name = '']) => ({ cause: 'Claim', says: `Its claim ${name} is being deleted.`, helps: ['Make it anew once it is gone.'] })],
  [/bound to non-existent pv/, () => ({ cause: 'Claim', says: 'Its claim is bound to a volume that no longer exists.', helps: ['Make the claim anew; the data is gone with the volume.'] })],
  [/architecture|platform/i, (match, _facts, where) => ({ cause: 'Image', says: `${where('has', 'have')} another architecture than the image is for (${match.input}).`, helps: ['Use an image for the nodes\' architecture, or add a node of the image\'s: cleat nodes shows what they are.'] })],
];

function explainReason({ count, text }: Reason, facts: PodFacts): Finding {
  const total = facts.nodes.length;
  const where: Where = (one, many) => (count === undefined || count >= total ? (total === 1 ? `The only node ${one}` : `All ${String(total)} nodes ${many}`) : `${String(count)} of ${String(total)} nodes ${count === 1 ? one : many}`);
  for (const [pattern, explain] of reasons) {
    const match = pattern.exec(text);
    if (match) return { cause: 'Scheduling', ...explain(match, facts, where) };
  }
  return { cause: 'Scheduling', says: count === undefined ? `${text}.` : `Of ${String(total)} nodes, ${String(count)}: ${text}.`, helps: [] };
}

function insufficient(resource: string, { pod, nodes, neighbours }: PodFacts, where: Where): Omit<Finding, 'cause'> {
  const asked = podAmount(pod, 'requests', resource);
  const free = nodes.map((node) => {
    const used = sum(neighbours.filter(({ spec, status }) => spec?.nodeName === nameOf(node) && status?.phase !== 'Succeeded' && status?.phase !== 'Failed').map((other) => podAmount(other, 'requests', resource)));
    const all = parseQuantity(node.status?.allocatable?.[resource] ?? '0');
    return { name: nameOf(node), all, left: all - used.nanos };
  }).sort((a, b) => (a.left < b.left ? 1 : -1));
  const [best] = free;
  const largest = free.reduce((most, { all }) => (all > most ? all : most), 0n);
  const text = (nanos: bigint): string => formatQuantity(nanos < 0n ? 0n : nanos, /memory|storage|hugepages/.test(resource) ? 'BinarySI' : 'DecimalSI');
  const less = `Ask for less: spec.containers[].resources.requests.${resource.includes('.') || resource.includes('/') ? `["${resource}"]` : resource}.`;
  if (largest === 0n) return { says: `It asks for ${asked.text} of ${resource}, which no node has.`, helps: ['Add a node that has it, or leave it out of spec.containers[].resources.'] };
  if (asked.nanos > largest) return { says: `It asks for ${asked.text} of ${resource}, and the largest node has ${text(largest)} for pods: it can never fit as it is.`, helps: [less, 'Add a larger node.'] };
  return { says: `${where('has', 'have')} too little ${resource} left: it asks for ${asked.text}${best ? `, and ${best.name} has the most left, ${text(best.left)} of ${text(best.all)}` : ''}.`, helps: [less, 'Make room: scale down or delete other pods. cleat describe nodes shows what they ask for.', addNode] };
}

function tainted(key: string, value: string, nodes: readonly Node[]): Omit<Finding, 'cause'> {
  const names = nodes.filter(({ spec }) => spec?.taints?.some((taint) => taint.key === key && (taint.value ?? '') === value)).map(nameOf);
  const known: Readonly<Record<string, string>> = { 'not-ready': 'not ready', unreachable: 'not heard of', unschedulable: 'cordoned', 'disk-pressure': 'short of disk', 'memory-pressure': 'short of memory', 'pid-pressure': 'short of process ids', 'network-unavailable': 'without a pod network', 'out-of-service': 'out of service' };
  const state = key.startsWith('node.kubernetes.io/') ? known[key.slice('node.kubernetes.io/'.length)] : undefined;
  if (state === 'cordoned') return { says: `${listed(names, 'node')} cordoned.`, helps: names.map((name) => `cleat uncordon ${name}`) };
  if (state !== undefined) return { says: `${listed(names, 'node')} ${state}.`, helps: names.slice(0, 3).map((name) => `See why: cleat describe node ${name}`) };
  const taint = value === '' ? key : `${key}=${value}`;
  return { says: `${listed(names, 'node')} tainted ${taint}, which the pod does not tolerate.`, helps: [`Tolerate it in spec.tolerations, or remove the taint: cleat taint nodes ${names[0] ?? 'NAME'} ${key}-`] };
}

function wantsLabels(pod: Pod, where: Where): Omit<Finding, 'cause'> {
  const labels = Object.entries(pod.spec?.nodeSelector ?? {}).map(([key, value]) => `${key}=${value}`);
  const affinity = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  const terms = affinity.map(({ matchExpressions = [], matchFields = [] }) => [...matchExpressions, ...matchFields].map(({ key, operator, values = [] }) => `${key} ${operator}${values.length > 0 ? ` (${values.join(', ')})` : ''}`).join(' and '));
  const wanted = [labels.join(', '), terms.join(', or ')].filter((text) => text !== '').join(', and ');
  return { says: `${where('lacks', 'lack')} the labels that it asks for: ${wanted}.`, helps: [...labels.map((label) => `cleat label node NAME ${label}`), `Or change ${labels.length > 0 ? 'spec.nodeSelector' : 'spec.affinity.nodeAffinity'}. cleat get nodes --show-labels shows what there is.`] };
}

function hostPorts(pod: Pod): readonly string[] {
  return (pod.spec?.containers ?? []).flatMap(({ ports = [] }) => ports.flatMap(({ hostPort, protocol }) => (hostPort ? [`${String(hostPort)}/${protocol ?? 'TCP'}`] : [])));
}

function spreadKeys(pod: Pod): readonly string[] {
  return (pod.spec?.topologySpreadConstraints ?? []).filter(({ whenUnsatisfiable }) => whenUnsatisfiable === 'DoNotSchedule').map(({ topologyKey }) => topologyKey);
}

function nameOf({ metadata }: Node): string {
  return metadata?.name ?? '';
}

/** `Nodes a and b are`, `Node a is`; a long list ends in a number. */
function listed(names: readonly string[], what: string): string {
  const most = 5;
  if (names.length === 1) return `The ${what} ${names[0] ?? ''} is`;
  if (names.length === 0) return `Some ${what}s are`;
  return `The ${what}s ${names.slice(0, most).join(', ')}${names.length > most ? ` and ${String(names.length - most)} more` : ''} are`;
}

function plural(count: number, word: string): string {
  return `${String(count)} ${word}${count === 1 ? '' : 's'}`;
}

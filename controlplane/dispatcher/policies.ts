import type { Namespace, NetworkPolicy, NetworkPolicyPeer, Pod } from '#api/gen/types.ts';
import { networkPolicies, qualifiedName } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import { isIP } from '#api/meta/ip.ts';
import { keyOf } from '#api/meta/object.ts';
import { matchesLabels, requirementsOf } from '#api/meta/selectors.ts';
import { groupsOf, peerGroupSlices, type PeerGroupSlice, type PeerPod } from '#api/network-policy/peer-group.ts';
import type { Informer } from '../cache/types.ts';

type Requirements = ReturnType<typeof requirementsOf>;
type Labels = Readonly<Record<string, string>> | undefined;

export interface PolicyInformers {
  readonly networkPolicies: Informer<NetworkPolicy>;
  readonly namespaces: Informer<Namespace>;
  readonly pods: Informer<Pod>;
}

interface Policy {
  readonly key: string;
  readonly namespace: string;
  readonly object: NetworkPolicy;
  readonly selects: Requirements;
  readonly groups: readonly string[];
  /** Pods that it is about, and their nodes. */
  readonly selected: Map<string, string>;
  /** How many of those each node has. */
  readonly nodes: Map<string, number>;
}

interface Group {
  readonly name: string;
  /** The one namespace it is about, or what namespaces must be labelled with. */
  readonly scope: { readonly namespace: string } | { readonly labels: Requirements };
  readonly selects: Requirements;
  /** How many policies speak of it. */
  users: number;
  /** By the pods' node, then by pod. */
  readonly members: Map<string, Map<string, PeerPod>>;
  /** Nodes that need it, and for how many policies. */
  readonly nodes: Map<string, number>;
}

/**
 * Which policies each node needs, those that select pods of its own, and whom their selectors stand for. A change of a
 * pod costs as many comparisons as there are policies in its namespace and groups; what is sent is the one slice that
 * changed, to the nodes that need it. Nothing is followed, or kept, before there is a policy.
 */
export class PolicyIndex {
  readonly #informers: PolicyInformers;
  readonly #mark: (nodeName: string, key: string) => void;
  readonly #policies = new Map<string, Policy>();
  readonly #byNamespace = new Map<string, Set<Policy>>();
  readonly #groups = new Map<string, Group>();
  #unfollow: (() => void) | undefined;

  /** `mark` is called with the `resource key` of what a node is to be told again. */
  constructor(informers: PolicyInformers, mark: (nodeName: string, key: string) => void) {
    this.#informers = informers;
    this.#mark = mark;
  }

  /** Follows the informers until the returned function is called. */
  start(): () => void {
    const stop = this.#informers.networkPolicies.subscribe(({ object, old }) => { this.#policyChanged(object, old); });
    return () => {
      stop();
      this.#unfollow?.();
    };
  }

  /** What a node needs now, as `resource key`. */
  *keysOf(nodeName: string): Generator<string> {
    for (const group of this.#groups.values()) if (group.nodes.has(nodeName)) for (const node of group.members.keys()) yield sliceKey(group, node);
    for (const policy of this.#policies.values()) if (policy.nodes.has(nodeName)) yield policyKey(policy);
  }

  /** The object behind a key as the node is to see it; undefined when it does not need it. */
  objectFor(nodeName: string, resourceName: string, key: string): NetworkPolicy | PeerGroupSlice | undefined {
    if (resourceName === qualifiedName(networkPolicies)) {
      const policy = this.#policies.get(key);
      return policy?.nodes.has(nodeName) ? trimPolicy(policy.object) : undefined;
    }
    const dot = key.indexOf('.');
    const node = key.slice(dot + 1);
    const group = this.#groups.get(key.slice(0, dot));
    const members = group?.nodes.has(nodeName) ? group.members.get(node) : undefined;
    if (!group || !members) return undefined;
    return { metadata: { name: key }, group: group.name, node, pods: [...members.values()].sort((a, b) => (a.uid < b.uid ? -1 : 1)) };
  }

  #policyChanged(object: NetworkPolicy | undefined, old: NetworkPolicy | undefined): void {
    const former = this.#policies.get(keyOf(object ?? old ?? {}));
    if (object && former && equal(object.spec, former.object.spec)) return;
    if (object) {
      // The new one first, so that groups of both stay as they are.
      this.#add(object);
      this.#follow();
    }
    if (former) this.#drop(former);
    if (this.#policies.size > 0) return;
    this.#unfollow?.();
    this.#unfollow = undefined;
  }

  /** From the first policy on; what is there by then is told by `subscribe`, and changes nothing that `#add` did not see. */
  #follow(): void {
    if (this.#unfollow) return;
    const stops = [
      this.#informers.namespaces.subscribe(({ object, old }) => { this.#namespaceChanged(object, old); }),
      this.#informers.pods.subscribe(({ object, old }) => { this.#podChanged(object, old); }),
    ];
    this.#unfollow = () => { for (const stop of stops) stop(); };
  }

  #add(object: NetworkPolicy): void {
    const { namespace = '' } = object.metadata ?? {};
    const wanted = groupsOf(object);
    const policy: Policy = { key: keyOf(object), namespace, object, selects: requirementsOf(object.spec?.podSelector ?? {}), groups: [...wanted.keys()], selected: new Map(), nodes: new Map() };
    for (const [name, peer] of wanted) this.#group(name, peer, namespace).users++;
    this.#policies.set(policy.key, policy);
    this.#byNamespace.set(namespace, (this.#byNamespace.get(namespace) ?? new Set()).add(policy));
    for (const pod of this.#informers.pods.list(namespace)) this.#select(policy, keyOf(pod), pod);
  }

  #drop(policy: Policy): void {
    if (this.#policies.get(policy.key) === policy) this.#policies.delete(policy.key);
    const others = this.#byNamespace.get(policy.namespace);
    others?.delete(policy);
    if (others?.size === 0) this.#byNamespace.delete(policy.namespace);
    for (const pod of policy.selected.keys()) this.#select(policy, pod, undefined);
    for (const name of policy.groups) {
      const group = this.#groups.get(name);
      if (group && --group.users === 0) this.#groups.delete(name);
    }
  }

  /** Made with its members when it is new. */
  #group(name: string, { namespaceSelector, podSelector }: NetworkPolicyPeer, namespace: string): Group {
    const present = this.#groups.get(name);
    if (present) return present;
    const scope = namespaceSelector === undefined ? { namespace } : { labels: requirementsOf(namespaceSelector) };
    const group: Group = { name, scope, selects: requirementsOf(podSelector ?? {}), users: 0, members: new Map(), nodes: new Map() };
    this.#groups.set(name, group);
    const inScope = 'namespace' in scope ? [namespace] : this.#informers.namespaces.list().filter((one) => matchesLabels(scope.labels, one.metadata?.labels)).map(({ metadata }) => metadata?.name ?? '');
    for (const one of inScope) for (const pod of this.#informers.pods.list(one)) this.#join(group, pod);
    return group;
  }

  #podChanged(object: Pod | undefined, old: Pod | undefined): void {
    const key = keyOf(object ?? old ?? {});
    const namespace = (object ?? old)?.metadata?.namespace ?? '';
    if (object && old && equal(facts(object), facts(old))) return;
    for (const policy of this.#byNamespace.get(namespace) ?? []) this.#select(policy, key, object);
    const labels = this.#informers.namespaces.get(undefined, namespace)?.metadata?.labels;
    for (const group of this.#groups.values()) {
      if (old && (!object || nodeOf(old) !== nodeOf(object))) this.#leave(group, old);
      if (object && isInScope(group, namespace, labels)) this.#join(group, object);
    }
  }

  #namespaceChanged(object: Namespace | undefined, old: Namespace | undefined): void {
    const name = (object ?? old)?.metadata?.name ?? '';
    for (const group of this.#groups.values()) {
      if ('namespace' in group.scope) continue;
      const is = object !== undefined && isInScope(group, name, object.metadata?.labels);
      if (old && is === isInScope(group, name, old.metadata?.labels)) continue;
      for (const pod of this.#informers.pods.list(name)) if (is) this.#join(group, pod); else this.#leave(group, pod);
    }
  }

  /** Notes whether the policy is about a pod, and on which node. Pods on their host's own network are nobody's business. */
  #select(policy: Policy, podKey: string, pod: Pod | undefined): void {
    const isSelected = pod !== undefined && pod.spec?.hostNetwork !== true && matchesLabels(policy.selects, pod.metadata?.labels);
    const node = isSelected ? nodeOf(pod) : '';
    const before = policy.selected.get(podKey) ?? '';
    if (node === before) return;
    if (node !== '') {
      policy.selected.set(podKey, node);
      if (count(policy.nodes, node, 1) === 1) this.#needed(policy, node);
    } else policy.selected.delete(podKey);
    if (before !== '' && count(policy.nodes, before, -1) === 0) this.#needed(policy, before);
  }

  /** The policy's first pod has come to the node, or the last has left. */
  #needed(policy: Policy, node: string): void {
    this.#mark(node, policyKey(policy));
    for (const name of policy.groups) {
      const group = this.#groups.get(name);
      if (!group) continue;
      const [before, after] = [group.nodes.has(node), count(group.nodes, node, policy.nodes.has(node) ? 1 : -1) > 0];
      if (before !== after) for (const of of group.members.keys()) this.#mark(node, sliceKey(group, of));
    }
  }

  #join(group: Group, pod: Pod): void {
    const member = matchesLabels(group.selects, pod.metadata?.labels) ? peerOf(pod) : undefined;
    if (!member) { this.#leave(group, pod); return; }
    const slice = group.members.get(nodeOf(pod)) ?? new Map<string, PeerPod>();
    if (equal(slice.get(keyOf(pod)), member)) return;
    group.members.set(nodeOf(pod), slice.set(keyOf(pod), member));
    this.#changed(group, nodeOf(pod));
  }

  #leave(group: Group, pod: Pod): void {
    const slice = group.members.get(nodeOf(pod));
    if (!slice?.delete(keyOf(pod))) return;
    if (slice.size === 0) group.members.delete(nodeOf(pod));
    this.#changed(group, nodeOf(pod));
  }

  #changed(group: Group, of: string): void {
    for (const node of group.nodes.keys()) this.#mark(node, sliceKey(group, of));
  }
}

/** One more or less; what comes to nothing is forgotten. */
function count(counts: Map<string, number>, key: string, by: number): number {
  const sum = (counts.get(key) ?? 0) + by;
  if (sum > 0) counts.set(key, sum);
  else counts.delete(key);
  return sum;
}

function isInScope({ scope }: Group, namespace: string, labels: Labels): boolean {
  return 'namespace' in scope ? scope.namespace === namespace : matchesLabels(scope.labels, labels);
}

/** A pod that has addresses of its own and has not ended. */
function peerOf({ metadata, spec, status }: Pod): PeerPod | undefined {
  const ips = (status?.podIPs ?? (status?.podIP === undefined ? [] : [{ ip: status.podIP }])).map(({ ip }) => ip ?? '').filter(isIP);
  if (ips.length === 0 || spec?.hostNetwork === true || !spec?.nodeName || status?.phase === 'Succeeded' || status?.phase === 'Failed') return undefined;
  const sidecars = (spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  const ports = [...sidecars, ...spec.containers].flatMap(({ ports: of = [] }) => of.flatMap(({ name, protocol = 'TCP', containerPort }) => (name ? [{ name, protocol, port: containerPort }] : [])));
  return { uid: metadata?.uid ?? '', ips, ...(ports.length > 0 && { ports }) };
}

/** All that decides about a pod; the rest of its status changes often. */
function facts({ metadata, spec, status }: Pod): readonly unknown[] {
  return [metadata?.labels, metadata?.uid, spec?.nodeName, status?.podIPs ?? status?.podIP, status?.phase];
}

function nodeOf({ spec }: Pod): string {
  return spec?.nodeName ?? '';
}

function trimPolicy({ metadata, spec }: NetworkPolicy): NetworkPolicy {
  return { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: metadata?.name, namespace: metadata?.namespace }, spec };
}

function policyKey({ key }: Policy): string {
  return `${qualifiedName(networkPolicies)} ${key}`;
}

function sliceKey({ name }: Group, node: string): string {
  return `${qualifiedName(peerGroupSlices)} ${name}.${node}`;
}

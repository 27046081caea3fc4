import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { NetworkPolicy, NetworkPolicyPeer, Pod } from '#api/gen/types.ts';
import { namespaces, networkPolicies, pods } from '#api/kinds/resources.ts';
import { matchesLabels, requirementsOf } from '#api/meta/selectors.ts';
import { groupsOf, type PeerGroupSlice } from '#api/network-policy/peer-group.ts';
import { ManualClock } from '#common/clock.ts';
import { Assignments } from '#controlplane/dispatcher/assignments.ts';
import type { NodeAssignment } from '#controlplane/dispatcher/node-assignment.ts';
import { FakeCluster } from './fake-cluster.ts';

const nodeNames = ['a', 'b'] as const;
const labelsOf = (value: number): Record<string, string> => (value === 0 ? {} : { role: String(value) });
const selector = (value: number): { matchLabels: Record<string, string> } => ({ matchLabels: labelsOf(value) });

/** A node as the stream makes it: policies and slices of groups only. */
class View {
  readonly objects = new Map<string, unknown>();
  readonly assignment: NodeAssignment;
  changes = 0;

  constructor(assignments: Assignments, nodeName: string) {
    this.assignment = assignments.open(nodeName, () => undefined);
  }

  drain(): string[] {
    const order: string[] = [];
    while (this.assignment.dirty) {
      for (const change of this.assignment.changes()) {
        const resource = 'removed' in change ? change.removed.resource : change.set.resource;
        order.push(`${'removed' in change ? 'remove' : 'set'} ${resource.split('.')[0] ?? ''}`);
        if (!/^(networkpolicies|peergroupslices)\./.test(resource)) continue;
        this.changes++;
        if ('removed' in change) this.objects.delete(`${resource} ${[change.removed.namespace, change.removed.name].filter(Boolean).join('/')}`);
        else {
          const object = JSON.parse(Buffer.from(change.set.json).toString()) as { metadata: { namespace?: string; name: string } };
          this.objects.set(`${resource} ${[object.metadata.namespace, object.metadata.name].filter(Boolean).join('/')}`, object);
        }
      }
    }
    return order;
  }
}

const peer = fc.oneof(
  fc.nat(2).map((role): NetworkPolicyPeer => ({ podSelector: selector(role) })),
  fc.nat(2).map((team): NetworkPolicyPeer => ({ namespaceSelector: selector(team) })),
  fc.tuple(fc.nat(2), fc.nat(2)).map(([team, role]): NetworkPolicyPeer => ({ namespaceSelector: selector(team), podSelector: selector(role) })),
  fc.constant<NetworkPolicyPeer>({ ipBlock: { cidr: '10.0.0.0/8' } }),
);
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ op: fc.constant('pod' as const), namespace: fc.nat(1), name: fc.nat(4), node: fc.constantFrom('', ...nodeNames), role: fc.nat(2), ip: fc.nat(3), ended: fc.nat(5) }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('unpod' as const), namespace: fc.nat(1), name: fc.nat(4) }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('namespace' as const), namespace: fc.nat(1), team: fc.nat(2) }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('policy' as const), namespace: fc.nat(1), name: fc.nat(2), role: fc.nat(2), from: fc.array(peer, { maxLength: 2 }), to: fc.array(peer, { maxLength: 1 }), named: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('unpolicy' as const), namespace: fc.nat(1), name: fc.nat(2) }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('send' as const) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('reopen' as const), node: fc.constantFrom(...nodeNames) }) },
);

/** Worked out anew from all there is. */
function expected(cluster: FakeCluster, node: string): Map<string, unknown> {
  const found = new Map<string, unknown>();
  const all = cluster.informers.pods.list();
  const isOn = ({ spec }: Pod, name: string): boolean => spec?.nodeName === name && spec.hostNetwork !== true;
  const ofNamespace = new Map(cluster.informers.namespaces.list().map(({ metadata }) => [metadata?.name ?? '', metadata?.labels]));
  for (const policy of cluster.informers.networkPolicies.list()) {
    const { namespace, name } = policy.metadata ?? {};
    if (!all.some((pod) => isOn(pod, node) && pod.metadata?.namespace === namespace && matchesLabels(requirementsOf(policy.spec?.podSelector), pod.metadata?.labels))) continue;
    found.set(`networkpolicies.networking.k8s.io ${namespace ?? ''}/${name ?? ''}`, { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name, namespace }, spec: policy.spec });
    for (const [group, { namespaceSelector, podSelector }] of groupsOf(policy)) {
      const inScope = (of: string): boolean => (namespaceSelector === undefined ? of === namespace : ofNamespace.has(of) && matchesLabels(requirementsOf(namespaceSelector), ofNamespace.get(of)));
      for (const of of nodeNames) {
        const members = all.filter((pod) => isOn(pod, of) && inScope(pod.metadata?.namespace ?? '') && (pod.status?.podIPs ?? []).length > 0 && pod.status?.phase === 'Running' && matchesLabels(requirementsOf(podSelector ?? {}), pod.metadata?.labels));
        const slice: PeerGroupSlice = { metadata: { name: `${group}.${of}` }, group, node: of, pods: members.map(({ metadata, status }) => ({ uid: metadata?.uid ?? '', ips: (status?.podIPs ?? []).map(({ ip }) => ip) })).sort((x, y) => (x.uid < y.uid ? -1 : 1)) };
        if (members.length > 0) found.set(`peergroupslices.edge.cleat.dev ${group}.${of}`, slice);
      }
    }
  }
  return found;
}

it('tells each node the policies about its pods and whom they speak of, whatever changes and in whatever order', () => {
  fc.assert(fc.property(fc.array(step, { minLength: 20, maxLength: 60, size: 'max' }), (steps) => {
    const cluster = new FakeCluster();
    const assignments = new Assignments(cluster.informers, new ManualClock());
    const stop = assignments.start();
    const views = new Map<string, View>(nodeNames.map((name) => [name, new View(assignments, name)]));
    const ns = (value: number): string => `n${String(value)}`;
    for (const value of [0, 1]) cluster.put(namespaces, { metadata: { name: ns(value), labels: labelsOf(value) } });
    for (const s of steps) {
      if (s.op === 'pod') {
        const name = `p${String(s.name)}`;
        cluster.put(pods, {
          metadata: { namespace: ns(s.namespace), name, uid: `${ns(s.namespace)}-${name}`, labels: labelsOf(s.role) }, spec: { containers: [], ...(s.node !== '' && { nodeName: s.node }), ...(s.name === 4 && { hostNetwork: true }) },
          status: { phase: s.ended === 0 ? 'Succeeded' : 'Running', ...(s.ip > 0 && { podIPs: [{ ip: `10.42.0.${String(s.ip)}` }] }) },
        });
      } else if (s.op === 'unpod') cluster.remove(pods, ns(s.namespace), `p${String(s.name)}`);
      else if (s.op === 'namespace') cluster.put(namespaces, { metadata: { name: ns(s.namespace), labels: labelsOf(s.team) } });
      else if (s.op === 'policy') {
        const policy: NetworkPolicy = { metadata: { namespace: ns(s.namespace), name: `q${String(s.name)}` }, spec: { podSelector: selector(s.role), policyTypes: ['Ingress', 'Egress'], ingress: [{ from: s.from }], egress: [{ to: s.to, ...(s.named && { ports: [{ port: 'web' }] }) }] } };
        cluster.put(networkPolicies, policy);
      } else if (s.op === 'unpolicy') cluster.remove(networkPolicies, ns(s.namespace), `q${String(s.name)}`);
      else if (s.op === 'send') for (const view of views.values()) view.drain();
      else {
        const old = views.get(s.node);
        if (old) assignments.close(old.assignment);
        views.set(s.node, new View(assignments, s.node));
      }
    }
    for (const [name, view] of views) {
      view.drain();
      const sorted = (map: ReadonlyMap<string, unknown>): unknown => [...map].sort(([x], [y]) => (x < y ? -1 : 1)).map(([key, object]) => [key, JSON.parse(JSON.stringify(object)) as unknown]);
      expect(sorted(view.objects)).toEqual(sorted(expected(cluster, name)));
    }
    stop();
  }), { seed: 20, numRuns: 150 });
});

it('tells of a policy before the pod that it is about, takes it back after that, and says no more than changes', () => {
  const cluster = new FakeCluster();
  const assignments = new Assignments(cluster.informers, new ManualClock());
  const stop = assignments.start();
  const view = new View(assignments, 'a');
  const put = (name: string, labels: Record<string, string>, ip: string): unknown => cluster.put(pods, { metadata: { namespace: 'd', name, uid: name, labels }, spec: { nodeName: 'a', containers: [] }, status: { phase: 'Running', podIPs: [{ ip }] } });
  cluster.put(networkPolicies, { metadata: { namespace: 'd', name: 'q' }, spec: { podSelector: { matchLabels: { app: 'web' } }, ingress: [{ from: [{ podSelector: { matchLabels: { role: 'friend' } } }] }] } });
  expect(view.drain()).toEqual([]);
  put('friend', { role: 'friend' }, '10.42.0.2');
  put('web', { app: 'web' }, '10.42.0.3');
  const order = view.drain();
  expect(order.filter((change) => !change.endsWith('pods'))).toEqual(['set networkpolicies', 'set peergroupslices']);
  expect(order.indexOf('set networkpolicies')).toBeLessThan(order.indexOf('set pods'));
  const before = view.changes;
  put('friend', { role: 'friend' }, '10.42.0.2');
  put('stranger', {}, '10.42.0.4');
  view.drain();
  expect(view.changes).toBe(before);
  cluster.remove(pods, 'd', 'web');
  expect(view.drain()).toEqual(['remove pods', 'remove networkpolicies', 'remove peergroupslices']);
  stop();
});

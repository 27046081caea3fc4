import fc from 'fast-check';
import { expect, it } from 'vitest';
import { configMaps, nodes, pods, secrets, services } from '#api/kinds/resources.ts';
import { ManualClock } from '#common/clock.ts';
import { Assignments } from '#controlplane/dispatcher/assignments.ts';
import type { NodeAssignment } from '#controlplane/dispatcher/node-assignment.ts';
import { referencesOf } from '#controlplane/dispatcher/references.ts';
import { FakeCluster } from './fake-cluster.ts';

/** A node as the stream makes it. */
class View {
  readonly objects = new Map<string, string>();
  readonly assignment: NodeAssignment;
  messages = 0;

  constructor(assignments: Assignments, nodeName: string) {
    this.assignment = assignments.open(nodeName, () => undefined);
  }

  /** One change per step, as a sender takes them that waits for its connection in between. */
  *drain(): Generator<void> {
    for (const change of this.assignment.changes()) {
      this.messages++;
      if ('removed' in change) {
        const { resource, namespace, name } = change.removed;
        this.objects.delete(`${resource} ${namespace}/${name}`);
      } else {
        const { metadata, data } = JSON.parse(Buffer.from(change.set.json).toString()) as { metadata: { namespace?: string; name: string }; data?: { v: string } };
        this.objects.set(`${change.set.resource} ${metadata.namespace ?? ''}/${metadata.name}`, data?.v ?? '');
      }
      yield;
    }
  }
}

function drainAll(sending: Generator<void>): void {
  while (sending.next().done !== true);
}

const step = fc.oneof(
  fc.record({ op: fc.constant('pod' as const), name: fc.nat(3), node: fc.constantFrom('a', 'b', undefined), refs: fc.array(fc.nat(3), { maxLength: 3 }) }),
  fc.record({ op: fc.constant('unpod' as const), name: fc.nat(3) }),
  fc.record({ op: fc.constantFrom('secret' as const, 'map' as const, 'service' as const, 'node' as const), name: fc.nat(3), value: fc.nat(2) }),
  fc.record({ op: fc.constantFrom('unsecret' as const, 'unmap' as const, 'unservice' as const, 'unnode' as const), name: fc.nat(3) }),
  fc.record({ op: fc.constant('send' as const), count: fc.nat(4) }),
);

it('ends with exactly what each node needs, whatever changes and whenever it is sent', () => {
  fc.assert(fc.property(fc.array(step, { minLength: 20, maxLength: 80, size: 'max' }), (steps) => {
    const cluster = new FakeCluster();
    const assignments = new Assignments(cluster.informers, new ManualClock());
    const stop = assignments.start();
    const views = ['a', 'b'].map((name) => ({ name, view: new View(assignments, name), sending: undefined as Generator<void> | undefined }));
    const data = (name: string, value: number) => ({ metadata: { namespace: 'd', name, uid: 'u' }, data: { v: String(value) } });
    for (const s of steps) {
      const name = 'name' in s ? `x${String(s.name)}` : '';
      if (s.op === 'pod') {
        cluster.put(pods, { metadata: { namespace: 'd', name }, spec: { nodeName: s.node, containers: [], imagePullSecrets: s.refs.map((r) => ({ name: `x${String(r)}` })), volumes: s.refs.slice(1).map((r) => ({ name: 'v', configMap: { name: `x${String(r)}` } })) } });
      } else if (s.op === 'secret') cluster.put(secrets, data(name, s.value));
      else if (s.op === 'map') cluster.put(configMaps, data(name, s.value));
      else if (s.op === 'service') cluster.put(services, { metadata: { namespace: 'd', name } });
      else if (s.op === 'node') cluster.put(nodes, { metadata: { name, uid: 'u' }, status: { addresses: [{ type: 'InternalIP', address: String(s.value) }] } });
      else if (s.op === 'send') {
        for (const v of views) {
          for (let i = 0; i < s.count; i++) {
            v.sending ??= v.view.drain();
            if (v.sending.next().done === true) v.sending = undefined;
          }
        }
      } else {
        const resource = { unpod: pods, unsecret: secrets, unmap: configMaps, unservice: services, unnode: nodes }[s.op];
        cluster.remove(resource, resource === nodes ? undefined : 'd', name);
      }
    }
    for (const { name, view, sending } of views) {
      for (let left = sending ?? view.drain(); ; left = view.drain()) {
        drainAll(left);
        if (!view.assignment.dirty) break;
      }
      const expected = new Map<string, string>();
      const mine = cluster.informers.pods.list().filter((pod) => pod.spec?.nodeName === name);
      for (const pod of mine) expected.set(`pods d/${pod.metadata?.name ?? ''}`, '');
      for (const key of new Set(mine.flatMap((pod) => referencesOf(pod)))) {
        const object = (key.startsWith('secrets') ? cluster.informers.secrets : cluster.informers.configMaps).get('d', key.slice(key.indexOf('/') + 1));
        if (object) expected.set(key, (object.data as { v: string }).v);
      }
      for (const service of cluster.informers.services.list()) expected.set(`services d/${service.metadata?.name ?? ''}`, '');
      for (const node of cluster.informers.nodes.list()) expected.set(`nodes /${node.metadata?.name ?? ''}`, '');
      expect(Object.fromEntries(view.objects)).toEqual(Object.fromEntries(expected));
      assignments.close(view.assignment);
    }
    stop();
  }), { numRuns: 1000 });
});

it('tells a node nothing of others\' pods, secrets and heartbeats', () => {
  const cluster = new FakeCluster();
  const assignments = new Assignments(cluster.informers, new ManualClock());
  const stop = assignments.start();
  const node = cluster.put(nodes, { metadata: { name: 'b' }, status: { addresses: [] } });
  const view = new View(assignments, 'a');
  drainAll(view.drain());
  view.messages = 0;
  cluster.put(pods, { metadata: { namespace: 'd', name: 'p' }, spec: { nodeName: 'b', containers: [], imagePullSecrets: [{ name: 's' }] } });
  cluster.put(secrets, { metadata: { namespace: 'd', name: 's' } });
  for (let i = 0; i < 10; i++) cluster.put(nodes, { ...node, status: { addresses: [], conditions: [{ type: 'Ready', status: 'True', lastHeartbeatTime: String(i) }] } });
  expect(view.assignment.dirty).toBe(false);
  stop();
});

it('gathers what concerns everyone when there are many nodes', async () => {
  const cluster = new FakeCluster();
  const clock = new ManualClock();
  const assignments = new Assignments(cluster.informers, clock);
  const stop = assignments.start();
  const views = Array.from({ length: 100 }, (_, i) => new View(assignments, String(i)));
  const sent = (): number => {
    for (const view of views) drainAll(view.drain());
    return views.reduce((sum, view) => sum + view.messages, 0);
  };
  cluster.put(services, { metadata: { namespace: 'd', name: 's' } });
  expect(sent()).toBe(100);
  for (let i = 0; i < 50; i++) {
    cluster.put(services, { metadata: { namespace: 'd', name: 's', annotations: { i: String(i) } } });
    await clock.advance(1);
    sent();
  }
  expect(sent()).toBeLessThanOrEqual(300);
  await clock.advance(1000);
  expect(sent()).toBeLessThanOrEqual(400);
  expect(views.every((view) => !view.assignment.dirty)).toBe(true);

  // But for a node's own labels, which its pods may need to be let in.
  cluster.put(nodes, { metadata: { name: '8' } });
  sent();
  cluster.put(nodes, { metadata: { name: '7', labels: { disk: 'ssd' } } });
  cluster.put(pods, { metadata: { namespace: 'd', name: 'p' }, spec: { nodeName: '7', containers: [] } });
  expect(views.filter((view) => view.assignment.dirty)).toEqual([views[7]]);
  drainAll(views[7]!.drain());
  expect([...views[7]!.objects.keys()].slice(-2)).toEqual(['nodes /7', 'pods d/p']);
  stop();
});

import { afterEach, describe, expect, it } from 'vitest';
import type { Lease, Node, NodeCondition, Pod, Taint, Toleration } from '#api/gen/types.ts';
import { leases, nodes, pods } from '#api/kinds/resources.ts';
import { getCondition } from '#api/meta/conditions.ts';
import { rfc3339 } from '#common/time.ts';
import { ManualClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { FakeApi, FakeInformers } from '#test/support/fake-api.ts';
import { controllerConfig, runControllers, type RunningControllers } from '#test/support/run-controllers.ts';
import { Attention } from '../attention.ts';
import { nodeLifecycleController } from './controller.ts';
import { reconcileNode } from './reconcile.ts';

const ready: NodeCondition = { type: 'Ready', status: 'True', reason: 'KubeletReady', lastTransitionTime: '2026-01-01T00:00:00Z' };
const nowMs = Date.UTC(2026, 0, 1, 1);

function node(conditions: NodeCondition[], spec: Node['spec'] = {}): Node {
  return { metadata: { name: 'a', uid: 'a', resourceVersion: '1' }, spec, status: { conditions } };
}

describe('reconcileNode', () => {
  it('does nothing for a healthy node', () => {
    expect(reconcileNode({ node: node([ready]), lost: false, evict: true, pods: [], nowMs })).toEqual([]);
  });

  it('makes the conditions of a silent node Unknown, in Kubernetes\' words', () => {
    const [update, event] = reconcileNode({ node: node([ready]), lost: true, evict: true, pods: [], nowMs });
    const conditions = (update as { object: Node }).object.status!.conditions!;
    expect(conditions.map((c) => [c.type, c.status, c.reason])).toEqual([
      ['Ready', 'Unknown', 'NodeStatusUnknown'], ['MemoryPressure', 'Unknown', 'NodeStatusNeverUpdated'],
      ['DiskPressure', 'Unknown', 'NodeStatusNeverUpdated'], ['PIDPressure', 'Unknown', 'NodeStatusNeverUpdated'],
    ]);
    expect(conditions[0]).toMatchObject({ message: 'Kubelet stopped posting node status.', lastTransitionTime: rfc3339(nowMs) });
    expect(event).toMatchObject({ reason: 'NodeNotReady' });
  });

  it('touches pods only when the node\'s own condition is written: a stalled disk holds heartbeats up too', () => {
    const running: Pod = { metadata: { name: 'p', namespace: 'default' }, spec: { containers: [], nodeName: 'a' }, status: { conditions: [{ type: 'Ready', status: 'True' }] } };
    const writes = (conditions: NodeCondition[]): string[] => reconcileNode({ node: node(conditions), lost: true, evict: true, pods: [running], nowMs }).flatMap((a) => (a.type === 'update' ? [a.resource.plural] : []));
    expect(writes([ready])).toEqual(['nodes']);
    expect(writes(unknown)).toEqual(['pods', 'nodes']);
  });

  const unknown = ['Ready', 'MemoryPressure', 'DiskPressure', 'PIDPressure'].map((type) => ({ ...ready, type, status: 'Unknown' }));
  const taints = (conditions: NodeCondition[], lost: boolean, evict = true, spec: Node['spec'] = {}): string[] => {
    const actions = reconcileNode({ node: node(conditions, spec), lost, evict, pods: [], nowMs });
    return (((actions[0] as { object: Node } | undefined)?.object ?? node([], spec)).spec?.taints ?? []).map((t) => `${t.key}:${t.effect}`);
  };
  it('gives a fenced node the taint that goes with it, and takes that off afterwards', () => {
    const fencedNode = (fence: boolean, present: Taint[]): Taint[] | undefined => {
      const of = node([ready], { taints: present });
      const [update] = reconcileNode({ node: { ...of, metadata: { ...of.metadata, ...(fence && { annotations: { 'cleat.dev/fenced': 'f1' } }) } }, lost: false, evict: true, pods: [], nowMs });
      return (update as { object: Node } | undefined)?.object.spec?.taints;
    };
    const byHand = { key: 'node.kubernetes.io/out-of-service', value: 'nodeshutdown', effect: 'NoExecute' };
    const ours = { ...byHand, value: 'fenced' };
    expect([fencedNode(true, []), fencedNode(true, [ours]), fencedNode(true, [byHand]), fencedNode(false, [ours]), fencedNode(false, [byHand])]).toEqual([[{ ...ours, timeAdded: rfc3339(nowMs) }], undefined, undefined, [], undefined]);
  });

  const foreign = { key: 'gpu', effect: 'NoSchedule' };
  it.each([
    ['lost', unknown, true, true, {}, ['node.kubernetes.io/unreachable:NoSchedule', 'node.kubernetes.io/unreachable:NoExecute']],
    ['lost with many others', unknown, true, false, {}, ['node.kubernetes.io/unreachable:NoSchedule']],
    ['says it is not ready', [{ ...ready, status: 'False' }], false, true, {}, ['node.kubernetes.io/not-ready:NoSchedule', 'node.kubernetes.io/not-ready:NoExecute']],
    ['never reported', [], false, true, {}, ['node.kubernetes.io/not-ready:NoSchedule']],
    ['recovered', [ready], false, true, { taints: [foreign, { key: 'node.kubernetes.io/unreachable', effect: 'NoExecute' }] }, ['gpu:NoSchedule']],
    ['unknown since before we started', unknown, false, true, { taints: [foreign] }, ['gpu:NoSchedule']],
    ['short of disk', [ready, { ...ready, type: 'DiskPressure' }], false, true, {}, ['node.kubernetes.io/disk-pressure:NoSchedule']],
    ['cordoned', [ready], false, true, { unschedulable: true }, ['node.kubernetes.io/unschedulable:NoSchedule']],
  ])('taints a node that is %s', (_, conditions, lost, evict, spec, expected) => {
    expect(taints(conditions, lost, evict, spec)).toEqual(expected);
  });
});

describe('a lost node', () => {
  let lab: RunningControllers;
  afterEach(() => lab.stop());

  async function setUp(names: string[], tolerationSeconds: number): Promise<void> {
    lab = runControllers(['node-lifecycle', 'taint-eviction', 'pod-garbage-collector']);
    const tolerations: Toleration[] = ['not-ready', 'unreachable'].map((key) => ({ key: `node.kubernetes.io/${key}`, operator: 'Exists', effect: 'NoExecute', tolerationSeconds }));
    for (const name of names) {
      await lab.api.create<Node>(nodes, { metadata: { name }, status: { conditions: [ready] } });
      await lab.api.create<Pod>(pods, { metadata: { name: `on-${name}`, namespace: 'default' }, spec: { containers: [], nodeName: name, tolerations }, status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] } });
    }
    await lab.start();
  }

  /** `seconds` in which only these nodes renew their leases. */
  async function live(seconds: number, alive: string[]): Promise<void> {
    for (let i = 0; i < seconds; i += 10) {
      const stepMs = Math.min(10, seconds) * 1000;
      for (const name of alive) {
        const spec = { holderIdentity: name, renewTime: `${rfc3339(lab.clock.now()).slice(0, -1)}.000000Z` };
        const lease: Lease = { metadata: { name, namespace: 'kube-node-lease' }, spec };
        if (lab.api.find(leases, 'kube-node-lease', name)) await lab.api.update(leases, lease);
        else await lab.api.create(leases, lease);
      }
      await lab.clock.advance(stepMs);
    }
  }

  const condition = (name: string): string | undefined => getCondition(lab.api.find(nodes, undefined, name)?.status?.conditions, 'Ready')?.status;
  const pod = (name: string): Pod | undefined => lab.api.find(pods, 'default', `on-${name}`);
  const report = (name: string): Promise<unknown> => lab.api.patch(nodes, undefined, name, 'merge', { status: { conditions: [{ ...ready, lastHeartbeatTime: rfc3339(lab.clock.now()) }] } }, 'status');

  it('is noticed after the grace period, its pods leave after their toleration', async () => {
    await setUp(['a', 'b'], 60);
    await live(30, ['a', 'b']);
    await live(20, ['a']);
    expect(condition('b')).toBe('True');
    await live(10, ['a']);
    expect([condition('a'), condition('b')]).toEqual(['True', 'Unknown']);
    expect(getCondition(pod('b')?.status?.conditions, 'Ready')?.status).toBe('False');
    expect(pod('b')?.metadata?.deletionTimestamp).toBeUndefined();
    await live(60, ['a']);
    expect(pod('b')?.metadata?.deletionTimestamp).toBeDefined();
    expect(getCondition(pod('b')?.status?.conditions, 'DisruptionTarget')?.reason).toBe('DeletionByTaintManager');
    expect(pod('a')?.metadata?.deletionTimestamp).toBeUndefined();
  });

  it('keeps its pods when it comes back in time', async () => {
    await setUp(['a', 'b'], 60);
    await live(70, ['a']);
    expect(condition('b')).toBe('Unknown');
    await report('b');
    await live(120, ['a', 'b']);
    expect(lab.api.find(nodes, undefined, 'b')?.spec?.taints ?? []).toEqual([]);
    expect(pod('b')?.metadata?.deletionTimestamp).toBeUndefined();
    expect(lab.api.recorded.some((line) => line.includes('Cancelling deletion of Pod default/on-b'))).toBe(true);
  });

  it('is not evicted when all are lost', async () => {
    await setUp(['a', 'b'], 0);
    await live(300, []);
    expect([condition('a'), condition('b')]).toEqual(['Unknown', 'Unknown']);
    expect([pod('a'), pod('b')].map((p) => p?.metadata?.deletionTimestamp)).toEqual([undefined, undefined]);
    await report('a');
    // The other one may need a while to dial again.
    await live(30, ['a']);
    expect(pod('b')?.metadata?.deletionTimestamp).toBeUndefined();
    await live(30, ['a']);
    expect(pod('b')?.metadata?.deletionTimestamp).toBeDefined();
    expect(pod('a')?.metadata?.deletionTimestamp).toBeUndefined();
  });

  it('gets a full grace period from a control plane that was down', async () => {
    await setUp(['a', 'b'], 0);
    await live(30, ['a', 'b']);
    await lab.stop();
    await lab.clock.advance(3_600_000);
    await lab.start();
    await live(30, []);
    expect([condition('a'), condition('b')]).toEqual(['True', 'True']);
  });

  it('is not evicted on the word of an old taint after a start', async () => {
    await setUp(['a', 'b'], 0);
    await live(60, ['a']);
    await lab.stop();
    const fresh: Pod = { metadata: { name: 'on-b2', namespace: 'default' }, spec: { containers: [], nodeName: 'b' }, status: { phase: 'Running' } };
    await lab.api.create(pods, fresh);
    await lab.start();
    await live(30, ['a', 'b']);
    expect(lab.api.find(pods, 'default', 'on-b2')?.metadata?.deletionTimestamp).toBeUndefined();
    await report('b');
    await live(30, ['a', 'b']);
    expect(lab.api.find(pods, 'default', 'on-b2')?.metadata?.deletionTimestamp).toBeUndefined();
  });

  it.each([10, -10])('is none for a wall clock that jumps %i years', async (years) => {
    await setUp(['a', 'b'], 60);
    await live(30, ['a', 'b']);
    lab.clock.jump(years * 31_536_000_000);
    await live(120, ['a', 'b']);
    expect([condition('a'), condition('b')]).toEqual(['True', 'True']);
    await live(50, ['a']);
    lab.clock.jump(-years * 31_536_000_000);
    await live(30, ['a']);
    expect([condition('b'), pod('b')?.metadata?.deletionTimestamp]).toEqual(['Unknown', undefined]);
    await live(40, ['a']);
    expect(pod('b')?.metadata?.deletionTimestamp).toBeDefined();
  });

  it('loses its pods when its Node is deleted', async () => {
    await setUp(['a', 'b'], 300);
    await lab.api.delete(nodes, undefined, 'b');
    await live(20, ['a']);
    expect(pod('b')).toBeDefined();
    await live(40, ['a']);
    expect([pod('a') !== undefined, pod('b')]).toEqual([true, undefined]);
  });

  it('is evicted from ten seconds after the one before', async () => {
    const names = Array.from({ length: 10 }, (_, i) => `n${String(i)}`);
    await setUp(names, 0);
    await live(20, names);
    await live(30, names.slice(0, 7));
    await lab.clock.advance(5000);
    const gone = (): number => names.filter((name) => pod(name)?.metadata?.deletionTimestamp !== undefined).length;
    expect(gone()).toBe(1);
    await live(10, names.slice(0, 7));
    expect(gone()).toBe(2);
    await live(10, names.slice(0, 7));
    expect(gone()).toBe(3);
  });

  it('loses nothing when most of them vanish at once, though not at the same second', async () => {
    const names = Array.from({ length: 10 }, (_, i) => `n${String(i)}`);
    await setUp(names, 0);
    await live(20, names);
    for (let second = 0; second < 10; second++) await live(1, [names[second % 10]!]); // each beats at its own second, then all but two are gone
    await live(600, names.slice(0, 2));
    expect(names.map(condition).filter((status) => status === 'Unknown')).toHaveLength(8);
    expect(names.filter((name) => pod(name)?.metadata?.deletionTimestamp !== undefined)).toEqual([]);
    for (const name of names.slice(2, 6)) await report(name);
    await live(60, names.slice(0, 6));
    expect(names.filter((name) => pod(name)?.metadata?.deletionTimestamp !== undefined).length).toBeGreaterThan(0);
  });

  it.each<[string, (lab: RunningControllers) => Promise<void> | void]>([
    ['was stopped', (l) => l.clock.stall(3_600_000)], ['slept', (l) => { l.clock.suspend(3_600_000); }],
  ])('has a full grace period after the control plane %s, and so has every pod', async (_, gap) => {
    await setUp(['a', 'b'], 0);
    await live(30, ['a', 'b']);
    await gap(lab);
    await live(30, ['a']);
    expect([condition('b'), pod('b')?.metadata?.deletionTimestamp]).toEqual(['True', undefined]);
    await live(30, ['a']);
    expect([condition('b'), pod('b')?.metadata?.deletionTimestamp === undefined]).toEqual(['Unknown', false]);
  });

  it('keeps a pod that tolerates it for a while when the control plane is stopped meanwhile', async () => {
    await setUp(['a', 'b'], 60);
    await live(70, ['a']);
    expect(condition('b')).toBe('Unknown');
    await lab.clock.stall(600_000);
    await live(30, ['a']);
    expect(pod('b')?.metadata?.deletionTimestamp).toBeUndefined();
    await report('b');
    await live(120, ['a', 'b']);
    expect(pod('b')?.metadata?.deletionTimestamp).toBeUndefined();
  });

  it('wakes nobody while leases are renewed', async () => {
    await setUp(['a', 'b'], 300);
    await live(600, ['a', 'b']);
    expect(lab.manager().metrics['node-lifecycle']!.processed).toBeLessThan(60);
    expect(lab.manager().metrics['taint-eviction']!.processed).toBe(0);
  });
});

/** Time goes on with every look at the clock, as it does while a process works. */
class CreepingClock extends ManualClock {
  creeps = false;
  #crept = 0;

  override monotonic(): number {
    if (this.creeps) this.#crept += 1;
    return super.monotonic() + this.#crept;
  }
}

describe('a node that becomes lost while it is looked at', () => {
  it.each(Array.from({ length: 15 }, (_, i) => i))('is written down as lost, or looked at again (%i ms before its time)', async (beforeMs) => {
    const clock = new CreepingClock();
    const api = new FakeApi({ clock });
    const attention = new Attention({ clock, log: silentLog }, 40_000);
    const end = new AbortController();
    void attention.start(end.signal);
    const { reconcile, watches, ready: begin } = nodeLifecycleController({ informers: new FakeInformers(api), client: api, events: api.events, attention, clock, log: silentLog, random: () => 0.5 }, controllerConfig);
    for (const { subscribe } of watches) subscribe(() => undefined);
    await api.create<Node>(nodes, { metadata: { name: 'a' }, status: { conditions: [ready] } });
    begin?.(() => undefined);
    await clock.advance(40_000 - beforeMs);
    clock.creeps = true;
    const result = await reconcile('a', end.signal);
    end.abort(new Error('over'));
    const isLost = getCondition(api.find(nodes, undefined, 'a')?.status?.conditions, 'Ready')?.status === 'Unknown';
    expect(isLost || result?.afterMs !== undefined).toBe(true);
  });
});

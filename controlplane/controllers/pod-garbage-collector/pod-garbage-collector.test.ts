import { afterEach, describe, expect, it } from 'vitest';
import type { Node, Pod, Taint, Toleration } from '#api/gen/types.ts';
import { leases, nodes, pods } from '#api/kinds/resources.ts';
import { runControllers, type RunningControllers } from '#test/support/run-controllers.ts';
import { reconcileNode } from './reconcile.ts';

const outOfService: Taint = { key: 'node.kubernetes.io/out-of-service', value: 'nodeshutdown', effect: 'NoExecute' };
const unreachable: Taint = { key: 'node.kubernetes.io/unreachable', effect: 'NoExecute' };
const one = { 'cleat.dev/disconnect-policy': 'replace', 'cleat.dev/disconnect-copies': 'one', 'cleat.dev/disconnect-replace-after': '100s' };

function node(ready: string, taints: Taint[] = [], fence = ''): Node {
  return { metadata: { name: 'a', uid: 'a', ...(fence && { annotations: { 'cleat.dev/fenced': fence } }) }, spec: { taints }, status: { conditions: [{ type: 'Ready', status: ready }] } };
}
function pod(name: string, ending: boolean, annotations: Record<string, string> = {}, tolerations: Toleration[] = []): Pod {
  return { metadata: { name, namespace: 'default', uid: name, annotations, ...(ending && { deletionTimestamp: '2026-01-01T00:00:00Z', deletionGracePeriodSeconds: 30 }) }, spec: { containers: [], nodeName: 'a', tolerations }, status: { phase: 'Running' } };
}

describe('pods of a node', () => {
  const all = [pod('runs', false), pod('ends', true), pod('one', false, one), pod('one-ends', true, one), pod('daemon', false, {}, [{ operator: 'Exists' }])];
  it.each<[string, Node, number, string[], number | undefined]>([
    ['that is well stay', node('True'), 0, [], undefined],
    ['that is lost wait for it, but for those that it must have ended by now', node('Unknown', [unreachable]), 99_000, [], 1000],
    ['that has been silent for long enough do not wait', node('Unknown', [unreachable]), 100_000, ['one-ends'], undefined],
    ['that says it is not ready, and is heard, wait', node('False'), 0, [], 100_000],
    ['that is out of service go when they are ending', node('Unknown', [outOfService]), 0, ['ends', 'one-ends'], undefined],
    ['that is out of service and ready all the same wait for it', node('True', [outOfService]), 0, [], undefined],
    ['that is fenced go, ready or not', node('True', [{ ...outOfService, value: 'fenced' }], 'f1'), 0, ['runs', 'ends', 'one', 'one-ends', 'daemon'], undefined],
  ])('%s', (_, of, silentMs, removed, afterMs) => {
    const decision = reconcileNode({ node: of, pods: all, fenced: new Set(all.map(({ metadata }) => metadata!.uid!)), silentMs, nowMs: 0 });
    expect([decision.actions.flatMap((action) => (action.type === 'delete' ? [action.object.metadata?.name] : [])), decision.afterMs]).toEqual([removed, afterMs]);
    expect(decision.actions.every((action) => action.type !== 'delete' || action.options?.gracePeriodSeconds === 0)).toBe(true);
  });

  it('that came after the fence and tolerate everything wait for the host', () => {
    const decision = reconcileNode({ node: node('Unknown', [outOfService], 'f1'), pods: all, fenced: new Set(), silentMs: 0, nowMs: 0 });
    expect(decision.actions.flatMap((action) => (action.type === 'delete' ? [action.object.metadata?.name] : []))).toEqual(['runs', 'ends', 'one', 'one-ends']);
  });
});

describe('the pod garbage collector', () => {
  let lab: RunningControllers;
  afterEach(() => lab.stop());
  const found = (): string[] => lab.api.all(pods).map(({ metadata }) => metadata!.name!).sort((a, b) => (a < b ? -1 : 1));
  const renew = async (renewTime: string): Promise<void> => {
    const lease = { metadata: { name: 'a', namespace: 'kube-node-lease' }, spec: { holderIdentity: 'a', renewTime } };
    await (lab.api.find(leases, 'kube-node-lease', 'a') ? lab.api.update(leases, lease) : lab.api.create(leases, lease));
  };
  const setNode = async (of: Node): Promise<unknown> => {
    await lab.api.update(nodes, { ...of, metadata: { ...of.metadata, uid: undefined } });
    return lab.api.update(nodes, { ...of, metadata: { name: 'a' } }, 'status');
  };

  async function setUp(bound: Pod[]): Promise<void> {
    lab = runControllers(['pod-garbage-collector']);
    await lab.api.create(nodes, node('True'));
    await renew('1');
    for (const p of bound) await lab.api.create(pods, p);
    await lab.start();
  }

  it('removes the one copy of a silent host when that must have ended it, not before, and not if it was heard in between', async () => {
    await setUp([pod('db', true, one), pod('web', true)]);
    await lab.clock.advance(500_000);
    await setNode(node('Unknown', [unreachable]));
    await lab.clock.advance(60_000);
    await renew('2');
    await lab.clock.advance(60_000);
    expect(found()).toEqual(['db', 'web']);
    await lab.clock.advance(79_000);
    expect(found()).toEqual(['db', 'web']);
    await lab.clock.advance(22_000);
    expect(found()).toEqual(['web']);
  });

  it('starts to count anew after a gap of its own', async () => {
    await setUp([pod('db', true, one)]);
    await setNode(node('Unknown', [unreachable]));
    await lab.clock.advance(50_000);
    await lab.clock.stall(60_000);
    await lab.clock.advance(95_000);
    expect(found()).toEqual(['db']);
    await lab.clock.advance(10_000);
    expect(found()).toEqual([]);
  });

  it('carries a fence out at once, and only once for pods that come back whatever happens', async () => {
    const daemon = pod('daemon', false, {}, [{ operator: 'Exists' }]);
    await setUp([pod('db', false), daemon]);
    await setNode(node('True', [{ ...outOfService, value: 'fenced' }], 'f1'));
    await lab.clock.advance(0);
    expect(found()).toEqual([]);
    await lab.api.create(pods, daemon);
    await lab.api.create(pods, pod('late', false));
    await lab.clock.advance(60_000);
    expect(found()).toEqual(['daemon']);
    expect(lab.manager().metrics['pod-garbage-collector']!.processed).toBeLessThan(20);
  });
});

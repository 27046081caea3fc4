import { describe, expect, it } from 'vitest';
import type { Pod, ReplicaSet } from '#api/gen/types.ts';
import { pods, replicaSets } from '#api/kinds/resources.ts';
import { rfc3339 } from '#common/time.ts';
import { StatusError } from '#common/errors.ts';
import { runControllers } from '#test/support/run-controllers.ts';
import { controllerReference } from '../owner-refs.ts';
import { podsToDelete } from '../pod-ranking.ts';
import { planReplicaSet, replicaSetStatus } from '../replica-plan.ts';
import { slowStart } from '../slow-start.ts';

const nowMs = Date.UTC(2026, 0, 2);
const ago = (seconds: number): string => rfc3339(nowMs - seconds * 1000);

function replicaSet(replicas: number, rest: Partial<ReplicaSet['metadata']> = {}): ReplicaSet {
  return {
    metadata: { name: 'web', namespace: 'default', uid: 'rs', ...rest },
    spec: { replicas, selector: { matchLabels: { app: 'web' } }, template: { metadata: { labels: { app: 'web' } }, spec: { containers: [] } } },
  };
}

interface PodOptions { readonly ready?: number | false; readonly node?: string; readonly phase?: string; readonly cost?: string; readonly restarts?: number; readonly age?: number; readonly meta?: Pod['metadata'] }

function pod(name: string, { ready = 1000, node = 'n', phase = 'Running', cost, restarts = 0, age = 1000, meta }: PodOptions = {}): Pod {
  return {
    metadata: { name, namespace: 'default', uid: name, labels: { app: 'web' }, creationTimestamp: ago(age), ownerReferences: [controllerReference(replicaSets, replicaSet(1))], ...(cost && { annotations: { 'controller.kubernetes.io/pod-deletion-cost': cost } }), ...meta },
    spec: { containers: [], ...(node && { nodeName: node }) },
    status: { phase, containerStatuses: [{ name: 'c', image: '', imageID: '', ready: true, restartCount: restarts }], conditions: ready === false ? [] : [{ type: 'Ready', status: 'True', lastTransitionTime: ago(ready) }] },
  };
}

describe('whom to delete', () => {
  it.each<[string, Pod, Pod]>([
    ['not assigned before assigned', pod('x', { node: '', phase: 'Pending' }), pod('a', { phase: 'Pending' })],
    ['pending before running', pod('x', { phase: 'Pending' }), pod('a')],
    ['not ready before ready', pod('x', { ready: false }), pod('a')],
    ['cheap before dear', pod('x', { cost: '-5' }), pod('a')],
    ['ready for a shorter time', pod('x', { ready: 10 }), pod('a', { ready: 1000 })],
    ['more restarts', pod('x', { restarts: 3 }), pod('a')],
    ['younger', pod('x', { age: 10 }), pod('a', { age: 1000 })],
  ])('%s', (_, first, second) => {
    for (const order of [[first, second], [second, first]]) expect(podsToDelete(order, order, 1, nowMs).map((p) => p.metadata?.name)).toEqual(['x']);
  });

  it('takes from the node with most siblings', () => {
    const mine = [pod('a', { node: 'n1' }), pod('x', { node: 'n2' })];
    expect(podsToDelete(mine, [...mine, pod('other', { node: 'n2' })], 1, nowMs)[0]?.metadata?.name).toBe('x');
  });
});

describe('the plan', () => {
  const plan = (replicas: number, list: Pod[], meta = {}) => {
    const { claims, active, create, remove } = planReplicaSet({ resource: replicaSets, replicaSet: replicaSet(replicas, meta), pods: list, siblings: () => list, nowMs, burst: 5 });
    return { claims: claims.map((p) => [p.metadata?.name, p.metadata?.ownerReferences?.length]), active: active.length, create, remove: remove.length };
  };
  const [ending, ended] = [pod('e', { meta: { deletionTimestamp: ago(1) } }), pod('f', { phase: 'Failed' })];
  const orphan = pod('o', { meta: { ownerReferences: [] } });
  const stray = pod('s', { meta: { labels: {} } });
  const foreign = pod('x', { meta: { ownerReferences: [{ ...controllerReference(replicaSets, replicaSet(1)), uid: 'other' }] } });
  it.each([
    ['creates what is missing', plan(3, [pod('a')]), { claims: [], active: 1, create: 2, remove: 0 }],
    ['at most a burst', plan(20, []), { claims: [], active: 0, create: 5, remove: 0 }],
    ['deletes what is too much', plan(1, [pod('a'), pod('b'), pod('c')]), { claims: [], active: 3, create: 0, remove: 2 }],
    ['does not count pods that ended or are ending', plan(2, [pod('a'), ending, ended]), { claims: [], active: 1, create: 1, remove: 0 }],
    ['adopts an orphan instead of creating', plan(1, [orphan]), { claims: [['o', 1]], active: 1, create: 0, remove: 0 }],
    ['releases what no longer matches and replaces it', plan(1, [stray]), { claims: [['s', undefined]], active: 0, create: 1, remove: 0 }],
    ['leaves the pods of others alone', plan(1, [foreign]), { claims: [], active: 0, create: 1, remove: 0 }],
    ['does nothing while it is being deleted', plan(3, [orphan], { deletionTimestamp: ago(1) }), { claims: [], active: 0, create: 0, remove: 0 }],
  ])('%s', (_, actual, expected) => {
    expect(actual).toEqual(expected);
  });
});

it('counts ready and available pods and keeps a failure until it is over', () => {
  const set = replicaSet(3, { generation: 4 });
  set.spec!.minReadySeconds = 60;
  const list = [pod('a', { ready: 61 }), pod('b', { ready: 10 }), pod('c', { ready: false, meta: { labels: {} } })];
  const failed = replicaSetStatus(set, list, { reason: 'FailedCreate', message: 'no' }, nowMs);
  expect(failed).toMatchObject({ replicas: 3, fullyLabeledReplicas: 2, readyReplicas: 2, availableReplicas: 1, observedGeneration: 4, conditions: [{ type: 'ReplicaFailure', status: 'True', reason: 'FailedCreate' }] });
  expect(replicaSetStatus({ ...set, status: failed }, list, undefined, nowMs).conditions).toBeUndefined();
});

it('starts slowly and stops at the first batch that fails', async () => {
  let calls = 0;
  const work = (failAt: number) => async (): Promise<void> => { calls += 1; if (calls >= failAt) throw new Error('quota'); };
  expect(await slowStart(10, new AbortController().signal, work(Infinity))).toEqual({ succeeded: 10, error: undefined });
  calls = 0;
  expect((await slowStart(100, new AbortController().signal, work(3))).succeeded).toBe(2);
  expect(calls).toBe(3);
});

describe('the controller', () => {
  it('creates, replaces, deletes and tells', async () => {
    const lab = runControllers(['replicaset']);
    await lab.api.create(replicaSets, replicaSet(3));
    await lab.start();
    expect(lab.api.all(pods)).toHaveLength(3);
    expect(lab.api.all(pods)[0]?.metadata).toMatchObject({ labels: { app: 'web' }, ownerReferences: [{ kind: 'ReplicaSet', name: 'web', controller: true, blockOwnerDeletion: true }] });
    expect(lab.api.recorded.filter((line) => line.includes('SuccessfulCreate'))).toHaveLength(3);
    await lab.api.delete(pods, 'default', lab.api.all(pods)[0]!.metadata!.name!);
    await lab.clock.advance(0);
    expect(lab.api.all(pods)).toHaveLength(3);
    await lab.api.patch(replicaSets, 'default', 'web', 'merge', { spec: { replicas: 1 } });
    await lab.clock.advance(0);
    expect(lab.api.all(pods)).toHaveLength(1);
    expect(lab.api.all(replicaSets)[0]?.status).toMatchObject({ replicas: 1, observedGeneration: 2 });
    await lab.stop();
  });

  it('says why pods cannot be made, backs off, and recovers', async () => {
    let full = true;
    let tries = 0;
    const lab = runControllers(['replicaset'], { refuse: (verb, resource) => { if (full && verb === 'create' && resource === pods) { tries += 1; throw new StatusError('Forbidden', 'exceeded quota'); } } });
    await lab.api.create(replicaSets, replicaSet(50));
    await lab.start();
    await lab.clock.advance(10_000);
    expect(lab.api.all(replicaSets)[0]?.status?.conditions).toMatchObject([{ type: 'ReplicaFailure', reason: 'FailedCreate', message: 'exceeded quota' }]);
    expect(tries).toBeLessThan(20);
    full = false;
    await lab.clock.advance(60_000);
    expect(lab.api.all(pods)).toHaveLength(50);
    expect(lab.api.all(replicaSets)[0]?.status?.conditions).toBeUndefined();
    await lab.stop();
  });

  it('says nothing about a namespace that is going away', async () => {
    const refused = new StatusError('Forbidden', 'terminating', { details: { causes: [{ reason: 'NamespaceTerminating', message: '' }] } });
    const lab = runControllers(['replicaset'], { refuse: (verb, resource) => { if (verb === 'create' && resource === pods) throw refused; } });
    await lab.api.create(replicaSets, replicaSet(2));
    await lab.start();
    await lab.clock.advance(60_000);
    expect(lab.api.recorded).toEqual([]);
    expect(lab.manager().metrics['replicaset']!.errors).toBe(0);
    await lab.stop();
  });

  it('counts a pod as available when its time has come, without being told', async () => {
    const lab = runControllers(['replicaset']);
    const set = replicaSet(1);
    await lab.api.create(replicaSets, { ...set, spec: { ...set.spec!, minReadySeconds: 30 } });
    await lab.start();
    const [created] = lab.api.all(pods);
    await lab.api.update(pods, { ...created!, status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: rfc3339(lab.clock.now()) }] } }, 'status');
    await lab.clock.advance(29_000);
    expect(lab.api.all(replicaSets)[0]?.status).toEqual({ replicas: 1, fullyLabeledReplicas: 1, readyReplicas: 1, observedGeneration: 1 });
    await lab.clock.advance(1_000);
    expect(lab.api.all(replicaSets)[0]?.status).toMatchObject({ readyReplicas: 1, availableReplicas: 1 });
    await lab.stop();
  });
});

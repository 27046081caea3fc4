import { expect, it } from 'vitest';
import type { Pod, PodCondition, PodDisruptionBudget, PodDisruptionBudgetSpec } from '#api/gen/types.ts';
import { deployments, podDisruptionBudgets, pods, replicaSets } from '#api/kinds/resources.ts';
import { rfc3339 } from '#common/time.ts';
import { runControllers } from '#test/support/run-controllers.ts';
import { reconcileDisruption, staleDisruptionInMs } from './reconcile.ts';

const nowMs = Date.UTC(2026, 0, 2);
const budget = (spec: Partial<PodDisruptionBudgetSpec>, status: PodDisruptionBudget['status'] = {}): PodDisruptionBudget => ({ metadata: { name: 'web', namespace: 'default', generation: 2 }, spec: { selector: { matchLabels: { app: 'web' } }, ...spec }, status });
const pod = (name: string, ready = true, ending = false): Pod => ({ metadata: { name, namespace: 'default', labels: { app: 'web' }, ...(ending && { deletionTimestamp: rfc3339(nowMs) }) }, status: { conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] } });
const four = ['a', 'b', 'c', 'd'].map((name) => pod(name));
const at = (secondsAgo: number): string => rfc3339(nowMs - secondsAgo * 1000);

it.each<[string, PodDisruptionBudget, Pod[], { count?: number; problem?: string }, [number, number, number, number, string]]>([
  ['minAvailable', budget({ minAvailable: 3 }), four, {}, [4, 4, 3, 1, 'SufficientPods']],
  ['minAvailable as a share of what is wanted', budget({ minAvailable: '50%' }), four, { count: 5 }, [5, 4, 3, 1, 'SufficientPods']],
  ['maxUnavailable', budget({ maxUnavailable: 1 }), four, { count: 4 }, [4, 4, 3, 1, 'SufficientPods']],
  ['maxUnavailable as a share rounds up', budget({ maxUnavailable: '30%' }), four, { count: 4 }, [4, 4, 2, 2, 'SufficientPods']],
  ['pods that are ill or ending', budget({ minAvailable: 2 }), [pod('a'), pod('b', false), pod('c', true, true), pod('d')], {}, [4, 2, 2, 0, 'InsufficientPods']],
  ['pods that were evicted and are still there', budget({ minAvailable: 2 }, { disruptedPods: { a: at(10), b: at(200) } }), four, {}, [4, 3, 2, 1, 'SufficientPods']],
  ['no pods', budget({ minAvailable: 0 }), [], {}, [0, 0, 0, 0, 'InsufficientPods']],
  ['what cannot be told', budget({ maxUnavailable: 1 }, { expectedPods: 4, currentHealthy: 4, desiredHealthy: 3, disruptionsAllowed: 1 }), four, { problem: 'why' }, [4, 4, 3, 0, 'SyncFailed']],
])('counts %s', (_, object, own, wanted, [expectedPods, currentHealthy, desiredHealthy, disruptionsAllowed, reason]) => {
  const { status } = reconcileDisruption({ budget: object, pods: own, wanted: () => ({ count: 0, unmanaged: false, ...wanted }), nowMs });
  expect(status).toMatchObject({ expectedPods, currentHealthy, desiredHealthy, disruptionsAllowed, conditions: [{ type: 'DisruptionAllowed', reason, status: reason === 'SufficientPods' ? 'True' : 'False', observedGeneration: 2 }] });
});

it('waits for evicted pods to go, and says so when they do not', () => {
  const decision = reconcileDisruption({ budget: budget({ minAvailable: 1 }, { disruptedPods: { a: at(10), b: at(200), gone: at(1) } }), pods: four, wanted: () => ({ count: 0, unmanaged: false }), nowMs });
  expect([decision.afterMs, decision.status.disruptedPods]).toEqual([110_000, { a: at(10) }]);
  expect(decision.actions).toMatchObject([{ reason: 'NotDeleted', message: "Pod was expected by PDB default/web to be deleted but it wasn't" }]);
});

it('follows the pods of a Deployment', async () => {
  const lab = runControllers(['deployment', 'replicaset', 'disruption']);
  await lab.api.create(podDisruptionBudgets, budget({ maxUnavailable: 1 }));
  await lab.api.create(deployments, { metadata: { name: 'web', namespace: 'default' }, spec: { replicas: 3, selector: { matchLabels: { app: 'web' } }, template: { metadata: { labels: { app: 'web' } }, spec: { containers: [] } } } });
  await lab.start();
  const status = () => lab.api.all(podDisruptionBudgets)[0]?.status;
  expect(status()).toMatchObject({ expectedPods: 3, desiredHealthy: 2, currentHealthy: 0, disruptionsAllowed: 0 });
  for (const own of lab.api.all(pods)) await lab.api.update(pods, { ...own, status: pod('x').status }, 'status');
  await lab.clock.advance(0);
  expect(status()).toMatchObject({ currentHealthy: 3, disruptionsAllowed: 1 });
  await lab.api.create<Pod>(pods, { ...pod('stray'), metadata: { ...pod('stray').metadata, ownerReferences: [{ apiVersion: 'v1', kind: 'Odd', name: 'o', uid: 'o', controller: true }] } });
  await lab.clock.advance(0);
  expect(status()).toMatchObject({ disruptionsAllowed: 0, conditions: [{ reason: 'SyncFailed', message: 'found no controllers with a scale for pod "stray"' }] });
  expect(lab.api.recorded.at(-1)).toMatch(/^controllermanager: PodDisruptionBudget\/web Warning CalculateExpectedPodCountFailed/);
  expect(lab.api.all(replicaSets)).toHaveLength(1);
  await lab.stop();
});

it('asks for the scale of owners of other kinds', async () => {
  const scales = { get: ({ kind }: { kind: string }) => Promise.resolve({ metadata: { uid: 'w' }, spec: { replicas: kind === 'Widget' ? 5 : 0 } }), update: () => Promise.resolve() };
  const lab = runControllers(['disruption'], { config: { autoscaling: { scales, usage: () => Promise.reject(new Error('not asked')) } } });
  await lab.api.create(podDisruptionBudgets, budget({ maxUnavailable: 1 }));
  await lab.api.create<Pod>(pods, { ...pod('a'), metadata: { ...pod('a').metadata, ownerReferences: [{ apiVersion: 'example.com/v1', kind: 'Widget', name: 'w', uid: 'w', controller: true }] } });
  await lab.start();
  expect(lab.api.all(podDisruptionBudgets)[0]?.status).toMatchObject({ expectedPods: 5, desiredHealthy: 4, currentHealthy: 1, disruptionsAllowed: 0 });
  await lab.stop();
});

const target = (secondsAgo: number, more: Partial<PodCondition> = {}): PodCondition => ({ type: 'DisruptionTarget', status: 'True', reason: 'EvictionByEvictionAPI', lastTransitionTime: at(secondsAgo), ...more });

it.each<[string, Pod, number | undefined]>([
  ['was to be evicted just now', { status: { conditions: [target(20)] } }, 100_000],
  ['was to be evicted long ago', { status: { phase: 'Running', conditions: [target(300)] } }, 0],
  ['is being deleted', { metadata: { deletionTimestamp: at(1) }, status: { conditions: [target(300)] } }, undefined],
  ['has ended', { status: { phase: 'Failed', conditions: [target(300)] } }, undefined],
  ['is for its node to end', { status: { conditions: [target(300, { reason: 'TerminationByKubelet' })] } }, undefined],
  ['was taken back', { status: { conditions: [target(300, { status: 'False' })] } }, undefined],
  ['was never to be disrupted', {}, undefined],
])('knows how long a pod counts as disrupted that %s', (_, object, expected) => { expect(staleDisruptionInMs(object, nowMs)).toBe(expected); });

it('takes back that a pod is to be disrupted when nobody has deleted it', async () => {
  const lab = runControllers(['disruption']);
  await lab.api.create<Pod>(pods, { metadata: { name: 'a', namespace: 'default' }, status: { phase: 'Running', conditions: [target(0, { lastTransitionTime: rfc3339(lab.clock.now()) })] } });
  await lab.start();
  const condition = () => lab.api.all(pods)[0]?.status?.conditions?.[0];
  await lab.clock.advance(119_000);
  expect(condition()).toMatchObject({ status: 'True' });
  await lab.clock.advance(2000);
  expect(condition()).toEqual({ type: 'DisruptionTarget', status: 'False', lastTransitionTime: expect.any(String) as string });
  await lab.stop();
});

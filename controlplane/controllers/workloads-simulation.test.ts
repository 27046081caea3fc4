import { describe, expect, it } from 'vitest';
import type { DaemonSet, Job, Node, Pod, StatefulSet } from '#api/gen/types.ts';
import { controllerRevisions, daemonSets, jobs, nodes, persistentVolumeClaims, pods, statefulSets } from '#api/kinds/resources.ts';
import { getCondition } from '#api/meta/conditions.ts';
import { rfc3339 } from '#common/time.ts';
import { Chaos, seeds } from '#test/support/chaos.ts';
import { isActive, isReady, isTerminal, isTerminating } from './pod-state.ts';

const template = (version: number) => ({ metadata: { labels: { app: 'x' } }, spec: { containers: [{ name: 'c', image: `x:${String(version)}` }] } });
const selector = { matchLabels: { app: 'x' } };
const imageOf = (pod: Pod): string | undefined => pod.spec?.containers[0]?.image;

/** What a node does with one of its pods: `harm` lets it fail now and then. */
async function kubelet(chaos: Chaos, pod: Pod, harm: boolean, node: string): Promise<unknown> {
  const name = pod.metadata!.name!;
  if (pod.metadata?.deletionTimestamp) return chaos.as(() => chaos.api.delete(pods, 'default', name, { gracePeriodSeconds: 0 }));
  if (!pod.spec?.nodeName) return chaos.as(() => chaos.api.bind('default', name, pod.metadata!.uid!, node));
  const dies = harm && chaos.random() < 0.15;
  if (isTerminal(pod) || (isReady(pod) && !dies)) return undefined;
  const conditions = [{ type: 'Ready', status: dies ? 'False' : 'True', lastTransitionTime: rfc3339(chaos.clock.now()) }];
  return chaos.as(() => chaos.api.update(pods, { ...pod, status: { phase: dies && chaos.random() < 0.5 ? 'Failed' : 'Running', conditions } }, 'status'));
}

const oneOf = (chaos: Chaos): Pod | undefined => { const all = chaos.api.all(pods); return all[chaos.int(all.length)]; };
const everyPod = (chaos: Chaos, act: (pod: Pod) => Promise<unknown>) => async (): Promise<void> => { for (const pod of chaos.api.all(pods)) await act(pod); };

async function simulateStatefulSet(seed: number, harm: boolean): Promise<void> {
  const chaos = new Chaos(seed, ['statefulset', 'garbage-collector'], [statefulSets, pods, controllerRevisions, persistentVolumeClaims]);
  const ordered = chaos.int(3) > 0;
  const state = { version: 0, replicas: 3 };
  await chaos.as(() => chaos.api.create<StatefulSet>(statefulSets, {
    metadata: { name: 'db', namespace: 'default' },
    spec: { replicas: 3, podManagementPolicy: ordered ? 'OrderedReady' : 'Parallel', updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 0 } }, selector, template: template(0), volumeClaimTemplates: [{ metadata: { name: 'data' } }] },
  }));
  let known = new Set<string>();
  chaos.api.listen(pods, () => {
    const all = chaos.api.all(pods);
    const names = new Set(all.map(({ metadata }) => metadata!.name!));
    for (const name of names) {
      const before = all.filter((pod) => Number(pod.metadata!.name!.slice(3)) < Number(name.slice(3)));
      if (!known.has(name) && ordered && !harm && !(before.length === Number(name.slice(3)) && before.every(isReady))) chaos.problems.push(`${name} was made before those before it were ready`);
    }
    known = names;
  });
  const change = (spec: object): Promise<unknown> => chaos.as(() => chaos.api.patch(statefulSets, 'default', 'db', 'merge', { spec }));
  const user = async (): Promise<void> => {
    const dice = chaos.int(10);
    if (dice < 3 && harm) await change({ replicas: state.replicas = chaos.int(5) });
    else if (dice < 8) await change({ template: template(state.version = chaos.int(3)) });
    else if (harm) await chaos.as(() => chaos.api.delete(pods, 'default', `db-${String(chaos.int(4))}`));
  };
  chaos.start();
  for (let i = 0; i < 400 && chaos.problems.length === 0; i++) await chaos.step(async () => { const pod = oneOf(chaos); if (pod) await kubelet(chaos, pod, harm, 'node'); }, user);
  expect(chaos.problems).toEqual([]);
  await chaos.settle(everyPod(chaos, (pod) => kubelet(chaos, pod, false, 'node')));
  await chaos.stop();
  const all = chaos.api.all(pods).sort((a, b) => (a.metadata!.name! < b.metadata!.name! ? -1 : 1));
  const image = `x:${String(state.version)}`;
  expect(all.map((pod) => [pod.metadata?.name, imageOf(pod), isReady(pod)])).toEqual(Array.from({ length: state.replicas }, (_, i) => [`db-${String(i)}`, image, true]));
  const { status } = chaos.api.all(statefulSets)[0]!;
  expect(status).toMatchObject({ replicas: state.replicas, availableReplicas: state.replicas, currentRevision: status!.updateRevision });
  expect(chaos.api.all(controllerRevisions).find(({ metadata }) => metadata?.name === status!.updateRevision)?.data).toMatchObject({ spec: { template: template(state.version) } });
  const claims = new Set(chaos.api.all(persistentVolumeClaims).map(({ metadata }) => metadata?.name));
  for (const pod of all) expect(claims).toContain(`data-${pod.metadata!.name!}`);
}

async function simulateDaemonSet(seed: number, harm: boolean): Promise<void> {
  const chaos = new Chaos(seed, ['daemonset', 'garbage-collector'], [daemonSets, pods, controllerRevisions]);
  const surge = chaos.int(2);
  let version = 0;
  const make = (name: string): Promise<unknown> => chaos.as(() => chaos.api.create<Node>(nodes, { metadata: { name, labels: { name } } }));
  for (const name of ['a', 'b', 'c']) await make(name);
  await chaos.as(() => chaos.api.create<DaemonSet>(daemonSets, {
    metadata: { name: 'log', namespace: 'default' }, spec: { selector, template: template(0), updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: surge, maxUnavailable: surge === 0 ? 1 : 0 } } },
  }));
  const target = (pod: Pod): string => pod.spec?.nodeName ?? pod.spec!.affinity!.nodeAffinity!.requiredDuringSchedulingIgnoredDuringExecution!.nodeSelectorTerms[0]!.matchFields![0]!.values![0]!;
  let filled = false;
  chaos.api.listen(pods, () => {
    const active = chaos.api.all(pods).filter(isActive);
    for (const [node, list] of Map.groupBy(active, target)) if (list.length > 1 + surge) chaos.problems.push(`${String(list.length)} pods for ${node}`);
    const served = new Set(active.filter(isReady).map(target)).size;
    filled ||= served === 3;
    if (filled && !harm && served < 3 - (surge === 0 ? 1 : 0)) chaos.problems.push(`${String(served)} nodes are served`);
  });
  const user = async (): Promise<void> => {
    const dice = chaos.int(10);
    if (dice < 6) await chaos.as(() => chaos.api.patch(daemonSets, 'default', 'log', 'merge', { spec: { template: template(version = chaos.int(3)) } }));
    else if (harm && dice < 8) await (chaos.api.find(nodes, undefined, 'd') ? chaos.as(() => chaos.api.delete(nodes, undefined, 'd')) : make('d'));
    else if (harm) { const pod = oneOf(chaos); if (pod) await chaos.as(() => chaos.api.delete(pods, 'default', pod.metadata!.name!)); }
  };
  const act = (pod: Pod, hurts: boolean): Promise<unknown> => (chaos.api.find(nodes, undefined, target(pod)) ? kubelet(chaos, pod, hurts, target(pod))
    // What runs on a node that is gone is somebody else's to remove.
    : chaos.as(() => chaos.api.delete(pods, 'default', pod.metadata!.name!, { gracePeriodSeconds: 0 })));
  chaos.start();
  for (let i = 0; i < 400 && chaos.problems.length === 0; i++) await chaos.step(async () => { const pod = oneOf(chaos); if (pod) await act(pod, harm); }, user);
  expect(chaos.problems).toEqual([]);
  await chaos.settle(everyPod(chaos, (pod) => act(pod, false)), 60_000);
  await chaos.stop();
  const names = chaos.api.all(nodes).map(({ metadata }) => metadata!.name!);
  expect(chaos.api.all(pods).map((pod) => `${target(pod)} ${imageOf(pod) ?? ''} ${String(isReady(pod))}`).sort((a, b) => (a < b ? -1 : 1))).toEqual(names.map((name) => `${name} x:${String(version)} true`));
  expect(chaos.api.all(daemonSets)[0]?.status).toMatchObject({ desiredNumberScheduled: names.length, currentNumberScheduled: names.length, numberReady: names.length, updatedNumberScheduled: names.length, numberAvailable: names.length, numberMisscheduled: 0 });
}

async function simulateJob(seed: number): Promise<void> {
  const chaos = new Chaos(seed, ['job', 'garbage-collector'], [jobs, pods]);
  const indexed = chaos.int(2) === 0;
  const [completions, parallelism] = [1 + chaos.int(6), 1 + chaos.int(4)];
  await chaos.as(() => chaos.api.create<Job>(jobs, {
    metadata: { name: 'work', namespace: 'default' }, spec: { completions, parallelism, backoffLimit: 1000, completionMode: indexed ? 'Indexed' : 'NonIndexed', podReplacementPolicy: chaos.int(2) === 0 ? 'Failed' : 'TerminatingOrFailed', selector, template: template(0) },
  }));
  /** By uid: what was really the end of each pod. */
  const ends = new Map<string, 'Succeeded' | 'Failed'>();
  chaos.api.listen(pods, () => {
    const active = chaos.api.all(pods).filter(isActive).length;
    if (active > parallelism) chaos.problems.push(`${String(active)} pods run, ${String(parallelism)} may`);
  });
  const node = async (pod: Pod | undefined, harm: boolean): Promise<void> => {
    if (pod === undefined) return;
    const { name = '', uid = '' } = pod.metadata!;
    if (!pod.spec?.nodeName && !isTerminating(pod)) await chaos.as(() => chaos.api.bind('default', name, uid, 'node'));
    else if (!isTerminal(pod)) {
      const phase = isTerminating(pod) || (harm && chaos.random() < 0.3) ? 'Failed' : 'Succeeded';
      const finishedAt = rfc3339(chaos.clock.now());
      await chaos.as(async () => {
        await chaos.api.update(pods, { ...pod, status: { phase, containerStatuses: [{ name: 'c', image: '', imageID: '', ready: false, restartCount: 0, state: { terminated: { exitCode: 0, finishedAt } } }] } }, 'status');
        ends.set(uid, phase);
      });
    } else if (isTerminating(pod)) await chaos.as(() => chaos.api.delete(pods, 'default', name, { gracePeriodSeconds: 0 }));
  };
  const user = async (): Promise<void> => {
    const running = chaos.api.all(pods).filter((pod) => isActive(pod) && pod.spec?.nodeName);
    if (chaos.int(2) === 0) await chaos.as(() => chaos.api.patch(jobs, 'default', 'work', 'merge', { spec: { suspend: chaos.int(3) === 0 } }));
    else if (running[0]) await chaos.as(() => chaos.api.delete(pods, 'default', running[0]!.metadata!.name!));
  };
  chaos.start();
  for (let i = 0; i < 300 && chaos.problems.length === 0; i++) await chaos.step(() => node(oneOf(chaos), true), user);
  expect(chaos.problems).toEqual([]);
  await chaos.as(() => chaos.api.patch(jobs, 'default', 'work', 'merge', { spec: { suspend: false } }));
  await chaos.settle(everyPod(chaos, (pod) => node(pod, false)), 600_000);
  await chaos.stop();
  const { status } = chaos.api.all(jobs)[0]!;
  expect(getCondition(status?.conditions, 'Complete')?.status).toBe('True');
  expect(status?.uncountedTerminatedPods).toEqual({});
  expect(chaos.api.all(pods).flatMap(({ metadata }) => metadata?.finalizers ?? [])).toEqual([]);
  const count = (phase: string): number => [...ends.values()].filter((end) => end === phase).length;
  if (indexed) expect([status?.succeeded, status?.completedIndexes]).toEqual([completions, completions === 1 ? '0' : completions === 2 ? '0,1' : `0-${String(completions - 1)}`]);
  else expect(status?.succeeded).toBe(count('Succeeded'));
  // Pods that were deleted before they were bound never ended, and count as failed too.
  expect(status?.failed ?? 0).toBeGreaterThanOrEqual(count('Failed'));
}

describe('workloads under chaos', () => {
  const tried = seeds(6);
  // Seed 488677148: the cache did not know yet that a pod had been deleted, and the one before it was updated, too.
  it.each([...tried, 488677148])('a StatefulSet keeps its order (SEED=%i)', (seed) => simulateStatefulSet(seed, false));
  // Seed 30: two pods of numbers that are no longer wanted had failed, and waited for each other.
  it.each([...tried, 30])('a StatefulSet survives dying pods (SEED=%i)', (seed) => simulateStatefulSet(seed, true));
  // Seed 4: a pod was removed for not being ready, by a cache that did not know yet that it was. Seed 5043: updated twice while surging.
  it.each([...tried, 4, 5043])('a DaemonSet keeps its nodes served (SEED=%i)', (seed) => simulateDaemonSet(seed, false));
  it.each(tried)('a DaemonSet follows nodes and survives dying pods (SEED=%i)', (seed) => simulateDaemonSet(seed, true));
  // Seed 10: a pod was let go while a status was being made. Seed 13: an old status made pods that were counted seem never to have been.
  it.each([...tried, 10, 13])('a Job counts every pod once (SEED=%i)', (seed) => simulateJob(seed));
});

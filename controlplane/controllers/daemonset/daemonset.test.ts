import { describe, expect, it } from 'vitest';
import type { DaemonSet, DaemonSetSpec, Node, Pod } from '#api/gen/types.ts';
import { controllerRevisions, daemonSets, nodes, pods } from '#api/kinds/resources.ts';
import { ManualClock } from '#common/clock.ts';
import { rfc3339 } from '#common/time.ts';
import { runControllers } from '#test/support/run-controllers.ts';
import { FailedPods } from './failed-pods.ts';
import { daemonPod, fitOf } from './nodes.ts';
import { planDaemonSet } from './reconcile.ts';
import { daemonSetStatus } from './status.ts';

const nowMs = Date.UTC(2026, 0, 2);
const set = (spec: Partial<DaemonSetSpec> = {}): DaemonSet => ({
  metadata: { name: 'log', namespace: 'default', uid: 'ds', generation: 3 },
  spec: { selector: { matchLabels: { app: 'log' } }, template: { metadata: { labels: { app: 'log' } }, spec: { containers: [{ name: 'c', image: 'log:1' }] } }, updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1, maxSurge: 0 } }, ...spec },
});
const node = (name: string, rest: Partial<Node> = {}): Node => ({ metadata: { name, labels: { disk: name === 'c' ? 'hdd' : 'ssd' } }, ...rest });
const three = ['a', 'b', 'c'].map((name) => node(name));

interface PodOptions { readonly hash?: string; readonly ready?: boolean; readonly phase?: string; readonly ending?: boolean; readonly bound?: boolean; readonly age?: number }
const pod = (name: string, on: string, { hash = 'new', ready = true, phase = 'Running', ending = false, bound = true, age = 1000 }: PodOptions = {}): Pod => {
  const made = daemonPod(set(), on, hash);
  return {
    ...made, metadata: { ...made.metadata, name, uid: name, creationTimestamp: rfc3339(nowMs - age * 1000), ...(ending && { deletionTimestamp: rfc3339(nowMs) }) },
    spec: { ...made.spec!, ...(bound && { nodeName: on }) }, status: { phase, conditions: [{ type: 'Ready', status: ready ? 'True' : 'False', lastTransitionTime: rfc3339(nowMs - 100_000) }] },
  };
};

function plan(daemonSet: DaemonSet, own: readonly Pod[], more: { nodes?: readonly Node[]; delayMs?: number } = {}) {
  const { create, remove, events, failedOn, afterMs } = planDaemonSet({ daemonSet, nodes: more.nodes ?? three, pods: own, hash: 'new', nowMs, burst: 250, failureDelayMs: () => more.delayMs ?? 0 });
  return { create, remove: remove.map(({ metadata }) => metadata?.name), told: events.flatMap((e) => (e.type === 'event' ? [e.reason] : [])), failedOn, afterMs };
}
const nothing = { create: [], remove: [], told: [], failedOn: [], afterMs: undefined };
const everywhere = (options: PodOptions = {}): Pod[] => ['a', 'b', 'c'].map((name) => pod(`p${name}`, name, options));

describe('where it belongs', () => {
  const template = (spec: object): DaemonSet => set({ template: { metadata: { labels: { app: 'log' } }, spec: { containers: [], ...spec } } });
  const tainted = (key: string, effect: string): Node => node('a', { spec: { taints: [{ key, effect }] } });
  it.each<[string, DaemonSet, Node, boolean, boolean]>([
    ['everywhere', set(), node('a'), true, true],
    ['its node selector', template({ nodeSelector: { disk: 'ssd' } }), node('c'), false, false],
    ['its affinity', template({ affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'disk', operator: 'In', values: ['hdd'] }] }] } } } }), node('c'), true, true],
    ['its node name', template({ nodeName: 'b' }), node('a'), false, false],
    ['an ill node', set(), tainted('node.kubernetes.io/unreachable', 'NoExecute'), true, true],
    ['a cordoned node', set(), tainted('node.kubernetes.io/unschedulable', 'NoSchedule'), true, true],
    ['a node without a network only on the host\'s', set(), tainted('node.kubernetes.io/network-unavailable', 'NoSchedule'), false, true],
    ['the same for hostNetwork', template({ hostNetwork: true }), tainted('node.kubernetes.io/network-unavailable', 'NoSchedule'), true, true],
    ['not where a taint keeps new pods out', set(), tainted('own', 'NoSchedule'), false, true],
    ['not where a taint drives pods out', set(), tainted('own', 'NoExecute'), false, false],
  ])('%s', (_, daemonSet, on, run, stay) => {
    expect(fitOf(daemonSet, on)).toEqual({ run, stay });
  });
});

describe('the plan', () => {
  it.each<[string, ReturnType<typeof plan>, Partial<ReturnType<typeof plan>>]>([
    ['a pod where there is none', plan(set(), [pod('pa', 'a')]), { create: ['b', 'c'] }],
    ['waits for the end of the pod before', plan(set(), [pod('pa', 'a', { ending: true }), pod('pb', 'b'), pod('pc', 'c', { bound: false, ready: false })]), {}],
    ['removes it where it does not belong', plan(set({ template: { metadata: { labels: { app: 'log' } }, spec: { containers: [], nodeSelector: { disk: 'ssd' } } } }), everywhere()), { remove: ['pc'] }],
    ['removes all but the oldest of a node', plan(set(), [...everywhere(), pod('px', 'b', { age: 2000 })]), { remove: ['pb'] }],
    ['removes pods that wait for a node that is gone', plan(set(), [...everywhere(), pod('pd', 'd', { bound: false })]), { remove: ['pd'] }],
    ['replaces a pod that failed', plan(set(), [pod('pa', 'a', { phase: 'Failed' }), pod('pb', 'b'), pod('pc', 'c')]), { remove: ['pa'], told: ['FailedDaemonPod'], failedOn: ['a'] }],
    ['but not without end', plan(set(), [pod('pa', 'a', { phase: 'Failed' }), pod('pb', 'b'), pod('pc', 'c')], { delayMs: 4000 }), { afterMs: 4000 }],
    ['replaces a pod that has ended', plan(set(), [pod('pa', 'a', { phase: 'Succeeded' }), pod('pb', 'b'), pod('pc', 'c')]), { remove: ['pa'], told: ['SucceededDaemonPod'] }],
    ['updates one at a time', plan(set(), everywhere({ hash: 'old' })), { remove: ['pa'] }],
    ['waits until it is available', plan(set(), [pod('pa', 'a', { ready: false }), pod('pb', 'b', { hash: 'old' }), pod('pc', 'c', { hash: 'old' })]), {}],
    ['replaces what serves nobody first', plan(set(), [pod('pa', 'a', { hash: 'old' }), pod('pb', 'b', { hash: 'old', ready: false }), pod('pc', 'c', { hash: 'old' })]), { remove: ['pb'] }],
    ['a percentage rounds up', plan(set({ updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '34%' } } }), everywhere({ hash: 'old' })), { remove: ['pa', 'pb'] }],
    ['leaves updates to the user', plan(set({ updateStrategy: { type: 'OnDelete' } }), everywhere({ hash: 'old' })), {}],
  ])('%s', (_, actual, expected) => {
    expect(actual).toEqual({ ...nothing, ...expected });
  });

  it('surges: a new pod beside the old one, which goes when the new one is available', () => {
    const surging = set({ updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } } });
    const old = everywhere({ hash: 'old' });
    expect(plan(surging, old)).toEqual({ ...nothing, create: ['a'] });
    expect(plan(surging, [...old, pod('na', 'a', { ready: false, age: 1 })])).toEqual(nothing);
    expect(plan(surging, [...old, pod('na', 'a', { age: 1 })])).toEqual({ ...nothing, remove: ['pa'] });
    expect(plan(surging, [pod('na', 'a'), ...old.slice(1)])).toEqual({ ...nothing, create: ['b'] });
    // Updated again before it was done: what serves stays until the next does.
    expect(plan(surging, [pod('pa', 'a', { hash: 'oldest', ready: false }), pod('na', 'a', { hash: 'old', age: 1 }), pod('pb', 'b'), pod('pc', 'c')])).toEqual({ ...nothing, remove: ['pa'] });
  });
});

it('counts nodes and pods', () => {
  const daemonSet = set({ minReadySeconds: 200 });
  const own = [pod('pa', 'a'), pod('pb', 'b', { hash: 'old', ready: false }), pod('pd', 'd')];
  const snapshot = { daemonSet, nodes: [...three, node('d', { spec: { taints: [{ key: 'own', effect: 'NoSchedule' }] } })], pods: own, hash: 'new', nowMs, burst: 1, failureDelayMs: () => 0 };
  expect(daemonSetStatus(snapshot, true)).toEqual({
    afterMs: 100_000,
    status: { observedGeneration: 3, desiredNumberScheduled: 3, currentNumberScheduled: 2, numberMisscheduled: 1, numberReady: 1, updatedNumberScheduled: 1, numberUnavailable: 3 },
  });
});

it('waits ever longer for a node whose pods fail', async () => {
  const clock = new ManualClock();
  const failed = new FailedPods(clock);
  const waits: number[] = [];
  for (let i = 0; i < 12; i++) {
    failed.note('default/log', 'a');
    waits.push(failed.delayMs('default/log', 'a'));
    await clock.advance(waits.at(-1)!);
  }
  expect([waits[0], waits[1], waits[11], failed.delayMs('default/log', 'b')]).toEqual([1000, 2000, 900_000, 0]);
});

describe('the controller', () => {
  const kubelet = async (lab: ReturnType<typeof runControllers>): Promise<void> => {
    for (const own of lab.api.all(pods)) {
      const name = own.metadata!.name!;
      if (own.metadata?.deletionTimestamp) await lab.api.delete(pods, 'default', name, { gracePeriodSeconds: 0 });
      else if (own.status?.phase !== 'Running') {
        const on = own.spec!.affinity!.nodeAffinity!.requiredDuringSchedulingIgnoredDuringExecution!.nodeSelectorTerms[0]!.matchFields![0]!.values![0]!;
        if (!own.spec?.nodeName) await lab.api.bind('default', name, own.metadata!.uid!, on);
        await lab.api.update(pods, { ...lab.api.find(pods, 'default', name)!, status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: rfc3339(lab.clock.now()) }] } }, 'status');
      }
    }
    await lab.clock.advance(1000);
  };
  const images = (lab: ReturnType<typeof runControllers>): string[] => lab.api.all(pods).map(({ spec }) => spec?.containers[0]?.image ?? '').sort((a, b) => (a < b ? -1 : 1));

  it('follows nodes, updates, rolls back and keeps its history', async () => {
    const lab = runControllers(['daemonset']);
    for (const n of three) await lab.api.create(nodes, n);
    await lab.api.create(daemonSets, set({ revisionHistoryLimit: 1 }));
    await lab.start();
    await kubelet(lab);
    expect(lab.api.all(pods)).toHaveLength(3);
    expect(lab.api.recorded[0]).toMatch(/^daemonset-controller: DaemonSet\/log Normal SuccessfulCreate: Created pod: log-/);
    await lab.api.create(nodes, node('d'));
    await lab.clock.advance(0);
    await kubelet(lab);
    const { status } = lab.api.all(daemonSets)[0]!;
    expect(status).toEqual({ observedGeneration: 1, desiredNumberScheduled: 4, currentNumberScheduled: 4, numberMisscheduled: 0, numberReady: 4, updatedNumberScheduled: 4, numberAvailable: 4 });
    const update = async (image: string): Promise<void> => {
      await lab.api.patch(daemonSets, 'default', 'log', 'merge', { spec: { template: { spec: { containers: [{ name: 'c', image }] } } } });
      await lab.clock.advance(0);
      for (let i = 0; i < 20; i++) {
        expect(lab.api.all(pods).filter((p) => p.metadata?.deletionTimestamp === undefined).length).toBeGreaterThanOrEqual(3);
        await kubelet(lab);
      }
      expect(images(lab)).toEqual([image, image, image, image]);
    };
    await update('log:2');
    await update('log:3');
    expect(lab.api.all(controllerRevisions).map(({ revision }) => revision)).toEqual([2, 3]);
    await update('log:2');
    expect(lab.api.all(controllerRevisions).map(({ revision, data }) => [revision, (data as DaemonSet).spec!.template.spec!.containers[0]!.image])).toEqual([[4, 'log:2'], [3, 'log:3']]);
    const { revision } = lab.api;
    await lab.api.patch(daemonSets, 'default', 'log', 'merge', { metadata: { labels: { look: 'again' } } });
    await lab.clock.advance(0);
    expect(lab.api.revision).toBe(revision + 1);
    await lab.stop();
  });
});

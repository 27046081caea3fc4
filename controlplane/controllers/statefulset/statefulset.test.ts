import { describe, expect, it } from 'vitest';
import type { Pod, StatefulSet, StatefulSetSpec } from '#api/gen/types.ts';
import { controllerRevisions, persistentVolumeClaims, pods, statefulSets } from '#api/kinds/resources.ts';
import { rfc3339 } from '#common/time.ts';
import { runControllers, type RunningControllers } from '#test/support/run-controllers.ts';
import { controllerReference } from '../owner-refs.ts';
import { isReady } from '../pod-state.ts';
import { statefulPod } from './identity.ts';
import { planStatefulSet } from './reconcile.ts';
import { statefulSetStatus } from './status.ts';

const nowMs = Date.UTC(2026, 0, 2);
const set = (spec: Partial<StatefulSetSpec> = {}): StatefulSet => ({
  metadata: { name: 'db', namespace: 'default', uid: 'sts', generation: 1 },
  spec: {
    replicas: 3, serviceName: 'dbs', podManagementPolicy: 'OrderedReady', updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 0 } }, selector: { matchLabels: { app: 'db' } },
    template: { metadata: { labels: { app: 'db' } }, spec: { containers: [{ name: 'c', image: 'db:1' }] } }, ...spec,
  },
});
const revision = (name: string) => ({ metadata: { name: `db-${name}` }, revision: 1, data: { spec: { template: { ...set().spec!.template, $patch: 'replace' } } } });

type State = 'ready' | 'starting' | 'ending' | 'failed' | 'ended';
const pod = (ordinal: number, state: State = 'ready', made = 'new'): Pod => {
  const base = statefulPod(set(), revision(made), ordinal);
  return {
    ...base, metadata: { ...base.metadata, uid: `uid-${String(ordinal)}`, ...(state === 'ending' && { deletionTimestamp: rfc3339(nowMs) }) },
    status: { phase: ({ failed: 'Failed', ended: 'Succeeded', starting: 'Pending' } as Record<string, string>)[state] ?? 'Running', conditions: [{ type: 'Ready', status: state === 'ready' ? 'True' : 'False', lastTransitionTime: rfc3339(nowMs - 60_000) }] },
  };
};
const snapshot = (own: readonly Pod[], spec: Partial<StatefulSetSpec> = {}) => ({ set: set(spec), pods: own, update: revision('new'), current: revision('old'), nowMs });
const plan = (own: readonly Pod[], spec: Partial<StatefulSetSpec> = {}): [string[], string[]] => {
  const { create, remove } = planStatefulSet(snapshot(own, spec));
  return [create, remove].map((list) => list.map(({ metadata }) => metadata?.name ?? '')) as [string[], string[]];
};
const parallel: Partial<StatefulSetSpec> = { podManagementPolicy: 'Parallel' };
const old = (ordinal: number, state: State = 'ready'): Pod => pod(ordinal, state, 'old');
const partition = (n: number): Partial<StatefulSetSpec> => ({ updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: n } } });
const maxUnavailable = (n: number | string): Partial<StatefulSetSpec> => ({ updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 0, maxUnavailable: n } } });

describe('the plan', () => {
  it.each<[string, readonly Pod[], Partial<StatefulSetSpec>, string[], string[]]>([
    ['begins with the first', [], {}, ['db-0'], []],
    ['goes on when that is ready', [pod(0)], {}, ['db-1'], []],
    ['waits until it is', [pod(0, 'starting')], {}, [], []],
    ['waits for minReadySeconds', [pod(0)], { minReadySeconds: 90 }, [], []],
    ['fills gaps first', [pod(0), pod(2)], {}, ['db-1'], []],
    ['waits for the end of a pod before it makes it anew', [pod(0), pod(1, 'ending'), pod(2)], {}, [], []],
    ['replaces a pod that failed', [pod(0), pod(1, 'failed'), pod(2)], {}, [], ['db-1']],
    ['replaces a pod that has ended', [pod(0, 'ended'), pod(1), pod(2)], {}, [], ['db-0']],
    ['makes all at once where they need not wait', [pod(1, 'starting')], parallel, ['db-0', 'db-2'], []],
    ['counts from its start ordinal', [pod(5)], { ordinals: { start: 5 } }, ['db-6'], []],
    ['removes from the last', [pod(0), pod(1), pod(2), pod(3), pod(4)], {}, [], ['db-4']],
    ['one at a time', [pod(0), pod(1), pod(2), pod(3), pod(4, 'ending')], {}, [], []],
    ['not while an earlier one is ill', [pod(0), pod(1), pod(2, 'starting'), pod(3)], {}, [], []],
    ['removes what has ended out of order', [pod(0), pod(1), pod(2), pod(3, 'failed'), pod(4, 'ended'), pod(5, 'starting')], {}, [], ['db-4', 'db-3']],
    ['removes below its start too', [pod(0), pod(1), pod(2), pod(3)], { ordinals: { start: 1 } }, [], ['db-0']],
    ['removes all at once where they need not wait', [pod(0), pod(1), pod(2), pod(3), pod(4, 'starting')], parallel, [], ['db-4', 'db-3']],
    ['updates from the last', [old(0), old(1), old(2)], {}, [], ['db-2']],
    ['waits for the updated one', [old(0), old(1), pod(2, 'starting')], {}, [], []],
    ['goes on to the next', [old(0), old(1), pod(2)], {}, [], ['db-1']],
    ['not below the partition', [old(0), old(1), pod(2)], partition(2), [], []],
    ['makes what is below the partition as it was', [pod(1), pod(2)], partition(1), ['db-0'], []],
    ['leaves updates to the user', [old(0), old(1), old(2)], { updateStrategy: { type: 'OnDelete' } }, [], []],
    ['as many at once as may be unavailable', [old(0), old(1), old(2)], maxUnavailable(2), [], ['db-2', 'db-1']],
    ['less those that are', [old(0), old(1), pod(2, 'starting')], { ...maxUnavailable(2), ...parallel }, [], ['db-1']],
    ['replaces a pod of a broken rollout that was put right', [pod(0), pod(1), old(2, 'starting')], {}, [], ['db-2']],
    ['but waits for an ill one that is not next', [old(0), old(1, 'starting'), old(2)], {}, [], []],
  ])('%s', (_, own, spec, create, remove) => {
    expect(plan(own, spec)).toEqual([create, remove]);
  });

  it('gives pods their revision, name, host and volumes', () => {
    const made = statefulPod(set({ volumeClaimTemplates: [{ metadata: { name: 'data' } }], template: { metadata: { labels: { app: 'db' } }, spec: { containers: [], volumes: [{ name: 'data', emptyDir: {} }, { name: 'tmp', emptyDir: {} }] } } }), revision('new'), 7);
    expect(made.metadata).toMatchObject({ name: 'db-7', labels: { 'app': 'db', 'controller-revision-hash': 'db-new', 'statefulset.kubernetes.io/pod-name': 'db-7', 'apps.kubernetes.io/pod-index': '7' }, ownerReferences: [controllerReference(statefulSets, set())] });
    expect(made.spec).toMatchObject({ hostname: 'db-7', subdomain: 'dbs', volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data-db-7' } }] });
    expect(planStatefulSet(snapshot([pod(1), pod(2)], partition(1))).create[0]?.metadata?.labels?.['controller-revision-hash']).toBe('db-old');
  });
});

it('counts by state and revision, and ends an update', () => {
  expect(statefulSetStatus(snapshot([old(0), pod(1, 'ending'), pod(2)], { minReadySeconds: 90 }))).toEqual({
    afterMs: 30_000, status: { observedGeneration: 1, replicas: 3, readyReplicas: 2, availableReplicas: 0, currentReplicas: 1, updatedReplicas: 1, currentRevision: 'db-old', updateRevision: 'db-new', collisionCount: 0 },
  });
  expect(statefulSetStatus(snapshot([pod(0), pod(1), pod(2)])).status).toMatchObject({ currentReplicas: 3, updatedReplicas: 3, currentRevision: 'db-new' });
});

describe('the controller', () => {
  async function lab(spec: Partial<StatefulSetSpec> = {}): Promise<RunningControllers> {
    const run = runControllers(['statefulset', 'garbage-collector'], { config: { resources: [statefulSets, pods, persistentVolumeClaims, controllerRevisions] } });
    await run.api.create(statefulSets, set(spec));
    await run.start();
    return run;
  }
  const names = (run: RunningControllers): string[] => run.api.all(pods).map(({ metadata }) => metadata!.name!);
  /** One pod becomes ready, or one that is being deleted ends. */
  const step = async (run: RunningControllers): Promise<void> => {
    for (const own of run.api.all(pods)) {
      const name = own.metadata!.name!;
      if (own.metadata?.deletionTimestamp) await run.api.delete(pods, 'default', name, { gracePeriodSeconds: 0 });
      else if (!isReady(own)) {
        if (!own.spec?.nodeName) await run.api.bind('default', name, own.metadata!.uid!, 'node');
        await run.api.update(pods, { ...run.api.find(pods, 'default', name)!, status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: rfc3339(run.clock.now()) }] } }, 'status');
      } else continue;
      break;
    }
    await run.clock.advance(1000);
  };
  const settle = async (run: RunningControllers): Promise<void> => { for (let i = 0; i < 30; i++) await step(run); };
  const change = async (run: RunningControllers, spec: object): Promise<void> => {
    await run.api.patch(statefulSets, 'default', 'db', 'merge', { spec });
    await run.clock.advance(0);
  };
  const image = (name: string): object => ({ template: { spec: { containers: [{ name: 'c', image: name }] } } });
  const images = (run: RunningControllers): string[] => run.api.all(pods).map((own) => `${own.metadata?.name ?? ''} ${own.spec?.containers[0]?.image ?? ''}`).sort((a, b) => (a < b ? -1 : 1));

  it('makes pods one after the other, scales, and reports', async () => {
    const run = await lab();
    expect(names(run)).toEqual(['db-0']);
    await step(run);
    expect(names(run)).toEqual(['db-0', 'db-1']);
    await settle(run);
    expect(names(run)).toEqual(['db-0', 'db-1', 'db-2']);
    const { status } = run.api.all(statefulSets)[0]!;
    expect(status).toEqual({ observedGeneration: 1, replicas: 3, readyReplicas: 3, availableReplicas: 3, currentReplicas: 3, updatedReplicas: 3, currentRevision: status?.updateRevision, updateRevision: expect.stringMatching(/^db-\w+$/), collisionCount: 0 });
    expect(run.api.recorded[0]).toBe('statefulset-controller: StatefulSet/db Normal SuccessfulCreate: create Pod db-0 in StatefulSet db successful');
    await change(run, { replicas: 1 });
    await settle(run);
    expect(names(run)).toEqual(['db-0']);
    await run.stop();
  });

  it('updates from the last, keeps a partition, rolls back, and keeps revisions', async () => {
    const run = await lab({ revisionHistoryLimit: 1 });
    await settle(run);
    await change(run, { updateStrategy: { rollingUpdate: { partition: 2 } }, ...image('db:2') });
    await settle(run);
    expect(images(run)).toEqual(['db-0 db:1', 'db-1 db:1', 'db-2 db:2']);
    const { status } = run.api.all(statefulSets)[0]!;
    expect([status?.currentReplicas, status?.updatedReplicas, status?.currentRevision === status?.updateRevision]).toEqual([2, 1, false]);
    await run.api.delete(pods, 'default', 'db-0');
    await settle(run);
    expect(images(run)).toEqual(['db-0 db:1', 'db-1 db:1', 'db-2 db:2']);
    await change(run, { updateStrategy: { rollingUpdate: { partition: 0 } } });
    await settle(run);
    expect(images(run)).toEqual(['db-0 db:2', 'db-1 db:2', 'db-2 db:2']);
    await change(run, image('db:1'));
    await settle(run);
    expect(images(run)).toEqual(['db-0 db:1', 'db-1 db:1', 'db-2 db:1']);
    expect(run.api.all(controllerRevisions).map((r) => r.revision)).toEqual([3, 2]);
    for (const version of ['db:3', 'db:4']) { await change(run, image(version)); await settle(run); }
    expect(run.api.all(controllerRevisions).map((r) => r.revision).sort((a, b) => a - b)).toEqual([4, 5]);
    await run.stop();
  });

  it('gives each pod its claims, and keeps them', async () => {
    const run = await lab({ replicas: 2, volumeClaimTemplates: [{ metadata: { name: 'data' }, spec: { accessModes: ['ReadWriteOnce'] } }] });
    await settle(run);
    const claims = (): (string | undefined)[] => run.api.all(persistentVolumeClaims).map(({ metadata }) => metadata?.name);
    expect(claims()).toEqual(['data-db-0', 'data-db-1']);
    expect(run.api.all(persistentVolumeClaims)[0]).toMatchObject({ metadata: { labels: { app: 'db' } }, spec: { accessModes: ['ReadWriteOnce'] } });
    await change(run, { replicas: 1 });
    await settle(run);
    expect(claims()).toEqual(['data-db-0', 'data-db-1']);
    await run.stop();
  });

  it('lets claims go with pods, or with the set, as it is told', async () => {
    const run = await lab({ replicas: 2, persistentVolumeClaimRetentionPolicy: { whenScaled: 'Delete', whenDeleted: 'Delete' }, volumeClaimTemplates: [{ metadata: { name: 'data' } }] });
    await settle(run);
    const owners = (): unknown => run.api.all(persistentVolumeClaims).map(({ metadata }) => [metadata?.name, metadata?.ownerReferences?.[0]?.kind]);
    expect(owners()).toEqual([['data-db-0', 'StatefulSet'], ['data-db-1', 'StatefulSet']]);
    await change(run, { replicas: 1 });
    await settle(run);
    expect(owners()).toEqual([['data-db-0', 'StatefulSet']]);
    await change(run, { replicas: 2 });
    await settle(run);
    expect(owners()).toEqual([['data-db-0', 'StatefulSet'], ['data-db-1', 'StatefulSet']]);
    await run.api.delete(statefulSets, 'default', 'db');
    await settle(run);
    expect([owners(), names(run)]).toEqual([[], []]);
    await run.stop();
  });
});

import { expect, it } from 'vitest';
import type { Pod, ReplicationController } from '#api/gen/types.ts';
import { pods, replicationControllers } from '#api/kinds/resources.ts';
import { runControllers } from '#test/support/run-controllers.ts';

it('keeps the pods of a ReplicationController, adopts and releases, and reports', async () => {
  const lab = runControllers(['replication', 'replicaset']);
  const controller: ReplicationController = {
    metadata: { name: 'old', namespace: 'default' },
    spec: { replicas: 2, selector: { app: 'old' }, template: { metadata: { labels: { app: 'old', tier: 'one' } }, spec: { containers: [{ name: 'c', image: 'i' }] } } },
  };
  await lab.api.create<Pod>(pods, { metadata: { name: 'stray', namespace: 'default', labels: { app: 'old' } }, spec: { containers: [] } });
  await lab.api.create(replicationControllers, controller);
  await lab.start();
  const owned = (): Pod[] => lab.api.all(pods).filter(({ metadata }) => metadata?.ownerReferences?.[0]?.kind === 'ReplicationController');
  expect(owned().map(({ metadata }) => metadata?.labels)).toEqual([{ app: 'old' }, { app: 'old', tier: 'one' }]);
  expect(owned()[1]?.metadata?.ownerReferences).toMatchObject([{ apiVersion: 'v1', name: 'old', controller: true }]);
  expect(lab.api.recorded).toEqual([expect.stringMatching(/^replication-controller: ReplicationController\/old Normal SuccessfulCreate: Created pod: old-/)]);
  expect(lab.api.all(replicationControllers)[0]?.status).toEqual({ replicas: 2, fullyLabeledReplicas: 1, observedGeneration: 1 });
  await lab.api.patch(pods, 'default', 'stray', 'merge', { metadata: { labels: { app: 'mine' } } });
  await lab.clock.advance(0);
  expect(lab.api.find(pods, 'default', 'stray')?.metadata?.ownerReferences).toBeUndefined();
  expect(owned()).toHaveLength(2);
  await lab.api.patch(replicationControllers, 'default', 'old', 'merge', { spec: { replicas: 0 } });
  await lab.clock.advance(0);
  expect(owned()).toEqual([]);
  expect(lab.api.all(replicationControllers)[0]?.status).toEqual({ replicas: 0, observedGeneration: 2 });
  await lab.stop();
});

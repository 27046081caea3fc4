import { expect, it } from 'vitest';
import type { Pod } from '#api/gen/types.ts';
import { persistentVolumeClaims, pods } from '#api/kinds/resources.ts';
import { runControllers } from '#test/support/run-controllers.ts';

const spec = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } };
const pod = (name: string, more: Pod['metadata'] = {}): Pod => ({ metadata: { name, namespace: 'default', ...more }, spec: { containers: [], volumes: [{ name: 'scratch', ephemeral: { volumeClaimTemplate: { metadata: { labels: { a: 'b' } }, spec } } }, { name: 'x', emptyDir: {} }] } });

it('a pod gets a claim of its own, again when that goes, and none of another', async () => {
  const { api, clock, start, stop } = runControllers(['ephemeral-volume']);
  const made = await api.create(pods, pod('p'));
  await start();
  const expected = { metadata: { name: 'p-scratch', labels: { a: 'b' }, ownerReferences: [{ kind: 'Pod', name: 'p', uid: made.metadata?.uid, controller: true }] }, spec };
  expect(api.all(persistentVolumeClaims)).toMatchObject([expected]);
  await api.delete(persistentVolumeClaims, 'default', 'p-scratch');
  await clock.advance(0);
  expect(api.all(persistentVolumeClaims)).toMatchObject([expected]);
  await api.create(persistentVolumeClaims, { metadata: { name: 'q-scratch', namespace: 'default' }, spec });
  await api.create(pods, pod('q'));
  await clock.advance(0);
  expect(api.recorded).toEqual(['ephemeral_volume: Pod/q Warning FailedBinding: PVC default/q-scratch was not created for pod default/q (pod is not owner)']);
  expect(api.all(persistentVolumeClaims)).toHaveLength(2);
  await stop();
});

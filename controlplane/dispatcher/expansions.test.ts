import { expect, it } from 'vitest';
import type { PersistentVolume, PersistentVolumeClaim, Pod } from '#api/gen/types.ts';
import { persistentVolumeClaims, persistentVolumes, pods } from '#api/kinds/resources.ts';
import { ManualClock } from '#common/clock.ts';
import { FakeApi } from '#test/support/fake-api.ts';
import { afterExpansion, storeExpansions } from './expansions.ts';

const pending = { type: 'FileSystemResizePending', status: 'True' };
const claim = (status: PersistentVolumeClaim['status'] = {}): PersistentVolumeClaim => ({ metadata: { name: 'c', namespace: 'default', uid: 'u' }, spec: { volumeName: 'v' }, status: { phase: 'Bound', capacity: { storage: '1Gi' }, ...status } });
const volume = (storage: string): PersistentVolume => ({ metadata: { name: 'v' }, spec: { capacity: { storage }, claimRef: { name: 'c', namespace: 'default', uid: 'u' } } });

it.each<[string, PersistentVolumeClaim['status'], PersistentVolume, object, object]>([
  ['that it has grown', { conditions: [pending, { type: 'Odd', status: 'True' }], allocatedResources: { storage: '2Gi' }, allocatedResourceStatuses: { storage: 'NodeResizePending' } }, volume('2Gi'), { capacity: '2Gi' },
    { phase: 'Bound', capacity: { storage: '2Gi' }, allocatedResources: { storage: '2Gi' }, conditions: [{ type: 'Odd', status: 'True' }] }],
  ['that it has grown by a part', { conditions: [pending] }, volume('3Gi'), { capacity: '2Gi' }, { phase: 'Bound', capacity: { storage: '2Gi' }, conditions: [pending] }],
  ['that it could not', { allocatedResourceStatuses: { storage: 'NodeResizePending' } }, volume('2Gi'), { capacity: '2Gi', error: 'no' },
    { phase: 'Bound', capacity: { storage: '1Gi' }, conditions: [{ type: 'NodeResizeError', status: 'True', message: 'failed to expand pvc with no', lastTransitionTime: '1970-01-01T00:00:00Z' }], allocatedResourceStatuses: { storage: 'NodeResizeInProgress' } }],
  ['that it never will', {}, volume('2Gi'), { capacity: '2Gi', error: 'no', infeasible: true }, { allocatedResourceStatuses: { storage: 'NodeResizeInfeasible' } }],
  ['nothing that it is not', {}, volume('1Gi'), { capacity: '9Gi' }, { phase: 'Bound', capacity: { storage: '1Gi' } }],
  ['nothing old', { capacity: { storage: '5Gi' } }, volume('5Gi'), { capacity: '2Gi', error: 'no' }, { phase: 'Bound', capacity: { storage: '5Gi' } }],
])('a claim is told %s', (_, status, of, said, wanted) => {
  const { status: after } = afterExpansion(claim(status), of, { volume: 'v', capacity: '', ...said }, 0);
  expect(after).toMatchObject(wanted);
  if (!('error' in said)) expect(after).toEqual(wanted);
});

it('only nodes that use a volume speak of it; the claim tells it, too', async () => {
  const api = new FakeApi({ clock: new ManualClock() });
  const deps = { api, events: api.events };
  await api.create(persistentVolumes, volume('2Gi'));
  const { metadata } = await api.create(persistentVolumeClaims, claim());
  await api.update(persistentVolumes, { ...volume('2Gi'), spec: { ...volume('2Gi').spec, claimRef: { name: 'c', namespace: 'default', uid: metadata?.uid } } });
  const pod: Pod = { metadata: { name: 'p', namespace: 'default' }, spec: { nodeName: 'a', containers: [], volumes: [{ name: 'x', persistentVolumeClaim: { claimName: 'c' } }] } };
  const size = (): string | undefined => api.find(persistentVolumeClaims, 'default', 'c')?.status?.capacity?.['storage'];
  await storeExpansions(deps, 'a', [{ volume: 'v', capacity: '2Gi' }], 0);
  expect([size(), api.recorded]).toEqual(['1Gi', []]);
  await api.create(pods, pod);
  for (let i = 0; i < 2; i++) await storeExpansions(deps, 'a', [{ volume: 'gone', capacity: '1Gi' }, { volume: 'v', capacity: '2Gi' }], 0);
  expect([size(), api.recorded]).toEqual(['2Gi', ['test: PersistentVolumeClaim/c Normal FileSystemResizeSuccessful: MountVolume.NodeExpandVolume succeeded for volume "v" a']]);
});

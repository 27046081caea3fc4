import { describe, expect, it } from 'vitest';
import type { PersistentVolume, PersistentVolumeClaim, StorageClass } from '#api/gen/types.ts';
import { nodes, persistentVolumeClaims, persistentVolumes, storageClasses } from '#api/kinds/resources.ts';
import { findVolume } from '#api/volumes/binding.ts';
import { StatusError } from '#common/errors.ts';
import { runControllers } from '#test/support/run-controllers.ts';
import { reconcileClaim, reconcileVolume } from './reconcile.ts';

const claim = (over: Partial<PersistentVolumeClaim['spec']> = {}, metadata: object = {}): PersistentVolumeClaim => ({
  metadata: { name: 'data', namespace: 'default', uid: 'c1', ...metadata }, spec: { accessModes: ['ReadWriteOnce'], storageClassName: 'slow', resources: { requests: { storage: '5Gi' } }, ...over }, status: { phase: 'Pending' },
});
const volume = (name: string, storage = '10Gi', over: Partial<PersistentVolume['spec']> = {}, more: Partial<PersistentVolume> = {}): PersistentVolume => ({
  metadata: { name, labels: { tier: name } }, spec: { accessModes: ['ReadWriteOnce', 'ReadOnlyMany'], capacity: { storage }, storageClassName: 'slow', hostPath: { path: '/x' }, ...over }, status: { phase: 'Available' }, ...more,
});
const ref = { name: 'data', namespace: 'default' };

it.each<[string, PersistentVolumeClaim, PersistentVolume[], string | undefined]>([
  ['the smallest that is large enough', claim(), [volume('a', '20Gi'), volume('b', '5Gi'), volume('c', '1Gi')], 'b'],
  ['one with all the modes', claim({ accessModes: ['ReadWriteMany'] }), [volume('a'), volume('b', '50Gi', { accessModes: ['ReadWriteMany'] })], 'b'],
  ['one of the class', claim({ storageClassName: '' }), [volume('a'), volume('b', '50Gi', { storageClassName: undefined })], 'b'],
  ['one that the selector selects', claim({ selector: { matchLabels: { tier: 'b' } } }), [volume('a'), volume('b', '50Gi')], 'b'],
  ['the one reserved for it', claim(), [volume('a', '5Gi'), volume('b', '50Gi', { claimRef: ref })], 'b'],
  ['none that another has', claim(), [volume('a', '5Gi', { claimRef: { ...ref, uid: 'c0' } }), volume('b', '5Gi', { claimRef: { ...ref, name: 'x' } })], undefined],
  ['none of another mode', claim({ volumeMode: 'Block' }), [volume('a')], undefined],
  ['none that was released', claim(), [volume('a', '5Gi', {}, { status: { phase: 'Released' } })], undefined],
])('a claim takes %s', (_, wanted, all, name) => { expect(findVolume(wanted, all)?.metadata?.name).toBe(name); });

describe('volumes', () => {
  const bound = volume('a', '10Gi', { claimRef: { ...ref, uid: 'c1' } });
  const phaseOf = (object: PersistentVolume, of?: PersistentVolumeClaim): unknown => reconcileVolume(object, of, 0).actions.map((action) => (action.type === 'update' ? (action.object as PersistentVolume).status?.phase : action.type === 'event' ? action.reason : action.type));
  const released = (policy: string, marks: object = {}): PersistentVolume => ({ ...bound, metadata: { name: 'a', annotations: { ...marks } }, spec: { ...bound.spec, persistentVolumeReclaimPolicy: policy }, status: { phase: 'Released' } });
  it('say what they are', () => {
    expect(phaseOf({ ...volume('a'), status: { phase: 'Pending' } })).toEqual(['Available']);
    expect(phaseOf(bound, claim({ volumeName: 'a' }))).toEqual(['Bound']);
    expect(phaseOf(bound)).toEqual(['Released']);
    expect(phaseOf(released('Retain'))).toEqual([]);
    expect(phaseOf(released('Delete'))).toEqual(['Failed', 'VolumeFailedDelete']);
    expect(phaseOf(released('Recycle'))).toEqual(['Failed', 'VolumeFailedRecycle']);
    expect(reconcileVolume(released('Delete', { 'pv.kubernetes.io/provisioned-by': 'cleat.dev/local-path' }), undefined, 0)).toEqual({ actions: [], reclaim: true });
    expect(reconcileVolume(released('Delete', { 'pv.kubernetes.io/provisioned-by': 'a/b' }), undefined, 0)).toEqual({ actions: [], reclaim: false });
  });
});

describe('claims that are to grow', () => {
  const bound = (request: string, status: PersistentVolumeClaim['status'] = {}): PersistentVolumeClaim => ({
    ...claim({ volumeName: 'a', resources: { requests: { storage: request } } }, { annotations: { 'pv.kubernetes.io/bind-completed': 'yes' } }), status: { phase: 'Bound', accessModes: ['ReadWriteOnce', 'ReadOnlyMany'], capacity: { storage: '5Gi' }, ...status },
  });
  const held = (size: string, by: string): PersistentVolume => volume('a', size, { claimRef: { ...ref, uid: 'c1' } }, { metadata: { name: 'a', annotations: { 'pv.kubernetes.io/provisioned-by': by } } });
  const done = (of: PersistentVolumeClaim, on: PersistentVolume): unknown[] => reconcileClaim({ claim: of, volumes: [on], storageClass: undefined, node: () => undefined }).map((action) => {
    if (action.type === 'event') return action.reason;
    const { spec, status } = (action as { object: PersistentVolume & PersistentVolumeClaim }).object;
    return status?.capacity ?? spec?.capacity;
  });
  it.each<[string, PersistentVolumeClaim, PersistentVolume, unknown[]]>([
    ['have what they ask for', bound('5Gi'), held('9Gi', 'a/b'), []],
    ["wait for their driver's resizer", bound('7Gi'), held('5Gi', 'a/b'), ['ExternalExpanding']],
    ['are left to it', bound('7Gi', { conditions: [{ type: 'Resizing', status: 'True' }] }), held('5Gi', 'a/b'), []],
    ['and to the node', bound('7Gi', { allocatedResourceStatuses: { storage: 'NodeResizePending' } }), held('7Gi', 'a/b'), []],
    ['grow at once in a directory: first the volume', bound('7Gi'), held('5Gi', 'cleat.dev/local-path'), [{ storage: '7Gi' }]],
    ['then the claim', bound('7Gi'), held('7Gi', 'cleat.dev/local-path'), [{ storage: '7Gi' }, 'VolumeResizeSuccessful']],
  ])('%s', (_, of, on, wanted) => { expect(done(of, on)).toEqual(wanted); });
});

describe('claims without a volume', () => {
  const storageClass = (provisioner: string, volumeBindingMode = 'Immediate'): StorageClass => ({ metadata: { name: 'slow' }, provisioner, volumeBindingMode });
  const marked = { annotations: { 'volume.kubernetes.io/storage-provisioner': 'cleat.dev/local-path' } };
  const said = (of: PersistentVolumeClaim, given?: StorageClass): string[] => reconcileClaim({ claim: of, volumes: [], storageClass: given, node: () => ({ name: 'n', hostname: 'h' }) }).map((action) => (action.type === 'event' ? action.reason : action.type));
  it.each<[string, PersistentVolumeClaim, StorageClass | undefined, string[]]>([
    ['no class', claim({ storageClassName: '' }), undefined, ['FailedBinding']],
    ['a class that is not there', claim(), undefined, ['ProvisioningFailed']],
    ['a class that waits', claim(), storageClass('cleat.dev/local-path', 'WaitForFirstConsumer'), ['WaitForFirstConsumer']],
    ['a class without a provisioner', claim(), storageClass('kubernetes.io/no-provisioner'), ['FailedBinding']],
    ['another provisioner', claim({}, { annotations: { 'volume.kubernetes.io/storage-provisioner': 'a/b' } }), storageClass('a/b'), ['ExternalProvisioning']],
    ['our own', claim({}, marked), storageClass('cleat.dev/local-path'), ['create', 'ProvisioningSucceeded']],
    ['our own, and too much asked', claim({ accessModes: ['ReadWriteMany'] }, marked), storageClass('cleat.dev/local-path'), ['ProvisioningFailed']],
  ])('with %s', (_, of, given, reasons) => { expect(said(of, given)).toEqual(reasons); });
});

it('a claim is bound, and its volume removed after it once the node answers', async () => {
  const removed: string[] = [];
  let away = true;
  const remove = (node: string, name: string): Promise<void> => {
    if (away) return Promise.reject(new StatusError('ServiceUnavailable', 'node n is not connected'));
    removed.push(`${node}/${name}`);
    return Promise.resolve();
  };
  const { api, clock, start, stop } = runControllers(['persistent-volume-binder'], { config: { nodeVolumes: { remove } } });
  await api.create(nodes, { metadata: { name: 'n', labels: { 'kubernetes.io/hostname': 'h' } }, status: { conditions: [{ type: 'Ready', status: 'True' }] } });
  await api.create(storageClasses, { metadata: { name: 'slow' }, provisioner: 'cleat.dev/local-path', reclaimPolicy: 'Delete' });
  await start();
  const made = await api.create(persistentVolumeClaims, claim());
  await clock.advance(0);
  const name = `pvc-${made.metadata?.uid ?? ''}`;
  expect(api.find(persistentVolumeClaims, 'default', 'data')).toMatchObject({ spec: { volumeName: name }, status: { phase: 'Bound', capacity: { storage: '5Gi' } } });
  expect(api.all(persistentVolumes)).toMatchObject([{ metadata: { name }, spec: { nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [{ values: ['h'] }] }] } } }, status: { phase: 'Bound' } }]);
  await api.delete(persistentVolumeClaims, 'default', 'data');
  await clock.advance(0);
  expect(api.all(persistentVolumes)).toMatchObject([{ status: { phase: 'Released' } }]);
  expect(api.recorded.at(-1)).toBe(`persistentvolume-controller: PersistentVolume/${name} Warning VolumeFailedDelete: node n is not connected`);
  away = false;
  await clock.advance(30_000);
  expect([removed, api.all(persistentVolumes)]).toEqual([[`n/${name}`], []]);
  await stop();
});

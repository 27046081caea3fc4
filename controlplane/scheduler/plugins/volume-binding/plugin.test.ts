import { describe, expect, it } from 'vitest';
import type { PersistentVolume, PersistentVolumeClaim, StorageClass } from '#api/gen/types.ts';
import { persistentVolumeClaims, persistentVolumes, storageClasses } from '#api/kinds/resources.ts';
import { ManualClock } from '#common/clock.ts';
import { FakeApi, FakeInformers } from '#test/support/fake-api.ts';
import { SchedulerCache } from '../../cache.ts';
import { podInfo } from '../../pod-info.ts';
import { node, pod as makePod } from '../../testing.ts';
import { CycleState, type PodInfo } from '../../types.ts';
import { volumeBinding } from './plugin.ts';

const bound = { 'pv.kubernetes.io/bind-completed': 'yes' };
const claim = (name: string, over: Partial<PersistentVolumeClaim['spec']> = {}, more: Partial<PersistentVolumeClaim> = {}): PersistentVolumeClaim => ({ metadata: { name, namespace: 'default', ...more.metadata }, spec: { storageClassName: 'late', accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, ...over }, status: more.status });
const at = (...names: string[]): PersistentVolume['spec'] => ({ nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: names }] }] } } });
const volume = (name: string, over: PersistentVolume['spec'] = {}): PersistentVolume => ({ metadata: { name }, spec: { storageClassName: 'late', accessModes: ['ReadWriteOnce'], capacity: { storage: '1Gi' }, ...over }, status: { phase: 'Available' } });
const pod = (...claims: string[]): PodInfo => podInfo(makePod({ name: `p-${claims.join('-')}`, spec: { volumes: claims.map((claimName) => ({ name: claimName, persistentVolumeClaim: { claimName } })) } }));

async function lab(claims: PersistentVolumeClaim[], volumes: PersistentVolume[], classes: StorageClass[] = [{ metadata: { name: 'late' }, provisioner: 'a/b', volumeBindingMode: 'WaitForFirstConsumer' }, { metadata: { name: 'static' }, provisioner: 'kubernetes.io/no-provisioner', volumeBindingMode: 'WaitForFirstConsumer' }]) {
  const clock = new ManualClock();
  const api = new FakeApi({ clock });
  for (const one of claims) await api.create(persistentVolumeClaims, one);
  for (const one of volumes) await api.create(persistentVolumes, one);
  for (const one of classes) await api.create(storageClasses, one);
  const informers = new FakeInformers(api);
  const plugin = volumeBinding({ api, clock, storage: { claims: informers.informer(persistentVolumeClaims), volumes: informers.informer(persistentVolumes), classes: informers.informer(storageClasses) } });
  const snapshot = new SchedulerCache({ namespaces: { get: () => undefined }, random: () => 0.999 });
  for (const name of ['n1', 'n2']) snapshot.setNode(node(name));
  /** By node, why not; or why on none. */
  const fits = (info: PodInfo, state = new CycleState()): unknown => {
    const before = plugin.preFilter?.(info, snapshot, state);
    if (before !== undefined) return typeof before === 'object' && 'rejection' in before ? before.rejection.reasons[0] : before;
    return snapshot.nodes.map((one) => plugin.filter?.(info, one, state)?.reasons[0] ?? one.name);
  };
  return { api, clock, plugin, fits };
}

const conflict = "node(s) didn't match PersistentVolume's node affinity";
const none = "node(s) didn't find available persistent volumes to bind";

describe('volume binding', () => {
  it.each<[string, PersistentVolumeClaim[], PersistentVolume[], unknown]>([
    ['a claim that is not there', [], [], 'persistentvolumeclaim "a" not found'],
    ['a claim that goes away', [claim('a', {}, { metadata: { deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: ['x/y'] } })], [], 'persistentvolumeclaim "a" is being deleted'],
    ['a claim that does not wait for the pod', [claim('a', { storageClassName: 'other' })], [], 'pod has unbound immediate PersistentVolumeClaims'],
    ['a volume on one node', [claim('a', { volumeName: 'v' }, { metadata: { annotations: bound } })], [volume('v', at('n2'))], [conflict, 'n2']],
    ['a volume that is lost', [claim('a', { volumeName: 'v' }, { metadata: { annotations: bound } })], [], ['node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)', 'node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)']],
    ['a volume to choose on one node', [claim('a', { storageClassName: 'static' })], [volume('v', { ...at('n1'), storageClassName: 'static' })], ['n1', none]],
    ['a volume that is made anywhere', [claim('a')], [], ['n1', 'n2']],
    ['a volume that is being made elsewhere', [claim('a', {}, { metadata: { annotations: { 'volume.kubernetes.io/selected-node': 'n2' } } })], [], [none, 'n2']],
  ])('knows where a pod may go with %s', async (_, claims, volumes, expected) => { expect((await lab(claims, volumes)).fits(pod('a'))).toEqual(expected); });

  it("gives a pod that is to have a claim of its own nobody else's of that name", async () => {
    const own = podInfo(makePod({ name: 'web', spec: { volumes: [{ name: 'data', ephemeral: { volumeClaimTemplate: { spec: {} } } }] } }));
    expect((await lab([claim('web-data')], [])).fits(own)).toBe('PVC default/web-data was not created for pod default/web (pod is not owner)');
    expect((await lab([claim('web-data', {}, { metadata: { ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'web', uid: own.uid, controller: true }] } })], [])).fits(own)).toEqual(['n1', 'n2']);
  });

  it('has nothing to say of pods without claims', async () => { expect((await lab([], [])).fits(pod())).toBe('skip'); });

  it('gives a volume to one pod only', async () => {
    const { plugin, fits } = await lab([claim('a', { storageClassName: 'static' }), claim('b', { storageClassName: 'static' })], [volume('v', { ...at('n1'), storageClassName: 'static' })]);
    expect(fits(pod('a', 'b'))).toEqual([none, none]);
    const state = new CycleState();
    fits(pod('a'), state);
    plugin.reserve?.(pod('a'), 'n1', state);
    expect(fits(pod('b'))).toEqual([none, none]);
    plugin.unreserve?.(pod('a'), 'n1', state);
    expect(fits(pod('b'))).toEqual(['n1', none]);
  });

  it('says where volumes are to be made, and waits until they are', async () => {
    const { api, clock, plugin, fits } = await lab([claim('a')], []);
    const state = new CycleState();
    fits(pod('a'), state);
    let done = false;
    const waiting = plugin.preBind?.(pod('a'), 'n1', state, AbortSignal.timeout(5000)).then(() => { done = true; });
    await clock.advance(0);
    const found = await api.get(persistentVolumeClaims, 'default', 'a');
    expect([found.metadata?.annotations, done]).toEqual([{ 'volume.kubernetes.io/selected-node': 'n1' }, false]);
    await api.create(persistentVolumes, volume('v', { claimRef: { name: 'a', namespace: 'default', uid: found.metadata?.uid } }));
    await api.update(persistentVolumeClaims, { ...found, metadata: { ...found.metadata, annotations: bound }, spec: { ...found.spec, volumeName: 'v' } });
    await waiting;
    expect(done).toBe(true);
  });
});

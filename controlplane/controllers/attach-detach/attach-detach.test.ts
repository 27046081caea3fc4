import { describe, expect, it } from 'vitest';
import type { CSIDriver, Node, PersistentVolume, Pod, VolumeAttachment } from '#api/gen/types.ts';
import { attachmentName } from '#api/volumes/csi.ts';
import { lostNodeMs, reconcileVolume, type VolumeSnapshot } from './reconcile.ts';

const driver = 'd.example.com';
const volume: PersistentVolume = { metadata: { name: 'v' }, spec: { accessModes: ['ReadWriteOnce'], csi: { driver, volumeHandle: 'h' } } };
const shared: PersistentVolume = { ...volume, spec: { ...volume.spec, accessModes: ['ReadWriteMany'] } };
const on = (nodeName: string): Pod => ({ metadata: { name: `on-${nodeName}` }, spec: { nodeName, containers: [] } });
const to = (nodeName: string, metadata: object = {}): VolumeAttachment => ({ metadata: { name: attachmentName(driver, 'h', nodeName), ...metadata }, spec: { attacher: driver, nodeName, source: { persistentVolumeName: 'v' } } });
const at = '2026-01-01T00:00:00Z';
const using = (ready: string, taints: { key: string; effect: string }[] = []): Node => ({ metadata: { name: 'a' }, spec: { taints }, status: { volumesInUse: [`kubernetes.io/csi/${driver}^h`], conditions: [{ type: 'Ready', status: ready, lastTransitionTime: at }] } });
const idle: Node = { metadata: { name: 'a' }, status: {} };

function decide(change: Partial<VolumeSnapshot>): unknown {
  const { actions, afterMs } = reconcileVolume({ volume, driver: undefined, pods: [], attachments: [], node: () => idle, nowMs: Date.parse(at) + 1000, ...change });
  const text = actions.map((action) => (action.type === 'event' ? `${action.reason} ${action.message}` : action.type === 'create' || action.type === 'delete' ? `${action.type} ${(action.object as VolumeAttachment).spec.nodeName}` : action.type));
  return afterMs === undefined ? text : [...text, afterMs];
}

describe('volumes', () => {
  const multi = 'FailedAttachVolume Multi-Attach error for volume "v" Volume is already exclusively attached to one node and can\'t be attached to another';
  it.each<[string, Partial<VolumeSnapshot>, unknown]>([
    ['are attached where a pod needs them', { pods: [on('a'), on('a')] }, ['create a']],
    ['are attached once', { pods: [on('a')], attachments: [to('a')] }, []],
    ['are not attached where the driver does not ask for it', { pods: [on('a')], driver: { metadata: { name: driver }, spec: { attachRequired: false } } satisfies CSIDriver }, []],
    ['of another kind are not attached', { volume: { metadata: { name: 'v' }, spec: { local: { path: '/x' } } }, pods: [on('a')] }, []],
    ['go to one node at a time', { pods: [on('b')], attachments: [to('a')], node: () => using('True') }, [multi]],
    ['of two nodes that want them go to one', { pods: [on('a'), on('b')] }, ['create a', multi]],
    ['that may be shared go to all', { volume: shared, pods: [on('a'), on('b')] }, ['create a', 'create b']],
    ['are detached where no pod needs them', { attachments: [to('a')] }, ['delete a']],
    ['that are being detached are waited for', { pods: [on('a')], attachments: [to('a', { deletionTimestamp: at })] }, []],
    ['stay where they are mounted', { attachments: [to('a')], node: () => using('True') }, []],
    ['are taken from a node that is lost for long', { attachments: [to('a')], node: () => using('Unknown') }, [lostNodeMs - 1000]],
    ['are taken from a node that is lost for too long', { attachments: [to('a')], node: () => using('Unknown'), nowMs: Date.parse(at) + lostNodeMs }, ['delete a']],
    ['are taken from a node that is said to be out of service', { attachments: [to('a')], node: () => using('Unknown', [{ key: 'node.kubernetes.io/out-of-service', effect: 'NoExecute' }]) }, ['delete a']],
    ['are taken from a node that is no more', { attachments: [to('a')], node: () => undefined }, ['delete a']],
    ['that are gone are detached', { volume: undefined, attachments: [to('a')] }, ['delete a']],
    ['that somebody else attached stay', { attachments: [to('a', { name: 'by-hand' })] }, []],
    ['that are gone stay where one of the driver is mounted', { volume: undefined, attachments: [to('a')], node: () => using('True') }, []],
  ])('%s', (_name, change, expected) => { expect(decide(change)).toEqual(expected); });
});

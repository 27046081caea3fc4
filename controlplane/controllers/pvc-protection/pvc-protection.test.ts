import { describe, expect, it } from 'vitest';
import type { PersistentVolumeClaim, Pod } from '#api/gen/types.ts';
import { claimsOf, reconcileClaim } from './reconcile.ts';

const claim = (metadata: object): PersistentVolumeClaim => ({ metadata: { name: 'data', namespace: 'default', ...metadata } });
const pod = (nodeName?: string): Pod => ({ metadata: { name: 'p', namespace: 'default' }, spec: { nodeName, containers: [], volumes: [{ name: 'a', persistentVolumeClaim: { claimName: 'data' } }, { name: 'b', ephemeral: {} }, { name: 'c', emptyDir: {} }] } });
const finalizers = (object: PersistentVolumeClaim, users: Pod[]): unknown => reconcileClaim(object, users).map((action) => (action.type === 'update' ? action.object.metadata?.finalizers : action));
const gone = { deletionTimestamp: '2026-01-01T00:00:00Z' };
const mine = 'kubernetes.io/pvc-protection';

describe('protection of claims', () => {
  it('lasts as long as a pod on a node mounts them', () => {
    expect(claimsOf(pod())).toEqual(['default/data', 'default/p-b']);
    expect(finalizers(claim({ ...gone, finalizers: [mine, 'x/y'] }), [pod('node')])).toEqual([]);
    expect(finalizers(claim({ ...gone, finalizers: [mine, 'x/y'] }), [pod()])).toEqual([['x/y']]);
    expect(finalizers(claim({ ...gone, finalizers: ['x/y'] }), [])).toEqual([]);
    expect(finalizers(claim({}), [])).toEqual([[mine]]);
    expect(finalizers(claim({ finalizers: [mine] }), [])).toEqual([]);
  });
});

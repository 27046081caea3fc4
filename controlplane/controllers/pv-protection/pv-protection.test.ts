import { describe, expect, it } from 'vitest';
import { reconcileVolume } from './reconcile.ts';

const mine = 'kubernetes.io/pv-protection';
const finalizers = (metadata: object, phase?: string): unknown => reconcileVolume({ metadata: { name: 'v', ...metadata }, status: { phase } }).map((action) => (action.type === 'update' ? action.object.metadata?.finalizers : action));
const gone = { deletionTimestamp: '2026-01-01T00:00:00Z' };

describe('protection of volumes', () => {
  it('lasts as long as a claim is bound to them', () => {
    expect(finalizers({ ...gone, finalizers: [mine] }, 'Bound')).toEqual([]);
    expect(finalizers({ ...gone, finalizers: [mine, 'x/y'] }, 'Released')).toEqual([['x/y']]);
    expect(finalizers({}, 'Available')).toEqual([[mine]]);
  });
});

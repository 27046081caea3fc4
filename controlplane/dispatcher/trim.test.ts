import { describe, expect, it } from 'vitest';
import type { EndpointConditions } from '#api/gen/types.ts';
import { trimSlice } from './trim.ts';

describe('what nodes are sent of an EndpointSlice', () => {
  const trimmed = (conditions: EndpointConditions | undefined) => trimSlice({
    metadata: { name: 's', namespace: 'n', uid: 'u', resourceVersion: '9', labels: { a: 'b' }, ownerReferences: [] }, addressType: 'IPv4', ports: [{ port: 80 }],
    endpoints: [{ addresses: ['10.0.0.1'], nodeName: 'node', zone: 'z', hints: { forZones: [{ name: 'z' }] }, hostname: 'h', targetRef: { kind: 'Pod', namespace: 'n', name: 'p', uid: 'pod-uid' }, ...(conditions && { conditions }) }],
  });

  it('is all that routing and names are made from', () => {
    expect(trimmed({ ready: true, serving: true, terminating: false })).toEqual({
      metadata: { name: 's', namespace: 'n', labels: { a: 'b' } }, addressType: 'IPv4', ports: [{ port: 80 }],
      endpoints: [{ addresses: ['10.0.0.1'], nodeName: 'node', zone: 'z', hints: { forZones: [{ name: 'z' }] }, hostname: 'h', targetRef: { uid: 'pod-uid' } }],
    });
  });

  it.each<[EndpointConditions | undefined, EndpointConditions | undefined]>([
    [undefined, undefined],
    [{ ready: false, serving: false, terminating: false }, { ready: false }],
    [{ ready: false, serving: true, terminating: true }, { ready: false, serving: true, terminating: true }],
    [{ ready: true, serving: false, terminating: false }, { serving: false }],
    [{ ready: true }, undefined],
  ])('says %o as %o', (conditions, said) => { expect(trimmed(conditions).endpoints?.[0]?.conditions).toEqual(said); });
});

import { describe, expect, it } from 'vitest';
import type { IPAddress, Service } from '#api/gen/types.ts';
import { addressesOf, reconcileAddress } from './reconcile.ts';

const service = (name: string, spec: Service['spec'] = { clusterIP: '10.0.0.1', clusterIPs: ['10.0.0.1', '2001:db8::1'] }): Service => ({ metadata: { name, namespace: 'default' }, spec });
const address = (parent: string, managed = true): IPAddress => ({
  metadata: { name: '10.0.0.1', ...(managed && { labels: { 'ipaddress.kubernetes.io/managed-by': 'ipallocator.k8s.io' } }) }, spec: { parentRef: { resource: 'services', namespace: 'default', name: parent } },
});

describe('addresses of Services', () => {
  it('are those that are in use', () => {
    expect(addressesOf(service('a'))).toEqual(['10.0.0.1', '2001:db8::1']);
    expect(addressesOf(service('a', { clusterIP: 'None', clusterIPs: ['None'] }))).toEqual([]);
    expect(addressesOf(service('a', { type: 'ExternalName', externalName: 'x' }))).toEqual([]);
  });

  it('have an object each, and none is left of those that are gone', () => {
    expect(reconcileAddress('10.0.0.1', service('a'), undefined)).toMatchObject([{ type: 'create', object: { metadata: { name: '10.0.0.1', labels: { 'ipaddress.kubernetes.io/ip-family': 'IPv4' } }, spec: { parentRef: { group: '', resource: 'services', namespace: 'default', name: 'a' } } } }]);
    expect(reconcileAddress('10.0.0.1', service('a'), address('a'))).toEqual([]);
    expect(reconcileAddress('10.0.0.1', service('a'), address('b'))).toMatchObject([{ type: 'delete' }]);
    expect(reconcileAddress('10.0.0.1', undefined, address('a'))).toMatchObject([{ type: 'delete' }]);
    expect(reconcileAddress('10.0.0.1', undefined, address('a', false))).toEqual([]);
    expect(reconcileAddress('10.0.0.1', undefined, undefined)).toEqual([]);
  });
});

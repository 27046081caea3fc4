import { expect, it } from 'vitest';
import type { Endpoints, EndpointSlice, Service } from '#api/gen/types.ts';
import { endpoints as endpointsResource, endpointSlices, services } from '#api/kinds/resources.ts';
import { runControllers } from '#test/support/run-controllers.ts';
import { reconcileMirror } from './reconcile.ts';

const service: Service = { metadata: { name: 'db', namespace: 'default' }, spec: { ports: [{ port: 5432 }] } };
const endpoints = (over: Partial<Endpoints> = {}): Endpoints => ({
  metadata: { name: 'db', namespace: 'default', uid: 'e', labels: { a: 'b' }, annotations: { note: '1', 'kubectl.kubernetes.io/last-applied-configuration': '{}' } },
  subsets: [{ addresses: [{ ip: '192.0.2.1', hostname: 'one' }, { ip: '2001:db8::1' }], notReadyAddresses: [{ ip: '192.0.2.2' }], ports: [{ name: 'pg', port: 5432 }] }], ...over,
});
const written = (snapshot: Parameters<typeof reconcileMirror>[0]): EndpointSlice[] => reconcileMirror(snapshot).flatMap((action) => (action.type === 'create' ? [action.object as EndpointSlice] : []));

it('mirrors addresses by family and ports', () => {
  const [v4, v6, ...more] = written({ endpoints: endpoints(), service, slices: [] });
  expect(more).toEqual([]);
  expect(v4).toMatchObject({
    addressType: 'IPv4', ports: [{ name: 'pg', port: 5432, protocol: 'TCP' }],
    endpoints: [{ addresses: ['192.0.2.1'], conditions: { ready: true }, hostname: 'one' }, { addresses: ['192.0.2.2'], conditions: { ready: false } }],
    metadata: { generateName: 'db-', ownerReferences: [{ kind: 'Endpoints', name: 'db', uid: 'e', controller: true }] },
  });
  expect(v4?.metadata?.labels).toEqual({ 'a': 'b', 'kubernetes.io/service-name': 'db', 'endpointslice.kubernetes.io/managed-by': 'endpointslicemirroring-controller.k8s.io' });
  expect(v4?.metadata?.annotations).toEqual({ note: '1' });
  expect(v6).toMatchObject({ addressType: 'IPv6', endpoints: [{ addresses: ['2001:db8::1'] }] });
});

it.each<[string, Endpoints | undefined, Service | undefined]>([
  ['of Services with a selector', endpoints(), { ...service, spec: { selector: { app: 'db' } } }],
  ['without a Service', endpoints(), undefined],
  ['that ask not to be', endpoints({ metadata: { ...endpoints().metadata, labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' } } }), service],
  ['that elect a leader', endpoints({ metadata: { ...endpoints().metadata, annotations: { 'control-plane.alpha.kubernetes.io/leader': '{}' } } }), service],
  ['that are gone', undefined, service],
])('mirrors none %s, and removes what was', (_, given, of) => {
  const [slice = endpoints()] = written({ endpoints: endpoints(), service, slices: [] });
  expect(reconcileMirror({ endpoints: given, service: of, slices: [slice as EndpointSlice] })).toMatchObject([{ type: 'delete' }]);
});

it('follows changes with as few writes as may be', async () => {
  const lab = runControllers(['endpoint-slice-mirroring']);
  await lab.api.create(services, service);
  const made = await lab.api.create(endpointsResource, endpoints());
  await lab.start();
  const slices = () => lab.api.all(endpointSlices);
  expect(slices()).toHaveLength(2);
  const names = slices().map(({ metadata }) => metadata?.name);
  const subset = made.subsets?.[0];
  await lab.api.update(endpointsResource, { ...made, subsets: [{ ...subset, addresses: [{ ip: '192.0.2.9' }, { ip: '2001:db8::1' }] }] });
  await lab.clock.advance(0);
  expect(slices().map(({ metadata }) => metadata?.name)).toEqual(names);
  expect(slices()[0]?.endpoints).toMatchObject([{ addresses: ['192.0.2.9'] }, { addresses: ['192.0.2.2'] }]);
  const { revision } = lab.api;
  await lab.api.delete(services, 'default', 'db');
  await lab.clock.advance(0);
  expect([slices(), lab.api.revision - revision]).toEqual([[], 3]);
  await lab.stop();
});

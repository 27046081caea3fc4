import { describe, expect, it } from 'vitest';
import type { EndpointSlice, Node, Service, ServiceSpec } from '#api/gen/types.ts';
import { nodes, secrets, services } from '#api/kinds/resources.ts';
import { AddressPool } from '#api/load-balancer/pool.ts';
import { runControllers } from '#test/support/run-controllers.ts';
import { reconcileLoadBalancer, type LoadBalancerSnapshot } from './reconcile.ts';

const node = (name: string, { ready = 'True', labels = {}, addresses = [{ type: 'InternalIP', address: `10.0.0.${name}` }] as { type: string; address: string }[] } = {}): Node => ({
  metadata: { name, labels }, status: { addresses, conditions: [{ type: 'Ready', status: ready }] },
});
const service = (name: string, spec: Partial<ServiceSpec> = {}, at = '2026-01-01T00:00:00Z'): Service => ({
  metadata: { name, namespace: 'default', creationTimestamp: at }, spec: { type: 'LoadBalancer', clusterIP: '10.43.0.1', ports: [{ port: 80, protocol: 'TCP' }], ...spec },
});
const slice: EndpointSlice = { addressType: 'IPv4', endpoints: [{ addresses: ['10.42.0.1'], nodeName: '1' }, { addresses: ['10.42.1.1'], nodeName: '2', conditions: { ready: false } }] };
const decide = (one: Service, over: Partial<LoadBalancerSnapshot> = {}) => reconcileLoadBalancer({ service: one, nodes: [node('2'), node('1')], slices: [slice], others: [], reservedPorts: new Map([[6443, 'the API']]), ...over });
const ips = (actions: ReturnType<typeof decide>): unknown => actions.flatMap((action) => (action.type === 'update' ? [((action.object as Service).status?.loadBalancer?.ingress ?? []).map(({ ip }) => ip)] : []))[0];

describe('addresses of load balancers', () => {
  const both = [{ type: 'InternalIP', address: '10.0.0.9' }, { type: 'ExternalIP', address: '203.0.113.9' }, { type: 'InternalIP', address: 'fd00::9' }];
  it.each<[string, Service, Partial<LoadBalancerSnapshot>, unknown]>([
    ['are those of every host', service('web'), {}, ['10.0.0.1', '10.0.0.2']],
    ['are those of hosts with endpoints where the policy is Local', service('web', { externalTrafficPolicy: 'Local' }), {}, ['10.0.0.1']],
    ['leave out hosts that are not ready', service('web'), { nodes: [node('1'), node('2', { ready: 'Unknown' })] }, ['10.0.0.1']],
    ['leave out hosts that are labelled so', service('web'), { nodes: [node('1'), node('2', { labels: { 'node.kubernetes.io/exclude-from-external-load-balancers': '' } })] }, ['10.0.0.1']],
    ['are external ones where there are some', service('web'), { nodes: [node('9', { addresses: both })] }, ['203.0.113.9']],
    ['are of the families of the Service', service('web', { ipFamilies: ['IPv6', 'IPv4'] }), { nodes: [node('9', { addresses: both })] }, ['203.0.113.9', 'fd00::9']],
    ['are the one that is asked for', service('web', { loadBalancerIP: '10.0.0.2' }), {}, ['10.0.0.2']],
    ['are not for other classes', service('web', { loadBalancerClass: 'example.com/lb' }), {}, undefined],
    ['are not for other types', service('web', { type: 'NodePort' }), {}, undefined],
    ['go with the type', { ...service('web', { type: 'ClusterIP' }), status: { loadBalancer: { ingress: [{ ip: '10.0.0.1' }] } } }, {}, []],
    ['are shared by Services of other ports', service('web'), { others: [service('a', { ports: [{ port: 81 }] }), service('b', { ports: [{ port: 80, protocol: 'UDP' }] })] }, ['10.0.0.1', '10.0.0.2']],
    ['are for the first where ports clash', service('web'), { others: [service('x')] }, ['10.0.0.1', '10.0.0.2']],
  ])('%s', (_, one, over, expected) => { expect(ips(decide(one, over))).toEqual(expected); });

  it.each<[string, Service, readonly Service[], string]>([
    ['taken', service('web', {}, '2026-01-02T00:00:00Z'), [service('z')], 'port 80/TCP of every host is taken by Service default/z'],
    ['the API\'s', service('web', { ports: [{ port: 6443 }] }), [], "port 6443 of every host is the API's"],
  ])('are withheld, with a word, where a port is %s', (_, one, others, message) => {
    expect(decide(one, { others })).toMatchObject([{ type: 'event', severity: 'Warning', reason: 'SyncLoadBalancerFailed', message: expect.stringContaining(message) as string }]);
  });

  it('follow hosts and Services', async () => {
    const { api, clock, start, stop } = runControllers(['service-load-balancer'], { config: { loadBalancer: { reservedPorts: new Map() } } });
    const of = (name: string): unknown => api.find(services, 'default', name)?.status?.loadBalancer?.ingress?.map(({ ip }) => ip);
    await api.create(nodes, node('1'));
    await api.create(services, service('web'));
    await start();
    await api.create(services, service('other'));
    await clock.advance(0);
    expect([of('web'), of('other')]).toEqual([['10.0.0.1'], undefined]);
    await api.create(nodes, node('2'));
    await clock.advance(0);
    expect(of('web')).toEqual(['10.0.0.1', '10.0.0.2']);
    const written = api.revision;
    await api.delete(services, 'default', 'web');
    await clock.advance(0);
    expect([of('other'), api.revision]).toEqual([['10.0.0.1', '10.0.0.2'], written + 2]);
    await stop();
  });

  const pool = AddressPool.parse(['10.9.0.1-10.9.0.2', 'fd09::1']);
  const having = (name: string, ip: string): Service => ({ ...service(name), status: { loadBalancer: { ingress: [{ ip, ipMode: 'VIP' }] } } });
  it.each<[string, Service, readonly string[], readonly string[] | undefined, string | undefined]>([
    ['the first that is free', service('web'), ['10.9.0.1'], ['10.9.0.2'], undefined],
    ['the one that the Service has', having('web', '10.9.0.2'), [], undefined, undefined],
    ['the one that it asks for', service('web', { loadBalancerIP: '10.9.0.2' }), [], ['10.9.0.2'], undefined],
    ['one of each family', service('web', { ipFamilies: ['IPv4', 'IPv6'] }), [], ['10.9.0.1', 'fd09::1'], undefined],
    ['another where somebody was earlier', having('web', '10.9.0.1'), ['10.9.0.1'], ['10.9.0.2'], undefined],
    ['none when all are taken', service('web'), ['10.9.0.1', '10.9.0.2'], undefined, 'every address of --load-balancer-pool is taken'],
    ['not one of somebody else', service('web', { loadBalancerIP: '10.9.0.1' }), ['10.9.0.1'], undefined, '10.9.0.1 is taken already'],
    ['not one that is none of the pool', service('web', { loadBalancerIP: '10.8.0.1' }), [], undefined, '10.8.0.1 is none of --load-balancer-pool'],
    ['every host\'s own for the class that says so', service('web', { loadBalancerClass: 'cleat.dev/hosts' }), [], ['10.0.0.1', '10.0.0.2'], undefined],
    ['for the class of the pool', service('web', { loadBalancerClass: 'cleat.dev/pool' }), [], ['10.9.0.1'], undefined],
    ['nothing for another class', service('web', { loadBalancerClass: 'example.com/lb' }), [], undefined, undefined],
  ])('of a pool: %s', (_, one, taken, expected, message) => {
    const actions = decide(one, { pool, taken: new Set(taken) });
    expect(ips(actions)).toEqual(expected);
    expect(actions.flatMap((action) => (action.type === 'event' && action.severity === 'Warning' ? [action.message] : []))).toEqual(message === undefined ? [] : [expect.stringContaining(message)]);
  });

  it('of a pool go round, to each Service its own, and the hosts are told', async () => {
    const { api, clock, start, stop } = runControllers(['service-load-balancer'], { config: { loadBalancer: { reservedPorts: new Map(), pool: AddressPool.parse(['10.0.0.1-10.0.0.3']) } } });
    const of = (name: string): unknown => api.find(services, 'default', name)?.status?.loadBalancer?.ingress?.map(({ ip }) => ip);
    await api.create(nodes, node('1'));
    for (const name of ['a', 'b', 'c']) await api.create(services, service(name));
    await start();
    expect([of('a'), of('b'), of('c')]).toEqual([['10.0.0.2'], ['10.0.0.3'], undefined]);
    expect(Buffer.from(api.find(secrets, 'kube-system', 'cleat-load-balancer')?.data?.['pool'] ?? '', 'base64').toString()).toBe('10.0.0.1-10.0.0.3');
    await api.delete(services, 'default', 'a');
    await clock.advance(0);
    expect([of('b'), of('c')]).toEqual([['10.0.0.3'], ['10.0.0.2']]);
    const written = api.revision;
    await clock.advance(60_000);
    expect(api.revision).toBe(written);
    await stop();
  });

  it('are no pool\'s any more where there is none', async () => {
    const { api, start, stop } = runControllers(['service-load-balancer'], { config: {} });
    const own = { metadata: { namespace: 'kube-system', name: 'cleat-load-balancer' }, type: 'cleat.dev/load-balancer', data: { pool: 'eA==', key: 'eA==' } };
    await api.create(secrets, own);
    await start();
    expect(api.find(secrets, 'kube-system', 'cleat-load-balancer')).toBeUndefined();
    await stop();
  });
});

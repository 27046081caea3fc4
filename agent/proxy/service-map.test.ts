import { describe, expect, it } from 'vitest';
import type { Endpoint, EndpointSlice, Service, ServiceSpec } from '#api/gen/types.ts';
import type { PodReport } from '#agent/session/types.ts';
import { endpointSlices, nodes, pods, services } from '#api/kinds/resources.ts';
import { servicePorts, ServiceTracker } from './service-map.ts';

const node = 'n1';
const place = { nodeName: node, zone: undefined };
const service = (spec: Partial<ServiceSpec> = {}, name = 'web'): Service => ({
  metadata: { namespace: 'default', name },
  spec: { clusterIP: '10.43.0.7', clusterIPs: ['10.43.0.7'], ports: [{ name: 'http', port: 80, targetPort: 8080 }], ...spec },
});
const endpoint = (ip: string, change: Partial<Endpoint> = {}): Endpoint => ({ addresses: [ip], conditions: { ready: true }, nodeName: 'n2', ...change });
const slice = (endpoints: Endpoint[], change: Partial<EndpointSlice> = {}, name = 'web-1', owner = 'web'): EndpointSlice => ({
  metadata: { namespace: 'default', name, labels: { 'kubernetes.io/service-name': owner } },
  addressType: 'IPv4', ports: [{ name: 'http', port: 8080, protocol: 'TCP' }], endpoints, ...change,
});
const only = (s: Service, slices: EndpointSlice[]) => {
  const [port, ...rest] = servicePorts(s, slices, place);
  expect(rest).toEqual([]);
  return port!;
};
const ips = (backends: readonly { ip: string }[]): string[] => backends.map((b) => b.ip);

describe('servicePorts', () => {
  it('takes ready endpoints of all slices, sorted and without repeats', () => {
    const port = only(service(), [slice([endpoint('10.42.0.9', { nodeName: node }), endpoint('10.42.0.3')]), slice([endpoint('10.42.0.3'), endpoint('10.42.0.4', { conditions: { ready: false } })], {}, 'web-2')]);
    expect(port).toMatchObject({ id: 'default/web:http', protocol: 'TCP', port: 80, nodePort: 0, affinitySeconds: 0, clusterIps: ['10.43.0.7'] });
    expect(port.endpoints).toEqual([{ ip: '10.42.0.3', port: 8080, local: false }, { ip: '10.42.0.9', port: 8080, local: true }]);
    expect(port.localEndpoints).toEqual([]);
  });

  it('counts an unset ready condition as ready', () => {
    expect(ips(only(service(), [slice([{ addresses: ['10.42.0.3'] }])]).endpoints)).toEqual(['10.42.0.3']);
  });

  it('falls back to endpoints that end but still serve when none is ready', () => {
    const ending = endpoint('10.42.0.5', { conditions: { ready: false, serving: true, terminating: true } });
    expect(ips(only(service(), [slice([ending, endpoint('10.42.0.6', { conditions: { ready: false, serving: false, terminating: true } })])]).endpoints)).toEqual(['10.42.0.5']);
    expect(ips(only(service(), [slice([ending, endpoint('10.42.0.6')])]).endpoints)).toEqual(['10.42.0.6']);
  });

  it('chooses local endpoints on their own under a Local policy', () => {
    const endings = endpoint('10.42.0.5', { nodeName: node, conditions: { ready: false, serving: true, terminating: true } });
    const port = only(service({ type: 'NodePort', externalTrafficPolicy: 'Local', ports: [{ name: 'http', port: 80, nodePort: 30080 }] }), [slice([endings, endpoint('10.42.0.6')])]);
    expect(port).toMatchObject({ externalLocal: true, internalLocal: false, nodePort: 30080 });
    expect(ips(port.endpoints)).toEqual(['10.42.0.6']);
    expect(ips(port.localEndpoints)).toEqual(['10.42.0.5']);
    expect(only(service({ internalTrafficPolicy: 'Local' }), []).internalLocal).toBe(true);
  });

  it.each<[string, (Endpoint['hints'])[], string | undefined, number[]]>([
    ['the zone', [{ forZones: [{ name: 'a' }] }, { forZones: [{ name: 'b' }] }, { forZones: [{ name: 'b' }, { name: 'a' }] }], 'a', [0, 2]],
    ['the node before the zone', [{ forZones: [{ name: 'a' }], forNodes: [{ name: 'n2' }] }, { forZones: [{ name: 'a' }], forNodes: [{ name: node }] }], 'a', [1]],
    ['the zone where no endpoint is on the node', [{ forZones: [{ name: 'a' }], forNodes: [{ name: 'n2' }] }, { forZones: [{ name: 'b' }], forNodes: [{ name: 'n3' }] }], 'a', [0]],
    ['all where one has none', [{ forZones: [{ name: 'a' }] }, undefined], 'a', [0, 1]],
    ['all where none is for here', [{ forZones: [{ name: 'b' }] }, { forZones: [{ name: 'c' }] }], 'a', [0, 1]],
    ['all for a node without zone', [{ forZones: [{ name: 'a' }] }, { forZones: [{ name: 'b' }] }], undefined, [0, 1]],
  ])('goes by hints for %s', (_, hints, zone, expected) => {
    const list = hints.map((hint, i) => endpoint(`10.42.0.${String(i)}`, { hints: hint }));
    const off = endpoint('10.42.0.9', { conditions: { ready: false } });
    const [port] = servicePorts(service(), [slice([...list, off])], { nodeName: node, zone });
    expect(ips(port!.endpoints)).toEqual(expected.map((i) => `10.42.0.${String(i)}`));
  });

  it('looks again at every Service when its node moves to another zone', () => {
    const tracker = new ServiceTracker(node);
    const hinted = (ip: string, name: string): Endpoint => endpoint(ip, { hints: { forZones: [{ name }] } });
    const here = (zone: string) => ({ type: 'set' as const, resource: nodes, object: { metadata: { name: node, labels: { 'topology.kubernetes.io/zone': zone } } } });
    tracker.note([here('a'), { type: 'set', resource: services, object: service() }, { type: 'set', resource: endpointSlices, object: slice([hinted('10.42.0.3', 'a'), hinted('10.42.0.4', 'b')]) }]);
    expect(tracker.take([]).set.map((p) => ips(p.endpoints))).toEqual([['10.42.0.3']]);
    expect(tracker.note([here('a')])).toBe(false);
    expect(tracker.note([here('b')])).toBe(true);
    expect(tracker.take([]).set.map((p) => ips(p.endpoints))).toEqual([['10.42.0.4']]);
  });

  it('knows who may use a load balancer, and leaves out what is no range', () => {
    const spec = { type: 'LoadBalancer', loadBalancerSourceRanges: ['10.0.0.0/8', ' fd00::/8 ', 'nonsense', '10.0.0.0/33'] };
    expect(only(service(spec), [])).toMatchObject({ sourceRanges: ['10.0.0.0/8', 'fd00::/8'] });
    expect(only(service({ ...spec, type: 'NodePort' }), []).sourceRanges).toBeUndefined();
  });

  it('matches named ports in each slice', () => {
    const s = service({ ports: [{ name: 'a', port: 1, targetPort: 'x' }, { name: 'b', port: 2, targetPort: 'y', protocol: 'UDP' }] });
    const ports = servicePorts(s, [
      slice([endpoint('10.42.0.3')], { ports: [{ name: 'a', port: 100 }, { name: 'b', port: 200, protocol: 'UDP' }] }),
      slice([endpoint('10.42.0.4')], { ports: [{ name: 'a', port: 101 }, { name: 'b', port: 201, protocol: 'TCP' }] }, 'web-2'),
    ], place);
    expect(ports.map((p) => [p.id, p.protocol, p.endpoints.map((e) => e.port)])).toEqual([['default/web:a', 'TCP', [100, 101]], ['default/web:b', 'UDP', [200]]]);
  });

  it('knows affinity, external and load balancer addresses', () => {
    const s = service({ type: 'LoadBalancer', sessionAffinity: 'ClientIP', externalIPs: ['203.0.113.5', 'nonsense'] });
    s.status = { loadBalancer: { ingress: [{ ip: '203.0.113.6' }, { hostname: 'x' }, { ip: '203.0.113.7', ipMode: 'Proxy' }] } };
    expect(only(s, [])).toMatchObject({ affinitySeconds: 10_800, externalIps: ['203.0.113.5'], loadBalancerIps: ['203.0.113.6'] });
    expect(only(service({ sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 5 } } }), []).affinitySeconds).toBe(5);
  });

  it.each([
    ['headless', service({ clusterIP: 'None', clusterIPs: ['None'] })],
    ['ExternalName', service({ type: 'ExternalName' })],
    ['without an address', { metadata: { namespace: 'default', name: 'web' }, spec: { ports: [{ port: 80 }] } }],
    ['of another proxy', { ...service(), metadata: { namespace: 'default', name: 'web', labels: { 'service.kubernetes.io/service-proxy-name': 'x' } } }],
    ['with a name that is none', service({}, 'web; drop')],
    ['with ports that are none', service({ ports: [{ port: 0 }, { port: 70_000 }, { port: 80, name: 'a b' }] })],
  ])('routes nothing for a Service %s', (_, s) => {
    expect(servicePorts(s, [slice([endpoint('10.42.0.3')])], place)).toEqual([]);
  });

  it('leaves out endpoints that are none', () => {
    const bad = [endpoint('x'), endpoint('fd00::1'), endpoint('10.42.0.5 }; flush ruleset'), { addresses: [] }, endpoint('10.42.0.3')];
    expect(only(service(), [slice([endpoint('fd00::1%eth0')], { addressType: 'IPv6' })]).endpoints).toEqual([]);
    expect(ips(only(service(), [slice(bad), slice([endpoint('10.42.0.4')], { ports: [{ name: 'http' }] }, 'web-2')]).endpoints)).toEqual(['10.42.0.3']);
  });
});

describe('ServiceTracker', () => {
  it('hands out only what changed', () => {
    const tracker = new ServiceTracker(node);
    expect(tracker.note([{ type: 'set', resource: pods, object: { metadata: { name: 'x' } } }])).toBe(false);
    tracker.note([{ type: 'set', resource: services, object: service() }, { type: 'set', resource: services, object: service({}, 'other') }, { type: 'set', resource: endpointSlices, object: slice([endpoint('10.42.0.3')]) }]);
    expect(tracker.take([]).set.map((p) => p.id).sort()).toEqual(['default/other:http', 'default/web:http']);
    expect(tracker.take([])).toEqual({ set: [], removed: [] });
    tracker.note([{ type: 'set', resource: endpointSlices, object: slice([endpoint('10.42.0.3', { zone: 'z' })]) }]);
    expect(tracker.take([])).toEqual({ set: [], removed: [] });
    tracker.note([{ type: 'set', resource: endpointSlices, object: slice([endpoint('10.42.0.4')], {}, 'web-1', 'other') }]);
    expect(tracker.take([]).set.map((p) => [p.id, ips(p.endpoints)])).toEqual([['default/web:http', []], ['default/other:http', ['10.42.0.4']]]);
    tracker.note([{ type: 'remove', resource: services, namespace: 'default', name: 'web' }, { type: 'remove', resource: endpointSlices, namespace: 'default', name: 'web-1' }]);
    const change = tracker.take([]);
    expect(change.removed).toEqual(['default/web:http']);
    expect(change.set.map((p) => [p.id, ips(p.endpoints)])).toEqual([['default/other:http', []]]);
    expect(tracker.all().map((p) => p.id)).toEqual(['default/other:http']);
  });

  it('does not mind the order in which Service and slice arrive', () => {
    const tracker = new ServiceTracker(node);
    tracker.note([{ type: 'set', resource: endpointSlices, object: slice([endpoint('10.42.0.3')]) }]);
    expect(tracker.take([]).set).toEqual([]);
    tracker.note([{ type: 'set', resource: services, object: service() }]);
    expect(ips(tracker.take([]).set[0]!.endpoints)).toEqual(['10.42.0.3']);
  });

  it('believes this host about the addresses of its own pods', () => {
    const tracker = new ServiceTracker(node);
    const report = (podIP: string | undefined, ready = true): PodReport => ({
      namespace: 'default', name: 'p', uid: 'u1', gone: false,
      status: { podIPs: podIP === undefined ? [] : [{ ip: podIP }], conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
    });
    const mine = endpoint('10.42.0.3', { nodeName: node, targetRef: { kind: 'Pod', uid: 'u1' } });
    tracker.note([{ type: 'set', resource: services, object: service() }, { type: 'set', resource: endpointSlices, object: slice([mine, endpoint('10.42.1.9', { targetRef: { kind: 'Pod', uid: 'u2' } })]) }]);
    const after = (r: PodReport): string[] | undefined => (tracker.notePod(r) ? tracker.take([r]).set.map((p) => ips(p.endpoints))[0] : undefined);
    expect(ips(tracker.take([]).set[0]!.endpoints)).toEqual(['10.42.0.3', '10.42.1.9']);
    expect(after(report('10.42.0.3', false))).toBeUndefined();
    expect(after(report(undefined))).toEqual(['10.42.1.9']);
    expect(after(report('10.42.0.8', false))).toBeUndefined();
    expect(after(report('10.42.0.8'))).toEqual(['10.42.0.8', '10.42.1.9']);
    expect(tracker.notePod(report('10.42.0.8'))).toBe(false);
  });

  it('leads host ports to the pod that asks for them, while it has an address', () => {
    const tracker = new ServiceTracker(node);
    const pod = (uid: string, hostPort: number): object => ({ metadata: { namespace: 'default', name: 'p', uid }, spec: { containers: [{ name: 'c', ports: [{ containerPort: 53, hostPort, protocol: 'UDP' }, { containerPort: 80 }] }] } });
    const report = (uid: string, podIP: string): PodReport => ({ namespace: 'default', name: 'p', uid, gone: false, status: { podIPs: [{ ip: podIP }] } });
    expect(tracker.note([{ type: 'set', resource: pods, object: pod('u1', 5353) }])).toBe(true);
    expect(tracker.take([])).toEqual({ set: [], removed: [] });
    tracker.notePod(report('u1', '10.42.0.3'));
    expect(tracker.take([report('u1', '10.42.0.3')]).set).toMatchObject([{ id: 'default/u1:host-udp-5353', protocol: 'UDP', nodePort: 5353, externalLocal: true, localEndpoints: [{ ip: '10.42.0.3', port: 53 }] }]);
    tracker.note([{ type: 'set', resource: pods, object: pod('u2', 5353) }]);
    expect(tracker.take([report('u2', '10.42.0.4')])).toMatchObject({ removed: ['default/u1:host-udp-5353'], set: [{ id: 'default/u2:host-udp-5353' }] });
    tracker.note([{ type: 'remove', resource: pods, namespace: 'default', name: 'p' }]);
    expect(tracker.take([])).toEqual({ set: [], removed: ['default/u2:host-udp-5353'] });
  });
});

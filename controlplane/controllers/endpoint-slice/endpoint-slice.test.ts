import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import type { EndpointSlice, Node, Pod, Service, ServiceSpec } from '#api/gen/types.ts';
import { reconcileEndpoints } from '../endpoints/reconcile.ts';
import { reconcileSlices } from './reconcile.ts';
import { shareOut, sharesOf, type Shared } from './topology.ts';

function service(spec: Partial<ServiceSpec> = {}): Service {
  return { metadata: { name: 'web', namespace: 'default', uid: 'svc', labels: { team: 'a' } }, spec: { clusterIP: '10.43.0.1', selector: { app: 'web' }, ports: [{ port: 80, protocol: 'TCP', targetPort: 8080 }], ...spec } };
}

function pod(n: number, { ready = true, terminating = false, phase = 'Running', ports = [] as { name: string; containerPort: number }[], ips = [`10.42.0.${String(n)}`] } = {}): Pod {
  return {
    metadata: { name: `p${String(n)}`, namespace: 'default', uid: `u${String(n)}`, labels: { app: 'web' }, ...(terminating && { deletionTimestamp: '2026-01-01T00:00:00Z' }) },
    spec: { nodeName: 'node', hostname: `h${String(n)}`, subdomain: 'web', containers: [{ name: 'c', ports }] },
    status: { phase, ...(ips.length > 0 && { podIP: ips[0]!, podIPs: ips.map((ip) => ({ ip })) }), conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
  };
}

const pods = (from: number, to: number): Pod[] => Array.from({ length: to - from }, (_, i) => pod(from + i));
let serial = 0;
const stored = (slice: EndpointSlice): EndpointSlice => {
  const { generateName, ...metadata } = slice.metadata!;
  return { ...slice, metadata: { ...metadata, generateName, name: `${generateName ?? ''}${String(++serial)}`, uid: `s${String(serial)}`, resourceVersion: '1' } };
};
const run = (s: Service, list: Pod[], slices: EndpointSlice[] = [], max = 100) => reconcileSlices({ service: s, pods: list, slices, maxEndpointsPerSlice: max, zoneOf: (name) => zone ?? zones[name], shares: () => shares });
let zone: string | undefined;
let shares: ReadonlyMap<string, number> | undefined;
let zones: Record<string, string> = {};
const sizes = (slices: readonly EndpointSlice[]): number[] => slices.map((slice) => slice.endpoints?.length ?? 0);

describe('EndpointSlices', () => {
  it('say who serves, where, and in what state', () => {
    const { create } = run(service(), [pod(1)]);
    expect(create).toEqual([{
      apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', addressType: 'IPv4',
      metadata: {
        generateName: 'web-', namespace: 'default',
        labels: { 'team': 'a', 'kubernetes.io/service-name': 'web', 'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io' },
        ownerReferences: [{ apiVersion: 'v1', kind: 'Service', name: 'web', uid: 'svc', controller: true, blockOwnerDeletion: true }],
      },
      endpoints: [{ addresses: ['10.42.0.1'], conditions: { ready: true, serving: true, terminating: false }, hostname: 'h1', nodeName: 'node', targetRef: { kind: 'Pod', namespace: 'default', name: 'p1', uid: 'u1' } }],
      ports: [{ name: '', port: 8080, protocol: 'TCP' }],
    }]);
  });

  it.each([
    ['ready', pod(1), {}, { ready: true, serving: true, terminating: false }],
    ['not ready', pod(1, { ready: false }), {}, { ready: false, serving: false, terminating: false }],
    ['terminating', pod(1, { terminating: true }), {}, { ready: false, serving: true, terminating: true }],
    ['published anyway', pod(1, { ready: false }), { publishNotReadyAddresses: true }, { ready: true, serving: false, terminating: false }],
  ])('a pod that is %s', (_, p, spec, conditions) => {
    expect(run(service(spec), [p]).create[0]?.endpoints?.[0]?.conditions).toEqual(conditions);
  });

  it.each([
    ['has ended', pod(1, { phase: 'Succeeded' })],
    ['has no address', pod(1, { ips: [] })],
    ['has other labels', { ...pod(1), metadata: { ...pod(1).metadata, labels: {} } }],
  ])('leave out a pod that %s', (_, p) => {
    const { create } = run(service(), [p]);
    expect([sizes(create), create[0]?.ports]).toEqual([[0], []]);
  });

  it.each<[string | undefined, string | undefined, Pod, unknown]>([
    [undefined, 'a', pod(1), { zone: 'a' }],
    ['PreferClose', 'a', pod(1), { zone: 'a', hints: { forZones: [{ name: 'a' }] } }],
    ['PreferSameZone', 'a', pod(1), { zone: 'a', hints: { forZones: [{ name: 'a' }] } }],
    ['PreferSameNode', 'a', pod(1), { zone: 'a', hints: { forNodes: [{ name: 'node' }], forZones: [{ name: 'a' }] } }],
    ['PreferSameNode', undefined, pod(1), { zone: undefined, hints: { forNodes: [{ name: 'node' }] } }],
    ['PreferSameZone', undefined, pod(1), { zone: undefined, hints: undefined }],
    ['PreferSameZone', 'a', pod(1, { ready: false }), { zone: 'a', hints: undefined }],
  ])('with traffic distribution %s and zone %s', (trafficDistribution, in_, p, expected) => {
    zone = in_;
    const [endpoint] = run(service({ trafficDistribution }), [p]).create[0]?.endpoints ?? [];
    zone = undefined;
    expect({ zone: endpoint?.zone, hints: endpoint?.hints }).toEqual({ hints: undefined, ...expected as object });
  });

  it('are kept by the user for Services without selector', () => {
    const none = { create: [], update: [], remove: [] };
    expect(run(service({ selector: {} }), [pod(1)])).toEqual(none);
    expect(run(service({ type: 'ExternalName' }), [pod(1)])).toEqual(none);
  });

  it('group pods by the numbers of their ports', () => {
    const named = service({ ports: [{ name: 'http', port: 80, targetPort: 'web' }, { name: 'metrics', port: 90, targetPort: 9 }] });
    const list = [1, 2].map((n) => pod(n, { ports: [{ name: 'web', containerPort: 8000 }] }));
    const { create } = run(named, [...list, pod(3, { ports: [{ name: 'web', containerPort: 8001 }] }), pod(4)]);
    expect(create.map((s) => [s.endpoints?.length, s.ports?.map((p) => `${p.name ?? ''}:${String(p.port)}`)])).toEqual([[2, ['http:8000', 'metrics:9']], [1, ['http:8001', 'metrics:9']], [1, ['metrics:9']]]);
  });

  it('have one set for each address family', () => {
    const { create } = run(service({ ipFamilies: ['IPv4', 'IPv6'] }), [pod(1, { ips: ['10.42.0.1', 'fd00::1'] })]);
    expect(create.map((s) => [s.addressType, s.endpoints?.[0]?.addresses])).toEqual([['IPv4', ['10.42.0.1']], ['IPv6', ['fd00::1']]]);
  });

  it('mark a headless Service, which may have no ports', () => {
    const { create } = run(service({ clusterIP: 'None', ports: [] }), [pod(1)]);
    expect([create[0]?.metadata?.labels?.['service.kubernetes.io/headless'], create[0]?.ports, sizes(create)]).toEqual(['', [], [1]]);
  });

  it('hold at most a hundred endpoints each', () => {
    expect(sizes(run(service(), pods(0, 250)).create)).toEqual([100, 100, 50]);
  });

  it('are not written when nothing changed', () => {
    const slices = run(service(), pods(0, 25), [], 10).create.map(stored);
    expect(run(service(), pods(0, 25), slices, 10)).toEqual({ create: [], update: [], remove: [] });
    const empty = run(service(), []).create.map(stored);
    expect(run(service(), [], empty)).toEqual({ create: [], update: [], remove: [] });
  });

  it('change in as few writes as possible', () => {
    const slices = run(service(), pods(0, 25), [], 10).create.map(stored);
    const one = run(service(), pods(0, 26), slices, 10);
    expect([sizes(one.create), sizes(one.update)]).toEqual([[], [6]]);
    const swapped = run(service(), [...pods(1, 25), pod(99)], slices, 10);
    expect([sizes(swapped.create), sizes(swapped.update)]).toEqual([[], [10]]);
    const unready = run(service(), [...pods(0, 24), pod(24, { ready: false })], slices, 10);
    expect([sizes(unready.create), sizes(unready.update)]).toEqual([[], [5]]);
    const fewer = run(service(), pods(0, 20), slices, 10);
    expect([sizes(fewer.update), sizes(fewer.remove)]).toEqual([[], [5]]);
    const none = run(service(), [], slices, 10);
    expect([sizes(none.create), none.remove.length]).toEqual([[0], 3]);
  });
});

describe('Endpoints', () => {
  const object = (s: Service, list: Pod[]) => (reconcileEndpoints({ service: s, pods: list, endpoints: undefined })[0] as { object: { subsets?: unknown; metadata: { annotations?: unknown } } }).object;

  it('tell ready from not ready addresses, in a fixed order', () => {
    const { subsets } = object(service(), [pod(2), pod(1), pod(3, { ready: false }), pod(4, { terminating: true })]);
    expect(subsets).toMatchObject([{ addresses: [{ ip: '10.42.0.1' }, { ip: '10.42.0.2' }], notReadyAddresses: [{ ip: '10.42.0.3' }], ports: [{ port: 8080, protocol: 'TCP' }] }]);
  });

  it('group by ports', () => {
    const named = service({ ports: [{ name: 'http', port: 80, targetPort: 'web' }] });
    const { subsets } = object(named, [pod(1, { ports: [{ name: 'web', containerPort: 1 }] }), pod(2, { ports: [{ name: 'web', containerPort: 2 }] }), pod(3)]);
    expect(subsets).toMatchObject([{ addresses: [{ ip: '10.42.0.1' }], ports: [{ name: 'http', port: 1 }] }, { addresses: [{ ip: '10.42.0.2' }], ports: [{ port: 2 }] }]);
  });

  it('are not written when nothing changed, nor for a Service without selector', () => {
    const first = object(service(), [pod(1), pod(2)]);
    expect(reconcileEndpoints({ service: service(), pods: [pod(2), pod(1)], endpoints: first as never })).toEqual([]);
    expect(reconcileEndpoints({ service: service({ selector: {} }), pods: [pod(1)], endpoints: undefined })).toEqual([]);
  });

  it('stop at a thousand addresses and say so', () => {
    const { subsets, metadata } = object(service(), pods(0, 1001));
    expect((subsets as { addresses: unknown[] }[])[0]?.addresses).toHaveLength(1000);
    expect(metadata.annotations).toEqual({ 'endpoints.kubernetes.io/over-capacity': 'truncated' });
  });
});

describe('endpoints shared out to zones', () => {
  const node = (name: string, cpu: string, { in: at = 'a', ready = 'True', labels = {} }: { in?: string; ready?: string; labels?: Record<string, string> } = {}): Node => ({
    metadata: { name, labels: { ...labels, ...(at !== '' && { 'topology.kubernetes.io/zone': at }) } }, status: { allocatable: { cpu }, conditions: [{ type: 'Ready', status: ready }] },
  });
  it.each<[string, Node[], [string, number][] | undefined]>([
    ['by their CPUs', [node('1', '3'), node('2', '500m', { in: 'b' }), node('3', '500m', { in: 'b' })], [['a', 0.75], ['b', 0.25]]],
    ['but not with one zone', [node('1', '3'), node('2', '3')], undefined],
    ['but not where a node has no zone', [node('1', '3'), node('2', '3', { in: 'b' }), node('3', '1', { in: '' })], undefined],
    ['without nodes that are not ready or run the control plane', [node('1', '1'), node('2', '1', { in: 'b' }), node('3', '9', { ready: 'False' }), node('4', '9', { labels: { 'node-role.kubernetes.io/control-plane': '' } })], [['a', 0.5], ['b', 0.5]]],
  ])('%s', (_, list, expected) => { expect(sharesOf(list) && [...sharesOf(list) ?? []]).toEqual(expected); });

  const thirds = new Map([['a', 1 / 3], ['b', 1 / 3], ['c', 1 / 3]]);
  const at = (text: string): Shared[] => text.split('').map((letter, i) => ({ id: String(i), zone: letter === '-' ? undefined : letter, before: undefined }));
  it.each<[string, string, string | undefined]>([
    ['each its own zone', 'aabbcc', 'aabbcc'],
    ['another zone that has none', 'aaabbb', 'aacbbc'],
    ['another zone that has too few', 'aaaaaabbc', 'aaabccbbc'],
    ['nobody with fewer endpoints than zones', 'ab', undefined],
    ['nobody where one is nowhere', 'abc-', undefined],
    ['nobody where a zone has no nodes', 'abcd', undefined],
  ])('serve %s: %s', (_, given, expected) => {
    const hints = shareOut(at(given), thirds);
    const counts = (text: string): string => text.split('').sort().join('');
    expect(hints && counts([...hints.values()].join(''))).toBe(expected && counts(expected));
    // Whoever can serve its own zone does.
    if (hints && expected) expect(at(given).filter(({ id, zone: own }) => hints.get(id) === own).length).toBe(expected.split('').filter((letter, i) => letter === given[i]).length);
  });

  it('never leave a zone with too few, and change little', () => {
    fc.assert(fc.property(fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 3, maxLength: 60 }), (letters) => {
      const given = at(letters.join(''));
      const hints = shareOut(given, thirds);
      if (hints === undefined) return;
      for (const letter of 'abc') expect([...hints.values()].filter((name) => name === letter).length).toBeGreaterThanOrEqual(Math.ceil(given.length / 3 / 1.2));
      expect(shareOut(given.map((one) => ({ ...one, before: hints.get(one.id) })), thirds)).toEqual(hints);
    }));
  });

  it('are written where the Service asks for it', () => {
    [shares, zones] = [thirds, { n1: 'a', n2: 'b', n3: 'c' }];
    const on = (n: number, name: string): Pod => ({ ...pod(n), spec: { ...pod(n).spec!, nodeName: name } });
    const list = [on(1, 'n1'), on(2, 'n2'), on(3, 'n3'), { ...on(4, 'n1'), status: { ...pod(4).status, conditions: [] } }];
    const auto = service();
    const { create } = run({ ...auto, metadata: { ...auto.metadata, annotations: { 'service.kubernetes.io/topology-mode': 'Auto' } } }, list);
    const plain = run(auto, list).create;
    [shares, zones] = [undefined, {}];
    expect(create[0]?.endpoints?.map(({ hints }) => hints?.forZones?.[0]?.name)).toEqual(['a', 'b', 'c', undefined]);
    expect(plain[0]?.endpoints?.every(({ hints }) => hints === undefined)).toBe(true);
  });
});

import { describe, expect, it } from 'vitest';
import type { EndpointSlice, Service } from '#api/gen/types.ts';
import { endpointSlices, services } from '#api/kinds/resources.ts';
import { ServiceIndex } from './service-index.ts';
import { addressOf, Zone } from './zone.ts';

function service(name: string, spec: Service['spec'], namespace = 'default'): Service {
  return { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace }, ...(spec && { spec }) };
}

function slice(of: string, endpoints: EndpointSlice['endpoints'], ports: EndpointSlice['ports'] = [{ name: 'http', port: 8080, protocol: 'TCP' }], addressType = 'IPv4', name = `${of}-1`): EndpointSlice {
  return { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name, namespace: 'default', labels: { 'kubernetes.io/service-name': of } }, addressType, endpoints, ports };
}

function zoneOf(...objects: (Service | EndpointSlice)[]): { zone: Zone; index: ServiceIndex } {
  const index = new ServiceIndex('here');
  index.note(objects.map((object) => ({ type: 'set', resource: object.kind === 'Service' ? services : endpointSlices, object })));
  return { index, zone: new Zone(index, { domain: 'cluster.local', address: '10.43.0.10', ownsAddress: (ip) => ip.startsWith('10.4') }) };
}

/** Answers as `TYPE data`, or the response code when there are none. */
function ask(zone: Zone, name: string, type: 'A' | 'AAAA' | 'SRV' | 'PTR' | 'TXT' | 'SOA' | 'NS' | 'CNAME' | 'MX' = 'A'): string[] | string | undefined {
  const found = zone.answer({ name, type });
  if (!found) return undefined;
  if ('alias' in found) return `-> ${found.target}`;
  if (found.answers.length === 0) {
    expect(found.authorities).toMatchObject([{ type: 'SOA', name: 'cluster.local' }]);
    return found.rcode === 3 ? 'NXDOMAIN' : 'NODATA';
  }
  return found.answers.map((record) => {
    if (record.type === 'SRV') return `SRV ${String(record.data.priority)} ${String(record.data.weight)} ${String(record.data.port)} ${record.data.target}`;
    return `${record.type} ${'data' in record && typeof record.data === 'string' ? record.data : ''}`;
  });
}

describe('a Service with an address', () => {
  const { zone } = zoneOf(
    service('web', { clusterIP: '10.43.0.7', clusterIPs: ['10.43.0.7', 'fd00::7'], ports: [{ name: 'http', port: 80 }, { name: 'dns', port: 53, protocol: 'UDP' }, { port: 81 }] }),
  );
  it.each([
    ['web.default.svc.cluster.local', 'A', ['A 10.43.0.7']],
    ['WEB.Default.svc.Cluster.local', 'A', ['A 10.43.0.7']],
    ['web.default.svc.cluster.local', 'AAAA', ['AAAA fd00::7']],
    ['web.default.svc.cluster.local', 'MX', 'NODATA'],
    ['_http._tcp.web.default.svc.cluster.local', 'SRV', ['SRV 0 100 80 web.default.svc.cluster.local']],
    ['_dns._udp.web.default.svc.cluster.local', 'SRV', ['SRV 0 100 53 web.default.svc.cluster.local']],
    ['_http._tcp.web.default.svc.cluster.local', 'A', 'NODATA'],
    ['_http._udp.web.default.svc.cluster.local', 'SRV', 'NXDOMAIN'],
    ['_._tcp.web.default.svc.cluster.local', 'SRV', 'NXDOMAIN'],
    ['_tcp.web.default.svc.cluster.local', 'SRV', 'NODATA'],
    ['_sctp.web.default.svc.cluster.local', 'SRV', 'NXDOMAIN'],
    ['a.web.default.svc.cluster.local', 'A', 'NXDOMAIN'],
    ['x._http._tcp.web.default.svc.cluster.local', 'SRV', 'NXDOMAIN'],
    ['nosuch.default.svc.cluster.local', 'A', 'NXDOMAIN'],
    ['web.other.svc.cluster.local', 'A', 'NXDOMAIN'],
    ['default.svc.cluster.local', 'A', 'NODATA'],
    ['other.svc.cluster.local', 'A', 'NXDOMAIN'],
    ['svc.cluster.local', 'A', 'NODATA'],
    ['nosuch.cluster.local', 'A', 'NXDOMAIN'],
    ['dns-version.cluster.local', 'TXT', ['TXT 1.1.0']],
    ['cluster.local', 'NS', ['NS ns.dns.cluster.local']],
    ['ns.dns.cluster.local', 'A', ['A 10.43.0.10']],
    ['10-42-1-9.default.pod.cluster.local', 'A', ['A 10.42.1.9']],
    ['fd00--1.default.pod.cluster.local', 'AAAA', ['AAAA fd00::1']],
    ['10-42-1.default.pod.cluster.local', 'A', 'NXDOMAIN'],
    ['7.0.43.10.in-addr.arpa', 'PTR', ['PTR web.default.svc.cluster.local']],
    ['7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa', 'PTR', ['PTR web.default.svc.cluster.local']],
    ['7.0.43.10.in-addr.arpa', 'A', 'NODATA'],
    ['8.0.43.10.in-addr.arpa', 'PTR', 'NXDOMAIN'],
    ['8.8.8.8.in-addr.arpa', 'PTR', undefined],
    ['example.com', 'A', undefined],
    ['notcluster.local', 'A', undefined],
    ['xcluster.local', 'A', undefined],
  ] as const)('%s %s', (name, type, expected) => {
    expect(ask(zone, name, type)).toEqual(expected);
  });
});

describe('a headless Service', () => {
  const { zone, index } = zoneOf(
    service('db', { clusterIP: 'None', ports: [{ name: 'http', port: 80, targetPort: 'web' }] }),
    slice('db', [
      { addresses: ['10.42.1.2'], hostname: 'db-0', conditions: { ready: true } },
      { addresses: ['10.42.1.3'], conditions: {} },
      { addresses: ['10.42.1.4'], hostname: 'db-2', conditions: { ready: false } },
    ]),
    slice('db', [{ addresses: ['fd00::2'], hostname: 'db-0' }], [{ name: 'http', port: 8080, protocol: 'TCP' }], 'IPv6', 'db-2'),
  );
  it.each([
    ['db.default.svc.cluster.local', 'A', ['A 10.42.1.2', 'A 10.42.1.3']],
    ['db.default.svc.cluster.local', 'AAAA', ['AAAA fd00::2']],
    ['db-0.db.default.svc.cluster.local', 'A', ['A 10.42.1.2']],
    ['10-42-1-3.db.default.svc.cluster.local', 'A', ['A 10.42.1.3']],
    ['db-2.db.default.svc.cluster.local', 'A', 'NXDOMAIN'],
    ['_http._tcp.db.default.svc.cluster.local', 'SRV', ['SRV 0 33 8080 db-0.db.default.svc.cluster.local', 'SRV 0 33 8080 10-42-1-3.db.default.svc.cluster.local', 'SRV 0 33 8080 db-0.db.default.svc.cluster.local']],
    ['2.1.42.10.in-addr.arpa', 'PTR', ['PTR db-0.db.default.svc.cluster.local']],
  ] as const)('%s %s', (name, type, expected) => {
    expect(ask(zone, name, type)).toEqual(expected);
  });

  it('follows changes', () => {
    const before = index.generation;
    index.note([{ type: 'remove', resource: endpointSlices, namespace: 'default', name: 'db-1' }]);
    expect(index.generation).toBeGreaterThan(before);
    expect(ask(zone, 'db.default.svc.cluster.local')).toBe('NODATA');
    expect(ask(zone, '2.1.42.10.in-addr.arpa', 'PTR')).toBe('NXDOMAIN');
    index.note([{ type: 'remove', resource: services, namespace: 'default', name: 'db' }]);
    expect(ask(zone, 'default.svc.cluster.local')).toBe('NXDOMAIN');
  });

  it('knows its own pods better than a slice of before', () => {
    const { zone: here, index: own } = zoneOf(service('db', { clusterIP: 'None' }), slice('db', [{ addresses: ['10.42.0.2'], nodeName: 'here', hostname: 'db-0', targetRef: { kind: 'Pod', uid: 'u' } }]));
    own.notePod({ uid: 'u', namespace: 'default', name: 'db-0', gone: false, status: { podIPs: [{ ip: '10.42.0.9' }], conditions: [{ type: 'Ready', status: 'True' }] } });
    expect(ask(here, 'db-0.db.default.svc.cluster.local')).toEqual(['A 10.42.0.9']);
  });
});

it('follows an ExternalName by its alias', () => {
  const { zone } = zoneOf(service('out', { type: 'ExternalName', externalName: 'example.com.' }));
  expect(ask(zone, 'out.default.svc.cluster.local')).toBe('-> example.com');
  expect(ask(zone, 'out.default.svc.cluster.local', 'CNAME')).toEqual(['CNAME example.com']);
  expect(ask(zone, 'x.out.default.svc.cluster.local')).toBe('NXDOMAIN');
});

it('reads reverse names', () => {
  expect(addressOf('1.0.42.10.in-addr.arpa')).toBe('10.42.0.1');
  expect(addressOf('42.10.in-addr.arpa')).toBeUndefined();
  expect(addressOf('1.ip6.arpa')).toBeUndefined();
});

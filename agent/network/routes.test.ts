import { describe, expect, it } from 'vitest';
import { cniConflist } from './cni-config.ts';
import { concerns } from './link-watch.ts';
import { hasDefaultRoute, parseRoutes, peerRoutes, routeCommands } from './routes.ts';
import type { PeerPlan } from './types.ts';

const plan = (change: Partial<PeerPlan>): PeerPlan => ({ nodeName: 'b', podCidrs: ['10.42.1.0/24', 'fd42:0:0:1::/64'], how: 'routes', why: '', via: [], ...change });
const config = { bases: { ipv4: '10.42.0.0', ipv6: 'fd42::' }, uplink: 'eth0' };

describe('routes', () => {
  it('follow the plans', () => {
    expect(peerRoutes([plan({ via: ['10.0.0.2', 'fe80::2'] })], config)).toEqual([{ destination: '10.42.1.0/24', via: '10.0.0.2' }, { destination: 'fd42:0:0:1::/64', via: 'fe80::2', device: 'eth0' }]);
    expect(peerRoutes([plan({ how: 'vxlan', via: ['10.0.1.2'] })], { ...config, mtus: new Map([['b', 1400]]) })).toEqual([
      { destination: '10.42.1.0/24', via: '10.42.1.0', device: 'cleat-vxlan', onlink: true, source: '10.42.0.0', mtu: 1400 },
      { destination: 'fd42:0:0:1::/64', via: 'fd42:0:0:1::', device: 'cleat-vxlan', onlink: true, source: 'fd42::', mtu: 1400 },
    ]);
    expect(peerRoutes([plan({ how: 'relay', relay: 'c' }), plan({ nodeName: 'n', how: 'none' })], { bases: {} })).toEqual([{ destination: '10.42.1.0/24', device: 'cleat-wg' }, { destination: 'fd42:0:0:1::/64', device: 'cleat-wg' }]);
  });

  it('by default are seen in the tables of the kernel, but for those that refuse', () => {
    const head = 'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n';
    const link = 'eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n';
    expect(hasDefaultRoute(head, 4)).toBe(false);
    expect(hasDefaultRoute(head + link, 4)).toBe(false);
    expect(hasDefaultRoute(`${head}${link}eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n`, 4)).toBe(true);
    expect(hasDefaultRoute(`${head}*\t00000000\t00000000\t0200\t0\t0\t0\t00000000\t0\t0\t0\n`, 4)).toBe(false);
    // Half of everything, as VPNs have it, is no default route.
    expect(hasDefaultRoute(`${head}tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n`, 4)).toBe(false);
    const [none, zero] = ['0'.repeat(32), '00000400 00000003 00000000'];
    const row = (flags: string, device: string, length = '00'): string => `${none} ${length} ${none} 00 fd000000000000000000000000000001 ${zero} ${flags} ${device}\n`;
    expect(hasDefaultRoute(row('00200200', 'lo'), 6)).toBe(false);
    expect(hasDefaultRoute(row('00000001', 'eth0', '01'), 6)).toBe(false);
    expect(hasDefaultRoute(row('00200200', 'lo') + row('00000003', 'eth0'), 6)).toBe(true);
    expect(hasDefaultRoute('', 6)).toBe(false);
  });

  it('change only what differs', () => {
    const actual = parseRoutes('[{"dst":"10.42.1.0/24","gateway":"10.0.0.2","dev":"eth0","flags":[]},{"dst":"10.42.2.0/24","gateway":"10.0.0.3","dev":"eth0"},{"dst":"10.42.9.9","gateway":"10.0.0.4","dev":"eth0"},{"dst":7}]');
    const desired = [{ destination: '10.42.1.0/24', via: '10.0.0.2' }, { destination: '10.42.2.0/24', via: '10.0.0.7' }, { destination: '10.43.0.0/16', device: 'eth0' }];
    expect(routeCommands(desired, actual, 142)).toEqual([
      'route del 10.42.9.9/32 proto 142', 'route replace 10.42.2.0/24 via 10.0.0.7 proto 142', 'route replace 10.43.0.0/16 dev eth0 proto 142',
    ]);
    expect(routeCommands(desired.slice(0, 1), actual.slice(0, 1), 142)).toEqual([]);
    expect(parseRoutes('')).toEqual([]);
  });

  it('through a tunnel are known again, with their sizes', () => {
    const shown = parseRoutes('[{"type":"unicast","dst":"10.42.1.0/24","gateway":"10.42.1.0","dev":"cleat-vxlan","prefsrc":"10.42.0.0","flags":["onlink"],"metrics":[{"mtu":1400}]}]');
    const wanted = { destination: '10.42.1.0/24', via: '10.42.1.0', device: 'cleat-vxlan', onlink: true, source: '10.42.0.0' };
    expect(routeCommands([{ ...wanted, mtu: 1400 }], shown, 142)).toEqual([]);
    expect(routeCommands([wanted], shown, 142)).toEqual(['route replace 10.42.1.0/24 via 10.42.1.0 dev cleat-vxlan src 10.42.0.0 onlink proto 142']);
  });
});

it('hears of what concerns the network between hosts, and of nothing else', () => {
  const heard = [
    '2: eth0    inet 10.88.0.11/24 scope global eth0\\       valid_lft forever', 'Deleted 2: eth0    inet 10.88.0.11/24 scope global eth0', 'Deleted 10.42.1.0/24 via 10.88.0.12 dev eth0 proto 142 ',
    'default via 10.88.0.1 dev eth0 ', '9: veth12ab    inet 10.42.0.1/32 scope global veth12ab', '10.42.0.2 dev veth12ab scope host ', 'Deleted 10.42.0.2 dev veth12ab scope host ', '1: lo    inet 10.43.0.10/32 scope global lo',
  ].map((line) => concerns(line, 142));
  expect(heard).toEqual([true, true, true, true, false, false, false, false]);
});

it('writes a CNI list for one and two families', () => {
  const list = JSON.parse(cniConflist(['10.42.3.0/24', 'fd42::/64'], '/s/cni/data', 1400)) as { plugins: [{ type: string; mtu: number; ipam: { ranges: unknown; routes: unknown; dataDir: string } }, { type: string }] };
  expect(list.plugins[0]).toMatchObject({ type: 'ptp', mtu: 1400, ipMasq: false });
  expect(list.plugins[0].ipam).toMatchObject({ dataDir: '/s/cni/data', ranges: [[{ subnet: '10.42.3.0/24' }], [{ subnet: 'fd42::/64' }]], routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }] });
  expect(list.plugins).toHaveLength(1);
});

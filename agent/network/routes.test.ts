import { describe, expect, it } from 'vitest';
import type { Node } from '#api/gen/types.ts';
import { cniConflist } from './cni-config.ts';
import { parseRoutes, peerRoutes, peersOf, podCidrsOf, routeCommands } from './routes.ts';

const node = (name: string, podCIDR: string | undefined, ...addresses: string[]): Node => ({
  metadata: { name }, spec: { podCIDR },
  status: { addresses: [{ type: 'Hostname', address: name }, ...addresses.map((address) => ({ type: 'InternalIP', address }))] },
});

describe('routes', () => {
  it('go to every other node that has a range and an address of the same family', () => {
    const nodes = [node('me', '10.42.0.0/24', '10.0.0.1'), node('b', '10.42.1.0/24', '10.0.0.2', 'fd00::2'), node('c', undefined, '10.0.0.3'), node('d', '10.42.3.0/24'), node('e', 'nonsense/99', '10.0.0.4'), node('f', '10.42.4.0/24', '-batch')];
    expect(peersOf(nodes, 'me')).toEqual([{ nodeName: 'b', podCidrs: ['10.42.1.0/24'], address: '10.0.0.2' }]);
  });

  it('knows both ranges of a dual-stack node', () => {
    expect(podCidrsOf({ spec: { podCIDR: '10.42.0.0/24', podCIDRs: ['10.42.0.0/24', 'fd42::/64', 'x'] } })).toEqual(['10.42.0.0/24', 'fd42::/64']);
    expect(podCidrsOf(undefined)).toEqual([]);
  });

  it('leave out this host itself and a range that two nodes claim', () => {
    const peers = [{ nodeName: 'z', podCidrs: ['10.42.1.0/24'], address: '10.0.0.9' }, { nodeName: 'b', podCidrs: ['10.42.1.0/24'], address: '10.0.0.2' }, { nodeName: 'side', podCidrs: ['10.42.2.0/24'], address: '10.0.0.1' }];
    expect(peerRoutes(peers, new Set(['10.0.0.1']))).toEqual([{ destination: '10.42.1.0/24', via: '10.0.0.2' }]);
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
});

it('writes a CNI list for one and two families', () => {
  const list = JSON.parse(cniConflist(['10.42.3.0/24', 'fd42::/64'], '/s/cni/data', 1400)) as { plugins: [{ type: string; mtu: number; ipam: { ranges: unknown; routes: unknown; dataDir: string } }, { type: string }] };
  expect(list.plugins[0]).toMatchObject({ type: 'ptp', mtu: 1400, ipMasq: false });
  expect(list.plugins[0].ipam).toMatchObject({ dataDir: '/s/cni/data', ranges: [[{ subnet: '10.42.3.0/24' }], [{ subnet: 'fd42::/64' }]], routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }] });
  expect(list.plugins).toHaveLength(1);
});

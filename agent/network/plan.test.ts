import { describe, expect, it } from 'vitest';
import type { Node } from '#api/gen/types.ts';
import { memberOf, ownFacts, parseFacts } from './facts.ts';
import { planPeers, vxlanMac } from './plan.ts';
import type { HostFacts, Member } from './types.ts';

const key = (letter: string): string => `${letter.repeat(42)}A=`;
const facts = (change: Partial<HostFacts> = {}): HostFacts => ({ mode: 'auto', links: [], ...change });
const member = (i: number, link: string, change: Partial<HostFacts> = {}, seenAt?: string): Member => ({
  nodeName: `n${String(i)}`, podCidrs: [`10.42.${String(i)}.0/24`], addresses: [`${link}.${String(i)}`],
  facts: facts({ links: [`${link}.${String(i)}/24`], ...change }), ...(seenAt !== undefined && { seenAt }),
});
const wg = (letter: string): Partial<HostFacts> => ({ wireguard: { key: key(letter), port: 51_871 } });
const how = (own: Member, ...others: Member[]): string[] => planPeers(own, others).map((plan) => `${plan.nodeName} ${plan.how}${plan.relay === undefined ? '' : ` ${plan.relay}`}`);

describe('how a pair of hosts is reached', () => {
  it('by plain routes on one link, also from a host whose agent has told nothing', () => {
    expect(planPeers(member(1, '10.0.0'), [member(2, '10.0.0')])).toMatchObject([{ nodeName: 'n2', how: 'routes', via: ['10.0.0.2'] }]);
    const { facts: _none, ...silent } = member(3, '10.0.0');
    expect(how(member(1, '10.0.0'), silent)).toEqual(['n3 routes']);
  });

  it('not before this host has told where it is', () => {
    expect(planPeers({ ...member(1, '10.0.0'), addresses: [] }, [member(2, '10.0.0')])).toEqual([]);
  });

  it('by VXLAN where they share no link and one has no WireGuard, or where one of them asks for it', () => {
    expect(planPeers(member(1, '10.0.0', wg('a')), [member(2, '10.0.1', { wireguard: null })])).toMatchObject([{ how: 'vxlan', why: 'no shared link', via: ['10.0.1.2'] }]);
    expect(how(member(1, '10.0.0'), member(2, '10.0.0', { mode: 'vxlan' }))).toEqual(['n2 vxlan']);
    expect(how(member(1, '10.0.0', { mode: 'vxlan' }), member(2, '10.0.0'))).toEqual(['n2 vxlan']);
  });

  it('by WireGuard where they share no link; until both know whether they have it, not at all', () => {
    const [a, b] = [member(1, '10.0.0', wg('a')), member(2, '10.0.1', wg('b'))];
    expect(planPeers(a, [b])).toMatchObject([{ how: 'wireguard', key: key('b'), endpoint: '10.0.1.2:51871' }]);
    expect(planPeers(member(1, '10.0.0'), [b])).toMatchObject([{ how: 'none', undecided: true }]);
    expect(planPeers(a, [member(2, '10.0.1')])[0]).toMatchObject({ how: 'none', why: expect.stringContaining('not yet said') as string });
    expect(planPeers(a, [member(2, '10.0.1')])[0]?.undecided).toBe(true);
    expect(planPeers(a, [member(2, '10.0.1', { wireguard: null })])[0]?.undecided).toBeUndefined();
  });

  it('across NAT: who stands behind it calls, and two that do go through the control plane\'s host', () => {
    const server = member(1, '203.0.113', wg('s'), '127.0.0.1');
    const home = member(2, '192.168.1', wg('h'), '198.51.100.7');
    const office = member(3, '192.168.1', wg('o'), '198.51.100.9');
    const sibling = member(4, '192.168.1', wg('i'), '198.51.100.7');
    expect(planPeers(home, [server])).toMatchObject([{ how: 'wireguard', endpoint: '203.0.113.1:51871' }]);
    expect(planPeers(server, [home])[0]).toMatchObject({ how: 'wireguard', key: key('h') });
    expect(planPeers(server, [home])[0]?.endpoint).toBeUndefined();
    // The same range behind two routers is not the same link.
    expect(how(home, server, office, sibling)).toEqual(['n1 wireguard', 'n3 relay n1', 'n4 routes']);
    expect(how(office, home, server)).toEqual(['n1 wireguard', 'n2 relay n1']);
    expect(how(home, office)).toEqual(['n3 none']);
    expect(planPeers(home, [member(1, '10.0.0', wg('s'), '127.0.0.1')], { serverHost: '203.0.113.9' })).toMatchObject([{ endpoint: '203.0.113.9:51871' }]);
  });

  it('not at all where one is set to plain routes and they share no link', () => {
    expect(planPeers(member(1, '10.0.0', { mode: 'routes' }), [member(2, '10.0.1')])).toMatchObject([{ how: 'none', why: expect.stringContaining('routes only') as string }]);
    expect(how(member(1, '10.0.0', { mode: 'vxlan' }), member(2, '192.168.1', {}, '198.51.100.7'))).toEqual(['n2 none']);
  });

  it('leaves out this host itself and a range that two nodes claim', () => {
    const own = member(1, '10.0.0');
    const twin = { ...member(3, '10.0.0'), podCidrs: ['10.42.2.0/24'] };
    expect(how(own, twin, member(2, '10.0.0'), own, { ...member(4, '10.0.0'), podCidrs: own.podCidrs })).toEqual(['n2 routes']);
    expect(how(own, { ...member(5, '10.0.0'), addresses: own.addresses })).toEqual(['n5 none']);
  });

  it('for both families; on a link without IPv6 addresses by the link\'s own', () => {
    const dual = (m: Member, change: Partial<HostFacts>): Member => ({ ...m, podCidrs: [...m.podCidrs, `fd42:0:0:${m.nodeName.slice(1)}::/64`], facts: { ...facts(), ...m.facts, ...change } });
    const own = dual(member(1, '10.0.0'), { linkLocal: 'fe80::1' });
    expect(planPeers(own, [dual(member(2, '10.0.0'), { linkLocal: 'fe80::2' })])).toMatchObject([{ how: 'routes', via: ['10.0.0.2', 'fe80::2'] }]);
    expect(planPeers(own, [dual(member(2, '10.0.0'), { wireguard: null })])).toMatchObject([{ how: 'vxlan', podCidrs: ['10.42.2.0/24', 'fd42:0:0:2::/64'] }]);
    expect(planPeers(member(1, '10.0.0'), [dual(member(2, '10.0.0'), {})])).toMatchObject([{ how: 'routes', podCidrs: ['10.42.2.0/24'] }]);
  });

  it('is the same from both ends', () => {
    const modes = ['auto', 'routes', 'vxlan', 'wireguard'] as const;
    const wireguards = [undefined, null, wg('x').wireguard];
    const places = [['10.0.0', undefined], ['10.0.0', '127.0.0.1'], ['10.0.1', undefined], ['192.168.1', '198.51.100.7'], ['192.168.1', '198.51.100.9']] as const;
    const kinds = modes.flatMap((mode) => wireguards.flatMap((wireguard) => places.map(([link, seenAt]) => (i: number) => member(i, link, { mode, ...(wireguard !== undefined && { wireguard }) }, seenAt))));
    const hub = member(9, '203.0.113', wg('s'));
    for (const one of kinds) {
      for (const other of kinds) {
        const [a, b] = [one(1), other(2)];
        expect([planPeers(a, [b, hub])[0]?.how, JSON.stringify([a, b])]).toEqual([planPeers(b, [a, hub])[0]?.how, JSON.stringify([a, b])]);
      }
    }
  });
});

describe('what hosts tell', () => {
  const node = (annotation: string): Node => ({ metadata: { name: 'n', annotations: { 'cleat.dev/network': annotation, 'cleat.dev/seen-at': 'x; rm' } }, spec: { podCIDR: '10.42.0.0/24', podCIDRs: ['10.42.0.0/24', 'fd42::/64', 'x'] }, status: { addresses: [{ type: 'InternalIP', address: '10.0.0.1' }, { type: 'InternalIP', address: '-batch' }] } });

  it('is taken only as far as it is what it should be', () => {
    expect(memberOf(node('{'))).toEqual({ nodeName: 'n', podCidrs: ['10.42.0.0/24', 'fd42::/64'], addresses: ['10.0.0.1'] });
    const told = { mode: 'fast', links: ['10.0.0.1/24', '10.0.0.1/99', 7, '$(x)/24'], linkLocal: 'fe80::1 dev lo', wireguard: { key: 'short', port: 1 } };
    expect(memberOf(node(JSON.stringify(told))).facts).toEqual({ mode: 'auto', links: ['10.0.0.1/24'] });
    expect(parseFacts(JSON.stringify({ wireguard: null }))).toEqual({ mode: 'auto', links: [], wireguard: null });
    expect(parseFacts(`{"links":["${' '.repeat(5000)}"]}`)).toBeUndefined();
  });

  it('comes back as it went', () => {
    const own = facts({ mode: 'vxlan', links: ['10.0.0.1/24', 'fd00::1/64'], linkLocal: 'fe80::1', ...wg('k') });
    expect(parseFacts(JSON.stringify(own))).toEqual(own);
  });

  it('says nothing of links that lead to containers', () => {
    const address = (cidr: string, family: 'IPv4' | 'IPv6' = 'IPv4') => ({ address: cidr.split('/')[0] ?? '', cidr, family, internal: false, netmask: '', mac: '', scopeid: 0 }) as const;
    const interfaces = { eth0: [address('10.0.0.1/24'), address('fe80::1/64', 'IPv6')], docker0: [address('172.17.0.1/16')], veth1: [address('10.42.0.1/32')], 'cleat-vxlan': [address('10.42.0.0/32')] };
    expect(ownFacts('auto', ['10.0.0.1'], interfaces as never, undefined)).toEqual({ mode: 'auto', links: ['10.0.0.1/24'], linkLocal: 'fe80::1' });
  });
});

it('gives each host an Ethernet address of its own', () => {
  expect(vxlanMac('a')).toMatch(/^02(:[0-9a-f]{2}){5}$/);
  expect(vxlanMac('a')).not.toBe(vxlanMac('b'));
});

import { describe, expect, it } from 'vitest';
import { Claims } from '../../claims.ts';
import { layoutOf } from '../../iptables/own-chains.ts';
import type { ServicePort } from '../../types.ts';
import { inRanges, Portals } from './portals.ts';
import { describePort, ruleset, unorderedChains, type IpvsRulesConfig } from './rules.ts';
import { addressOfKey, idleBackends, parseServers, presentOf, serverKey, serverLines, serverValue } from './servers.ts';
import { changeSets, parseCounts, replaceSets, setName } from './sets.ts';

const a = { ip: '10.42.0.2', port: 8080, local: true };
const b = { ip: '10.42.1.3', port: 8080, local: false };
const port = (change: Partial<ServicePort> = {}): ServicePort => ({
  id: 'default/web:http', protocol: 'TCP', clusterIps: ['10.43.0.7'], externalIps: [], loadBalancerIps: [], port: 80, nodePort: 0,
  affinitySeconds: 0, internalLocal: false, externalLocal: false, endpoints: [a, b], localEndpoints: [], ...change,
});
const config: IpvsRulesConfig = {
  tableName: 'cleat', podCidrs: ['10.42.0.0/16'], serviceCidrs: ['10.43.0.0/16', 'fd43::/112'], ...layoutOf('IPVS-CLEAT', unorderedChains),
  own: (kind, id) => `${kind}-${id.replace('default/', '').replace(':', '-')}`, set: (name) => setName('cleat', 'ip', name),
};
const portals = new Portals(config.serviceCidrs);
const wishes = (p: ServicePort, family: 'ip' | 'ip6' = 'ip') => Object.fromEntries([...describePort(p, family, config, portals)].map(([kind, keys]) => [kind, Object.fromEntries(keys)]));

describe('rules', () => {
  it('put a cluster address on the device, with a server behind it', () => {
    expect(wishes(port())).toEqual({
      'address': { '10.43.0.7': '' }, 'set addresses': { '10.43.0.7': '' }, 'set served': { '10.43.0.7,tcp:80': '' },
      'server': { '-t 10.43.0.7:80': '-s rr\n10.42.0.2:8080\n10.42.1.3:8080' }, 'set hairpin': { '10.42.0.2,tcp:8080,10.42.0.2': '' },
    });
    expect(wishes(port({ endpoints: [] }))).not.toHaveProperty('set served');
  });

  it('lead a node port to the portal by a set, and an external address by a chain', () => {
    const wanted = wishes(port({ nodePort: 30080, externalIps: ['203.0.113.5'] }));
    expect(wanted['set ports-tcp']).toEqual({ 30080: '' });
    expect(wanted['server']).toHaveProperty('-t 10.43.0.0:30080', '-s rr\n10.42.0.2:8080\n10.42.1.3:8080');
    expect(wanted['nat EXTERNALS']).toEqual({ '-d 203.0.113.5 -p tcp -m tcp --dport 80': '-d 203.0.113.5 -p tcp -m tcp --dport 80 -m comment --comment "default/web:http" -j IPVS-CLEAT-EXT-web-http' });
    expect(wanted['chain']).toEqual({ 'EXT-web-http': '-j MARK --set-xmark 0x1000/0x1000\n-p tcp -j DNAT --to-destination 10.43.0.0:30080' });
  });

  it('never put an external address on the device: it may be another host\'s', () => {
    expect(Object.keys(wishes(port({ externalIps: ['203.0.113.5'], loadBalancerIps: ['192.0.2.1'] }))['address'] ?? {})).toEqual(['10.43.0.7']);
  });

  it('tell those inside from those outside under a Local policy', () => {
    const wanted = wishes(port({ nodePort: 30080, externalLocal: true, localEndpoints: [a] }));
    const inside = portals.other('ip', 'default/web:http', 'inside');
    expect(inside.ip).toBe('10.43.255.255');
    expect(wanted['server']).toMatchObject({ '-t 10.43.0.0:30080': '-s rr\n10.42.0.2:8080', [`-t 10.43.255.255:${String(inside.port)}`]: '-s rr\n10.42.0.2:8080\n10.42.1.3:8080' });
    expect(wanted['chain']?.['EXT-web-http']).toBe('-s 10.42.0.0/16 -j IPVS-CLEAT-ALL-web-http\n-m addrtype --src-type LOCAL -j IPVS-CLEAT-ALL-web-http\n-p tcp -j DNAT --to-destination 10.43.0.0:30080');
    expect(wanted).not.toHaveProperty('set ports-tcp');
  });

  it('refuse what nobody serves, and drop whom a load balancer does not know', () => {
    const none = wishes(port({ endpoints: [], nodePort: 30080, externalIps: ['203.0.113.5'] }))['filter REFUSED'] ?? {};
    expect(Object.keys(none)).toEqual(['! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -p tcp -m tcp --dport 30080', '-d 203.0.113.5 -p tcp -m tcp --dport 80']);
    const guarded = wishes(port({ loadBalancerIps: ['192.0.2.1'], sourceRanges: ['10.0.0.0/8', 'fd00::/8'] }));
    expect(guarded['chain']?.['FW-web-http']).toBe('-s 10.0.0.0/8 -j IPVS-CLEAT-EXT-web-http\n-s 192.0.2.1 -j IPVS-CLEAT-EXT-web-http');
    expect(Object.values(guarded['filter REFUSED'] ?? {})).toEqual([expect.stringMatching(/-d 192\.0\.2\.1 .* -j DROP$/)]);
  });

  it('are the same few however many Services there are', () => {
    const claims = new Claims();
    const rules = () => ruleset('ip', config, portals, (kind) => new Map([...claims.keys(kind)].map((key) => [key, claims.value(kind, key) ?? ''])));
    const empty = rules();
    claims.update(Array.from({ length: 100 }, (_, i) => [String(i), describePort(port({ id: `default/s${String(i)}:http`, clusterIps: [`10.43.1.${String(i)}`], nodePort: 30_000 + i }), 'ip', config, portals)]));
    expect(rules()).toEqual(empty);
  });

  it('know IPv6', () => {
    const six = wishes(port({ clusterIps: ['10.43.0.7', 'fd43:0:0::7'], endpoints: [{ ip: 'fd42:0::2', port: 8080, local: false }], nodePort: 30080 }), 'ip6');
    expect(six['server']).toEqual({ '-t [fd43::7]:80': '-s rr\n[fd42::2]:8080', '-t [fd43::]:30080': '-s rr\n[fd42::2]:8080' });
    expect(portals.addresses('ip6')).toEqual(['fd43::', 'fd43::ffff']);
  });
});

describe('virtual servers', () => {
  const key = serverKey({ protocol: 'tcp', ip: '10.43.0.7', port: 80 });
  const value = (backends: readonly { ip: string; port: number }[], affinitySeconds = 0): string => serverValue({ scheduler: 'rr', affinitySeconds, backends });

  it('are read as ipvsadm writes them', () => {
    const text = '-A -t 10.43.0.7:80 -s rr -p 60\n-a -t 10.43.0.7:80 -r 10.42.0.2:8080 -m -w 1\n-a -t 10.43.0.7:80 -r 10.42.0.3:8080 -m -w 0\n-A -f 5 -s rr\n-a -f 5 -r 10.42.0.3:0 -m -w 1\n-A -u [fd43::7]:53 -s lc\n';
    expect([...parseServers(text)]).toEqual([
      ['-t 10.43.0.7:80', { scheduler: 'rr', affinitySeconds: 60, backends: new Map([['10.42.0.2:8080', 1], ['10.42.0.3:8080', 0]]) }], ['-u [fd43::7]:53', { scheduler: 'lc', affinitySeconds: 0, backends: new Map() }],
    ]);
    expect(addressOfKey('-u [fd43::7]:53')).toEqual({ protocol: 'udp', ip: 'fd43::7', port: 53 });
    expect(parseServers('rubbish\n\n')).toEqual(new Map());
  });

  it('are made, changed and removed; an endpoint that goes keeps its connections', () => {
    expect(serverLines(key, undefined, value([a])).lines).toEqual(['-A -t 10.43.0.7:80 -s rr', '-a -t 10.43.0.7:80 -r 10.42.0.2:8080 -m -w 1']);
    const changed = serverLines(key, presentOf(value([a]), []), value([b], 60));
    expect(changed).toEqual({ lines: ['-E -t 10.43.0.7:80 -s rr -p 60', '-a -t 10.43.0.7:80 -r 10.42.1.3:8080 -m -w 1', '-e -t 10.43.0.7:80 -r 10.42.0.2:8080 -m -w 0'], draining: ['10.42.0.2:8080'] });
    expect(serverLines(key, presentOf(value([b], 60), changed.draining), value([a, b])).lines).toEqual(['-E -t 10.43.0.7:80 -s rr', '-e -t 10.43.0.7:80 -r 10.42.0.2:8080 -m -w 1']);
    expect(serverLines(key, presentOf(value([b]), ['10.42.0.2:8080']), value([b])).lines).toEqual([]);
    expect(serverLines('-u 10.43.0.7:53', presentOf(value([a]), []), value([])).lines).toEqual(['-d -u 10.43.0.7:53 -r 10.42.0.2:8080']);
    expect(serverLines(key, presentOf(value([a]), []), undefined).lines).toEqual(['-D -t 10.43.0.7:80']);
    expect(serverLines(key, undefined, undefined).lines).toEqual([]);
  });

  it('show who has no connection left', () => {
    expect(idleBackends(`TCP  10.43.0.7:80 rr
  -> 10.42.0.2:8080               Masq    0      0          0
  -> 10.42.0.3:8080               Masq    0      1          0
  -> 10.42.0.4:8080               Masq    1      0          0
`)).toEqual(['10.42.0.2:8080']);
  });
});

describe('sets', () => {
  it('are replaced by swapping and changed by members', () => {
    const text = replaceSets('cleat', 'ip', (name) => (name === 'addresses' ? ['10.43.0.7'] : []));
    expect(text).toContain('create cleat4-addresses hash:ip family inet maxelem 1048576 -exist\ncreate cleat4-addresses-n hash:ip family inet maxelem 1048576 -exist\nflush cleat4-addresses-n\nadd cleat4-addresses-n 10.43.0.7 -exist\nswap cleat4-addresses cleat4-addresses-n\ndestroy cleat4-addresses-n\n');
    expect(changeSets('cleat', 'ip', [
      { kind: 'set served', key: '10.43.0.7,tcp:80', before: undefined, after: '' }, { kind: 'set addresses', key: '10.43.0.8', before: '', after: undefined }, { kind: 'server', key: 'x', before: undefined, after: '' },
    ])).toBe('add cleat4-served 10.43.0.7,tcp:80\ndel cleat4-addresses 10.43.0.8\n');
    expect(parseCounts('Name: x\nType: hash:ip\nNumber of entries: 3\n\nName: y\nNumber of entries: 0\n')).toEqual(new Map([['x', 3], ['y', 0]]));
  });
});

describe('portals', () => {
  it('give each use a port of its own until it is released, the same again after a restart', () => {
    const [one, two] = [new Portals(['10.43.0.0/16']), new Portals(['10.43.0.0/16'])];
    expect(one.other('ip', 'x', 'outside')).toEqual(two.other('ip', 'x', 'outside'));
    const ports = new Set(Array.from({ length: 2000 }, (_, i) => one.other('ip', String(i), 'inside').port));
    expect(ports.size).toBe(2000);
    const before = one.other('ip', '5', 'inside');
    one.release('5');
    expect(one.other('ip', '5', 'inside')).toEqual(before);
    expect(one.sentinel()).toEqual({ ip: '10.43.255.255', port: 65_535 });
    expect(new Portals(['10.43.0.0/24']).nodePorts('ip6')).toBeUndefined();
  });

  it('know what is in a range', () => {
    const ours = inRanges(['10.43.0.0/16', 'fd43::/112']);
    expect(['10.43.1.2', '10.44.1.2', 'fd43::9', 'fd44::9'].map(ours)).toEqual([true, false, true, false]);
  });
});

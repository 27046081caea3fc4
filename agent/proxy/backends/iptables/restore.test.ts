import { describe, expect, it } from 'vitest';
import type { ServicePort } from '../../types.ts';
import { changeText, parseSaved, removeText, replaceText } from '../../iptables/restore.ts';
import { ruleset, unorderedChains, type RulesConfig } from './rules.ts';

const config: RulesConfig = {
  tableName: 'cleat', podCidrs: ['10.42.0.0/16'], serviceCidrs: ['10.43.0.0/16'], unordered: unorderedChains, chain: (name) => `CLEAT-${name}`, own: (kind, id) => `${kind}-${id.replace('default/', '').replaceAll(/[: ]/g, '-')}`,
};
const a = { ip: '10.42.0.2', port: 8080, local: true };
const b = { ip: '10.42.1.3', port: 8080, local: false };
const port = (change: Partial<ServicePort> = {}): ServicePort => ({
  id: 'default/web:http', protocol: 'TCP', clusterIps: ['10.43.0.7'], externalIps: [], loadBalancerIps: [], port: 80, nodePort: 0,
  affinitySeconds: 0, internalLocal: false, externalLocal: false, endpoints: [a, b], localEndpoints: [], ...change,
});
const rules = (...ports: ServicePort[]) => ruleset(ports, 'ip', config);
const nothing = { nat: { chains: new Set<string>(), jumps: new Set<string>() }, filter: { chains: new Set<string>(), jumps: new Set<string>() } };
const generations = { before: 'g1', after: 'g2' };

describe('rules', () => {
  it('lead an address to its endpoints, each with the same chance', () => {
    const { nat } = rules(port());
    expect(nat.get('SERVICES')).toEqual(['-d 10.43.0.7 -p tcp -m tcp --dport 80 -m comment --comment "default/web:http" -j CLEAT-SVC-web-http']);
    expect(nat.get('SVC-web-http')).toEqual([
      '-m statistic --mode random --probability 0.5000000000 -p tcp -j DNAT --to-destination 10.42.0.2:8080', '-p tcp -j DNAT --to-destination 10.42.1.3:8080',
    ]);
    expect(nat.get('HAIRPIN')).toEqual(['-s 10.42.0.2 -d 10.42.0.2 -j MASQUERADE --random-fully']);
  });

  it('keep the client\'s address under a Local policy, and refuse outsiders where nobody is local', () => {
    const { nat, filter } = rules(port({ protocol: 'SCTP', nodePort: 30080, externalLocal: true }));
    expect(nat.get('NODEPORTS')).toEqual(['-p sctp -m sctp --dport 30080 -m comment --comment "default/web:http" -j CLEAT-EXT-web-http']);
    expect(nat.get('EXT-web-http')).toEqual(['-s 10.42.0.0/16 -j CLEAT-ALL-web-http', '-m addrtype --src-type LOCAL -j CLEAT-ALL-web-http']);
    expect(nat.get('ALL-web-http')?.[0]).toBe('-j MARK --set-xmark 0x1000/0x1000');
    expect(filter.get('REFUSED')).toEqual(['! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -p sctp -m sctp --dport 30080 -m comment --comment "default/web:http" -j CLEAT-REFUSE']);
  });

  it('know the family of an address, and give a contested one to the first', () => {
    const { nat } = rules(port({ id: 'default/z:http', clusterIps: ['10.43.0.7', 'fd00::7'] }), port({ clusterIps: ['10.43.0.7'] }));
    expect(nat.get('SERVICES')).toHaveLength(1);
    expect(nat.get('SERVICES')?.[0]).toContain('default/web:http');
  });
});

describe('text', () => {
  it('replaces what is there, and adds the jumps that are missing', () => {
    const text = replaceText(rules(), { ...nothing, nat: { chains: new Set(['CLEAT-SVC-OLD', 'CLEAT-SERVICES']), jumps: new Set(['PREROUTING']) } }, 'g1', config);
    const [nat = '', filter = ''] = text.split('*filter');
    expect(nat).toContain(':CLEAT-SVC-OLD - [0:0]\n');
    expect(nat).toContain('-X CLEAT-SVC-OLD\n');
    expect(nat).not.toContain('-X CLEAT-SERVICES');
    expect(nat).not.toContain('-I PREROUTING');
    expect(nat).toContain('-I OUTPUT 1 -j CLEAT-PORTALS\n');
    expect(filter).toContain('-I INPUT 1 -m conntrack --ctstate NEW -j CLEAT-REFUSALS\n');
  });

  it('changes endpoints by rewriting one chain, and nothing without a change', () => {
    expect(changeText(rules(port()), rules(port()), generations, config)).toBe('');
    expect(changeText(rules(port()), rules(port({ endpoints: [b] })), generations, config)).toBe(`*nat
:CLEAT-SVC-web-http - [0:0]
-D CLEAT-STATE -m comment --comment "g1"
-A CLEAT-STATE -m comment --comment "g2"
-D CLEAT-HAIRPIN -s 10.42.0.2 -d 10.42.0.2 -j MASQUERADE --random-fully
-D CLEAT-LOCAL -d 10.42.0.2 -j MARK --xor-mark 0x1000
-A CLEAT-SVC-web-http -p tcp -j DNAT --to-destination 10.42.1.3:8080
COMMIT
*filter
-D CLEAT-STATE -m comment --comment "g1"
-A CLEAT-STATE -m comment --comment "g2"
COMMIT
`);
  });

  it('takes a Service\'s chains away with it', () => {
    const text = changeText(rules(port()), rules(), generations, config);
    expect(text).toContain(':CLEAT-SVC-web-http - [0:0]\n');
    expect(text).toContain('-X CLEAT-SVC-web-http\n');
  });

  it('removes what it finds, and nothing of others', () => {
    const present = parseSaved(`*nat
:PREROUTING ACCEPT [0:0]
:CLEAT-PORTALS - [0:0]
:CLEATX-MINE - [0:0]
-A PREROUTING -j CLEAT-PORTALS
-A PREROUTING -j DOCKER
-A CLEAT-PORTALS -j CLEAT-SERVICES
COMMIT
# another table
*filter
:INPUT ACCEPT [0:0]
-A INPUT -j CLEATX-MINE
COMMIT
`, 'CLEAT');
    expect(present).toEqual({ nat: { chains: new Set(['CLEAT-PORTALS']), jumps: new Set(['PREROUTING']) }, filter: { chains: new Set(), jumps: new Set() } });
    expect(removeText(present, config)).toBe('*nat\n:CLEAT-PORTALS - [0:0]\n-D PREROUTING -j CLEAT-PORTALS\n-X CLEAT-PORTALS\nCOMMIT\n');
    expect(removeText(nothing, config)).toBe('');
  });
});

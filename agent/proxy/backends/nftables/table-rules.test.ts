import { describe, expect, it } from 'vitest';
import type { ServicePort } from '../../types.ts';
import { parseAffinity } from './affinity.ts';
import { parseFlows, staleFlows } from '../../conntrack.ts';
import { familiesOf } from '../../families.ts';
import { baseRules } from './rules.ts';
import { TableRules } from './table-rules.ts';

const config = { tableName: 'cleat', podCidrs: ['10.42.0.0/16'], serviceCidrs: ['10.43.0.0/16'] };
const a = { ip: '10.42.0.2', port: 8080, local: true };
const b = { ip: '10.42.1.3', port: 8080, local: false };
const port = (change: Partial<ServicePort> = {}): ServicePort => ({
  id: 'default/web:http', protocol: 'TCP', clusterIps: ['10.43.0.7'], externalIps: [], loadBalancerIps: [], port: 80, nodePort: 0,
  affinitySeconds: 0, internalLocal: false, externalLocal: false, endpoints: [a, b], localEndpoints: [], ...change,
});
/** A table that holds `ports`, and the text beyond the base rules that put them there. */
const table = (...ports: ServicePort[]): { rules: TableRules; text: string } => {
  const rules = new TableRules('ip', config);
  const text = rules.replace(ports);
  expect(text.startsWith('add table ip cleat\ndelete table ip cleat\n')).toBe(true);
  return { rules, text: text.slice(text.indexOf('\n}\n') + 3) };
};

describe('TableRules', () => {
  it('writes a ClusterIP', () => {
    expect(table(port()).text).toBe(`add map ip cleat ips/all/to-0 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
add chain ip cleat ips/all/to-0
add map ip cleat ips/all/to-1 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
add chain ip cleat ips/all/to-1
add chain ip cleat ips/all/2
add rule ip cleat ips/all/to-0 dnat ip addr . port to ip daddr . meta l4proto . th dport map @ips/all/to-0
add rule ip cleat ips/all/to-1 dnat ip addr . port to ip daddr . meta l4proto . th dport map @ips/all/to-1
add rule ip cleat ips/all/2 numgen random mod 2 vmap { 0 : goto ips/all/to-0, 1 : goto ips/all/to-1 }
add element ip cleat service-ips { 10.43.0.7 . tcp . 80 : goto ips/all/2 }
add element ip cleat ips/all/to-0 { 10.43.0.7 . tcp . 80 : 10.42.0.2 . 8080 }
add element ip cleat ips/all/to-1 { 10.43.0.7 . tcp . 80 : 10.42.1.3 . 8080 }
add element ip cleat hairpin { 10.42.0.2 . 10.42.0.2 }
`);
  });

  it('writes SCTP and a NodePort under a Local policy', () => {
    expect(table(port({ protocol: 'SCTP', nodePort: 30080, externalLocal: true, localEndpoints: [a] })).text.split('\n').filter((line) => /nodeports/.test(line))).toEqual([
      'add map ip cleat nodeports/inside { type inet_proto . inet_service : verdict; }', 'add chain ip cleat nodeports/inside',
      'add map ip cleat nodeports/local/to-0 { type inet_proto . inet_service : ipv4_addr . inet_service; }', 'add chain ip cleat nodeports/local/to-0', 'add chain ip cleat nodeports/ext/1',
      ...['all/to-0', 'all/to-1'].flatMap((name) => [`add map ip cleat nodeports/${name} { type inet_proto . inet_service : ipv4_addr . inet_service; }`, `add chain ip cleat nodeports/${name}`]),
      'add chain ip cleat nodeports/all/2', 'add chain ip cleat nodeports/masq/2',
      'add rule ip cleat nodeports/inside meta l4proto . th dport vmap @nodeports/inside',
      'add rule ip cleat nodeports/local/to-0 dnat ip addr . port to meta l4proto . th dport map @nodeports/local/to-0',
      'add rule ip cleat nodeports/ext/1 ip saddr @pod-cidrs goto nodeports/inside',
      'add rule ip cleat nodeports/ext/1 fib saddr type local goto nodeports/inside',
      'add rule ip cleat nodeports/ext/1 goto nodeports/local/to-0',
      'add rule ip cleat nodeports/all/to-0 dnat ip addr . port to meta l4proto . th dport map @nodeports/all/to-0',
      'add rule ip cleat nodeports/all/to-1 dnat ip addr . port to meta l4proto . th dport map @nodeports/all/to-1',
      'add rule ip cleat nodeports/all/2 numgen random mod 2 vmap { 0 : goto nodeports/all/to-0, 1 : goto nodeports/all/to-1 }',
      'add rule ip cleat nodeports/masq/2 meta mark set meta mark or 0x00001000',
      'add rule ip cleat nodeports/masq/2 goto nodeports/all/2',
      'add element ip cleat service-nodeports { sctp . 30080 : goto nodeports/ext/1 }',
      'add element ip cleat nodeports/all/to-0 { sctp . 30080 : 10.42.0.2 . 8080 }',
      'add element ip cleat nodeports/all/to-1 { sctp . 30080 : 10.42.1.3 . 8080 }',
      'add element ip cleat nodeports/local/to-0 { sctp . 30080 : 10.42.0.2 . 8080 }',
      'add element ip cleat nodeports/inside { sctp . 30080 : goto nodeports/masq/2 }',
    ]);
  });

  it('gives very many endpoints a chain of their own', () => {
    const many = Array.from({ length: 65 }, (_, i) => ({ ...b, ip: `10.42.1.${String(i + 1)}` }));
    const { rules, text } = table(port({ endpoints: many, nodePort: 30080 }));
    expect(text).toContain('service-ips { 10.43.0.7 . tcp . 80 : goto svc/default/web/http }');
    expect(text).toMatch(/add rule ip cleat all\/default\/web\/http meta l4proto tcp dnat ip addr . port to numgen random mod 65 map \{ 0 : 10.42.1.1 . 8080, /);
    expect(text).not.toContain('to-');
    expect(rules.apply({ set: [port({ endpoints: many.slice(1), nodePort: 30080 })], removed: [] })).toContain('delete chain ip cleat svc/default/web/http\n');
  });

  it('refuses what has no endpoints', () => {
    expect(table(port({ endpoints: [], nodePort: 30080 })).text).toContain(
      'add element ip cleat refused-ips { 10.43.0.7 . tcp . 80 }\nadd element ip cleat refused-nodeports { tcp . 30080 }\n');
  });

  it('changes endpoints by elements alone, and takes what packets on their way may still look up with the next change', () => {
    const { rules } = table(port(), port({ id: 'default/one:http', clusterIps: ['10.43.0.8'], endpoints: [b] }));
    expect(rules.apply({ set: [port({ endpoints: [b] })], removed: [] })).toBe(`delete element ip cleat service-ips { 10.43.0.7 . tcp . 80 }
delete element ip cleat ips/all/to-0 { 10.43.0.7 . tcp . 80 }
delete element ip cleat hairpin { 10.42.0.2 . 10.42.0.2 }
add element ip cleat service-ips { 10.43.0.7 . tcp . 80 : goto ips/all/1 }
add element ip cleat ips/all/to-0 { 10.43.0.7 . tcp . 80 : 10.42.1.3 . 8080 }
`);
    expect(rules.apply({ set: [port({ endpoints: [b] })], removed: ['unknown/x:y'] })).toBe('');
    expect(rules.apply({ set: [], removed: ['default/web:http'] })).toBe(`delete element ip cleat service-ips { 10.43.0.7 . tcp . 80 }
delete element ip cleat ips/all/to-1 { 10.43.0.7 . tcp . 80 }
`);
    expect(rules.apply({ set: [port({ endpoints: [b] })], removed: [] })).toBe(`delete element ip cleat ips/all/to-0 { 10.43.0.7 . tcp . 80 }
add element ip cleat service-ips { 10.43.0.7 . tcp . 80 : goto ips/all/1 }
add element ip cleat ips/all/to-0 { 10.43.0.7 . tcp . 80 : 10.42.1.3 . 8080 }
`);
  });

  it('keeps affinity sets of endpoints that stay, and makes them anew when the timeout changes', () => {
    const { rules, text } = table(port({ affinitySeconds: 60 }));
    expect(text).toContain('add rule ip cleat svc/default/web/http ip saddr @aff/default/web/http/10.42.0.2/8080 goto ep/default/web/http/10.42.0.2/8080\n');
    const fewer = rules.apply({ set: [port({ affinitySeconds: 60, endpoints: [a] })], removed: [] });
    expect(fewer).not.toContain('set ip cleat aff/default/web/http/10.42.0.2');
    expect(fewer).toContain('delete set ip cleat aff/default/web/http/10.42.1.3/8080');
    const longer = rules.apply({ set: [port({ affinitySeconds: 90, endpoints: [a] })], removed: [] });
    expect(longer.indexOf('flush chain ip cleat ep/default/web/http/10.42.0.2/8080')).toBeLessThan(longer.indexOf('delete set ip cleat aff/default/web/http/10.42.0.2/8080'));
    expect(longer).toContain('timeout 90s');
  });

  it('lets one of several owners have an address, whatever the order of changes', () => {
    const second = port({ id: 'default/a:http', endpoints: [b] });
    const { rules } = table(port());
    expect(rules.apply({ set: [second], removed: [] })).toContain(
      'delete element ip cleat service-ips { 10.43.0.7 . tcp . 80 }\ndelete element ip cleat ips/all/to-0 { 10.43.0.7 . tcp . 80 }\n');
    expect(rules.apply({ set: [], removed: ['default/web:http'] })).not.toContain('service-ips');
    expect(rules.apply({ set: [port()], removed: ['default/a:http'] })).toContain('add element ip cleat service-ips { 10.43.0.7 . tcp . 80 : goto ips/all/2 }');
  });

  it('writes the other family only when a range needs it', () => {
    expect(familiesOf(config)).toEqual(['ip']);
    const dual = { ...config, podCidrs: ['10.42.0.0/16', 'fd42::/56'] };
    expect(familiesOf(dual)).toEqual(['ip', 'ip6']);
    expect(baseRules('ip6', dual)).toContain('set pod-cidrs { type ipv6_addr; flags interval; elements = { fd42::/56 }; }');
    const rules = new TableRules('ip6', dual);
    const text = rules.replace([port({ clusterIps: ['10.43.0.7', 'fd43::7'], endpoints: [a, { ip: 'fd42::2', port: 8080, local: false }] })]);
    expect(text).toContain('ips/all/to-0 { fd43::7 . tcp . 80 : fd42::2 . 8080 }');
    expect(text).toContain('service-ips { fd43::7 . tcp . 80 : goto ips/all/1 }');
    expect(text).not.toContain('10.43.0.7');
  });
});

it('reads what session affinity has learnt, no longer than it lasts now', () => {
  const text = `table ip other {
	set aff/x {
		elements = { 10.0.0.9 expires 5s }
	}
}
table ip cleat {
	set aff/x {
		type ipv4_addr
		elements = { 10.0.0.1 expires 1h59s996ms, 10.0.0.2 expires 19s996ms,
			     10.0.0.4 timeout 30s expires 996ms }
	}
	set aff/gone {
		elements = { 10.0.0.1 expires 5s }
	}
}
`;
  expect(parseAffinity(text, 'cleat', (set) => (set === 'aff/x' ? 60 : undefined))).toEqual(new Map([['aff/x', ['10.0.0.1 expires 60s', '10.0.0.2 expires 19s', '10.0.0.4 expires 1s']]]));
  expect(parseAffinity('', 'cleat', () => 1)).toEqual(new Map());
});

it('finds UDP flows whose endpoint has gone', () => {
  const flow = (destination: string, dport: number, replySource: string): string =>
    `udp      17 27 src=10.42.0.9 dst=${destination} sport=5353 dport=${String(dport)} [UNREPLIED] src=${replySource} dst=10.42.0.9 sport=53 dport=5353 mark=0 use=1`;
  const dns = port({ protocol: 'UDP', port: 53, nodePort: 30053 });
  const flows = parseFlows([
    flow('10.43.0.7', 53, a.ip), flow('10.43.0.7', 53, '10.42.0.99'), flow('10.43.0.7', 53, '10.43.0.7'), flow('10.43.0.7', 54, '10.42.0.99'),
    flow('192.0.2.1', 30053, '10.42.0.99'), flow('192.0.2.1', 30053, '192.0.2.1'), 'rubbish', 'tcp 6 src=1 dst=2 sport=3 dport=4 src=5',
  ].join('\n'));
  expect(flows).toHaveLength(6);
  expect(staleFlows(flows, [dns]).map((f) => `${f.destination} ${f.replySource}`)).toEqual(['10.43.0.7 10.42.0.99', '10.43.0.7 10.43.0.7', '192.0.2.1 10.42.0.99']);
  expect(staleFlows(flows, [port()])).toEqual([]);
});

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
    expect(table(port()).text).toBe(`add chain ip cleat svc/default/web/http
add rule ip cleat svc/default/web/http meta l4proto tcp dnat ip addr . port to numgen random mod 2 map { 0 : 10.42.0.2 . 8080, 1 : 10.42.1.3 . 8080 }
add element ip cleat service-ips { 10.43.0.7 . tcp . 80 : goto svc/default/web/http }
add element ip cleat hairpin { 10.42.0.2 . 10.42.0.2 }
`);
  });

  it('writes SCTP and a NodePort under a Local policy', () => {
    expect(table(port({ protocol: 'SCTP', nodePort: 30080, externalLocal: true, localEndpoints: [a] })).text).toBe(`add chain ip cleat svc/default/web/http
add chain ip cleat all/default/web/http
add chain ip cleat ext/default/web/http
add rule ip cleat svc/default/web/http meta l4proto sctp dnat ip addr . port to numgen random mod 2 map { 0 : 10.42.0.2 . 8080, 1 : 10.42.1.3 . 8080 }
add rule ip cleat all/default/web/http meta mark set meta mark or 0x00001000
add rule ip cleat all/default/web/http meta l4proto sctp dnat ip addr . port to numgen random mod 2 map { 0 : 10.42.0.2 . 8080, 1 : 10.42.1.3 . 8080 }
add rule ip cleat ext/default/web/http ip saddr @pod-cidrs goto all/default/web/http
add rule ip cleat ext/default/web/http fib saddr type local goto all/default/web/http
add rule ip cleat ext/default/web/http meta l4proto sctp dnat to 10.42.0.2:8080
add element ip cleat service-ips { 10.43.0.7 . sctp . 80 : goto svc/default/web/http }
add element ip cleat service-nodeports { sctp . 30080 : goto ext/default/web/http }
add element ip cleat hairpin { 10.42.0.2 . 10.42.0.2 }
`);
  });

  it('refuses what has no endpoints', () => {
    expect(table(port({ endpoints: [], nodePort: 30080 })).text).toContain(
      'add element ip cleat refused-ips { 10.43.0.7 . tcp . 80 }\nadd element ip cleat refused-nodeports { tcp . 30080 }\n');
  });

  it('changes endpoints by rewriting one chain', () => {
    const { rules } = table(port());
    expect(rules.apply({ set: [port({ endpoints: [b] })], removed: [] })).toBe(`delete element ip cleat hairpin { 10.42.0.2 . 10.42.0.2 }
flush chain ip cleat svc/default/web/http
add rule ip cleat svc/default/web/http meta l4proto tcp dnat to 10.42.1.3:8080
`);
    expect(rules.apply({ set: [port({ endpoints: [b] })], removed: ['unknown/x:y'] })).toBe('');
    expect(rules.apply({ set: [], removed: ['default/web:http'] })).toBe(`delete element ip cleat service-ips { 10.43.0.7 . tcp . 80 }
flush chain ip cleat svc/default/web/http
delete chain ip cleat svc/default/web/http
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
      'delete element ip cleat service-ips { 10.43.0.7 . tcp . 80 }\nadd chain ip cleat svc/default/a/http\n');
    expect(rules.apply({ set: [], removed: ['default/web:http'] })).not.toContain('service-ips');
    expect(rules.apply({ set: [port()], removed: ['default/a:http'] })).toContain('add element ip cleat service-ips { 10.43.0.7 . tcp . 80 : goto svc/default/web/http }');
  });

  it('writes the other family only when a range needs it', () => {
    expect(familiesOf(config)).toEqual(['ip']);
    const dual = { ...config, podCidrs: ['10.42.0.0/16', 'fd42::/56'] };
    expect(familiesOf(dual)).toEqual(['ip', 'ip6']);
    expect(baseRules('ip6', dual)).toContain('set pod-cidrs { type ipv6_addr; flags interval; elements = { fd42::/56 }; }');
    const rules = new TableRules('ip6', dual);
    const text = rules.replace([port({ clusterIps: ['10.43.0.7', 'fd43::7'], endpoints: [a, { ip: 'fd42::2', port: 8080, local: false }] })]);
    expect(text).toContain('dnat to [fd42::2]:8080');
    expect(text).toContain('service-ips { fd43::7 . tcp . 80 : goto svc/default/web/http }');
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

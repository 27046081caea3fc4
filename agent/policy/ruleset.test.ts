import { describe, expect, it } from 'vitest';
import type { NetworkPolicy, NetworkPolicySpec } from '#api/gen/types.ts';
import { groupNameOf, type PeerGroupSlice } from '#api/network-policy/peer-group.ts';
import { ruleText } from './nftables.ts';
import { RulesetBuilder } from './ruleset.ts';
import type { LocalPod, PolicyView } from './types.ts';

const pod = (uid: string, ip: string, labels: Record<string, string> = { role: 'db' }, ports: LocalPod['ports'] = []): LocalPod => ({ uid, namespace: 'default', labels, ips: [ip], ports });
const policy = (name: string, spec: NetworkPolicySpec): NetworkPolicy => ({ metadata: { namespace: 'default', name }, spec });
const group = (peer: Parameters<typeof groupNameOf>[0]): string => groupNameOf(peer, 'default') ?? '';
const slice = (name: string, node: string, ...ips: string[]): PeerGroupSlice => ({ metadata: { name: `${name}.${node}` }, group: name, node, pods: ips.map((ip) => ({ uid: `u-${ip}`, ips: [ip], ports: [{ name: 'web', protocol: 'TCP', port: 8080 }] })) });

/** The rules as text: chains with their rules, and elements of sets, without names of groups. */
function rulesOf(view: Partial<PolicyView>, builder = new RulesetBuilder()): Record<string, readonly string[]> {
  const pieces = builder.build({ policies: [], groups: [], pods: [], kept: [], orphans: [], ...view });
  const found: Record<string, readonly string[]> = {};
  for (const { chains, elements } of pieces.values()) {
    for (const [name, rules] of chains) found[name] = rules.map(ruleText);
    for (const [name, keys] of elements) if (keys.size > 0) found[name] = [...keys];
  }
  return found;
}

const frontend = group({ podSelector: { matchLabels: { role: 'frontend' } } });
const myproject = group({ namespaceSelector: { matchLabels: { project: 'myproject' } } });
const everybody = group({ namespaceSelector: {} });

/** Source: https://kubernetes.io/docs/concepts/services-networking/network-policies/ */
describe('the documented examples', () => {
  it.each<[string, NetworkPolicySpec, string, readonly string[]]>([
    ['default deny all ingress', { podSelector: {}, policyTypes: ['Ingress'] }, 'in/default/p', []],
    ['allow all ingress', { podSelector: {}, ingress: [{}], policyTypes: ['Ingress'] }, 'in/default/p', ['accept']],
    ['default deny all egress', { podSelector: {}, policyTypes: ['Egress'] }, 'out/default/p', []],
    ['allow all egress', { podSelector: {}, egress: [{}], policyTypes: ['Egress'] }, 'out/default/p', ['accept']],
    ['the test-network-policy, ingress', {
      podSelector: { matchLabels: { role: 'db' } }, policyTypes: ['Ingress', 'Egress'],
      ingress: [{ from: [{ ipBlock: { cidr: '172.17.0.0/16', except: ['172.17.1.0/24'] } }, { namespaceSelector: { matchLabels: { project: 'myproject' } } }, { podSelector: { matchLabels: { role: 'frontend' } } }], ports: [{ protocol: 'TCP', port: 6379 }] }],
    }, 'in/default/p', [
      `ip saddr @group4/${myproject} meta l4proto tcp th dport 6379 accept`, `ip6 saddr @group6/${myproject} meta l4proto tcp th dport 6379 accept`,
      `ip saddr @group4/${frontend} meta l4proto tcp th dport 6379 accept`, `ip6 saddr @group6/${frontend} meta l4proto tcp th dport 6379 accept`,
      'ip saddr 172.17.0.0/16 ip saddr != 172.17.1.0/24 meta l4proto tcp th dport 6379 accept',
    ]],
    ['the test-network-policy, egress', { podSelector: { matchLabels: { role: 'db' } }, policyTypes: ['Ingress', 'Egress'], egress: [{ to: [{ ipBlock: { cidr: '10.0.0.0/24' } }], ports: [{ protocol: 'TCP', port: 5978 }] }] }, 'out/default/p', ['ip daddr 10.0.0.0/24 meta l4proto tcp th dport 5978 accept']],
    ['a range of ports', { podSelector: {}, policyTypes: ['Egress'], egress: [{ to: [{ ipBlock: { cidr: '10.0.0.0/24' } }], ports: [{ protocol: 'TCP', port: 32000, endPort: 32768 }] }] }, 'out/default/p', ['ip daddr 10.0.0.0/24 meta l4proto tcp th dport 32000-32768 accept']],
    ['every protocol, ports or none', { podSelector: {}, ingress: [{ ports: [{ protocol: 'UDP', port: 53 }, { protocol: 'SCTP', port: 1 }, { protocol: 'TCP' }, {}] }] }, 'in/default/p', ['meta l4proto udp th dport 53 accept', 'meta l4proto sctp th dport 1 accept', 'meta l4proto tcp accept', 'meta l4proto tcp accept']],
    ['blocks of both families, and of all addresses', { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: 'fd00::/8', except: ['fd00:1::/32'] } }, { ipBlock: { cidr: '0.0.0.0/0', except: ['10.0.0.0/8'] } }] }] }, 'in/default/p', ['ip6 saddr fd00::/8 ip6 saddr != fd00:1::/32 accept', 'meta nfproto ipv4 ip saddr != 10.0.0.0/8 accept']],
  ])('%s', (_, spec, chain, rules) => {
    expect(rulesOf({ policies: [policy('p', spec)], pods: [pod('a', '10.42.0.2')] })[chain]).toEqual(rules);
  });

  it('tell "and" from "or" between namespaces and pods', () => {
    const [user, client] = [{ matchLabels: { user: 'alice' } }, { matchLabels: { role: 'client' } }];
    const groups = (from: NonNullable<NonNullable<NetworkPolicySpec['ingress']>[number]['from']>): number => (rulesOf({ policies: [policy('p', { podSelector: {}, ingress: [{ from }] })], pods: [pod('a', '10.42.0.2')] })['in/default/p'] ?? []).length / 2;
    expect([groups([{ namespaceSelector: user, podSelector: client }]), groups([{ namespaceSelector: user }, { podSelector: client }])]).toEqual([1, 2]);
    const of = (a: object, namespace = 'default'): string | undefined => groupNameOf(a, namespace);
    expect(of({ podSelector: client }, 'other')).not.toBe(of({ podSelector: client }));
    expect(of({ namespaceSelector: user }, 'other')).toBe(of({ namespaceSelector: user, podSelector: {} }));
    expect(of({ podSelector: { matchExpressions: [{ key: 'role', operator: 'In', values: ['b', 'a'] }] } })).toBe(of({ podSelector: { matchExpressions: [{ key: 'role', operator: 'In', values: ['a', 'b'] }] } }));
  });
});

describe('isolation', () => {
  const [deny, open] = [policy('deny', { podSelector: { matchLabels: { role: 'db' } }, policyTypes: ['Ingress'] }), policy('open', { podSelector: {}, ingress: [{}] })];
  it('begins with the first policy for a direction, and ends nowhere else', () => {
    const rules = rulesOf({ policies: [deny], pods: [pod('a', '10.42.0.2'), pod('b', '10.42.0.3', { role: 'web' })] });
    expect(rules['in4']).toEqual([expect.stringMatching(/^10\.42\.0\.2 : goto pods-in\/[0-9a-f]{16}$/)]);
    expect([rules['out4'], rules['self4']]).toEqual([undefined, ['10.42.0.2 . 10.42.0.2']]);
  });
  it('is lifted for what any of several policies allows, in one chain for pods of the same policies', () => {
    const rules = rulesOf({ policies: [open, deny], pods: [pod('a', '10.42.0.2'), pod('b', '10.42.0.3'), pod('c', '10.42.0.4', {})] });
    const chains = Object.entries(rules).filter(([name]) => name.startsWith('pods-in/')).map(([, list]) => list);
    expect(chains).toEqual([['jump in/default/deny', 'jump in/default/open', 'drop'], ['jump in/default/open', 'drop']]);
    expect(new Set(rules['in4']?.map((element) => element.split(' : ')[1]))).toHaveProperty('size', 2);
  });
  it('covers both directions where a policy has rules for egress and does not say', () => {
    const rules = rulesOf({ policies: [policy('p', { podSelector: {}, egress: [{}] })], pods: [pod('a', 'fd00::2')] });
    expect([rules['in/default/p'], rules['out/default/p'], rules['in6'], rules['out6']]).toEqual([[], ['accept'], [expect.any(String)], [expect.any(String)]]);
  });
  it('is none of other namespaces, and nothing where nobody is selected', () => {
    expect(rulesOf({ policies: [{ ...deny, metadata: { namespace: 'other', name: 'deny' } }], pods: [pod('a', '10.42.0.2')] })).toEqual({});
    expect(rulesOf({ policies: [policy('p', { podSelector: { matchLabels: { no: 'body' } } })], pods: [pod('a', '10.42.0.2')] })).toEqual({});
  });
  it('is complete for pods that end when nothing is known of them any more', () => {
    const rules = rulesOf({ policies: [deny], orphans: ['10.42.0.9'] });
    expect([rules['in4'], rules['out4'], rules['pods-in/none']]).toEqual([['10.42.0.9 : goto pods-in/none'], ['10.42.0.9 : goto pods-out/none'], ['drop']]);
  });
  it('is kept for a pod that ends unknown, with the groups of its policies, and for no other', () => {
    const allow = policy('allow', { podSelector: {}, ingress: [{ from: [{ podSelector: { matchLabels: { role: 'frontend' } } }] }] });
    const kept = [{ pod: pod('a', '10.42.0.2'), policies: [allow, deny], groups: [slice(frontend, 'n1', '10.42.1.2')] }];
    const rules = rulesOf({ kept, pods: [pod('b', '10.42.0.3')] });
    expect([rules['in4'], rules['out4'], rules['in/default/deny'], rules[`group4/${frontend}`]]).toEqual([[expect.stringMatching(/^10\.42\.0\.2 /)], undefined, [], ['10.42.1.2']]);
    const told = rulesOf({ kept, pods: [pod('b', '10.42.0.3')], policies: [policy('allow', { podSelector: {}, ingress: [{}] })] });
    expect([told['in4']?.length, told['in/default/allow'], told['in/default/deny']]).toEqual([2, ['accept'], []]);
  });
  it('takes names that are longer than the kernel has room for', () => {
    const long = policy('n'.repeat(253), { podSelector: {} });
    for (const name of Object.keys(rulesOf({ policies: [long], pods: [pod('a', '10.42.0.2')] }))) expect(name.length).toBeLessThan(200);
  });
});

describe('peers', () => {
  const named = policy('p', { podSelector: {}, ingress: [{ ports: [{ port: 'http' }] }], egress: [{ to: [{ podSelector: { matchLabels: { role: 'frontend' } } }], ports: [{ port: 'web' }] }, { ports: [{ port: 'web' }, { port: 53, protocol: 'UDP' }] }] });
  it('are reached at the ports that they themselves call so', () => {
    const local = [pod('a', '10.42.0.2', {}, [{ name: 'http', protocol: 'TCP', port: 80 }]), pod('b', '10.42.0.3', {}, [{ name: 'http', protocol: 'TCP', port: 81 }, { name: 'x', protocol: 'TCP', port: 1 }])];
    const rules = rulesOf({ policies: [named], pods: local, groups: [slice(frontend, 'n1', '10.42.1.2'), slice(frontend, 'n2', '10.42.2.2'), slice(everybody, 'n1', '10.42.1.9')] });
    expect(rules['in/default/p']?.[0]).toBe('meta l4proto tcp ip daddr . meta l4proto . th dport @ports4/default/p/0/http accept');
    expect(rules['ports4/default/p/0/http']).toEqual(['10.42.0.2 . tcp . 80', '10.42.0.3 . tcp . 81']);
    expect(rules['out/default/p']).toEqual(expect.arrayContaining([`meta l4proto tcp ip daddr . meta l4proto . th dport @ports4/${frontend}/web accept`, `meta l4proto tcp ip daddr . meta l4proto . th dport @ports4/${everybody}/web accept`, 'meta l4proto udp th dport 53 accept']));
    expect(rules[`ports4/${frontend}/web`]).toEqual(['10.42.1.2 . tcp . 8080', '10.42.2.2 . tcp . 8080']);
    expect(rules[`group4/${frontend}`]).toEqual(['10.42.1.2', '10.42.2.2']);
  });
  it('that say what is no address are left out, whatever they say', () => {
    const lies = ['10.42.1.2', '10.0.0.1 }\nflush ruleset\nadd element x { 10.0.0.2', 'fd00::2 }; flush ruleset', 'fe80::1%eth0', '10.42.1.2/8', ''];
    const rules = rulesOf({ policies: [named], pods: [{ ...pod('a', ''), ips: ['10.42.0.2', '10.42.0.3 : accept'] }], groups: [slice(frontend, 'n1', ...lies)] });
    expect([rules[`group4/${frontend}`], rules[`group6/${frontend}`]]).toEqual([['10.42.1.2'], undefined]);
    expect([rules[`ports4/${frontend}/web`], rules[`ports6/${frontend}/web`]]).toEqual([['10.42.1.2 . tcp . 8080'], undefined]);
    expect(rules['self4']).toEqual(['10.42.0.2 . 10.42.0.2']);
  });
  it('of this host have the addresses that it knows of; a group that stays the same is not made again', () => {
    const builder = new RulesetBuilder();
    const allow = policy('p', { podSelector: {}, ingress: [{ from: [{ podSelector: { matchLabels: { role: 'frontend' } } }] }] });
    const groups = [slice(frontend, 'n1', '10.42.1.2', '10.42.1.3')];
    const view = { policies: [allow], groups, pods: [pod('u-10.42.1.2', '10.42.1.77')], kept: [], orphans: [] };
    expect(rulesOf(view, builder)[`group4/${frontend}`]).toEqual(['10.42.1.77', '10.42.1.3']);
    expect(builder.build(view).get(`group/${frontend}`)).toBe(builder.build({ ...view, pods: [...view.pods, pod('x', '10.42.1.9')] }).get(`group/${frontend}`));
    expect(builder.build(view).get(`group/${frontend}`)).not.toBe(builder.build({ ...view, groups: [slice(frontend, 'n1', '10.42.1.2')] }).get(`group/${frontend}`));
  });
});

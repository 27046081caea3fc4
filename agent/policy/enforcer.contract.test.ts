import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NetworkPolicySpec, Pod } from '#api/gen/types.ts';
import { networkPolicies, pods } from '#api/kinds/resources.ts';
import { groupNameOf, peerGroupSlices } from '#api/network-policy/peer-group.ts';
import { systemClock } from '#common/clock.ts';
import type { Exec } from '#common/exec.ts';
import { silentLog } from '#common/log.ts';
import { IptablesBackend } from '#agent/proxy/backends/iptables/backend.ts';
import { NftablesBackend } from '#agent/proxy/backends/nftables/backend.ts';
import type { AgentEvent, PodReport } from '#agent/session/types.ts';
import { eventually } from '#test/support/lab/eventually.ts';
import type { LabHost } from '#test/support/lab/host.ts';
import { createLab, type Lab } from '#test/support/lab/lab.ts';
import { addPod, ask, serve } from '#test/support/lab/pod-namespaces.ts';
import { MemoryState } from '#test/support/memory-state.ts';
import { PolicyEnforcer } from './enforcer.ts';
import { IptablesPolicies } from './iptables.ts';
import { NftablesPolicies } from './nftables.ts';
import type { PolicyBackend } from './types.ts';

const [ipA, ipB, ipC] = ['10.42.0.2', '10.42.0.3', '10.42.1.2'];
const blocked = 'timeout';

interface Means {
  readonly name: string;
  readonly make: (exec: Exec) => PolicyBackend;
  /** Prints what there is of ours. */
  readonly show: string;
  readonly flush: string;
}

const means: readonly Means[] = [
  { name: 'nftables', make: (exec) => new NftablesPolicies({ exec, record: () => Promise.resolve() }, { table: 'cleat-policy' }), show: 'nft list tables | grep -q policy && nft list table inet cleat-policy || true', flush: 'nft flush ruleset' },
  {
    // The flavour that is least like nftables, and the one of hosts that have none.
    name: 'iptables', flush: 'iptables-legacy -t mangle -F',
    make: (exec) => new IptablesPolicies({ exec: (command, args, options) => exec(command.replace(/^(ip6?tables)/, '$1-legacy'), args, options), record: () => Promise.resolve() }, { prefix: 'CLEATNP' }),
    // But for what a state of the rules is called.
    show: 'for c in iptables ip6tables; do $c-legacy-save -t mangle | grep CLEATNP | grep -v STATE | sort; done; ipset save | grep cleatnp | sort || true',
  },
];

/** `node` has the pods a and b, `peer` is another host with pod c, `client` is outside of the cluster. */
describe.each(means)('network policies, by real packets: $name', ({ make, show, flush }) => {
  let lab: Lab;
  let [node, peer, client]: LabHost[] = [];
  const stop = new AbortController();
  const state = new MemoryState();
  const events: AgentEvent[] = [];
  const reports = new Map<string, PodReport>();
  let enforcer: PolicyEnforcer;
  let running: Promise<void>;

  const exec: Exec = (command, args, { env: _env, cwd: _cwd, ...options } = {}) => host(node).exec(command, args, options);
  const host = (one: LabHost | undefined): LabHost => { if (!one) throw new Error('no such host'); return one; };
  const pod = (name: string, labels: Record<string, string>): Pod => ({
    metadata: { namespace: 'default', name, uid: name, labels },
    spec: { containers: [{ name: 'c', ports: [{ name: 'http', containerPort: 8080 }] }] },
  });
  const report = (uid: string, ip: string): PodReport => ({ namespace: 'default', name: uid, uid, gone: false, status: { phase: 'Running', podIPs: [{ ip }] } });
  const frontend = { podSelector: { matchLabels: { role: 'frontend' } } };
  /** Puts policies in the place of all that there are, and waits until the kernel keeps to them. */
  const apply = async (...specs: readonly NetworkPolicySpec[]): Promise<void> => {
    for (const { metadata } of state.list(networkPolicies)) state.remove(networkPolicies, 'default', metadata?.name ?? '');
    state.set(networkPolicies, ...specs.map((spec, i) => ({ metadata: { namespace: 'default', name: `p${String(i)}` }, spec })));
    // Whoever is about to start waits for exactly that.
    state.set(pods, pod('later', { role: 'db' }));
    await enforcer.protect(pod('later', { role: 'db' }), [`10.42.0.${String(100 + Math.floor(Math.random() * 100))}`], stop.signal);
  };
  const toA = { fromB: () => ask(host(node), 'b', ipA, 8080), fromC: () => ask(host(peer), 'c', ipA, 8080), fromNode: () => ask(host(node), undefined, ipA, 8080), fromClient: () => ask(host(client), undefined, ipA, 8080), fromSelf: () => ask(host(node), 'a', ipA, 8080) };
  const whoReachesA = async (): Promise<Record<string, boolean>> => Object.fromEntries(await Promise.all(Object.entries(toA).map(async ([name, try_]) => [name, (await try_()).startsWith('a ')] as const)));

  beforeAll(async () => {
    lab = await createLab({ hosts: 3 });
    [node, peer, client] = lab.hosts;
    await Promise.all([addPod(host(node), 'a', ipA).then(() => addPod(host(node), 'b', ipB)), addPod(host(peer), 'c', ipC)]);
    await host(node).execOk('ip', ['route', 'add', '10.42.1.0/24', 'via', host(peer).address]);
    await host(peer).execOk('ip', ['route', 'add', '10.42.0.0/24', 'via', host(node).address]);
    await host(client).execOk('ip', ['route', 'add', '10.42.0.0/16', 'via', host(node).address]);
    await Promise.all([serve(host(node), 'a', 8080, 'a'), serve(host(node), 'a', 9090, 'a'), serve(host(node), 'b', 8080, 'b'), serve(host(peer), 'c', 8080, 'c'), serve(host(node), 'node', 7070)]);
    state.set(pods, pod('a', { role: 'db' }), pod('b', { role: 'frontend' }));
    for (const [uid, ip] of [['a', ipA], ['b', ipB]] as const) reports.set(uid, report(uid, ip));
    const group = groupNameOf(frontend, 'default') ?? '';
    state.set(peerGroupSlices, { metadata: { name: `${group}.node` }, group, node: 'node', pods: [{ uid: 'b', ips: ['10.42.0.99'] }] });
    enforcer = new PolicyEnforcer({
      state, pods: { all: () => [...reports.values()], subscribe: () => () => undefined, addresses: () => Promise.resolve(new Map()), leaving: () => [], onLeft: () => () => undefined }, backend: make(exec),
      leftOver: false, events: { emit: (event) => { events.push(event); } }, clock: systemClock, log: silentLog, random: Math.random,
    }, { nodeName: 'node', minIntervalMs: 10, checkIntervalMs: 200 });
    running = enforcer.start(stop.signal);
  });
  afterAll(async () => {
    stop.abort(new Error('the test has ended'));
    await running;
    await lab.destroy();
  });

  it('makes no rules before there is a policy, and lets all pass', async () => {
    expect(await whoReachesA()).toEqual({ fromB: true, fromC: true, fromNode: true, fromClient: true, fromSelf: true });
    expect(await host(node).sh(show)).toBe('');
  });

  it('denies what comes in but for the pod itself and its host, and nothing of what the pod asks for', async () => {
    await apply({ podSelector: { matchLabels: { role: 'db' } }, policyTypes: ['Ingress'] });
    expect(await whoReachesA()).toEqual({ fromB: false, fromC: false, fromNode: true, fromClient: false, fromSelf: true });
    expect(await Promise.all([ask(host(node), 'a', ipC, 8080), ask(host(node), 'a', ipB, 8080, 'udp')])).toEqual([`c ${ipA}`, `b ${ipA}`]);
  });

  it('lets in whom a selector stands for, at the address that the pod has now, and at no other port', async () => {
    await apply({ podSelector: { matchLabels: { role: 'db' } }, ingress: [{ from: [frontend], ports: [{ port: 'http' }] }] });
    expect(await whoReachesA()).toEqual({ fromB: true, fromC: false, fromNode: true, fromClient: false, fromSelf: true });
    expect(await Promise.all([ask(host(node), 'b', ipA, 9090), ask(host(node), 'b', ipA, 8080, 'udp')])).toEqual([blocked, blocked]);
  });

  it('lets in blocks of addresses but for what they except, ranges of ports, and UDP', async () => {
    const block = `${host(client).address.replace(/\d+$/, '0')}/24`;
    await apply({ podSelector: { matchLabels: { role: 'db' } }, ingress: [{ from: [{ ipBlock: { cidr: block } }, { ipBlock: { cidr: '10.42.0.0/16', except: ['10.42.1.0/24'] } }], ports: [{ port: 8000, endPort: 8100 }, { protocol: 'UDP', port: 9090 }] }] });
    expect(await whoReachesA()).toEqual({ fromB: true, fromC: false, fromNode: true, fromClient: true, fromSelf: true });
    expect(await Promise.all([ask(host(node), 'b', ipA, 9090, 'udp'), ask(host(node), 'b', ipA, 9090)])).toEqual([`a ${ipB}`, blocked]);
  });

  it('denies what goes out but for the pod\'s host and the answers that it owes', async () => {
    await apply({ podSelector: { matchLabels: { role: 'db' } }, policyTypes: ['Egress'], egress: [{ to: [frontend], ports: [{ port: 8080 }] }] });
    expect(await Promise.all([ask(host(node), 'a', ipC, 8080), ask(host(node), 'a', ipB, 8080), ask(host(node), 'a', host(node).address, 7070)])).toEqual([blocked, `b ${ipA}`, `node ${ipA}`]);
    expect(await whoReachesA()).toEqual({ fromB: true, fromC: true, fromNode: true, fromClient: true, fromSelf: true });
  });

  it.each([['nftables', NftablesBackend], ['iptables', IptablesBackend]] as const)('decides about the pod behind a Service, whatever leads there: %s', async (_, Backend) => {
    const proxy = new Backend({ exec, log: silentLog, record: () => Promise.resolve() }, { tableName: 'cleat-test', podCidrs: ['10.42.0.0/16'], serviceCidrs: ['10.43.0.0/16'] });
    const endpoints = [{ ip: ipC, port: 8080, local: false }];
    const [own, other] = ['10.43.0.1', '10.43.0.2'];
    const port = { id: 'default/web:http', protocol: 'TCP', clusterIps: [other], externalIps: [], loadBalancerIps: [], port: 80, nodePort: 0, affinitySeconds: 0, internalLocal: false, externalLocal: false, endpoints, localEndpoints: [] } as const;
    const self = { ...port, id: 'default/self:http', clusterIps: [own], nodePort: 30080, externalLocal: true, endpoints: [{ ip: ipA, port: 8080, local: true }], localEndpoints: [{ ip: ipA, port: 8080, local: true }] } as const;
    await proxy.replace([port, self] as never, stop.signal);
    await apply({ podSelector: { matchLabels: { role: 'db' } }, policyTypes: ['Ingress', 'Egress'], ingress: [{ from: [{ ipBlock: { cidr: `${host(client).address}/32` } }] }] });
    const answers = await Promise.all([ask(host(node), 'a', other, 80), ask(host(node), 'a', own, 80), ask(host(node), 'b', own, 80), ask(host(client), undefined, host(node).address, 30080), ask(host(peer), undefined, host(node).address, 30080)]);
    await proxy.cleanup(stop.signal);
    expect(answers).toEqual([blocked, expect.stringMatching(/^a /), blocked, `a ${host(client).address}`, blocked]);
  });

  it('keeps what is open through changes, and notices when another program flushes the rules', async () => {
    const [open, closed]: NetworkPolicySpec[] = [{ podSelector: { matchLabels: { role: 'db' } }, ingress: [{ from: [{ ipBlock: { cidr: '10.42.1.0/24' } }] }] }, { podSelector: { matchLabels: { role: 'db' } }, policyTypes: ['Ingress'] }];
    await apply(open ?? {});
    const held = host(peer).spawn('hold', 'ip', ['netns', 'exec', 'c', 'node', 'test/support/lab/net-probe.ts', 'hold', ipA, '8080'], { cwd: process.cwd() });
    await held.waitForOutput('a ');
    await apply(closed ?? {});
    expect(await toA.fromC()).toBe(blocked);
    const before = held.output().length;
    await eventually(() => held.output().length > before + 20, { what: 'more answers' });
    expect(held.output()).not.toContain('lost');
    await held.kill('SIGKILL');
    const text = await host(node).sh(show);
    await host(node).sh(flush);
    await eventually(() => events.some(({ reason }) => reason === 'PolicyRulesRemoved'), { what: 'an Event' });
    await eventually(async () => await host(node).sh(show) === text, { what: 'the rules' });
  });

  it('does not let a pod start that it cannot hold to its policies, and takes all rules away with the last policy', async () => {
    await host(node).sh('mkdir -p /run/no && mount --bind /run/no /usr/sbin 2>/dev/null; true');
    state.set(networkPolicies, { metadata: { namespace: 'default', name: 'p9' }, spec: { podSelector: {} } });
    await expect(enforcer.protect(pod('a', {}), ['10.42.0.50'], stop.signal)).rejects.toThrow(/cannot be run|refused|lacks/);
    expect(enforcer.failure).toBeDefined();
    expect(events.map(({ reason }) => reason)).toContain('NetworkPolicyNotEnforced');
    await host(node).sh('umount /usr/sbin');
    await eventually(() => enforcer.failure === undefined, { what: 'another try', timeoutMs: 60_000 });
    for (const { metadata } of state.list(networkPolicies)) state.remove(networkPolicies, 'default', metadata?.name ?? '');
    await eventually(async () => await host(node).sh(show) === '', { what: 'no rules' });
    expect(await toA.fromC()).toBe(`a ${ipC}`);
  });
});

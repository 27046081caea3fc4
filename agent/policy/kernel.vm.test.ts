import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NetworkPolicySpec } from '#api/gen/types.ts';
import type { Exec } from '#common/exec.ts';
import { silentLog } from '#common/log.ts';
import { IpvsBackend } from '#agent/proxy/backends/ipvs/backend.ts';
import type { ServicePort } from '#agent/proxy/types.ts';
import type { LabHost } from '#test/support/lab/host.ts';
import { createLab, type Lab } from '#test/support/lab/lab.ts';
import { addPod, ask, askSctp, serve, serveSctp } from '#test/support/lab/pod-namespaces.ts';
import { IptablesPolicies } from './iptables.ts';
import { NftablesPolicies } from './nftables.ts';
import { RulesetBuilder } from './ruleset.ts';
import type { LocalPod, PolicyBackend } from './types.ts';

const [ipA, ipB, ipC] = ['10.42.0.2', '10.42.0.3', '10.42.1.2'];
const [toA, toC] = ['10.43.0.1', '10.43.0.2'];
const blocked = 'timeout';
/** System calls are slow there. */
const patienceSeconds = 5;
const signal = new AbortController().signal;
const record = async (): Promise<void> => Promise.resolve();

const means: readonly [string, (exec: Exec) => PolicyBackend][] = [
  ['nftables', (exec) => new NftablesPolicies({ exec, record }, { table: 'cleat-policy' })],
  ['iptables', (exec) => new IptablesPolicies({ exec, record }, { prefix: 'CLEATNP' })],
];

/** What only some kernels have: IPVS, which sends packets on without forwarding them, and SCTP. `node` has pods a and b, `peer` has c, `client` is outside. */
describe.each(means)('network policies on a kernel that has everything: %s', (_, make) => {
  let lab: Lab;
  let [node, peer, client]: LabHost[] = [];
  let policies: PolicyBackend;
  let proxy: IpvsBackend;

  const host = (one: LabHost | undefined): LabHost => { if (!one) throw new Error('no such host'); return one; };
  const exec: Exec = (command, args, { env: _env, cwd: _cwd, ...options } = {}) => host(node).exec(command, args, options);
  const pod = (uid: string, ip: string): LocalPod => ({ uid, namespace: 'default', labels: { role: uid }, ips: [ip], ports: [{ name: 'calls', protocol: 'SCTP', port: 8080 }] });
  /** The only policy that there is, about pod a. */
  const keepTo = (spec: Omit<NetworkPolicySpec, 'podSelector'>): Promise<void> => policies.replace(new RulesetBuilder().build({
    policies: [{ metadata: { namespace: 'default', name: 'p' }, spec: { podSelector: { matchLabels: { role: 'a' } }, ...spec } }], groups: [], pods: [pod('a', ipA), pod('b', ipB)], kept: [], orphans: [],
  }), signal);
  const only = (ip: string): { ipBlock: { cidr: string } } => ({ ipBlock: { cidr: `${ip}/32` } });

  beforeAll(async () => {
    lab = await createLab({ hosts: 3 });
    [node, peer, client] = lab.hosts;
    await addPod(host(node), 'a', ipA);
    await addPod(host(node), 'b', ipB);
    await addPod(host(peer), 'c', ipC);
    await host(node).execOk('ip', ['route', 'add', '10.42.1.0/24', 'via', host(peer).address]);
    await host(peer).execOk('ip', ['route', 'add', '10.42.0.0/24', 'via', host(node).address]);
    await serve(host(node), 'a', 8080, 'a');
    await serve(host(peer), 'c', 8080, 'c');
    for (const port of [8080, 8081]) await serveSctp(host(node), 'a', port, 'a');
    policies = make(exec);
    proxy = new IpvsBackend({ exec, log: silentLog, record }, { tableName: 'cleat-test', podCidrs: ['10.42.0.0/16'], serviceCidrs: ['10.43.0.0/16'] });
  });
  afterAll(async () => { await lab?.destroy(); });

  it('can be kept to here', async () => {
    expect(await policies.unusable(signal)).toBeUndefined();
  });

  it('decide about the pod behind a Service of ipvs, with the client\'s own address', async () => {
    const endpoint = { ip: ipA, port: 8080, local: true };
    const services: ServicePort[] = [
      { id: 'default/to-a:http', protocol: 'TCP', clusterIps: [toA], externalIps: [], loadBalancerIps: [], port: 80, nodePort: 30080, affinitySeconds: 0, internalLocal: false, externalLocal: false, endpoints: [endpoint], localEndpoints: [] },
      { id: 'default/local-a:http', protocol: 'TCP', clusterIps: [], externalIps: [], loadBalancerIps: [], port: 81, nodePort: 30081, affinitySeconds: 0, internalLocal: false, externalLocal: true, endpoints: [endpoint], localEndpoints: [endpoint] },
      { id: 'default/to-c:http', protocol: 'TCP', clusterIps: [toC], externalIps: [], loadBalancerIps: [], port: 80, nodePort: 0, affinitySeconds: 0, internalLocal: false, externalLocal: false, endpoints: [{ ip: ipC, port: 8080, local: false }], localEndpoints: [] },
    ];
    await proxy.replace(services, signal);
    const outside = host(client).address;
    const answers = async (): Promise<Record<string, boolean>> => Object.fromEntries(await Promise.all(([
      ['a to itself', node, 'a', toA, 80], ['a to c', node, 'a', toC, 80], ['b to a', node, 'b', toA, 80], ['the host to a', node, undefined, toA, 80],
      ['a client by a node port', client, undefined, host(node).address, 30080], ['a client by a Local node port', client, undefined, host(node).address, 30081], ['another host by a node port', peer, undefined, host(node).address, 30080],
    ] as const).map(async ([name, from, pod, address, port]) => [name, await ask(host(from), pod, address, port, 'tcp', patienceSeconds) !== blocked] as const)));
    const open = { 'a to itself': true, 'a to c': true, 'b to a': true, 'the host to a': true, 'a client by a node port': true, 'a client by a Local node port': true, 'another host by a node port': true };
    await expect.poll(answers).toEqual(open);
    await keepTo({ policyTypes: ['Ingress', 'Egress'], ingress: [{ from: [only(outside)], ports: [{ port: 8080 }] }] });
    await expect.poll(answers).toEqual({ ...open, 'a to c': false, 'b to a': false, 'another host by a node port': false });
    await keepTo({ policyTypes: ['Ingress', 'Egress'], ingress: [{ from: [only(ipB)] }], egress: [{ to: [only(ipC)], ports: [{ port: 8080 }] }] });
    await expect.poll(answers).toEqual({ ...open, 'a client by a node port': false, 'a client by a Local node port': false, 'another host by a node port': false });
    await policies.cleanup(signal);
    await proxy.cleanup(signal);
  });

  it('are about SCTP, too, by the number of a port and by its name', async () => {
    const from = (name: 'b' | 'c', port: number): Promise<string> => askSctp(host(name === 'c' ? peer : node), name, ipA, port, patienceSeconds);
    expect(await Promise.all([from('b', 8080), from('c', 8081)])).toEqual(['a', 'a']);
    await keepTo({ ingress: [{ from: [only(ipB)], ports: [{ protocol: 'SCTP', port: 8080 }] }] });
    await expect.poll(() => Promise.all([from('b', 8080), from('b', 8081), from('c', 8080), ask(host(node), 'b', ipA, 8080, 'tcp', patienceSeconds)])).toEqual(['a', blocked, blocked, blocked]);
    await keepTo({ ingress: [{ from: [only(ipC)], ports: [{ protocol: 'SCTP', port: 'calls' }, { protocol: 'TCP', port: 8080 }] }] });
    await expect.poll(() => Promise.all([from('c', 8080), from('c', 8081), from('b', 8080), ask(host(peer), 'c', ipA, 8080, 'tcp', patienceSeconds)])).toEqual(['a', blocked, blocked, `a ${ipC}`]);
    await policies.cleanup(signal);
  });
});

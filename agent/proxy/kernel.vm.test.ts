import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exec } from '#common/exec.ts';
import { silentLog } from '#common/log.ts';
import { Ledger } from '#agent/node/ledger.ts';
import { undo } from '#agent/teardown.ts';
import { createLab, type Lab } from '#test/support/lab/lab.ts';
import type { LabHost } from '#test/support/lab/host.ts';
import { askSctp, serveSctp } from '#test/support/lab/pod-namespaces.ts';
import { IptablesBackend } from './backends/iptables/backend.ts';
import { IpvsBackend } from './backends/ipvs/backend.ts';
import { NftablesBackend } from './backends/nftables/backend.ts';
import type { ProxyBackend, ProxyBackendDeps, ProxyConfig, ServicePort } from './types.ts';

const config: ProxyConfig = { tableName: 'cleat-test', podCidrs: ['10.42.0.0/16'], serviceCidrs: ['10.43.0.0/16'] };
const signal = new AbortController().signal;
const probe = join(import.meta.dirname, '../../test/support/lab/net-probe.ts');
const port: ServicePort = {
  id: 'default/web:http', protocol: 'TCP', clusterIps: ['10.43.0.77'], externalIps: [], loadBalancerIps: [], port: 80, nodePort: 0,
  affinitySeconds: 0, internalLocal: false, externalLocal: false, endpoints: [{ ip: '10.42.0.2', port: 8080, local: true }, { ip: '10.42.0.3', port: 8080, local: true }], localEndpoints: [],
};

/** What only some kernels have: SCTP, and IPVS with its schedulers. */
describe('Services on a kernel that has everything', () => {
  let lab: Lab;
  let node: LabHost;
  let deps: ProxyBackendDeps;

  beforeAll(async () => {
    lab = await createLab({ hosts: 1 });
    node = lab.host(0);
    deps = { exec: async (command, args, { env: _env, cwd: _cwd, ...options } = {}) => node.exec(command, args, options), log: silentLog, record: async () => Promise.resolve() };
    await node.sh('echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding; ip -6 route add default dev eth0');
    for (const [i, name] of ['a', 'b'].entries()) {
      const ip = `10.42.0.${String(2 + i)}`;
      await node.sh(`ip netns add ${name}; ip link add v${name} type veth peer name eth0 netns ${name}
        ip addr add 10.42.0.1/32 dev v${name}; ip link set v${name} up; ip route add ${ip} dev v${name}
        ip -n ${name} addr add ${ip}/32 dev eth0; ip -n ${name} link set eth0 up; ip -n ${name} link set lo up
        ip -n ${name} route add 10.42.0.1 dev eth0; ip -n ${name} route add default via 10.42.0.1
        ip addr add fd42::1/128 dev v${name} nodad; ip -6 route add fd42::${String(2 + i)} dev v${name}
        ip -n ${name} addr add fd42::${String(2 + i)}/128 dev eth0 nodad; ip -n ${name} -6 route add fd42::1 dev eth0; ip -n ${name} -6 route add default via fd42::1`);
      await node.spawn(`serve-${name}`, 'ip', ['netns', 'exec', name, 'node', probe, 'serve', name, '8080']).waitForOutput('ready');
      await serveSctp(node, name, 8080, name);
    }
  });
  afterAll(async () => { await lab.destroy(); });

  const ask = async (count: number, pod = 'a'): Promise<string[]> => {
    const answers = JSON.parse(await node.execOk('ip', ['netns', 'exec', pod, 'node', probe, 'ask', 'tcp', '10.43.0.77', '80', String(count)])) as string[];
    return answers.map((answer) => answer.split(' ')[0] ?? '');
  };

  it.each<[string, () => ProxyBackend]>([
    ['nftables', () => new NftablesBackend(deps, config)], ['iptables', () => new IptablesBackend(deps, config)], ['ipvs', () => new IpvsBackend(deps, config)],
  ])('carry SCTP by %s', async (_, make) => {
    const backend = make();
    await backend.replace([{ ...port, protocol: 'SCTP' }], signal);
    const answers = new Set<string>();
    for (let i = 0; i < 12; i++) answers.add(await askSctp(node, undefined, '10.43.0.77', 80));
    expect([...answers].sort()).toEqual(['a', 'b']);
    await backend.cleanup(signal);
  });

  it.each<[string, (both: ProxyConfig) => ProxyBackend]>([
    ['nftables', (both) => new NftablesBackend(deps, both)], ['iptables', (both) => new IptablesBackend(deps, both)], ['ipvs', (both) => new IpvsBackend(deps, both)],
  ])('are routed over IPv6, too, by %s', async (_, make) => {
    const backend = make({ ...config, podCidrs: [...config.podCidrs, 'fd42::/56'], serviceCidrs: [...config.serviceCidrs, 'fd43::/112'] });
    expect(await backend.unusable(signal)).toBeUndefined();
    const endpoints = ['a', 'b'].map((_pod, i) => ({ ip: `fd42::${String(2 + i)}`, port: 8080, local: true }));
    const six = { ...port, clusterIps: [...port.clusterIps, 'fd43::77'], nodePort: 30080, externalIps: ['2001:db8::5'], endpoints: [...port.endpoints, ...endpoints] };
    await backend.replace([six], signal);
    for (const [target, from] of [['fd43::77', 80], ['fd42:0:0:0::1', 30080], ['2001:db8::5', 80], ['10.43.0.77', 80]] as const) {
      for (const enter of [['ip', 'netns', 'exec', 'a'], ['env']]) {
        const answers = JSON.parse(await node.execOk(enter[0] ?? '', [...enter.slice(1), 'node', probe, 'ask', 'tcp', target, String(from), '20'])) as string[];
        expect(new Set(answers.map((answer) => answer.split(' ')[0])), `${target} from ${enter.join(' ')}`).toEqual(new Set(['a', 'b']));
      }
    }
    await backend.apply({ set: [{ ...six, endpoints: [] }], removed: [] }, signal);
    expect(JSON.parse(await node.execOk('ip', ['netns', 'exec', 'a', 'node', probe, 'ask', 'tcp', 'fd43::77', '80', '1']))).toEqual(['ECONNREFUSED']);
    expect(await backend.intact(signal)).toBe(true);
    await backend.cleanup(signal);
  });

  it('are given to endpoints by the scheduler of IPVS that was chosen', async () => {
    for (const ipvsScheduler of ['rr', 'wrr', 'lc', 'sh'] as const) {
      const backend = new IpvsBackend(deps, { ...config, ipvsScheduler });
      expect(await backend.unusable(signal)).toBeUndefined();
      await backend.replace([port], signal);
      expect(await node.execOk('ipvsadm', ['-S', '-n'])).toContain(`-A -t 10.43.0.77:80 -s ${ipvsScheduler}\n`);
      const answers = await ask(10);
      expect(new Set(answers).size).toBe(ipvsScheduler === 'sh' ? 1 : 2);
      if (ipvsScheduler === 'rr') expect(answers.filter((answer) => answer === 'a')).toHaveLength(5);
    }
  });

  it('lets an endpoint that has gone end its connections, and then forgets it', async () => {
    const backend = new IpvsBackend(deps, config);
    await backend.replace([{ ...port, endpoints: port.endpoints.slice(0, 1) }], signal);
    const held = node.spawn('hold', 'node', [probe, 'hold', '10.43.0.77', '80']);
    await held.waitForOutput('a ');
    await backend.apply({ set: [{ ...port, endpoints: port.endpoints.slice(1) }], removed: [] }, signal);
    expect(new Set(await ask(6))).toEqual(new Set(['b']));
    await held.waitForOutput(new RegExp(`(a .*\\n){${String(held.output().split('\n').length + 20)}}`));
    expect(await backend.intact(signal)).toBe(true);
    expect(await node.execOk('ipvsadm', ['-S', '-n'])).toContain('10.42.0.2:8080 -m -w 0');
    await held.kill('SIGKILL');
    await node.sh('ipvsadm -C'); // other software: connections and all
    expect(await backend.intact(signal)).toBe(false);
    await backend.replace([port], signal);
    expect(new Set(await ask(8))).toEqual(new Set(['a', 'b']));
    await backend.apply({ set: [{ ...port, endpoints: port.endpoints.slice(1) }], removed: [] }, signal);
    // Nobody has a connection to it: what is asked next finds it gone once the kernel has forgotten the last one.
    await node.sh('ip netns del a');
    expect(new Set(await ask(4, 'b'))).toEqual(new Set(['b']));
  });

  it('are gone from the host after uninstalling, with every sysctl as it was', async () => {
    // The machine's own network namespace: undoing runs there and nowhere else.
    const inventory = async (): Promise<string> => (await exec('sh', ['-c', 'ipvsadm -S -n; ipset list -n; ip -br address; iptables-save -t nat | grep -v "^#"; ip6tables-save -t nat | grep -v "^#"; grep . /proc/sys/net/ipv4/vs/*'])).stdout;
    await exec('sh', ['-c', 'iptables -t nat -S; ip6tables -t nat -S; ipvsadm -L']); // tables that are looked at are there from then on
    const before = await inventory();
    const directory = mkdtempSync(join(tmpdir(), 'cleat-ledger-'));
    const ledger = new Ledger(join(directory, 'ledger.jsonl'), Date.now);
    const backend = new IpvsBackend({ exec, log: silentLog, record: (kind, target, values) => ledger.record({ kind, target, before: values?.before ?? null, after: values?.after ?? null }) }, { ...config, tableName: 'cleat' });
    await backend.replace([{ ...port, nodePort: 30080, externalIps: ['203.0.113.5'] }], signal);
    expect(await inventory()).toContain('10.43.0.77');
    expect(await undo(new Ledger(join(directory, 'ledger.jsonl'), Date.now))).toContain('virtual servers of IPVS, and what belongs to them, removed');
    expect(await inventory()).toBe(before);
    rmSync(directory, { recursive: true });
  });
});

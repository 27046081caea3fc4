import type { Pod } from '#api/gen/types.ts';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { silentLog } from '#common/log.ts';
import type { ExecOptions } from '#common/exec.ts';
import { createLab, type Lab } from '#test/support/lab/lab.ts';
import type { LabHost } from '#test/support/lab/host.ts';
import { eventually } from '#test/support/lab/eventually.ts';
import type { Backend, ProxyBackend, ProxyBackendDeps, ProxyConfig, ServicePort } from './types.ts';
import { hostPortsOf } from './host-ports.ts';

const probe = join(import.meta.dirname, '../../test/support/lab/net-probe.ts');
const config: ProxyConfig = { tableName: 'cleat-test', podCidrs: ['10.42.0.0/16'], serviceCidrs: ['10.43.0.0/16'] };
const clusterIp = '10.43.0.77';
const podA = { ip: '10.42.0.2', port: 8080, local: true };
const podB = { ip: '10.42.0.3', port: 8080, local: true };
const remote = { ip: '10.42.1.2', port: 8080, local: false };
const signal = new AbortController().signal;

export interface ProxyTraits {
  /** Run on the host where session affinity lasts as long as the kernel remembers a flow: makes it forget one of UDP within a second. */
  readonly forgetful?: string;
  /** What another program may do to the rules of `cleat-test`. */
  readonly harms: readonly string[];
}

/**
 * What every proxy backend must do, shown by real packets: `node` is the host under test with pods a and b, `peer` is
 * another host with pod c, `client` is a host outside the cluster.
 */
export function proxyContract(name: string, create: (deps: ProxyBackendDeps, config: ProxyConfig) => ProxyBackend, { forgetful, harms }: ProxyTraits): void {
  describe(`proxy backend ${name}`, () => {
    let lab: Lab;
    let node: LabHost;
    let client: LabHost;
    let backend: ProxyBackend;

    const newBackend = (change: Partial<ProxyConfig> = {}): ProxyBackend => create({ exec: async (c, a, o = {}) => node.exec(c, a, withoutEnv(o)), log: silentLog, record: async () => Promise.resolve() }, { ...config, ...change });
    const tcp = (change: Partial<ServicePort> = {}): ServicePort => servicePort({ endpoints: [podA, podB, remote], ...change });
    const ask = async (from: LabHost, target: string, options: { pod?: string; protocol?: 'tcp' | 'udp'; count?: number; sourcePort?: number } = {}): Promise<string[]> => {
      const [, address = '', port = ''] = /^\[?(.*?)\]?:(\d+)$/.exec(target) ?? [];
      const inPod = options.pod === undefined ? [] : ['ip', 'netns', 'exec', options.pod];
      const args = [...inPod, 'node', probe, 'ask', options.protocol ?? 'tcp', address, port, String(options.count ?? 1), String(options.sourcePort ?? 0)];
      return JSON.parse(await from.execOk('env', args, { timeoutMs: 60_000 })) as string[];
    };
    const servers = (answers: readonly string[]): string[] => [...new Set(answers.map((a) => a.split(' ')[0] ?? ''))].sort();

    beforeAll(async () => {
      lab = await createLab({ hosts: 3 });
      node = lab.host(0);
      client = lab.host(2);
      for (const host of lab.hosts) await host.execOk('ip', ['address', 'add', `${v6(host.address)}/64`, 'dev', 'eth0', 'nodad']);
      // There is no way out over IPv6 here, and a packet needs one before it is translated.
      await node.execOk('ip', ['route', 'add', 'fd43::/112', 'dev', 'eth0']);
      await addPods(node, 0, ['a', 'b'], lab.host(1));
      await addPods(lab.host(1), 1, ['c'], node);
      backend = newBackend();
    });
    afterAll(async () => { await lab.destroy(); });
    afterEach(async () => { await backend.replace([], signal); });

    it('can be used here', async () => {
      expect(await backend.unusable(signal)).toBeUndefined();
      expect(await backend.lacksSctp?.(signal)).toBeUndefined();
    });

    it('spreads a ClusterIP over its endpoints, from the host and from pods, keeping a pod\'s address', async () => {
      await backend.replace([tcp()], signal);
      const fromHost = await ask(node, `${clusterIp}:80`, { count: 60 });
      expect(servers(fromHost)).toEqual(['a', 'b', 'c']);
      const fromPod = await ask(node, `${clusterIp}:80`, { count: 60, pod: 'a' });
      expect(servers(fromPod)).toEqual(['a', 'b', 'c']);
      expect(fromPod.filter((a) => !a.startsWith('a ')).every((a) => a.endsWith(` ${podA.ip}`))).toBe(true);
      for (const s of ['a', 'b', 'c']) expect(fromHost.filter((a) => a.startsWith(s)).length).toBeGreaterThan(5);
    });

    it('routes IPv6 beside IPv4: cluster addresses, node ports, hairpin, refusal and the way out', async () => {
      const dual = newBackend({ podCidrs: [...config.podCidrs, 'fd42::/56'], serviceCidrs: [...config.serviceCidrs, 'fd43::/112'] });
      const six = (backend: Backend): Backend => ({ ...backend, ip: v6(backend.ip) });
      const endpoints = [podA, podB, remote].flatMap((pod) => [pod, six(pod)]);
      const empty = servicePort({ id: 'default/empty:http', clusterIps: ['fd43::9'] });
      await backend.cleanup(signal);
      try {
        await dual.replace([tcp({ clusterIps: [clusterIp, 'fd43::77'], endpoints, nodePort: 30080 }), empty], signal);
        expect(servers(await ask(node, '[fd43::77]:80', { count: 40 }))).toEqual(['a', 'b', 'c']);
        const fromPod = await ask(node, '[fd43::77]:80', { count: 40, pod: 'a' });
        expect(servers(fromPod)).toEqual(['a', 'b', 'c']);
        expect(fromPod.filter((a) => !a.startsWith('a ')).every((a) => a.endsWith(` ${v6(podA.ip)}`))).toBe(true);
        expect(servers(await ask(node, `${clusterIp}:80`, { count: 20 }))).toEqual(['a', 'b', 'c']);
        expect(servers(await ask(client, `[${v6(node.address)}]:30080`, { count: 40 }))).toEqual(['a', 'b', 'c']);
        expect(await ask(node, '[fd43::9]:80')).toEqual(['ECONNREFUSED']);
        expect(await ask(node, '[fd43::9]:80', { pod: 'b' })).toEqual(['ECONNREFUSED']);
        await dual.apply({ set: [tcp({ clusterIps: [clusterIp, 'fd43::77'], endpoints: [six(podB)] })], removed: [empty.id] }, signal);
        expect(servers(await ask(node, '[fd43::77]:80', { count: 5 }))).toEqual(['b']);
        expect(await ask(node, `${clusterIp}:80`)).toEqual(['ECONNREFUSED']);
        expect(await ask(node, `[${v6(remote.ip)}]:8080`, { pod: 'a' })).toEqual([`c ${v6(podA.ip)}`]);
        const outside = client.spawn('outside', 'node', [probe, 'serve', 'outside', '9100']);
        await outside.waitForOutput('ready');
        expect(await ask(node, `[${v6(client.address)}]:9100`, { pod: 'a' })).toEqual([`outside ${v6(node.address)}`]);
        await outside.kill('SIGKILL');
      } finally {
        await dual.cleanup(signal);
      }
    });

    it('lets a pod reach itself through its own Service', async () => {
      await backend.replace([tcp({ endpoints: [podA] })], signal);
      expect(servers(await ask(node, `${clusterIp}:80`, { pod: 'a', count: 3 }))).toEqual(['a']);
    });

    it('routes UDP, and forgets a flow whose endpoint has gone', async () => {
      const udp = servicePort({ id: 'default/dns:dns', protocol: 'UDP', port: 53, endpoints: [podA] });
      await backend.replace([tcp(), udp], signal);
      expect(servers(await ask(node, `${clusterIp}:53`, { protocol: 'udp', sourcePort: 5353 }))).toEqual(['a']);
      expect(servers(await ask(node, `${clusterIp}:53`, { protocol: 'udp', pod: 'b', sourcePort: 5353 }))).toEqual(['a']);
      await backend.apply({ set: [{ ...udp, endpoints: [remote] }], removed: [] }, signal);
      expect(servers(await ask(node, `${clusterIp}:53`, { protocol: 'udp', sourcePort: 5353 }))).toEqual(['c']);
      expect(servers(await ask(node, `${clusterIp}:53`, { protocol: 'udp', pod: 'b', sourcePort: 5353 }))).toEqual(['c']);
    });

    it('serves a NodePort on the host\'s addresses, to clients outside and inside', async () => {
      await backend.replace([tcp({ nodePort: 30080 })], signal);
      const outside = await ask(client, `${node.address}:30080`, { count: 40 });
      expect(servers(outside)).toEqual(['a', 'b', 'c']);
      expect(servers(await ask(node, `${node.address}:30080`, { count: 5 })).every((s) => ['a', 'b', 'c'].includes(s))).toBe(true);
      expect(servers(await ask(node, `${node.address}:30080`, { count: 40, pod: 'b' }))).toEqual(['a', 'b', 'c']);
      expect(servers(await ask(lab.host(1), `${node.address}:30080`, { count: 40, pod: 'c' }))).toEqual(['a', 'b', 'c']);
    });

    // The kernel's balancer needs the host's address on the way back.
    if (name !== 'ipvs') it('keeps the client\'s address wherever the pod is on this host, also under externalTrafficPolicy Cluster', async () => {
      await backend.replace([tcp({ nodePort: 30080, loadBalancerIps: ['203.0.113.6'] })], signal);
      await client.execOk('ip', ['route', 'replace', '203.0.113.0/24', 'via', node.address]);
      for (const target of [`${node.address}:30080`, '203.0.113.6:80']) {
        const answers = await ask(client, target, { count: 40 });
        expect(new Set(answers)).toEqual(new Set([`a ${client.address}`, `b ${client.address}`, `c ${node.address}`]));
      }
    });

    it('serves a NodePort over UDP, and one client by one endpoint when it asks for affinity', async () => {
      await backend.replace([servicePort({ id: 'default/dns:dns', protocol: 'UDP', port: 53, nodePort: 30053, endpoints: [podA, podB] }), tcp({ nodePort: 30080, affinitySeconds: 60 })], signal);
      expect(servers(await ask(client, `${node.address}:30053`, { protocol: 'udp', count: 30 }))).toEqual(['a', 'b']);
      expect(servers(await ask(client, `${node.address}:30080`, { count: 20 }))).toHaveLength(1);
    });

    it('leads a port of the host to a pod, on all addresses or on one, with the client\'s address kept', async () => {
      const pod = (port: object): Pod => ({ metadata: { namespace: 'default', name: 'p', uid: 'u-1' }, spec: { containers: [{ name: 'c', ports: [{ containerPort: podA.port, ...port }] }] } });
      const here = { ips: [podA.ip], ready: true };
      await backend.replace([...hostPortsOf(pod({ hostPort: 8081 }), here), ...hostPortsOf(pod({ hostPort: 8082, hostIP: node.address }), here)], signal);
      expect(await ask(client, `${node.address}:8081`)).toEqual([`a ${client.address}`]);
      expect(servers(await ask(client, `${node.address}:8082`))).toEqual(['a']);
      expect(servers(await ask(node, `${node.address}:8081`))).toEqual(['a']);
      expect(servers(await ask(node, `${node.address}:8081`, { pod: 'b' }))).toEqual(['a']);
      expect(servers(await ask(node, `${node.address}:8081`, { pod: 'a' }))).toEqual(['a']);
    });

    it('keeps the client\'s address and stays on the host under externalTrafficPolicy Local', async () => {
      const port = tcp({ nodePort: 30080, externalLocal: true, localEndpoints: [podA, podB] });
      await backend.replace([port], signal);
      const outside = await ask(client, `${node.address}:30080`, { count: 30 });
      expect(servers(outside)).toEqual(['a', 'b']);
      expect(outside.every((a) => a.endsWith(` ${client.address}`))).toBe(true);
      expect(servers(await ask(node, `${node.address}:30080`, { count: 40 }))).toEqual(['a', 'b', 'c']);
      await backend.apply({ set: [{ ...port, endpoints: [remote], localEndpoints: [] }], removed: [] }, signal);
      expect(await ask(client, `${node.address}:30080`)).toEqual(['ECONNREFUSED']);
      expect(servers(await ask(node, `${node.address}:30080`))).toEqual(['c']);
    });

    it('stays on the host under internalTrafficPolicy Local', async () => {
      await backend.replace([tcp({ internalLocal: true, localEndpoints: [podB] })], signal);
      expect(servers(await ask(node, `${clusterIp}:80`, { count: 20, pod: 'a' }))).toEqual(['b']);
    });

    it('serves external and load balancer addresses', async () => {
      await backend.replace([tcp({ externalIps: ['203.0.113.5'], loadBalancerIps: ['203.0.113.6'] })], signal);
      await client.execOk('ip', ['route', 'replace', '203.0.113.0/24', 'via', node.address]);
      expect(servers(await ask(client, '203.0.113.5:80', { count: 40 }))).toEqual(['a', 'b', 'c']);
      expect(servers(await ask(client, '203.0.113.6:80', { count: 40 }))).toEqual(['a', 'b', 'c']);
    });

    it('lets in whom a load balancer\'s source ranges name, and answers nobody else', async () => {
      const port = tcp({ loadBalancerIps: ['203.0.113.6'], externalIps: ['203.0.113.5'], sourceRanges: [`${client.address}/32`] });
      await client.execOk('ip', ['route', 'replace', '203.0.113.0/24', 'via', node.address]);
      await backend.replace([port], signal);
      expect(servers(await ask(client, '203.0.113.6:80', { count: 40 }))).toEqual(['a', 'b', 'c']);
      await backend.apply({ set: [{ ...port, sourceRanges: ['192.0.2.0/24', '198.51.100.0/24'] }], removed: [] }, signal);
      expect(await ask(client, '203.0.113.6:80')).toEqual(['timeout']);
      expect(servers(await ask(client, '203.0.113.5:80', { count: 40 }))).toEqual(['a', 'b', 'c']);
      await backend.apply({ set: [tcp({ loadBalancerIps: ['203.0.113.6'] })], removed: [] }, signal);
      expect(servers(await ask(client, '203.0.113.6:80'))).toHaveLength(1);
    });

    it('keeps node ports to the addresses that were chosen, and ports of pods on all', async () => {
      const second = node.address.replace(/\d+$/, '77');
      await node.execOk('ip', ['address', 'replace', `${second}/24`, 'dev', 'eth0']);
      const bound = newBackend({ nodePortAddresses: [`${second}/32`] });
      await bound.replace([
        tcp({ nodePort: 30080 }), tcp({ id: 'default/none:http', port: 81, nodePort: 30081, endpoints: [] }), tcp({ id: 'default/local:http', port: 82, nodePort: 30082, externalLocal: true, localEndpoints: [podA] }),
        tcp({ id: 'default/pod:host', clusterIps: [], port: 8081, nodePort: 8081, hostPort: true, externalLocal: true, endpoints: [podA], localEndpoints: [podA] }),
      ], signal);
      expect(servers(await ask(client, `${second}:30080`, { count: 40 }))).toEqual(['a', 'b', 'c']);
      expect(await ask(client, `${second}:30081`)).toEqual(['ECONNREFUSED']);
      expect(await ask(client, `${second}:30082`)).toEqual([`a ${client.address}`]);
      for (const port of [30080, 30081, 30082]) expect(await ask(client, `${node.address}:${String(port)}`)).toEqual(['ECONNREFUSED']);
      for (const address of [second, node.address]) expect(await ask(client, `${address}:8081`)).toEqual([`a ${client.address}`]);
      await node.execOk('ip', ['address', 'del', `${second}/24`, 'dev', 'eth0']);
    });

    it('forgets session affinity when its time is over', async () => {
      if (forgetful !== undefined) await node.sh(forgetful);
      await backend.replace([servicePort({ id: 'default/dns:dns', protocol: 'UDP', port: 53, affinitySeconds: 2, endpoints: [podA, podB, remote] })], signal);
      const serving = async (): Promise<string> => servers(await ask(node, `${clusterIp}:53`, { pod: 'a', protocol: 'udp' })).join();
      const first = await serving();
      await eventually(async () => await serving() !== first, { what: 'another endpoint', intervalMs: 3000, timeoutMs: 90_000 });
    });

    it('refuses at once what has no endpoint or no Service', async () => {
      const udp = servicePort({ id: 'default/dns:dns', protocol: 'UDP', port: 53 });
      await backend.replace([tcp({ endpoints: [], nodePort: 30080, externalIps: ['203.0.113.5'] }), udp], signal);
      await client.execOk('ip', ['route', 'replace', '203.0.113.0/24', 'via', node.address]);
      expect(await ask(node, `${clusterIp}:80`)).toEqual(['ECONNREFUSED']);
      expect(await ask(node, `${clusterIp}:80`, { pod: 'a' })).toEqual(['ECONNREFUSED']);
      // The kernel does not send as many refusals as it is asked for.
      await expect.poll(() => ask(node, `${clusterIp}:53`, { protocol: 'udp', pod: 'a' })).toEqual(['ECONNREFUSED']);
      expect(await ask(client, `${node.address}:30080`)).toEqual(['ECONNREFUSED']);
      expect(await ask(client, '203.0.113.5:80')).toEqual(['ECONNREFUSED']);
      expect(await ask(node, '10.43.9.9:1', { pod: 'a' })).toEqual(['ECONNREFUSED']);
    });

    it('keeps a client on one endpoint with session affinity, also through changes and replace', async () => {
      const port = tcp({ affinitySeconds: 60, nodePort: 30080 });
      await backend.replace([port], signal);
      const first = servers(await ask(node, `${clusterIp}:80`, { count: 20, pod: 'a' }));
      expect(first).toHaveLength(1);
      const kept = [podA, podB, remote].filter((_, i) => ['a', 'b', 'c'][i] === first[0]);
      const other = [podA, podB, remote].find((b) => !kept.includes(b));
      await backend.apply({ set: [{ ...port, endpoints: [...kept, ...(other ? [other] : [])] }], removed: [] }, signal);
      expect(servers(await ask(node, `${clusterIp}:80`, { count: 10, pod: 'a' }))).toEqual(first);
      for (let i = 0; i < 5; i++) {
        await newBackend().replace([port], signal);
        expect(servers(await ask(node, `${clusterIp}:80`, { count: 3, pod: 'a' }))).toEqual(first);
      }
      backend = newBackend();
      await backend.replace([port], signal);
      await backend.apply({ set: [{ ...port, affinitySeconds: 30 }], removed: [] }, signal);
      await backend.apply({ set: [{ ...port, affinitySeconds: 0 }], removed: [] }, signal);
      expect(servers(await ask(node, `${clusterIp}:80`, { count: 60, pod: 'a' }))).toEqual(['a', 'b', 'c']);
    });

    it('sends pods\' traffic out of the cluster with the host\'s address, and between pods untouched', async () => {
      await backend.replace([], signal);
      await client.sh(`setsid node ${probe} serve client 9000 >/dev/null 2>&1 &`);
      await eventually(async () => (await ask(node, `${client.address}:9000`))[0]?.startsWith('client'), { what: 'the outside server' });
      expect(await ask(node, `${client.address}:9000`, { pod: 'a' })).toEqual([`client ${node.address}`]);
      expect(await ask(node, `${remote.ip}:8080`, { pod: 'a' })).toEqual([`c ${podA.ip}`]);
    });

    it('changes Services incrementally to the same end as replacing them', async () => {
      await backend.replace([], signal);
      const other = servicePort({ id: 'default/other:http', port: 81, nodePort: 30081, endpoints: [podB] });
      await backend.apply({ set: [tcp({ endpoints: [podA] }), other], removed: [] }, signal);
      expect(servers(await ask(node, `${clusterIp}:80`, { count: 5 }))).toEqual(['a']);
      expect(servers(await ask(node, `${clusterIp}:81`, { count: 5 }))).toEqual(['b']);
      await backend.apply({ set: [tcp({ endpoints: [remote] })], removed: [other.id] }, signal);
      expect(servers(await ask(node, `${clusterIp}:80`, { count: 5 }))).toEqual(['c']);
      expect(await ask(node, `${clusterIp}:81`, { pod: 'a' })).toEqual(['ECONNREFUSED']);
      await backend.apply({ set: [tcp({ id: 'default/renamed:http', endpoints: [podA] })], removed: ['default/web:http'] }, signal);
      expect(servers(await ask(node, `${clusterIp}:80`, { count: 5 }))).toEqual(['a']);
    });

    it('gives a contested address to one Service, and to the other when that goes', async () => {
      const second = servicePort({ id: 'default/zz:http', endpoints: [podB] });
      await backend.replace([second, tcp({ endpoints: [podA] })], signal);
      expect(servers(await ask(node, `${clusterIp}:80`, { count: 5 }))).toEqual(['a']);
      await backend.apply({ set: [], removed: ['default/web:http'] }, signal);
      expect(servers(await ask(node, `${clusterIp}:80`, { count: 5 }))).toEqual(['b']);
    });

    it('keeps open connections through a hundred changes, replace and a new agent', async () => {
      const port = tcp({ endpoints: [podB], nodePort: 30080 });
      await backend.replace([port], signal);
      const held = [
        node.spawn('hold-host', 'node', [probe, 'hold', clusterIp, '80']),
        node.spawn('hold-pod', 'ip', ['netns', 'exec', 'a', 'node', probe, 'hold', clusterIp, '80']),
        client.spawn('hold-client', 'node', [probe, 'hold', node.address, '30080']),
      ];
      for (const h of held) await h.waitForOutput('b ');
      for (let i = 0; i < 100; i++) {
        const other = servicePort({ id: `default/other-${String(i % 7)}:http`, clusterIps: [`10.43.1.${String(i % 7)}`], endpoints: i % 3 === 0 ? [] : [podA, remote] });
        await backend.apply(i % 5 === 4 ? { set: [], removed: [other.id] } : { set: [other, { ...port, endpoints: i % 2 === 0 ? [podA, podB] : [podB] }], removed: [] }, signal);
      }
      await backend.replace([port], signal);
      await newBackend().replace([{ ...port, endpoints: [podA] }], signal);
      for (const h of held) {
        const before = h.output().length;
        await eventually(() => h.output().length > before + 50, { what: `more answers for ${h.name}`, explain: () => h.output().slice(-500) });
        expect(h.output()).not.toContain('lost');
        expect(new Set(h.output().split('\n').map((line) => line.slice(0, 2)).filter(Boolean))).toEqual(new Set(['b ']));
        await h.kill('SIGKILL');
      }
    });

    it('rejects a change on a state that is not its own, and notices that the rules are gone', async () => {
      await backend.replace([tcp()], signal);
      expect(await backend.intact(signal)).toBe(true);
      await newBackend().cleanup(signal);
      expect(await backend.intact(signal)).toBe(false);
      await expect(backend.apply({ set: [tcp({ endpoints: [podA] })], removed: [] }, signal)).rejects.toThrow();
      await backend.replace([tcp({ endpoints: [podB] })], signal);
      expect(servers(await ask(node, `${clusterIp}:80`, { count: 5 }))).toEqual(['b']);
      for (const harm of harms) {
        await node.sh(harm);
        expect(await backend.intact(signal)).toBe(false);
        await backend.replace([tcp({ endpoints: [podB] })], signal);
        expect(await backend.intact(signal)).toBe(true);
      }
    });

    it('cleans up twice and leaves foreign rules alone', async () => {
      await node.sh('nft add table ip foreign; nft add chain ip foreign x { type filter hook forward priority 0\\; }; iptables -t nat -A POSTROUTING -s 192.0.2.0/24 -j MASQUERADE 2>/dev/null || true');
      const foreign = 'nft list table ip foreign; iptables -t nat -S 2>/dev/null | grep -v -i cleat || true';
      const before = await node.sh(foreign);
      await backend.replace([tcp({ nodePort: 30080, affinitySeconds: 60 })], signal);
      expect(await node.sh(foreign)).toBe(before);
      await backend.cleanup(signal);
      await backend.cleanup(signal);
      expect(await node.sh(foreign)).toBe(before);
      for (const family of ['', '6']) expect((await node.sh(`nft list ruleset; ip${family}tables-save; ip${family}tables-legacy-save 2>/dev/null || true`)).toLowerCase()).not.toContain('cleat');
      await node.sh('nft delete table ip foreign');
    });
  });
}

function servicePort(change: Partial<ServicePort>): ServicePort {
  const endpoints: readonly Backend[] = [];
  return {
    id: 'default/web:http', protocol: 'TCP', clusterIps: [clusterIp], externalIps: [], loadBalancerIps: [], port: 80, nodePort: 0,
    affinitySeconds: 0, internalLocal: false, externalLocal: false, endpoints, localEndpoints: [], ...change,
  };
}

function withoutEnv(options: ExecOptions): Omit<ExecOptions, 'env' | 'cwd'> {
  const { env: _env, cwd: _cwd, ...rest } = options;
  return rest;
}

/** The IPv6 address that a host or pod has beside its IPv4 one. */
function v6(ip: string): string {
  const [, , net = '', host = ''] = ip.split('.').map((octet) => Number(octet).toString(16));
  if (!ip.startsWith('10.42.')) return `fd88::${host}`;
  return net === '0' ? `fd42::${host}` : `fd42:0:0:${net}::${host}`;
}

/** Pods as network namespaces with a routed link, each with a server, and a route to the other host's pods. */
async function addPods(host: LabHost, subnet: number, names: readonly string[], other: LabHost): Promise<void> {
  await host.sh('echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding');
  for (const [i, name] of names.entries()) {
    const ip = `10.42.${String(subnet)}.${String(2 + i)}`;
    await host.sh(`ip netns add ${name}
      ip link add v${name} type veth peer name eth0 netns ${name}
      ip addr add 10.42.${String(subnet)}.1/32 dev v${name}; ip link set v${name} up; ip route add ${ip} dev v${name}
      ip -n ${name} addr add ${ip}/32 dev eth0; ip -n ${name} link set eth0 up; ip -n ${name} link set lo up
      ip -n ${name} route add 10.42.${String(subnet)}.1 dev eth0; ip -n ${name} route add default via 10.42.${String(subnet)}.1
      ip addr add fe80::1/64 dev v${name} nodad; ip route add ${v6(ip)} dev v${name}
      ip -n ${name} addr add ${v6(ip)}/128 dev eth0 nodad; ip -n ${name} route add default via fe80::1 dev eth0`);
    await host.spawn(`serve-${name}`, 'ip', ['netns', 'exec', name, 'node', probe, 'serve', name, '8080']).waitForOutput('ready');
  }
  await host.execOk('ip', ['route', 'add', `10.42.${String(1 - subnet)}.0/24`, 'via', other.address]);
  await host.execOk('ip', ['route', 'add', `${v6(`10.42.${String(1 - subnet)}.0`)}/64`, 'via', v6(other.address)]);
}

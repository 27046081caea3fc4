import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Node, Pod, Service } from '#api/gen/types.ts';
import { Cluster } from '../support/cluster.ts';
import { eventually } from '../support/lab/eventually.ts';
import type { LabHost } from '../support/lab/host.ts';

/** Two agents on different links, with a router between them: no WireGuard in this kernel, so they speak VXLAN. */
describe('the network between hosts', () => {
  let cluster: Cluster;

  beforeAll(async () => {
    // Later flags win: these hosts find out their addresses themselves, so that they may change.
    cluster = await Cluster.create({ agents: 2, links: 2, agentFlags: ['--node-ip='] });
    await cluster.importImage();
    await cluster.apply({
      apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: { name: 'web' },
      spec: {
        selector: { matchLabels: { app: 'web' } },
        template: { metadata: { labels: { app: 'web' } }, spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'web', image: 'cleat-hello:1', readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 } }] } },
      },
    });
  });
  afterAll(async () => { await cluster?.destroy(); });

  const isReady = (pod: Pod): boolean => pod.metadata?.deletionTimestamp === undefined && pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
  /** The pod of each host, by host. */
  const pods = (addresses: number): Promise<Pod[]> => eventually(async () => {
    const { items } = await cluster.json<{ items: Pod[] }>(['get', 'pods', '-l', 'app=web']);
    const sorted = items.filter((pod) => isReady(pod) && pod.status?.podIPs?.length === addresses).sort((a, b) => ((a.spec?.nodeName ?? '') < (b.spec?.nodeName ?? '') ? -1 : 1));
    return sorted.length === 2 && items.length === 2 ? sorted : false;
  }, { what: `a pod with ${String(addresses)} addresses on each host`, timeoutMs: 60_000, intervalMs: 200, explain: () => cluster.diagnostics() });
  const inPod = (host: LabHost, pod: Pod, script: string) => host.exec('ctr', ['-a', cluster.containerdSocket, '-n', 'k8s.io', 'tasks', 'exec', '--exec-id', `t${Math.random().toString(36).slice(2)}`, pod.status?.containerStatuses?.[0]?.containerID?.replace('containerd://', '') ?? '', 'sh', '-c', script]);
  const reaches = async (host: LabHost, from: Pod, url: string, answer: string): Promise<void> => {
    await eventually(async () => (await inPod(host, from, `timeout 3 wget -qO- ${url}`)).stdout.includes(answer), { what: `${from.metadata?.name ?? ''} to reach ${url}`, timeoutMs: 40_000, intervalMs: 200, explain: () => cluster.diagnostics() });
  };
  const net = async (...args: string[]): Promise<string> => (await cluster.controlPlaneHost.exec(`${process.cwd()}/cleat`, ['net', ...args], { env: { KUBECONFIG: '/etc/cleat/kubeconfig' } })).stdout;

  it('leads through a tunnel, which cleat net shows and cleat net check tries', async () => {
    const [one, two] = await pods(1);
    await reaches(cluster.agentHost(0), one ?? {}, `http://${two?.status?.podIP ?? ''}:8080/`, two?.metadata?.name ?? '-');
    await eventually(async () => /host1 +host2 +vxlan +1450 .* now +no shared link/.test(await net()) && /host2 +host1 +vxlan/.test(await net()), { what: 'cleat net to show the tunnel', timeoutMs: 20_000, explain: () => net() });
    await eventually(async () => (await net('check')).includes('all 4 checks passed'), { what: 'cleat net check', timeoutMs: 20_000, explain: () => net('check') });
  });

  it('is told by cleat net check in which direction, and from which size on, packets are lost', async () => {
    const drop = (rule: string) => cluster.agentHost(1).sh(`nft add table ip firewall; nft add chain ip firewall in '{ type filter hook input priority 0; }'; nft add rule ip firewall in udp dport 8472 ${rule} drop`);
    const open = () => cluster.agentHost(1).execOk('nft', ['delete', 'table', 'ip', 'firewall']);
    const says = async (...lines: string[]): Promise<void> => {
      await eventually(async () => (await net('check')) === lines.map((line) => `${line}\n`).join(''), { what: lines[0] ?? '', timeoutMs: 60_000, explain: () => net('check') });
    };
    await drop('meta length gt 1342');
    await says('host1 -> host2: UDP: packets of 1450 bytes do not arrive; the largest that do have 1292', 'host1 -> host2: TCP: the connection stands, but full segments do not arrive', '2 of 4 checks failed');
    await open();
    await drop('');
    await says('host1 -> host2: UDP: nothing arrives, of 1450 bytes or fewer', 'host2 -> host1: UDP: packets arrive, but the answers of host1 do not', '2 of 2 checks failed');
    await open();
    await says('all 4 checks passed');
  });

  it('gets IPv6 while it runs: nodes, pods, Services and names', async () => {
    await cluster.stopControlPlane();
    const first = await cluster.runningContainers(cluster.agentHost(0));
    await cluster.startControlPlane(['--dual-stack']);
    await eventually(async () => (await cluster.json<{ items: Node[] }>(['get', 'nodes'])).items.every(({ spec }) => spec?.podCIDRs?.length === 2), { what: 'ranges of both families', timeoutMs: 40_000 });
    await cluster.apply({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'web' }, spec: { ipFamilyPolicy: 'PreferDualStack', selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] } });
    const { spec } = await cluster.json<Service>(['get', 'service', 'web']);
    expect(spec).toMatchObject({ ipFamilies: ['IPv4', 'IPv6'], clusterIPs: [expect.stringMatching(/^10\.43\./), expect.stringMatching(/^fd/)] });
    expect(await cluster.kubectl(['get', 'ipaddress', spec?.clusterIPs?.[1] ?? ''])).toContain('default/web');
    // What runs stays as it is; the agents take the ranges up by themselves.
    expect(await cluster.runningContainers(cluster.agentHost(0))).toEqual(first);
    await eventually(async () => (await cluster.agentHost(0).exec('nft', ['list', 'table', 'ip6', 'cleat'])).exitCode === 0, { what: 'rules for IPv6', timeoutMs: 30_000, explain: () => cluster.diagnostics() });
    await eventually(() => cluster.agentHost(1).execOk('grep', ['-c', '"subnet": "fd', '/var/lib/cleat/cni/net.d/10-cleat.conflist']), { what: 'the CNI configuration for IPv6', timeoutMs: 30_000 });
    await cluster.kubectl(['delete', 'pods', '-l', 'app=web', '--wait=false']);
    const [one, two] = await pods(2);
    const address = two?.status?.podIPs?.[1]?.ip ?? '';
    expect(address).toMatch(/^fd/);
    await reaches(cluster.agentHost(0), one ?? {}, `http://[${address}]:8080/`, two?.metadata?.name ?? '-');
    for (const name of [two?.metadata?.name ?? '-', one?.metadata?.name ?? '-']) await reaches(cluster.agentHost(0), one ?? {}, `http://[${spec?.clusterIPs?.[1] ?? ''}]/`, name);
    expect((await inPod(cluster.agentHost(1), two ?? {}, 'nslookup -type=AAAA web.default.svc.cluster.local')).stdout).toContain(spec?.clusterIPs?.[1]);
  });

  it('follows a host whose address changes', async () => {
    const [one, two] = await pods(2);
    const host = cluster.agentHost(1);
    const moved = host.address.replace(/\d+$/, '99');
    const gateway = host.address.replace(/\d+$/, '1');
    await host.sh(`ip address del ${host.address}/24 dev eth0; ip address add ${moved}/24 dev eth0; ip route replace default via ${gateway}`);
    await eventually(async () => (await cluster.json<Node>(['get', 'node', host.name])).status?.addresses?.some((a) => a.address === moved), { what: 'the node to tell its new address', timeoutMs: 40_000, explain: () => cluster.diagnostics() });
    await reaches(cluster.agentHost(0), one ?? {}, `http://${two?.status?.podIP ?? ''}:8080/`, two?.metadata?.name ?? '-');
    await reaches(host, two ?? {}, `http://[${one?.status?.podIPs?.[1]?.ip ?? ''}]:8080/`, one?.metadata?.name ?? '-');
    expect(await cluster.agentHost(0).execOk('bridge', ['fdb', 'show', 'dev', 'cleat-vxlan'])).toContain(moved);
  });
});

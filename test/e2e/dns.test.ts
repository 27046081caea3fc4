import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Pod } from '#api/gen/types.ts';
import { Cluster } from '../support/cluster.ts';
import { eventually } from '../support/lab/eventually.ts';
import type { LabHost } from '../support/lab/host.ts';

const address = '10.43.0.10';
const image = 'cleat-hello:1';

/** Names asked from pods and hosts, of agents on two hosts, with and without a control plane. */
describe('cluster dns', () => {
  let cluster: Cluster;
  const script = join(import.meta.dirname, '../support/dns-query.ts');
  const hosts = (): LabHost[] => [cluster.agentHost(0), cluster.agentHost(1)];
  const ask = async (host: LabHost, name: string, type = 'A', transport = 'udp'): Promise<string> => (await host.execOk(process.execPath, [script, address, transport, name, type])).trim();
  const answers = (host: LabHost, name: string, expected: string | RegExp, type = 'A'): Promise<unknown> =>
    eventually(async () => { const said = await ask(host, name, type).catch(String); return typeof expected === 'string' ? said === expected : expected.test(said); }, {
      what: `${name} to be answered with ${String(expected)} on ${host.name}`, timeoutMs: 30_000, intervalMs: 200, explain: async () => `${await ask(host, name, type).catch(String)}\n${await cluster.diagnostics()}`,
    });
  const inPod = (command: string): Promise<string> => cluster.kubectl(['exec', 'web-0', '--', 'busybox', 'sh', '-c', command]);

  beforeAll(async () => {
    cluster = await Cluster.create({ agents: 2 });
    await cluster.importImage();
    const labels = { app: 'web' };
    const spread = [{ maxSkew: 1, topologyKey: 'kubernetes.io/hostname', whenUnsatisfiable: 'DoNotSchedule', labelSelector: { matchLabels: labels } }];
    await cluster.apply([
      { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web' }, spec: { selector: labels, ports: [{ name: 'http', port: 80, targetPort: 8080 }] } },
      { apiVersion: 'v1', kind: 'Service', metadata: { name: 'each' }, spec: { clusterIP: 'None', selector: labels, ports: [{ name: 'http', port: 8080 }] } },
      { apiVersion: 'v1', kind: 'Service', metadata: { name: 'out' }, spec: { type: 'ExternalName', externalName: 'example.test' } },
      {
        apiVersion: 'apps/v1', kind: 'StatefulSet', metadata: { name: 'web' },
        spec: {
          replicas: 2, serviceName: 'each', podManagementPolicy: 'Parallel', selector: { matchLabels: labels },
          template: { metadata: { labels }, spec: { terminationGracePeriodSeconds: 0, topologySpreadConstraints: spread, containers: [{ name: 'web', image, readinessProbe: { httpGet: { path: '/', port: 8080 }, periodSeconds: 1 } }] } },
        },
      },
    ]);
    await cluster.kubectl(['rollout', 'status', 'statefulset/web', '--timeout=60s'], { timeoutMs: 90_000 });
  });
  afterAll(async () => { await cluster?.destroy(); });

  it('names Services, their ports and each pod of a StatefulSet, on every host', async () => {
    const clusterIp = await cluster.kubectl(['get', 'service', 'web', '-o', 'jsonpath={.spec.clusterIP}']);
    const podIps = (await cluster.json<{ items: Pod[] }>(['get', 'pods', '-l', 'app=web'])).items.map((pod) => pod.status?.podIP ?? '');
    for (const host of hosts()) {
      await answers(host, 'web.default.svc.cluster.local', `NOERROR "${clusterIp}"`);
      await answers(host, 'web-1.each.default.svc.cluster.local', `NOERROR "${podIps[1] ?? ''}"`);
      await answers(host, 'each.default.svc.cluster.local', new RegExp(`^NOERROR ("(${podIps.join('|')})" ?){2}$`));
      expect(await ask(host, 'web.default.svc.cluster.local', 'A', 'tcp')).toBe(`NOERROR "${clusterIp}"`);
      expect(await ask(host, '_http._tcp.web.default.svc.cluster.local', 'SRV')).toBe('NOERROR {"priority":0,"weight":100,"port":80,"target":"web.default.svc.cluster.local"}');
      expect(await ask(host, `${clusterIp.split('.').reverse().join('.')}.in-addr.arpa`, 'PTR')).toBe('NOERROR "web.default.svc.cluster.local"');
      expect(await ask(host, 'nosuch.default.svc.cluster.local')).toBe('NXDOMAIN');
      expect(await ask(host, 'kubernetes.default.svc.cluster.local')).toBe('NOERROR "10.43.0.1"');
    }
  });

  it('is what pods ask by their short names', async () => {
    expect(await inPod('cat /etc/resolv.conf')).toMatch(/^search default\.svc\.cluster\.local svc\.cluster\.local cluster\.local.*\nnameserver 10\.43\.0\.10\noptions ndots:5\n$/);
    for (const name of ['web', 'web.default', 'web.default.svc']) expect(await inPod(`timeout 10 busybox wget -qO- http://${name}/`)).toContain('Hello from web-');
    expect(await inPod('timeout 10 busybox wget -qO- http://web-1.each:8080/')).toContain('Hello from web-1');
    expect(await inPod('timeout 10 busybox nslookup kube-dns.kube-system.svc.cluster.local || true')).toContain(`Address: ${address}`);
  });

  it('asks the servers that the cluster names for everything else', async () => {
    const [host] = hosts();
    if (!host) throw new Error('no host');
    const upstream = host.spawn('upstream', process.execPath, [script, 'serve', host.address, '5300']);
    const elsewhere = [`${host.address}:5300`];
    await cluster.apply({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'kube-dns', namespace: 'kube-system' }, data: { upstreamNameservers: JSON.stringify(elsewhere), stubDomains: JSON.stringify({ 'corp.test': elsewhere }) } });
    for (const each of hosts()) {
      await answers(each, 'example.test', 'NOERROR "192.0.2.1"');
      await answers(each, 'out.default.svc.cluster.local', 'NOERROR "example.test" "192.0.2.1"');
      await answers(each, 'nosuch.corp.test', 'NXDOMAIN');
    }
    await upstream.kill('SIGKILL');
    await answers(host, 'example.test', 'NOERROR "192.0.2.1"');
    expect(await ask(host, 'unknown.test')).toBe('SERVFAIL');
  });

  it('answers on after a restart without a control plane', async () => {
    await cluster.stopControlPlane('SIGKILL');
    await cluster.stopAgent(0, 'SIGKILL');
    cluster.startAgent(0);
    await answers(cluster.agentHost(0), 'web-1.each.default.svc.cluster.local', /^NOERROR "10\.42\./);
    await cluster.startControlPlane();
    await cluster.waitForNodes();
  });

  it('stands aside for another DNS server, and comes back', async () => {
    const has = async (host: LabHost): Promise<boolean> => (await host.execOk('ip', ['address', 'show', 'dev', 'lo'])).includes(address);
    const become = (there: boolean): Promise<unknown> => eventually(async () => (await Promise.all(hosts().map(has))).every((one) => one === there), { what: `the address to be ${there ? 'there' : 'gone'}`, timeoutMs: 30_000, intervalMs: 200, explain: () => cluster.diagnostics() });
    const label = 'service.kubernetes.io/service-proxy-name';
    await cluster.kubectl(['label', 'service', '-n', 'kube-system', 'kube-dns', `${label}-`]);
    await become(false);
    await cluster.kubectl(['label', 'service', '-n', 'kube-system', 'kube-dns', `${label}=cleat-dns`]);
    await become(true);
    await answers(cluster.agentHost(0), 'kubernetes.default.svc.cluster.local', 'NOERROR "10.43.0.1"');
  });
});

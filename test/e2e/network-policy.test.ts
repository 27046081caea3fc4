import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Node, Pod, Service } from '#api/gen/types.ts';
import { Cluster } from '../support/cluster.ts';
import { eventually } from '../support/lab/eventually.ts';
import type { LabHost } from '../support/lab/host.ts';

const image = 'cleat-hello:1';

/** Policies and addresses of a pool as users see them: stock kubectl, two hosts, real packets. */
describe('what reaches pods, and from where', () => {
  let cluster: Cluster;

  const pod = (name: string, node: string, labels: Record<string, string>): object => ({
    apiVersion: 'v1', kind: 'Pod', metadata: { name, labels },
    spec: { nodeName: node, terminationGracePeriodSeconds: 1, containers: [{ name: 'c', image, ports: [{ name: 'http', containerPort: 8080 }], readinessProbe: { httpGet: { path: '/', port: 'http' }, periodSeconds: 1 } }] },
  });
  const get = (name: string): Promise<Pod> => cluster.json<Pod>(['get', 'pod', name]);
  const ready = (...names: string[]): Promise<unknown> => cluster.kubectl(['wait', '--for=condition=Ready', '--timeout=60s', ...names.map((name) => `pod/${name}`)], { timeoutMs: 90_000 });
  const hostOf = (name = ''): LabHost => cluster.lab.hosts.find((host) => host.name === name) ?? cluster.controlPlaneHost;
  /** Whether a pod gets an answer from `url`. */
  const reaches = async (name: string, url: string): Promise<boolean> => {
    const { spec, status } = await get(name);
    const id = status?.containerStatuses?.[0]?.containerID?.replace('containerd://', '') ?? '';
    const { stdout } = await hostOf(spec?.nodeName).exec('ctr', ['-a', cluster.containerdSocket, '-n', 'k8s.io', 'tasks', 'exec', '--exec-id', `t${Math.random().toString(36).slice(2)}`, id, 'sh', '-c', `timeout 2 wget -qO- ${url}`]);
    return stdout.includes('Hello from');
  };
  const policy = (name: string, spec: object): object => ({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name }, spec });
  const rulesOf = async (host: LabHost): Promise<string> => (await host.exec('nft', ['list', 'table', 'inet', 'cleat-policy'])).stdout;

  beforeAll(async () => {
    cluster = await Cluster.create({ agents: 2, controlPlaneFlags: ['--load-balancer-pool=10.88.255.1'] });
    await cluster.importImage();
    const [one, two] = [cluster.agentHost(0).name, cluster.agentHost(1).name];
    await cluster.apply([
      pod('web', one, { app: 'web' }), pod('friend', two, { role: 'friend' }), pod('stranger', two, { role: 'stranger' }), pod('neighbour', one, { role: 'stranger' }),
      { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web' }, spec: { type: 'LoadBalancer', externalTrafficPolicy: 'Local', selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] } },
    ]);
    await ready('web', 'friend', 'stranger', 'neighbour');
  });
  afterAll(async () => { await cluster?.destroy(); });

  it('gives the Service an address of the pool, answered for by the host of its pod, with the client\'s address kept', async () => {
    const client = cluster.controlPlaneHost;
    await eventually(async () => (await cluster.json<Service>(['get', 'service', 'web'])).status?.loadBalancer?.ingress?.[0]?.ip === '10.88.255.1', { what: 'an address', timeoutMs: 30_000 });
    // Not of the lab's own network, so that labs beside this one have the same: the client finds it on the link all the same.
    const device = (await client.sh('ip -o -4 route show default')).split(/\s+/)[4] ?? 'eth0';
    await client.execOk('ip', ['route', 'add', '10.88.255.1/32', 'dev', device]);
    const answer = await eventually(async () => { const { stdout } = await client.exec('timeout', ['2', 'busybox', 'wget', '-qO-', 'http://10.88.255.1/']); return stdout.includes('Hello from web') && stdout; }, { what: 'an answer', timeoutMs: 30_000, explain: () => cluster.diagnostics() });
    expect(answer).toContain(client.address);
    expect((await cluster.agentHost(0).execOk('ip', ['address', 'show', 'dev', 'lo'])).includes('10.88.255.1/32')).toBe(true);
    expect(await cluster.kubectl(['get', 'events', '-A', '--field-selector=reason=LoadBalancerAddressHeld'])).toContain('default/web');
  });

  it('lets in whom a policy allows, and nobody else, by every way', async () => {
    const url = `http://${(await get('web')).status?.podIP ?? ''}:8080/`;
    const service = `http://${(await cluster.json<Service>(['get', 'service', 'web'])).spec?.clusterIP ?? ''}/`;
    const friends = (): Promise<boolean[]> => Promise.all([reaches('friend', url), reaches('friend', service)]);
    const others = (): Promise<boolean[]> => Promise.all([reaches('stranger', url), reaches('stranger', service), reaches('neighbour', url)]);
    // A busy host may answer late, and is asked again. Whom a policy keeps out is never let in.
    const all = (ways: () => Promise<boolean[]>): Promise<unknown> => eventually(async () => (await ways()).every(Boolean), { what: 'answers to all', timeoutMs: 30_000, explain: () => cluster.diagnostics() });
    await all(friends);
    await all(others);
    expect(await rulesOf(cluster.agentHost(0))).toBe('');
    await cluster.apply([policy('web', { podSelector: { matchLabels: { app: 'web' } }, ingress: [{ from: [{ podSelector: { matchLabels: { role: 'friend' } } }], ports: [{ port: 'http' }] }] })]);
    await eventually(async () => (await rulesOf(cluster.agentHost(0))).includes('in/default/web'), { what: 'rules', timeoutMs: 30_000, explain: () => cluster.diagnostics() });
    await all(friends);
    expect(await others()).toEqual([false, false, false]);
    expect(await rulesOf(cluster.agentHost(1))).toBe('');
    await cluster.kubectl(['label', 'pod', 'stranger', 'role=friend', '--overwrite']);
    await eventually(() => reaches('stranger', url), { what: 'the new label counts', timeoutMs: 30_000 });
    await cluster.kubectl(['label', 'pod', 'stranger', 'role=stranger', '--overwrite']);
    await eventually(async () => !await reaches('stranger', url), { what: 'the old label counts', timeoutMs: 30_000 });
    expect((await get('web')).status?.conditions?.find(({ type }) => type === 'Ready')?.status).toBe('True');
  });

  it('holds a pod to its policies from its first moment after a reboot, with the control plane away', async () => {
    const [host, other] = [cluster.agentHost(0), cluster.agentHost(1)];
    const range = (await cluster.json<Node>(['get', 'node', host.name])).spec?.podCIDR?.replace(/0\/24$/, '') ?? '';
    await cluster.controlPlane?.kill('SIGKILL');
    await host.crash();
    // Another host is nobody whom the policy allows. It tries every address that the pod could get, again and again.
    const intruder = other.spawn('intruder', 'bash', ['-c', `echo trying; while :; do for i in 2 3 4 5 6 7; do timeout 0.2 bash -c ": > /dev/tcp/${range}$i/8080" 2>/dev/null && echo "open $i"; done; done`]);
    await intruder.waitForOutput('trying');
    await host.boot();
    cluster.startAgent(0);
    const answers = async (): Promise<string> => (await host.exec('bash', ['-c', `for i in 2 3 4 5 6 7; do timeout 0.5 busybox wget -qO- http://${range}$i:8080/; done`])).stdout;
    await eventually(async () => { const text = await answers(); return text.includes('Hello from web') && text.includes('Hello from neighbour'); }, { what: 'both pods answer on their own host', timeoutMs: 90_000, explain: () => cluster.diagnostics() });
    // The pod that no policy is about is reached, once and again; the other never was.
    await eventually(() => new Set(intruder.output().match(/open \d/g)).size === 1, { what: 'one pod open', timeoutMs: 30_000 });
    await intruder.kill('SIGKILL');
    expect(new Set(intruder.output().match(/open \d/g)).size).toBe(1);
    await cluster.startControlPlane();
  });
});

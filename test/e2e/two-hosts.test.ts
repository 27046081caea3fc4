import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Deployment, Pod } from '#api/gen/types.ts';
import { Cluster, leaveSoon } from '../support/cluster.ts';
import { eventually } from '../support/lab/eventually.ts';
import type { LabHost } from '../support/lab/host.ts';
import type { LabProcess } from '../support/lab/process.ts';

const node = process.execPath;
const support = join(import.meta.dirname, '../support');

interface Load { readonly ok: number; readonly failed: number; readonly errors: Readonly<Record<string, number>>; readonly bodies: Readonly<Record<string, number>> }

/** A control plane and two agents, each on a host of its own, driven with stock kubectl and real packets. */
describe('two hosts', () => {
  let cluster: Cluster;
  const image = 'cleat-hello:1';

  beforeAll(async () => {
    cluster = await Cluster.create({ agents: 2 });
    await cluster.importImage();
  });
  afterAll(async () => { await cluster?.destroy(); });

  const web = (replicas: number, env = 'one', more: object = {}): object => ({
    apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web' },
    spec: {
      replicas, selector: { matchLabels: { app: 'web' } },
      template: {
        metadata: { labels: { app: 'web' } },
        spec: {
          ...more, terminationGracePeriodSeconds: 2,
          containers: [{ name: 'web', image, env: [{ name: 'VERSION', value: env }], ports: [{ containerPort: 8080 }], readinessProbe: { httpGet: { path: '/', port: 8080 }, periodSeconds: 1 }, lifecycle: { preStop: { sleep: { seconds: 1 } } } }],
        },
      },
    },
  });
  const service = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web' }, spec: { type: 'NodePort', selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080, nodePort: 30080 }] } };

  const podsOf = async (label: string): Promise<Pod[]> => (await cluster.json<{ items: Pod[] }>(['get', 'pods', '-l', label])).items;
  const nameOf = (pod: Pod): string => pod.metadata?.name ?? '';
  const isReady = (pod: Pod): boolean => pod.metadata?.deletionTimestamp === undefined && pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
  const hostOf = (pod: Pod): LabHost => {
    const host = cluster.lab.hosts.find(({ name }) => name === pod.spec?.nodeName);
    if (!host) throw new Error(`pod ${nameOf(pod)} is on no host of the lab`);
    return host;
  };
  const rollout = (timeout = '60s'): Promise<string> => cluster.kubectl(['rollout', 'status', 'deployment/web', `--timeout=${timeout}`], { timeoutMs: 90_000 });
  /** Resolves when exactly `count` pods are there, all Ready, none on its way out. */
  const settled = (label: string, count: number, timeoutMs = 40_000): Promise<Pod[]> => eventually(async () => {
    const pods = await podsOf(label);
    return pods.length === count && pods.every(isReady) ? pods : false;
  }, { what: `${String(count)} ready pods of ${label}`, timeoutMs, intervalMs: 200, explain: () => cluster.diagnostics() });
  /** A command in the pod's container. */
  const inPod = (pod: Pod, script: string): Promise<string> => {
    const id = pod.status?.containerStatuses?.[0]?.containerID?.replace('containerd://', '') ?? '';
    return hostOf(pod).execOk('ctr', ['-a', cluster.containerdSocket, '-n', 'k8s.io', 'tasks', 'exec', '--exec-id', `t${Math.random().toString(36).slice(2)}`, id, 'sh', '-c', script]);
  };
  const clusterIp = async (): Promise<string> => cluster.kubectl(['get', 'service', 'web', '-o', 'jsonpath={.spec.clusterIP}']);
  const answers = (text: string): Set<string> => new Set([...text.matchAll(/Hello from (\S+) to/g)].map(([, name = '']) => name));
  const startLoad = async (host: LabHost, url: string): Promise<LabProcess> => {
    const load = host.spawn(`load-${Math.random().toString(36).slice(2)}`, node, [join(support, 'http-load.ts'), url, '4']);
    await load.waitForOutput('asking');
    return load;
  };
  const endLoad = async (load: LabProcess): Promise<Load> => {
    await load.kill('SIGTERM');
    return JSON.parse(load.output().trim().split('\n').at(-1) ?? '') as Load;
  };
  const containersEverywhere = async (): Promise<string[][]> => Promise.all([0, 1].map((i) => cluster.runningContainers(cluster.agentHost(i))));

  it('spreads six pods over both hosts', async () => {
    await cluster.apply([web(6), service]);
    await rollout();
    const pods = await settled('app=web', 6);
    const perHost = Object.values(Object.groupBy(pods, ({ spec }) => spec?.nodeName ?? '')).map((list) => list?.length);
    expect(perHost).toEqual([3, 3]);
    expect(new Set(pods.map(({ status }) => status?.podIP)).size).toBe(6);
  });

  it('carries packets between pods of different hosts, with the source address kept', async () => {
    const pods = await podsOf('app=web');
    const from = pods.find(({ spec }) => spec?.nodeName === cluster.agentHost(0).name);
    const to = pods.find(({ spec }) => spec?.nodeName === cluster.agentHost(1).name);
    if (!from || !to) throw new Error('no pod on one of the hosts');
    for (const [a, b] of [[from, to], [to, from], [from, from]] as const) {
      const answer = await inPod(a, `timeout 5 wget -qO- http://${b.status?.podIP ?? ''}:8080/`);
      expect(answer).toContain(`Hello from ${nameOf(b)} to`);
      expect(answer).toContain(a.status?.podIP);
    }
  });

  it('reaches the Service from both hosts and from pods, spread over all backends', async () => {
    const pods = await podsOf('app=web');
    const names = new Set(pods.map(nameOf));
    const address = await clusterIp();
    const many = (url: string): string => `for i in $(seq 60); do timeout 5 wget -qO- ${url}; done`;
    for (const i of [0, 1]) {
      const host = cluster.agentHost(i);
      expect(answers(await host.sh(many(`http://${address}/`)))).toEqual(names);
      expect(answers(await host.sh(many(`http://${host.address}:30080/`)))).toEqual(names);
    }
    const [pod] = pods;
    if (pod) expect(answers(await inPod(pod, many(`http://${address}/`)))).toEqual(names); // itself among them: hairpin
    // From outside of the cluster, through a host that has to forward to the other.
    expect(answers(await cluster.controlPlaneHost.sh(many(`http://${cluster.agentHost(0).address}:30080/`)))).toEqual(names);
  });

  it('scales up and down', async () => {
    await cluster.kubectl(['scale', 'deployment/web', '--replicas=8']);
    await settled('app=web', 8);
    await cluster.kubectl(['scale', 'deployment/web', '--replicas=4']);
    await settled('app=web', 4);
  });

  it('rolls an update out without a failed request', async () => {
    const load = await startLoad(cluster.agentHost(0), `http://${await clusterIp()}/`);
    const before = (await podsOf('app=web')).map(nameOf);
    await cluster.apply(web(4, 'two'));
    await rollout();
    const pods = await settled('app=web', 4);
    const { ok, failed, errors } = await endLoad(load);
    expect({ failed, errors }).toEqual({ failed: 0, errors: {} });
    expect(ok).toBeGreaterThan(100);
    expect(pods.map(nameOf).filter((name) => before.includes(name))).toEqual([]);
    expect(await inPod(pods[0]!, 'echo $VERSION')).toBe('two\n');
  });

  it('rolls back to the revision before', async () => {
    await cluster.kubectl(['rollout', 'undo', 'deployment/web']);
    await rollout();
    const pods = await settled('app=web', 4);
    expect(await inPod(pods[0]!, 'echo $VERSION')).toBe('one\n');
  });

  it('keeps containers and connections when an agent is killed and started again', async () => {
    await cluster.apply([
      { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'echo', labels: { app: 'echo' } }, spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'echo', image, command: ['nc', '-ll', '-p', '7000', '-e', 'cat'], readinessProbe: { tcpSocket: { port: 7000 }, periodSeconds: 1 } }] } },
      { apiVersion: 'v1', kind: 'Service', metadata: { name: 'echo' }, spec: { selector: { app: 'echo' }, ports: [{ port: 7000 }] } },
    ]);
    const [echo] = await settled('app=echo', 1);
    const index = hostOf(echo!) === cluster.agentHost(0) ? 0 : 1;
    const address = await cluster.kubectl(['get', 'service', 'echo', '-o', 'jsonpath={.spec.clusterIP}']);
    const held = cluster.agentHost(index).spawn('hold', node, [join(support, 'lab/net-probe.ts'), 'hold', address, '7000']);
    await held.waitForOutput('?');
    const before = await containersEverywhere();
    for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
      await cluster.stopAgent(index, signal);
      cluster.startAgent(index);
      await cluster.waitForNodes();
      await eventually(async () => (await cluster.json<Pod>(['get', 'pod', 'echo'])).status?.phase === 'Running' && isReady(await cluster.json<Pod>(['get', 'pod', 'echo'])), { what: 'the pod to be reported', timeoutMs: 20_000 });
    }
    const answered = held.output().length;
    await eventually(() => held.output().length > answered, { what: 'the connection to go on' });
    expect(held.output()).not.toContain('lost');
    expect(await containersEverywhere()).toEqual(before);
    await held.kill();
    await cluster.kubectl(['delete', 'pod/echo', 'service/echo', '--now']);
  });

  it('replaces the pods of a host that is cut off, and kills nothing that should live when it returns', async () => {
    await cluster.apply(web(4, 'one', { tolerations: leaveSoon }));
    await rollout();
    const pods = await settled('app=web', 4);
    const lost = cluster.agentHost(1);
    const stayed = pods.filter((pod) => hostOf(pod) !== lost);
    const gone = pods.filter((pod) => hostOf(pod) === lost);
    expect(gone.length).toBeGreaterThan(0);
    const healthy = await cluster.runningContainers(cluster.agentHost(0));
    await lost.disconnect();
    // Six seconds until the host counts as lost, two that pods tolerate that, and the time to start others.
    await eventually(async () => (await podsOf('app=web')).filter((pod) => isReady(pod) && hostOf(pod) !== lost).length === 4, { what: 'replacements on the other host', timeoutMs: 30_000, intervalMs: 200, explain: () => cluster.diagnostics() });
    await lost.reconnect();
    await cluster.waitForNodes();
    const after = await settled('app=web', 4);
    expect(after.map(nameOf)).toEqual(expect.arrayContaining(stayed.map(nameOf)));
    expect(after.map(nameOf).filter((name) => gone.some((pod) => nameOf(pod) === name))).toEqual([]);
    expect(await cluster.runningContainers(cluster.agentHost(0))).toEqual(expect.arrayContaining(healthy));
    await eventually(async () => (await cluster.runningContainers(lost)).length === 0, { what: 'the old copies to be gone', timeoutMs: 30_000 });
  });

  it('leaves everything alone when a host is away for a moment only', async () => {
    await cluster.apply(web(4, 'one'));
    await rollout();
    await settled('app=web', 4);
    const before = await containersEverywhere();
    await cluster.agentHost(1).disconnect();
    await eventually(async () => (await cluster.controlPlaneHost.exec('ping', ['-c1', '-W1', cluster.agentHost(1).address])).exitCode !== 0, { what: 'the cut' });
    await cluster.agentHost(1).reconnect();
    await cluster.waitForNodes();
    await settled('app=web', 4);
    expect(await containersEverywhere()).toEqual(before);
  });

  it('finishes a rollout when the control plane is killed in the middle of it', async () => {
    await cluster.apply(web(4, 'three'));
    await eventually(async () => {
      const { status } = await cluster.json<Deployment>(['get', 'deployment', 'web']);
      return (status?.updatedReplicas ?? 0) > 0 && (status?.updatedReplicas ?? 0) < 4;
    }, { what: 'the rollout to be half-way', intervalMs: 5 });
    await cluster.stopControlPlane('SIGKILL');
    await cluster.startControlPlane();
    await rollout();
    const pods = await settled('app=web', 4);
    for (const pod of pods) expect(await inPod(pod, 'echo $VERSION')).toBe('three\n');
  });

  it('starts the pods of a rebooted host while the control plane is down', async () => {
    const pods = await settled('app=web', 4);
    const host = cluster.agentHost(0);
    const own = pods.filter((pod) => hostOf(pod) === host);
    expect(own.length).toBeGreaterThan(0);
    const address = await clusterIp();
    await cluster.stopControlPlane('SIGKILL');
    await cluster.crashAgentHost(0);
    cluster.startAgent(0);
    await eventually(async () => (await cluster.runningContainers(host)).length >= own.length * 2, { what: 'the pods to run again', timeoutMs: 40_000 });
    // The Service works again too, from the host that was rebooted, over pods of both hosts.
    await eventually(async () => answers(await host.sh(`for i in $(seq 20); do timeout 2 wget -qO- http://${address}/; done`)).size >= own.length, { what: 'the Service to answer', timeoutMs: 20_000 });
    await cluster.startControlPlane();
    await cluster.waitForNodes();
    const after = await settled('app=web', 4);
    expect(after.map(nameOf).sort()).toEqual(pods.map(nameOf).sort());
  });

  it('removes everything with the Deployment', async () => {
    await cluster.kubectl(['delete', 'deployment/web', 'service/web']);
    await eventually(async () => (await podsOf('app=web')).length === 0, { what: 'the pods to go', timeoutMs: 30_000 });
    await eventually(async () => (await containersEverywhere()).flat().length === 0, { what: 'the containers to go', timeoutMs: 30_000 });
  });
});

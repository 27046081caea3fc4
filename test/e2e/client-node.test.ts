import { setTimeout as sleep } from 'node:timers/promises';
import { PassThrough, Readable, Writable } from 'node:stream';
import {
  AppsV1Api, CoordinationV1Api, CoreV1Api, Exec, KubeConfig, Log, makeInformer, PatchStrategy, PortForward, setHeaderOptions, V1MicroTime, Watch,
  type V1ConfigMap, type V1Deployment, type V1Lease, type V1Pod, type V1Status,
} from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster } from '../support/cluster.ts';
import { eventually } from '../support/lab/eventually.ts';

/** The official JavaScript client, as it is, against a control plane and an agent on another host. */
let cluster: Cluster;
let config: KubeConfig;
let core: CoreV1Api;
const namespace = 'default';
const image = 'cleat-hello:1';
const until = <T>(what: string, condition: () => T | Promise<T>, timeoutMs = 30_000): Promise<unknown> => eventually(condition, { what, timeoutMs, intervalMs: 50, explain: () => cluster.diagnostics() });

beforeAll(async () => {
  cluster = await Cluster.create({ agents: 1 });
  await cluster.importImage();
  config = new KubeConfig();
  config.loadFromFile(cluster.controlPlaneHost.path('/etc/cleat/kubeconfig'));
  const clusters = config.clusters.map((one) => ({ ...one, server: cluster.server }));
  config.loadFromOptions({ clusters, users: config.users, contexts: config.contexts, currentContext: config.currentContext });
  core = config.makeApiClient(CoreV1Api);
  const script = 'busybox --install -s /bin; echo page > /www/index.html; httpd -p 8080 -h /www; echo one; echo two; while :; do sleep 1 & wait $!; done';
  const box: V1Pod = { metadata: { name: 'box' }, spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'main', image, ports: [{ containerPort: 8080 }], command: ['/bin/busybox', 'sh', '-c', script], readinessProbe: { httpGet: { path: '/', port: 8080 }, periodSeconds: 1 } }] } };
  await core.createNamespacedPod({ namespace, body: box });
  await until('the pod to be ready', async () => (await core.readNamespacedPod({ namespace, name: 'box' })).status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True'), 60_000);
});
afterAll(async () => { await cluster?.destroy(); });

/** Keeps what is written to it. */
function collector(): { readonly stream: Writable; text: () => string } {
  const chunks: Buffer[] = [];
  return { stream: new Writable({ write(chunk: Buffer, _encoding, done) { chunks.push(chunk); done(); } }), text: () => Buffer.concat(chunks).toString() };
}

async function run(command: string[], input?: string): Promise<{ readonly status: V1Status; readonly out: string; readonly err: string }> {
  const [out, err] = [collector(), collector()];
  const status = await new Promise<V1Status>((resolve, reject) => {
    new Exec(config).exec(namespace, 'box', 'main', command, out.stream, err.stream, input === undefined ? null : Readable.from([Buffer.from(input)]), false, resolve)
      .then((socket) => { socket.onerror = () => { reject(new Error('the connection broke')); }; }, reject);
  });
  return { status, out: out.text(), err: err.text() };
}

describe('@kubernetes/client-node', () => {
  it('rolls out a deployment with typed calls', async () => {
    const apps = config.makeApiClient(AppsV1Api);
    const body: V1Deployment = {
      metadata: { name: 'typed' },
      spec: { replicas: 2, selector: { matchLabels: { app: 'typed' } }, template: { metadata: { labels: { app: 'typed' } }, spec: { terminationGracePeriodSeconds: 0, containers: [{ name: 'c', image }] } } },
    };
    const made = await apps.createNamespacedDeployment({ namespace, body });
    const ready = (replicas: number): Promise<unknown> => until(`${String(replicas)} replicas`, async () => {
      const { status, metadata } = await apps.readNamespacedDeployment({ namespace, name: 'typed' });
      return status?.availableReplicas === replicas && status.replicas === replicas && status.observedGeneration === metadata?.generation;
    }, 60_000);
    await ready(2);
    await apps.patchNamespacedDeploymentScale({ namespace, name: 'typed', body: { spec: { replicas: 1 } } }, setHeaderOptions('Content-Type', PatchStrategy.MergePatch));
    await ready(1);
    await expect(apps.replaceNamespacedDeployment({ namespace, name: 'typed', body: made })).rejects.toMatchObject({ code: 409 });
    await apps.deleteNamespacedDeployment({ namespace, name: 'typed', propagationPolicy: 'Foreground' });
    await until('it to go', async () => (await apps.listNamespacedDeployment({ namespace, fieldSelector: 'metadata.name=typed' })).items.length === 0);
    await expect(apps.readNamespacedDeployment({ namespace, name: 'typed' })).rejects.toMatchObject({ code: 404 });
    expect((await core.listNamespacedPod({ namespace, labelSelector: 'app=typed' })).items).toEqual([]);
  });

  it('runs commands: output, errors, exit code, input to its end', async () => {
    const done = await run(['sh', '-c', 'echo out; echo err >&2; exit 7']);
    expect([done.out, done.err]).toEqual(['out\n', 'err\n']);
    expect(done.status).toMatchObject({ status: 'Failure', reason: 'NonZeroExitCode', details: { causes: [{ reason: 'ExitCode', message: '7' }] } });
    const input = 'line\n'.repeat(100_000);
    expect(await run(['sh', '-c', 'head -c 500000 | wc -c'], input)).toMatchObject({ status: { status: 'Success' }, out: '500000\n' });
  });

  it('reads logs, whole and as they come', async () => {
    expect(await core.readNamespacedPodLog({ namespace, name: 'box', container: 'main', tailLines: 1 })).toBe('two\n');
    const body: V1Pod = { metadata: { name: 'brief' }, spec: { restartPolicy: 'Never', containers: [{ name: 'main', image, command: ['sh', '-c', 'for i in 1 2 3; do echo $i; sleep 1; done'] }] } };
    await core.createNamespacedPod({ namespace, body });
    await until('it to run', async () => (await core.readNamespacedPod({ namespace, name: 'brief' })).status?.phase === 'Running');
    const followed = collector();
    await new Log(config).log(namespace, 'brief', 'main', followed.stream, { follow: true });
    await until('the log', () => followed.stream.writableFinished);
    expect(followed.text()).toBe('1\n2\n3\n');
  });

  it('forwards ports', async () => {
    const [out, err, input] = [collector(), collector(), new PassThrough()];
    const socket = await new PortForward(config).portForward(namespace, 'box', [8080], out.stream, err.stream, input);
    input.write('GET / HTTP/1.0\r\n\r\n');
    await until('the page', () => /200 OK[^]*page\n$/.test(out.text()));
    expect(err.text()).toBe('');
    if (typeof socket !== 'function') socket.close();
  });

  it('elects one leader of several, and another when that one is gone', async () => {
    const leases = config.makeApiClient(CoordinationV1Api);
    const name = 'leader';
    const leaders: string[] = [];
    /** As client-go's leader election: whoever writes first holds the Lease, renews it, and others take it once it is old. */
    const candidate = async (identity: string, signal: AbortSignal): Promise<void> => {
      while (!signal.aborted) {
        const now = new V1MicroTime();
        try {
          const lease = await leases.readNamespacedLease({ namespace, name }).catch((error: unknown) => {
            if ((error as { code?: number }).code !== 404) throw error;
            return undefined;
          });
          const { holderIdentity, renewTime, leaseTransitions = 0 } = lease?.spec ?? {};
          const isOld = renewTime === undefined || Date.now() - new Date(renewTime).getTime() > 1000;
          if (holderIdentity === identity || isOld) {
            const spec = { holderIdentity: identity, leaseDurationSeconds: 1, renewTime: now, leaseTransitions: holderIdentity === identity ? leaseTransitions : leaseTransitions + 1 };
            if (lease) await leases.replaceNamespacedLease({ namespace, name, body: { metadata: lease.metadata ?? {}, spec } });
            else await leases.createNamespacedLease({ namespace, body: { metadata: { name }, spec } });
            if (leaders.at(-1) !== identity) leaders.push(identity);
          }
        } catch (error) {
          // Somebody was faster.
          if ((error as { code?: number }).code !== 409) throw error;
        }
        await sleep(50);
      }
    };
    const stops = new Map(['a', 'b', 'c'].map((identity) => [identity, new AbortController()]));
    const running = [...stops].map(([identity, stop]) => candidate(identity, stop.signal));
    await until('a leader', () => leaders.length === 1);
    await sleep(1500);
    expect(leaders).toHaveLength(1);
    stops.get(leaders[0] ?? '')?.abort();
    await until('another leader', () => leaders.length === 2);
    const lease: V1Lease = await leases.readNamespacedLease({ namespace, name });
    expect(lease.spec?.holderIdentity).toBe(leaders[1]);
    expect(new Set(leaders).size).toBe(2);
    for (const stop of stops.values()) stop.abort();
    await Promise.all(running);
  });

  it('keeps an informer true while the control plane crashes and starts again', async () => {
    const informer = makeInformer(config, `/api/v1/namespaces/${namespace}/configmaps`, () => core.listNamespacedConfigMap({ namespace, labelSelector: 'app=informed' }), 'app=informed');
    const configMap = (name: string): V1ConfigMap => ({ metadata: { name, labels: { app: 'informed' } }, data: { a: '1' } });
    const names = (): string => informer.list(namespace).map(({ metadata }) => metadata?.name ?? '').sort().join(' ');
    let again = true;
    // As the client's manual has it: an informer that lost its watch is started again by its owner.
    informer.on('error', () => { if (again) setTimeout(() => { void informer.start().catch(() => undefined); }, 200); });
    await core.createNamespacedConfigMap({ namespace, body: configMap('first') });
    await informer.start();
    await until('the first', () => names() === 'first');
    for (const round of ['second', 'third']) {
      await cluster.stopControlPlane('SIGKILL');
      await cluster.startControlPlane();
      await core.createNamespacedConfigMap({ namespace, body: configMap(round) });
      await until(round, () => names().endsWith(round));
    }
    await core.deleteNamespacedConfigMap({ namespace, name: 'second' });
    await until('the second to go', () => names() === 'first third');
    again = false;
    await informer.stop();
  });

  it('is told that a history is gone, and begins anew: Leases live in memory', async () => {
    const leases = config.makeApiClient(CoordinationV1Api);
    const before = (await leases.listNamespacedLease({ namespace })).metadata?.resourceVersion ?? '';
    await cluster.stopControlPlane('SIGKILL');
    await cluster.startControlPlane();
    const path = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`;
    const told = await new Promise<unknown>((resolve, reject) => {
      new Watch(config).watch(path, { resourceVersion: before }, (type, object: V1Status) => { if (type === 'ERROR') resolve(object); }, (error: unknown) => { resolve(error); }).catch(reject);
    });
    expect(told).toMatchObject({ code: 410 });
    const informer = makeInformer(config, path, () => leases.listNamespacedLease({ namespace }));
    await informer.start();
    await leases.createNamespacedLease({ namespace, body: { metadata: { name: 'anew' } } });
    await until('the new one', () => informer.list(namespace).some(({ metadata }) => metadata?.name === 'anew'));
    await informer.stop();
    // The agent finds its way back by itself, and the pod never noticed.
    await until('commands to run', async () => (await run(['hostname'])).out === 'box\n');
  });
});

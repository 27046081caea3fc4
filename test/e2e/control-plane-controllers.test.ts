import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Deployment, EndpointSlice, HorizontalPodAutoscaler, PersistentVolume, PersistentVolumeClaim, Pod, Service } from '#api/gen/types.ts';
import { Cluster } from '../support/cluster.ts';
import { eventually } from '../support/lab/eventually.ts';

const image = 'cleat-hello:1';
let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.create({ agents: 1 });
  await cluster.importImage();
});
afterAll(async () => { await cluster?.destroy(); });

const until = <T>(what: string, condition: () => Promise<T>): Promise<unknown> => eventually(condition, { what, timeoutMs: 90_000, intervalMs: 500, explain: () => cluster.diagnostics() });

it('a HorizontalPodAutoscaler follows what real containers use', async () => {
  const script = 'trap exit TERM; while [ ! -e /tmp/rest ]; do i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; sleep 0.02; done; while :; do sleep 1 & wait $!; done';
  await cluster.apply({
    apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'busy' },
    spec: { selector: { matchLabels: { app: 'busy' } }, template: { metadata: { labels: { app: 'busy' } }, spec: { terminationGracePeriodSeconds: 0, containers: [{ name: 'c', image, command: ['sh', '-c', script], resources: { requests: { cpu: '10m' } } }] } } },
  });
  await cluster.kubectl(['rollout', 'status', 'deployment/busy', '--timeout=60s'], { timeoutMs: 70_000 });
  await cluster.kubectl(['autoscale', 'deployment/busy', '--min=1', '--max=2', '--cpu-percent=50']);
  await until('a second pod', async () => (await cluster.json<Deployment>(['get', 'deployment', 'busy'])).spec?.replicas === 2);
  const { status } = await cluster.json<HorizontalPodAutoscaler>(['get', 'hpa.v2.autoscaling', 'busy']);
  expect(status?.conditions).toContainEqual(expect.objectContaining({ type: 'ScalingActive', status: 'True', reason: 'ValidMetricFound' }));
  expect(await cluster.kubectl(['describe', 'hpa', 'busy'])).toMatch(/SuccessfulRescale .*New size: 2; reason: cpu resource utilization \(percentage of request\) above target/);
  await cluster.kubectl(['delete', 'hpa/busy', 'deployment/busy']);
});

it('a Service of type LoadBalancer answers at the host, and one that wants the same port is told why it does not', async () => {
  await cluster.apply([
    { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'front', labels: { app: 'front' } }, spec: { terminationGracePeriodSeconds: 0, containers: [{ name: 'c', image, ports: [{ containerPort: 8080 }] }] } },
    ...['front', 'late'].map((name) => ({ apiVersion: 'v1', kind: 'Service', metadata: { name }, spec: { type: 'LoadBalancer', selector: { app: 'front' }, ports: [{ port: 8088, targetPort: 8080 }] } })),
  ]);
  const { address } = cluster.agentHost(0);
  const ingress = async (name: string): Promise<unknown> => (await cluster.json<Service>(['get', 'service', name])).status?.loadBalancer;
  await until('an answer', async () => (await cluster.controlPlaneHost.sh(`wget -qO- -T 5 http://${address}:8088/`)).includes('Hello'));
  expect([await ingress('front'), await ingress('late')]).toEqual([{ ingress: [{ ip: address, ipMode: 'VIP' }] }, {}]);
  expect(await cluster.kubectl(['describe', 'service', 'late'])).toMatch(/SyncLoadBalancerFailed .*port 8088\/TCP of every host is taken by Service default\/front/);
  await cluster.kubectl(['delete', 'service/front']);
  await until('the other to have its turn', async () => JSON.stringify(await ingress('late')).includes(address));
  await cluster.kubectl(['delete', 'service/late', 'pod/front']);
});

it('Endpoints that somebody writes for a Service without a selector become slices', async () => {
  await cluster.apply({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'outside' }, spec: { ports: [{ port: 5432 }] } });
  await cluster.apply({ apiVersion: 'v1', kind: 'Endpoints', metadata: { name: 'outside' }, subsets: [{ addresses: [{ ip: '192.0.2.7' }], ports: [{ port: 5432 }] }] });
  const slices = async (): Promise<EndpointSlice[]> => (await cluster.json<{ items: EndpointSlice[] }>(['get', 'endpointslices', '-l', 'kubernetes.io/service-name=outside'])).items;
  await until('a slice', async () => (await slices()).length === 1);
  expect((await slices())[0]).toMatchObject({ addressType: 'IPv4', endpoints: [{ addresses: ['192.0.2.7'], conditions: { ready: true } }], ports: [{ port: 5432 }] });
  await cluster.kubectl(['delete', 'service/outside', 'endpoints/outside']);
  await until('it to go', async () => (await slices()).length === 0);
});

it('a claim gets a directory where its pod runs, keeps what is in it for the next pod, and removes it with itself', async () => {
  const pod = (name: string, script: string): object => ({
    apiVersion: 'v1', kind: 'Pod', metadata: { name },
    spec: { restartPolicy: 'Never', terminationGracePeriodSeconds: 0, volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data' } }], containers: [{ name: 'c', image, command: ['sh', '-c', script], volumeMounts: [{ name: 'data', mountPath: '/data' }] }] },
  });
  const phase = async (name: string): Promise<string | undefined> => (await cluster.json<Pod>(['get', 'pod', name])).status?.phase;
  const claim = (): Promise<PersistentVolumeClaim> => cluster.json(['get', 'pvc', 'data']);
  await cluster.apply({ apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name: 'data' }, spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '10Mi' } } } });
  expect((await claim()).spec?.storageClassName).toBe('local-path');
  await cluster.apply(pod('writer', 'echo kept > /data/file'));
  await until('the writer to end', async () => (await phase('writer')) === 'Succeeded');
  const { spec, status } = await claim();
  expect(status).toMatchObject({ phase: 'Bound', capacity: { storage: '10Mi' }, accessModes: ['ReadWriteOnce'] });
  const volume = await cluster.json<PersistentVolume>(['get', 'pv', spec?.volumeName ?? '']);
  expect(volume).toMatchObject({ spec: { persistentVolumeReclaimPolicy: 'Delete', claimRef: { name: 'data' } }, status: { phase: 'Bound' } });
  await cluster.kubectl(['delete', 'pod/writer']);
  await cluster.apply(pod('reader', 'cat /data/file; grep -q kept /data/file'));
  await until('the reader to end', async () => (await phase('reader')) === 'Succeeded');
  const found = async (): Promise<string> => (await cluster.agentHost(0).exec('find', ['/var/lib/cleat', '-path', `*/volumes/${spec?.volumeName ?? ''}/*`])).stdout.trim();
  expect(await found()).toMatch(/\/file$/);
  await cluster.kubectl(['delete', 'pod/reader', 'pvc/data']);
  await until('the volume to go', async () => (await cluster.json<{ items: PersistentVolume[] }>(['get', 'pv'])).items.length === 0);
  expect(await found()).toBe('');
});

it('an ephemeral volume comes and goes with its pod', async () => {
  const claimSpec = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Mi' } } };
  await cluster.apply({
    apiVersion: 'v1', kind: 'Pod', metadata: { name: 'brief' },
    spec: { restartPolicy: 'Never', volumes: [{ name: 'scratch', ephemeral: { volumeClaimTemplate: { spec: claimSpec } } }], containers: [{ name: 'c', image, command: ['sh', '-c', 'echo x > /scratch/file'], volumeMounts: [{ name: 'scratch', mountPath: '/scratch' }] }] },
  });
  await until('the pod to end', async () => (await cluster.json<Pod>(['get', 'pod', 'brief'])).status?.phase === 'Succeeded');
  expect((await cluster.json<PersistentVolumeClaim>(['get', 'pvc', 'brief-scratch'])).status?.phase).toBe('Bound');
  await cluster.kubectl(['delete', 'pod/brief']);
  await until('claim and volume to go', async () => (await cluster.json<{ items: unknown[] }>(['get', 'pvc,pv'])).items.length === 0);
});

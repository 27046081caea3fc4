import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kinds } from '#api/kinds/registry.ts';
import { deployments, horizontalPodAutoscalers, pods, type Resource } from '#api/kinds/resources.ts';
import type { HorizontalPodAutoscaler, MetricSpec, Pod } from '#api/gen/types.ts';
import { getCondition } from '#api/meta/conditions.ts';
import { systemClock } from '#common/clock.ts';
import { isStatus } from '#common/errors.ts';
import { silentLog } from '#common/log.ts';
import { rfc3339 } from '#common/time.ts';
import { TestApiService, testFrontProxy } from '#controlplane/apiserver/aggregation/testing.ts';
import { FakeNodes } from '#controlplane/apiserver/streams/testing.ts';
import { TestServer } from '#controlplane/apiserver/test-server.ts';
import type { ApiClient } from '#controlplane/apiserver/types.ts';
import { Informers } from '#controlplane/cache/informers.ts';
import { ControllerManager } from '../manager.ts';
import { controllers } from '../registry.ts';

const custom = '/apis/custom.metrics.k8s.io/v1beta2';
const external = '/apis/external.metrics.k8s.io/v1beta1';
const names = ['deployment', 'replicaset', 'horizontal-pod-autoscaler', 'api-service-availability', 'api-service-registration'];

/** The whole way: the autoscaler, the aggregation layer, a Service and its endpoint on a node, and a server of metrics that checks who asks. */
describe('metrics of an adapter behind an APIService', () => {
  const stop = new AbortController();
  const frontProxy = testFrontProxy();
  let server: TestServer;
  let adapter: TestApiService;
  let client: ApiClient;
  let running: Promise<unknown>;

  beforeAll(async () => {
    adapter = await TestApiService.start('adapter.monitoring.svc', frontProxy);
    server = await TestServer.start({ nodes: new FakeNodes(), frontProxy });
    const user = { name: 'system:kube-controller-manager', groups: ['system:masters'] };
    client = server.api.client(user);
    const informers = new Informers({ store: server.store, log: silentLog });
    const manager = new ControllerManager(
      { informers, client, recorder: (component) => server.api.recorder({ component }), clock: systemClock, log: silentLog, random: Math.random, controllers: Object.fromEntries(Object.entries(controllers).filter(([name]) => names.includes(name))) },
      {
        podCidr: '10.42.0.0/16', nodeCidrMaskSize: 24, nodeMonitorGracePeriodMs: 40_000, burstReplicas: 500, rootCa: '', resources: Object.values(kinds).map(({ resource }) => resource as Resource),
        checkApiService: (...about) => server.api.checkApiService(...about),
        autoscaling: { scales: server.api.scaleClient(user), usage: () => Promise.reject(new Error('no node measures here')), metrics: (...about) => server.api.readAggregated(user, ...about) },
      },
    );
    informers.informer(pods).subscribe(({ object }) => { if (object) void becomeReady(object); });
    running = Promise.all([informers.start(stop.signal), manager.start(stop.signal)]);
    await post('/api/v1/namespaces', { metadata: { name: 'monitoring' } });
    await post('/apis/apps/v1/namespaces/default/deployments', { metadata: { name: 'web' }, spec: { selector: { matchLabels: { app: 'web' } }, template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'c', image: 'web' }] } } } });
  });
  afterAll(async () => {
    stop.abort(new Error('end'));
    await running;
    await server.stop();
    await adapter.stop();
  });

  async function becomeReady({ metadata, spec }: Pod): Promise<void> {
    try {
      if (spec?.nodeName) return;
      await client.bind(metadata?.namespace ?? '', metadata?.name ?? '', metadata?.uid ?? '', 'node-1');
      const now = rfc3339(Date.now());
      await client.patch(pods, metadata?.namespace, metadata?.name ?? '', 'merge', { status: { phase: 'Running', startTime: now, conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: now }] } }, 'status');
    } catch (error) {
      if (!isStatus(error, 'NotFound', 'Conflict')) throw error;
    }
  }

  async function post(path: string, body: unknown): Promise<void> {
    const answer = await server.ask(path, { method: 'POST', body });
    expect(answer.status, answer.text).toBe(201);
  }

  async function autoscale(name: string, metric: MetricSpec): Promise<void> {
    await client.create<HorizontalPodAutoscaler>(horizontalPodAutoscalers, { metadata: { name, namespace: 'default' }, spec: { scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' }, minReplicas: 1, maxReplicas: 10, metrics: [metric] } });
  }

  /** At the first look or at the next, fifteen seconds later. */
  const scaledTo = async (replicas: number): Promise<void> => { await expect.poll(async () => (await client.get(deployments, 'default', 'web')).spec?.replicas, { timeout: 40_000 }).toBe(replicas); };
  const active = async (name: string) => getCondition((await client.get(horizontalPodAutoscalers, 'default', name)).status?.conditions, 'ScalingActive');
  const perSecond: MetricSpec = { type: 'Pods', pods: { metric: { name: 'requests_per_second' }, target: { type: 'AverageValue', averageValue: '10' } } };

  it('are missed, in words, while there is no adapter', async () => {
    await expect.poll(async () => (await client.get(deployments, 'default', 'web')).status?.readyReplicas).toBe(1);
    await autoscale('early', perSecond);
    await expect.poll(() => active('early')).toMatchObject({ status: 'False', reason: 'FailedGetPodsMetric', message: expect.stringContaining('no API custom.metrics.k8s.io registered') as string });
    await client.delete(horizontalPodAutoscalers, 'default', 'early');
  });

  it('scale by what the adapter tells of each pod', { timeout: 60_000 }, async () => {
    const service = { namespace: 'monitoring', name: 'adapter', port: 443 };
    await post('/api/v1/namespaces/monitoring/services', { metadata: { name: 'adapter' }, spec: { ports: [{ name: 'https', port: 443 }] } });
    await post('/apis/discovery.k8s.io/v1/namespaces/monitoring/endpointslices', { metadata: { name: 'adapter-1', labels: { 'kubernetes.io/service-name': 'adapter' } }, addressType: 'IPv4', ports: [{ name: 'https', port: adapter.port, protocol: 'TCP' }], endpoints: [{ addresses: ['10.42.0.7'], nodeName: 'node-1', conditions: { ready: true } }] });
    for (const root of [custom, external]) {
      const [, , group = '', version = ''] = root.split('/');
      adapter.documents.set(root, { kind: 'APIResourceList', apiVersion: 'v1', groupVersion: `${group}/${version}`, resources: [] });
      await post('/apis/apiregistration.k8s.io/v1/apiservices', { metadata: { name: `${version}.${group}` }, spec: { group, version, groupPriorityMinimum: 100, versionPriority: 100, service, caBundle: adapter.caBundle } });
    }
    for (const name of ['v1beta2.custom.metrics.k8s.io', 'v1beta1.external.metrics.k8s.io']) await expect.poll(async () => (await server.ask(`/apis/apiregistration.k8s.io/v1/apiservices/${name}`)).text).toContain('all checks passed');
    const { items } = await client.list(pods, 'default');
    adapter.documents.set(`${custom}/namespaces/default/pods/*/requests_per_second`, {
      kind: 'MetricValueList', apiVersion: 'custom.metrics.k8s.io/v1beta2', metadata: {},
      items: items.map(({ metadata }) => ({ describedObject: { kind: 'Pod', namespace: 'default', name: metadata?.name, apiVersion: '/v1' }, metric: { name: 'requests_per_second' }, timestamp: rfc3339(Date.now()), value: '29500m' })),
    });
    await autoscale('pods', perSecond);
    await scaledTo(3);
    await expect.poll(() => active('pods')).toMatchObject({ status: 'True', reason: 'ValidMetricFound' });
    expect(adapter.seen.find(({ url }) => url.includes('requests_per_second'))).toMatchObject({ client: 'front-proxy-client', url: `${custom}/namespaces/default/pods/*/requests_per_second?labelSelector=app%3Dweb` });
    await client.delete(horizontalPodAutoscalers, 'default', 'pods');
  });

  it('scale by what has to do with no object of the cluster', { timeout: 60_000 }, async () => {
    adapter.documents.set(`${external}/namespaces/default/queue_length`, { kind: 'ExternalMetricValueList', apiVersion: 'external.metrics.k8s.io/v1beta1', metadata: {}, items: [{ metricName: 'queue_length', metricLabels: { queue: 'jobs' }, timestamp: rfc3339(Date.now()), value: '75' }] });
    await autoscale('queue', { type: 'External', external: { metric: { name: 'queue_length', selector: { matchLabels: { queue: 'jobs' } } }, target: { type: 'AverageValue', averageValue: '15' } } });
    await scaledTo(5);
    expect(adapter.seen.find(({ url }) => url.includes('queue_length'))?.url).toBe(`${external}/namespaces/default/queue_length?labelSelector=queue%3Djobs`);
  });
});

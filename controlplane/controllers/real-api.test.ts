import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kinds } from '#api/kinds/registry.ts';
import type { CronJob, DaemonSet, Deployment, Job, Namespace, Node, Pod, ReplicationController, Service, StatefulSet } from '#api/gen/types.ts';
import {
  configMaps, controllerRevisions, cronJobs, daemonSets, deployments, endpoints, endpointSlices, events, jobs,
  namespaces, nodes, pods, replicaSets, replicationControllers, serviceAccounts, services, statefulSets, type Resource,
} from '#api/kinds/resources.ts';
import { getCondition } from '#api/meta/conditions.ts';
import { systemClock } from '#common/clock.ts';
import { rfc3339 } from '#common/time.ts';
import { isStatus } from '#common/errors.ts';
import { silentLog } from '#common/log.ts';
import { TestServer } from '#controlplane/apiserver/test-server.ts';
import type { ApiClient } from '#controlplane/apiserver/types.ts';
import { Informers } from '#controlplane/cache/informers.ts';
import { ControllerManager } from './manager.ts';
import { isReady } from './pod-state.ts';
import { controllers } from './registry.ts';

/** Every controller over the real API: defaults, validation, admission, finalizers and watches as they are served. */
describe('all controllers on the real API', () => {
  const stop = new AbortController();
  let server: TestServer;
  let client: ApiClient;
  let informers: Informers;
  let manager: ControllerManager;

  beforeAll(async () => {
    server = await TestServer.start();
    client = server.api.client({ name: 'system:kube-controller-manager', groups: ['system:masters'] });
    informers = new Informers({ store: server.store, log: silentLog });
    manager = new ControllerManager(
      { informers, client, recorder: (component) => server.api.recorder({ component }), clock: systemClock, log: silentLog, random: Math.random, controllers },
      { podCidr: '10.42.0.0/16', nodeCidrMaskSize: 24, nodeMonitorGracePeriodMs: 40_000, burstReplicas: 500, rootCa: 'PEM', resources: Object.values(kinds).map(({ resource }) => resource as Resource) },
    );
    kubelet();
    void informers.start(stop.signal);
    void manager.start(stop.signal);
    await client.create<Node>(nodes, { metadata: { name: 'node' }, status: { conditions: [{ type: 'Ready', status: 'True' }] } });
    await client.patch(nodes, undefined, 'node', 'merge', { status: { conditions: [{ type: 'Ready', status: 'True' }] } }, 'status');
  });

  afterAll(async () => {
    stop.abort(new Error('end'));
    await server.stop();
  });

  /** Binds every pod, makes it ready, and confirms its end. */
  function kubelet(): void {
    let ip = 1;
    const act = async (pod: Pod): Promise<void> => {
      const { namespace = '', name = '', uid = '' } = pod.metadata ?? {};
      try {
        if (pod.metadata?.deletionTimestamp) await client.delete(pods, namespace, name, { gracePeriodSeconds: 0 });
        else if (!pod.spec?.nodeName) await client.bind(namespace, name, uid, 'node');
        else if (pod.spec.containers[0]?.image === 'completes') {
          if (pod.status?.phase !== 'Succeeded') await client.patch(pods, namespace, name, 'merge', { status: { phase: 'Succeeded' } }, 'status');
        } else if (!isReady(pod)) {
          const address = `10.42.0.${String(ip++)}`;
          const now = rfc3339(Date.now());
          await client.patch(pods, namespace, name, 'merge', { status: { phase: 'Running', podIP: address, podIPs: [{ ip: address }], conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: now }] } }, 'status');
        }
      } catch (error) {
        if (!isStatus(error, 'NotFound', 'Conflict')) throw error;
      }
    };
    informers.informer(pods).subscribe(({ object }) => { if (object) void act(object); });
  }

  const template = (image: string) => ({ metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'web', image }] } });
  const deployment = (): Promise<Deployment> => client.get(deployments, 'default', 'web');
  const images = async (): Promise<(string | undefined)[]> => (await client.list(pods, 'default')).items.map((pod) => pod.spec?.containers[0]?.image);

  async function rolledOut(): Promise<void> {
    await expect.poll(async () => {
      const { metadata, spec, status } = await deployment();
      return status?.observedGeneration === metadata?.generation && status?.updatedReplicas === spec?.replicas && status?.replicas === spec?.replicas && status?.availableReplicas === spec?.replicas
        && getCondition(status?.conditions, 'Progressing')?.reason;
    }).toBe('NewReplicaSetAvailable');
  }

  it('rolls out, updates, rolls back and rests', async () => {
    await client.create<Deployment>(deployments, { metadata: { name: 'web', namespace: 'default' }, spec: { replicas: 3, selector: { matchLabels: { app: 'web' } }, template: template('web:1') } });
    await client.create<Service>(services, { metadata: { name: 'web', namespace: 'default' }, spec: { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] } });
    await rolledOut();
    await client.patch(deployments, 'default', 'web', 'merge', { spec: { template: template('web:2') } });
    await rolledOut();
    expect(await images()).toEqual(['web:2', 'web:2', 'web:2']);
    await client.patch(deployments, 'default', 'web', 'merge', { spec: { template: template('web:1') } });
    await rolledOut();
    expect((await client.list(replicaSets, 'default')).items).toHaveLength(2);
    expect((await deployment()).metadata?.annotations?.['deployment.kubernetes.io/revision']).toBe('3');

    await expect.poll(async () => {
      const ips = (await client.list(pods, 'default')).items.map((pod) => pod.status?.podIP ?? '').sort();
      const [slice] = (await client.list(endpointSlices, 'default')).items.filter((s) => s.metadata?.labels?.['kubernetes.io/service-name'] === 'web');
      const subsets = (await client.get(endpoints, 'default', 'web')).subsets ?? [];
      return [slice?.endpoints?.map((e) => e.addresses[0] ?? '').sort(), subsets.flatMap((s) => s.addresses?.map((a) => a.ip) ?? []).sort()].every((list) => JSON.stringify(list) === JSON.stringify(ips));
    }).toBe(true);
    // Everything the controllers wrote is what they want: a second look at every key writes nothing.
    const versions = async (): Promise<unknown> => Promise.all([replicaSets, pods, endpoints, endpointSlices].map(async (resource: Resource) => (await client.list(resource, 'default')).items.map(({ metadata }) => [metadata?.name, metadata?.resourceVersion])));
    const looks = (): number[] => ['deployment', 'endpoints', 'endpoint-slice'].map((name) => manager.metrics[name]!.processed);
    const [before, looked] = [await versions(), looks()];
    const touched = await client.patch(deployments, 'default', 'web', 'merge', { metadata: { labels: { look: 'again' } } });
    await client.patch(services, 'default', 'web', 'merge', { metadata: { annotations: { look: 'again' } } });
    await expect.poll(() => looks().every((n, i) => n > looked[i]!) && Object.values(manager.metrics).every((m) => m.depth === 0)).toBe(true);
    expect(await versions()).toEqual(before);
    expect((await deployment()).metadata?.resourceVersion).toBe(touched.metadata?.resourceVersion);
    expect(Object.values(manager.metrics).reduce((sum, m) => sum + m.errors, 0)).toBe(0);
  });

  it('tells in Kubernetes\' words who did what', async () => {
    const told = async (): Promise<string[]> => (await client.list(events, 'default')).items.map((e) => `${e.source?.component ?? ''} ${e.involvedObject.kind} ${e.reason ?? ''}: ${(e.message ?? '').replaceAll(/web-[a-z0-9]+(-[a-z0-9]+)?/g, (name) => (name.split('-').length === 2 ? 'SET' : 'POD'))}`);
    await expect.poll(told).toEqual(expect.arrayContaining([
      'deployment-controller Deployment ScalingReplicaSet: Scaled up replica set SET from 0 to 3', 'deployment-controller Deployment ScalingReplicaSet: Scaled down replica set SET from 1 to 0',
      'replicaset-controller ReplicaSet SuccessfulCreate: Created pod: POD', 'replicaset-controller ReplicaSet SuccessfulDelete: Deleted pod: POD',
    ]));
  });

  it('gives nodes their range and namespaces their account and CA', async () => {
    await expect.poll(async () => (await client.get(nodes, undefined, 'node')).spec?.podCIDR).toBe('10.42.0.0/24');
    await expect.poll(async () => (await client.get(nodes, undefined, 'node')).spec?.taints ?? []).toEqual([]);
    expect((await client.get(serviceAccounts, 'default', 'default')).metadata?.name).toBe('default');
    expect((await client.get(configMaps, 'default', 'kube-root-ca.crt')).data).toEqual({ 'ca.crt': 'PEM' });
  });

  it.each(['Background', 'Foreground'] as const)('deletes a deployment with all it made (%s)', async (propagationPolicy) => {
    const name = propagationPolicy.toLowerCase();
    await client.create<Deployment>(deployments, { metadata: { name, namespace: 'default' }, spec: { replicas: 2, selector: { matchLabels: { app: name } }, template: { ...template('web:1'), metadata: { labels: { app: name } } } } });
    const left = async (): Promise<number> => {
      const lists = await Promise.all([deployments, replicaSets, pods].map((resource: Resource) => client.list(resource, 'default')));
      return lists.flatMap((list) => list.items).filter((object) => object.metadata?.name?.startsWith(name)).length;
    };
    await expect.poll(left).toBe(4);
    await client.delete(deployments, 'default', name, { propagationPolicy });
    await expect.poll(left).toBe(0);
  });

  it('keeps a DaemonSet, a StatefulSet and a ReplicationController, and rests', async () => {
    const of = (app: string, image: string) => ({ metadata: { labels: { app } }, spec: { containers: [{ name: 'c', image }] } });
    const selector = (app: string) => ({ matchLabels: { app } });
    const podsOf = async (app: string): Promise<Pod[]> => (await client.list(pods, 'default')).items.filter((pod) => pod.metadata?.labels?.['app'] === app);
    await client.create<DaemonSet>(daemonSets, { metadata: { name: 'log', namespace: 'default' }, spec: { selector: selector('log'), template: of('log', 'log:1') } });
    await client.create<StatefulSet>(statefulSets, { metadata: { name: 'db', namespace: 'default' }, spec: { replicas: 2, serviceName: 'db', selector: selector('db'), template: of('db', 'db:1') } });
    await client.create<ReplicationController>(replicationControllers, { metadata: { name: 'old', namespace: 'default' }, spec: { replicas: 2, template: of('old', 'old:1') } });
    await expect.poll(async () => (await client.get(daemonSets, 'default', 'log')).status).toMatchObject({ desiredNumberScheduled: 1, numberAvailable: 1, updatedNumberScheduled: 1 });
    await expect.poll(async () => (await client.get(statefulSets, 'default', 'db')).status).toMatchObject({ readyReplicas: 2, updatedReplicas: 2, availableReplicas: 2 });
    await expect.poll(async () => (await client.get(replicationControllers, 'default', 'old')).status).toMatchObject({ replicas: 2, readyReplicas: 2 });
    for (const [resource, name, image] of [[daemonSets, 'log', 'log:2'], [statefulSets, 'db', 'db:2']] as [Resource, string, string][]) {
      await client.patch(resource, 'default', name, 'merge', { spec: { template: { spec: { containers: [{ name: 'c', image }] } } } });
      await expect.poll(async () => new Set((await podsOf(name)).map((pod) => pod.spec?.containers[0]?.image))).toEqual(new Set([image]));
    }
    // One that was updated last may be on its way.
    await expect.poll(async () => (await podsOf('db')).map(({ metadata }) => metadata?.name)).toEqual(['db-0', 'db-1']);
    await expect.poll(async () => (await client.get(statefulSets, 'default', 'db')).status).toMatchObject({ readyReplicas: 2, currentReplicas: 2 });
    await expect.poll(async () => (await client.get(daemonSets, 'default', 'log')).status).toMatchObject({ numberAvailable: 1, updatedNumberScheduled: 1 });
    // A second look at them writes nothing: what is defaulted is not what differs.
    const versions = async (): Promise<unknown> => Promise.all([daemonSets, statefulSets, replicationControllers, controllerRevisions].map(async (resource: Resource) => (await client.list(resource, 'default')).items.map(({ metadata }) => [metadata?.name, metadata?.generation, metadata?.labels?.['look']])));
    const before = await versions();
    expect((await client.list(controllerRevisions, 'default')).items.map(({ revision }) => revision).sort((a, b) => a - b)).toEqual([1, 1, 2, 2]);
    const looks = (): number[] => ['daemonset', 'statefulset'].map((name) => manager.metrics[name]!.processed);
    const looked = looks();
    const touched = await Promise.all([client.patch(daemonSets, 'default', 'log', 'merge', { metadata: { annotations: { look: 'again' } } }), client.patch(statefulSets, 'default', 'db', 'merge', { metadata: { annotations: { look: 'again' } } })]);
    await expect.poll(() => looks().every((n, i) => n > looked[i]!) && Object.values(manager.metrics).every((m) => m.depth === 0)).toBe(true);
    expect(await versions()).toEqual(before);
    expect([(await client.get(daemonSets, 'default', 'log')).metadata?.resourceVersion, (await client.get(statefulSets, 'default', 'db')).metadata?.resourceVersion]).toEqual(touched.map(({ metadata }) => metadata?.resourceVersion));
    for (const [resource, name] of [[daemonSets, 'log'], [statefulSets, 'db'], [replicationControllers, 'old']] as [Resource, string][]) {
      await client.delete(resource, 'default', name);
      await expect.poll(async () => (await podsOf(name)).length).toBe(0);
    }
    await expect.poll(async () => (await client.list(controllerRevisions, 'default')).items).toEqual([]);
  });

  it('runs Jobs to their end, by the clock and by hand', async () => {
    const template = { spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'completes' }] } };
    await client.create<Job>(jobs, { metadata: { name: 'work', namespace: 'default' }, spec: { completions: 3, parallelism: 2, completionMode: 'Indexed', template } });
    await client.create<CronJob>(cronJobs, { metadata: { name: 'tick', namespace: 'default' }, spec: { schedule: '@every 1s', jobTemplate: { spec: { ttlSecondsAfterFinished: 0, template } } } });
    await expect.poll(async () => (await client.get(jobs, 'default', 'work')).status).toMatchObject({ succeeded: 3, completedIndexes: '0-2', conditions: [{ type: 'SuccessCriteriaMet' }, { type: 'Complete' }] });
    await expect.poll(async () => (await client.get(cronJobs, 'default', 'tick')).status?.lastSuccessfulTime).toBeDefined();
    await client.delete(cronJobs, 'default', 'tick', { propagationPolicy: 'Foreground' });
    await client.delete(jobs, 'default', 'work', { propagationPolicy: 'Background' });
    await expect.poll(async () => (await client.list(jobs, 'default')).items).toEqual([]);
    await expect.poll(async () => (await client.list(pods, 'default')).items.filter((pod) => pod.spec?.containers[0]?.image === 'completes')).toEqual([]);
  });

  it('empties and removes a namespace', async () => {
    await client.create<Namespace>(namespaces, { metadata: { name: 'shop' } });
    await client.create<Deployment>(deployments, { metadata: { name: 'web', namespace: 'shop' }, spec: { replicas: 5, selector: { matchLabels: { app: 'web' } }, template: template('web:1') } });
    await client.create<Job>(jobs, { metadata: { name: 'work', namespace: 'shop' }, spec: { parallelism: 2, completions: 2, template: { spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'work' }] } } } });
    await client.create<StatefulSet>(statefulSets, { metadata: { name: 'db', namespace: 'shop' }, spec: { selector: { matchLabels: { app: 'db' } }, template: { metadata: { labels: { app: 'db' } }, spec: { containers: [{ name: 'c', image: 'db' }] } } } });
    await expect.poll(async () => (await client.list(pods, 'shop')).items.length).toBe(8);
    await client.delete(namespaces, undefined, 'shop');
    await expect.poll(async () => (await client.list(namespaces)).items.some((n) => n.metadata?.name === 'shop')).toBe(false);
    for (const resource of [pods, deployments, replicaSets, jobs, statefulSets, controllerRevisions, configMaps, serviceAccounts] as Resource[]) expect((await client.list(resource, 'shop')).items).toEqual([]);
    expect(Object.values(manager.metrics).reduce((sum, m) => sum + m.errors, 0)).toBe(0);
  });
});

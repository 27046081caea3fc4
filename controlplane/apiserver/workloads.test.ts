import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { HorizontalPodAutoscaler, HorizontalPodAutoscalerV1, Job, Pod, Scale, Status } from '#api/gen/types.ts';
import { TestServer, type Answer } from './test-server.ts';

let server: TestServer;
beforeAll(async () => { server = await TestServer.start(); });
afterAll(() => server.stop());

const core = '/api/v1/namespaces/default';
const pods = `${core}/pods`;
const budgets = '/apis/policy/v1/namespaces/default/poddisruptionbudgets';
const template = { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'a', image: 'a', resources: { requests: { cpu: '1' }, limits: { cpu: '2' } } }] } };
const post = (path: string, body: unknown): Promise<Answer> => server.ask(path, { method: 'POST', body });
const patch = (path: string, body: unknown, type = 'strategic-merge-patch'): Promise<Answer> => server.ask(path, { method: 'PATCH', body, headers: { 'content-type': `application/${type}+json` } });

async function podOf(name: string, status: object = {}): Promise<Pod> {
  await post(pods, { metadata: { name, labels: { app: 'web' } }, spec: template.spec });
  return (await patch(`${pods}/${name}/status`, { status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }], ...status } })).json<Pod>();
}

it('a ReplicationController is scaled like the others', async () => {
  await post(`${core}/replicationcontrollers`, { metadata: { name: 'web' }, spec: { template } });
  expect((await server.ask(`${core}/replicationcontrollers/web/scale`)).json<Scale>()).toMatchObject({ spec: { replicas: 1 }, status: { replicas: 0, selector: 'app=web' } });
  expect((await patch(`${core}/replicationcontrollers/web/scale`, { spec: { replicas: 3 } }, 'merge-patch')).status).toBe(200);
  expect((await server.ask(`${core}/replicationcontrollers/web`)).json()).toMatchObject({ spec: { replicas: 3 }, metadata: { generation: 2 } });
});

it('a Job with a generated name selects its own pods', async () => {
  const { metadata, spec } = (await post('/apis/batch/v1/namespaces/default/jobs', { metadata: { generateName: 'import-' }, spec: { template: { spec: { ...template.spec, restartPolicy: 'Never' } } } })).json<Job>();
  expect(metadata?.name).toMatch(/^import-.{5}$/);
  expect(spec?.selector?.matchLabels).toEqual({ 'batch.kubernetes.io/controller-uid': metadata?.uid });
  expect(spec?.template.metadata?.labels).toMatchObject({ 'job-name': metadata?.name, 'controller-uid': metadata?.uid });
});

it('a ResourceQuota keeps its annotations when its status is counted', async () => {
  const path = `${core}/resourcequotas/team`;
  await post(`${core}/resourcequotas`, { metadata: { name: 'team', annotations: { mine: '1' } }, spec: { hard: { configmaps: '10' } } });
  await post(`${core}/configmaps`, { metadata: { name: 'counted' } });
  await expect.poll(async () => (await server.ask(path)).json()).toMatchObject({ metadata: { annotations: { mine: '1' } }, status: { used: { configmaps: expect.stringMatching(/^[1-9]/) as string } } });
  await server.ask(path, { method: 'DELETE' });
});

it('component statuses are what they always were, and read-only', async () => {
  const { items } = (await server.ask('/api/v1/componentstatuses')).json<{ items: { metadata: { name: string }; conditions: unknown[] }[] }>();
  expect(items.map(({ metadata }) => metadata.name)).toEqual(['controller-manager', 'etcd-0', 'scheduler']);
  expect(items[1]?.conditions).toEqual([{ type: 'Healthy', status: 'True', message: 'ok' }]);
  expect((await server.ask('/api/v1/componentstatuses/nobody')).json()).toMatchObject({ code: 404, message: 'componentstatuses "nobody" not found' });
  expect((await post('/api/v1/componentstatuses', {})).status).toBe(405);
});

it('autoscalers are one, in two versions', async () => {
  const scaleTargetRef = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' };
  const path = (version: string): string => `/apis/autoscaling/${version}/namespaces/default/horizontalpodautoscalers`;
  expect((await post(path('v1'), { metadata: { name: 'one' }, spec: { scaleTargetRef, maxReplicas: 3, targetCPUUtilizationPercentage: 60 } })).status).toBe(201);
  expect((await server.ask(`${path('v2')}/one`)).json<HorizontalPodAutoscaler>().spec.metrics).toEqual([{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 60 } } }]);
  const memory = { type: 'Resource', resource: { name: 'memory', target: { type: 'AverageValue', averageValue: '1Gi' } } };
  await patch(`${path('v2')}/one`, { spec: { metrics: [memory] } }, 'merge-patch');
  const shown = (await server.ask(`${path('v1')}/one`)).json<HorizontalPodAutoscalerV1>();
  expect(shown.spec.targetCPUUtilizationPercentage).toBeUndefined();
  expect(shown.metadata?.annotations?.['autoscaling.alpha.kubernetes.io/metrics']).toBe('[{"type":"Resource","resource":{"name":"memory","targetAverageValue":"1Gi"}}]');
  await patch(`${path('v1')}/one`, { spec: { maxReplicas: 4 } }, 'merge-patch');
  const again = (await server.ask(`${path('v2')}/one`)).json<HorizontalPodAutoscaler>();
  expect(again.spec).toMatchObject({ maxReplicas: 4, metrics: [memory] });
  expect(again.metadata?.annotations).toBeUndefined();
});

it('writers are told of likely slips, when they make them', async () => {
  const told = ({ headers }: Answer): string => String(headers['warning'] ?? '');
  const slip = { ...template, spec: { containers: [{ name: 'a', image: 'a', env: [{ name: 'A', value: '1' }, { name: 'A', value: '2' }], resources: { limits: { memory: '100m' } } }], nodeSelector: { 'beta.kubernetes.io/os': 'linux' } } };
  const text = told(await post('/apis/apps/v1/namespaces/default/deployments', { metadata: { name: 'slip' }, spec: { selector: { matchLabels: { app: 'web' } }, template: slip } }));
  expect(text).toContain('spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \\"kubernetes.io/os\\" instead');
  expect(text).toContain('spec.template.spec.containers[0].env[1]: hides previous definition of \\"A\\", which may be dropped when using apply');
  expect(text).toContain('spec.template.spec.containers[0].resources.limits[memory]: fractional byte value \\"100m\\" is invalid, must be an integer');
  expect(told(await patch('/apis/apps/v1/namespaces/default/deployments/slip', { metadata: { labels: { a: 'b' } } }, 'merge-patch'))).toBe('');
  expect(told(await patch('/apis/apps/v1/namespaces/default/deployments/slip', { spec: { replicas: 2 } }, 'merge-patch'))).toContain('hides previous definition');
});

describe('pods', () => {
  it('take ephemeral containers, and keep them', async () => {
    await podOf('debugged');
    const path = `${pods}/debugged/ephemeralcontainers`;
    const added = await patch(path, { metadata: { labels: { app: 'other' } }, spec: { ephemeralContainers: [{ name: 'debug', image: 'busybox', targetContainerName: 'a' }] } });
    expect(added.json()).toMatchObject({ metadata: { labels: { app: 'web' }, generation: 2 }, spec: { containers: [{ name: 'a' }], ephemeralContainers: [{ name: 'debug', terminationMessagePolicy: 'File', imagePullPolicy: 'Always' }] } });
    expect((await patch(path, { spec: { ephemeralContainers: [{ name: 'debug', image: 'other' }] } })).json<Status>().message).toBe('Pod "debugged" is invalid: spec.ephemeralContainers: Forbidden: existing ephemeral containers "debug" may not be changed');
    expect((await patch(path, { spec: { ephemeralContainers: [{ name: 'more', image: 'm', ports: [{ containerPort: 1 }] }] } })).json<Status>().message).toContain('spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container');
    expect((await patch(`${pods}/debugged`, { spec: { ephemeralContainers: [{ name: 'late', image: 'm' }] } })).status).toBe(422);
  });

  it('are resized in CPU and memory only, where the node can', async () => {
    await podOf('grown');
    const resources = (cpu: string, more: object = {}): object => ({ spec: { containers: [{ name: 'a', resources: { requests: { cpu, ...more } } }] } });
    expect((await patch(`${pods}/grown`, resources('1500m'))).status).toBe(422);
    expect((await patch(`${pods}/grown/resize`, resources('1500m'))).json<Pod>().spec?.containers[0]?.resources).toEqual({ requests: { cpu: '1500m' }, limits: { cpu: '2' } });
    expect((await patch(`${pods}/grown/resize`, resources('1', { 'ephemeral-storage': '1Gi' }))).json<Status>().message).toContain('spec: Forbidden: only cpu and memory resources are mutable');
    await podOf('fixed', { containerStatuses: [{ name: 'a', image: 'a', imageID: '', ready: true, restartCount: 0, state: { running: {} } }] });
    expect((await patch(`${pods}/fixed/resize`, resources('1500m'))).json<Status>().message).toBe('Pod "fixed" is invalid: spec: Forbidden: Pod running on node without support for resize');
  });
});

describe('evictions', () => {
  const evict = (name: string, query = ''): Promise<Answer> => post(`${pods}/${name}/eviction${query}`, { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name } });
  const allow = (disruptionsAllowed: number): Promise<Answer> => patch(`${budgets}/web/status`, { status: { disruptionsAllowed, currentHealthy: 2, desiredHealthy: 2, expectedPods: 2, observedGeneration: 1 } }, 'merge-patch');

  it('ask the budget, and count what it spares', async () => {
    for (const name of ['one', 'two']) await podOf(name);
    await post(budgets, { metadata: { name: 'web' }, spec: { minAvailable: 1, selector: { matchLabels: { app: 'web' } } } });
    const early = await evict('one');
    expect(early.headers['retry-after']).toBe('10');
    expect(early.json()).toMatchObject({ code: 429, message: "Cannot evict pod as it would violate the pod's disruption budget.", details: { causes: [{ reason: 'DisruptionBudget', message: 'The disruption budget web is still being processed by the server.' }] } });
    await allow(0);
    expect((await evict('one')).json()).toMatchObject({ code: 429, details: { causes: [{ message: 'The disruption budget web needs 2 healthy pods and has 2 currently' }] } });
    await allow(1);
    expect((await evict('one', '?dryRun=All')).status).toBe(201);
    expect((await server.ask(`${budgets}/web`)).json()).toMatchObject({ status: { disruptionsAllowed: 1 } });
    expect((await Promise.all([evict('one'), evict('two')])).map(({ status }) => status).sort((a, b) => a - b)).toEqual([201, 429]);
    expect((await server.ask(`${budgets}/web`)).json()).toMatchObject({ status: { disruptionsAllowed: 0, conditions: [{ type: 'DisruptionAllowed', status: 'False', reason: 'InsufficientPods' }] } });
  });

  it('cost nothing for pods that do not count', async () => {
    await podOf('broken', { conditions: [{ type: 'Ready', status: 'False' }] });
    await podOf('ended', { phase: 'Succeeded' });
    await allow(0);
    expect((await evict('ended')).status).toBe(201);
    expect((await evict('broken')).status).toBe(201);
  });

  it('are refused when two budgets want a say', async () => {
    await podOf('torn');
    await post(budgets, { metadata: { name: 'second' }, spec: { maxUnavailable: 1, selector: { matchLabels: { app: 'web' } } } });
    expect((await evict('torn')).json()).toMatchObject({ code: 500, message: 'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.' });
  });
});

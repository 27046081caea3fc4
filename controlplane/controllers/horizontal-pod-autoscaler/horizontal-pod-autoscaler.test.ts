import { describe, expect, it } from 'vitest';
import type { Deployment, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, MetricSpec, Pod } from '#api/gen/types.ts';
import { deployments, horizontalPodAutoscalers, namespaces, nodes, pods } from '#api/kinds/resources.ts';
import { StatusError } from '#common/errors.ts';
import { rfc3339 } from '#common/time.ts';
import type { NodeUsage } from '#controlplane/apiserver/types.ts';
import { runControllers } from '#test/support/run-controllers.ts';
import { limitRate, noHistory, stabilize, type History } from './behavior.ts';
import { readCustomMetric } from './custom-metrics.ts';
import { readingsOf, requestsOf, type PodUsage } from './pod-metrics.ts';
import { proposeReplicas, replicasByValue, type Target } from './replicas.ts';

const nowMs = Date.UTC(2026, 0, 2);
const ago = (seconds: number): string => rfc3339(nowMs - seconds * 1000);
interface Given { ready?: boolean; phase?: string; ageS?: number; readyForS?: number; request?: string; ending?: boolean }
const pod = (name: string, { ready = true, phase = 'Running', ageS = 3600, readyForS = 3000, request = '100m', ending = false }: Given = {}): Pod => ({
  metadata: { name, uid: name, namespace: 'default', labels: { app: 'web' }, ...(ending && { deletionTimestamp: ago(1) }) },
  spec: { nodeName: 'n', containers: [{ name: 'c', ...(request !== '' && { resources: { requests: { cpu: request, memory: '100Mi' } } }) }] },
  status: { phase, startTime: ago(ageS), conditions: [{ type: 'Ready', status: ready ? 'True' : 'False', lastTransitionTime: ago(readyForS) }] },
});
const used = (...millis: (number | undefined)[]): Map<string, PodUsage> => new Map(millis.flatMap((cpuMillis, i) => (cpuMillis === undefined ? [] : [[`p${String(i)}`, { atMs: nowMs, windowMs: 15_000, containers: [{ name: 'c', cpuMillis, memoryBytes: 100 << 20 }] }]])));
const three = [pod('p0'), pod('p1'), pod('p2')];
interface Over { measured?: { resource: string; container?: string }; target?: Target; tolerances?: { up: number; down: number } }
const propose = (own: Pod[], usage: Map<string, PodUsage>, target: number, { measured = { resource: 'cpu' }, ...over }: Over = {}) => proposeReplicas({
  readings: readingsOf(usage, measured), isCpu: measured.resource === 'cpu', requests: () => requestsOf(own, measured), target: { utilization: target }, tolerances: { up: 0.1, down: 0.1 }, currentReplicas: own.length, pods: own, nowMs, ...over,
});

describe('replicas by usage', () => {
  it.each<[string, Pod[], Map<string, PodUsage>, number, number]>([
    ['more where more is used', three, used(80, 90, 100), 45, 6],
    ['fewer where less is used', three, used(30, 30, 30), 60, 2],
    ['the same within the tolerance', three, used(54, 54, 54), 50, 3],
    ['the same at its edge', three, used(55, 55, 55), 50, 3],
    ['unready pods counted as idle when there seem to be too few', [...three.slice(0, 2), pod('p2', { ready: false, ageS: 10, readyForS: 10 })], used(90, 90, 0), 50, 4],
    ['the same where idle newcomers undo the reason', [pod('p0'), pod('p1', { phase: 'Pending' }), pod('p2', { phase: 'Pending' })], used(90), 50, 3],
    ['unmeasured pods counted as fully used when there seem to be too many', three, used(20, 20), 60, 3],
    ['unmeasured pods counted as idle when there seem to be too few', three, used(100, 100), 30, 7],
    ['pods that end or failed left out', [pod('p0'), pod('p1', { ending: true }), pod('p2', { phase: 'Failed' })], used(100, 0, 0), 50, 2],
    ['what was measured before a pod was ready left out', [pod('p0'), pod('p1', { ageS: 20, readyForS: 5 })], used(50, 500), 50, 2],
  ])('proposes %s', (_, own, usage, target, replicas) => { expect(propose(own, usage, target).replicas).toBe(replicas); });

  it('reads averages, memory and single containers', () => {
    expect(propose(three, used(300, 300, 300), 0, { target: { average: 200 } })).toEqual({ replicas: 5, average: 300 });
    expect(propose(three, used(1, 1, 1), 50, { measured: { resource: 'memory' } })).toEqual({ replicas: 6, average: (100 << 20) * 1000, utilization: 100 });
    expect(() => propose(three, used(1, 1, 1), 50, { measured: { resource: 'cpu', container: 'other' } })).toThrow('did not receive metrics for targeted pods (pods might be unready)');
  });

  it('says why nothing can be said', () => {
    expect(() => propose([], used(), 50)).toThrow('no pods returned by selector');
    expect(() => propose(three, used(), 50)).toThrow('did not receive metrics for targeted pods');
    expect(() => propose([pod('p0', { request: '' })], used(1), 50)).toThrow('missing request for cpu in container c of Pod p0');
  });
});

describe('tolerance', () => {
  it.each([[{ up: 0.1, down: 0.1 }, 56, 4], [{ up: 0.2, down: 0.1 }, 56, 3], [{ up: 0, down: 0 }, 51, 4], [{ up: 0.1, down: 0.5 }, 30, 3], [{ up: 0.5, down: 0.1 }, 30, 2]])('%o of 50 lets %i be %i replicas', (tolerances, cpu, replicas) => {
    expect(propose(three, used(cpu, cpu, cpu), 50, { tolerances }).replicas).toBe(replicas);
  });
});

describe('replicas by a value that is not the pods\'', () => {
  const idle = pod('p2', { ready: false });
  it.each<[string, Parameters<typeof replicasByValue>[0]['target'], number, number, number, Pod[], { replicas: number; perPod?: number }]>([
    ['in all', { total: 10_000 }, 20_000, 3, 3, three, { replicas: 6 }],
    ['in all, of those that are ready', { total: 10_000 }, 20_000, 3, 3, [...three.slice(0, 2), idle], { replicas: 4 }],
    ['in all, within the tolerance', { total: 10_000 }, 10_900, 3, 3, three, { replicas: 3 }],
    ['in all, with nothing there', { total: 10_000 }, 20_500, 0, 0, [], { replicas: 3 }],
    ['of each', { perPod: 5000 }, 31_000, 3, 3, three, { replicas: 7, perPod: 10_334 }],
    ['of each, within the tolerance', { perPod: 10_000 }, 31_000, 3, 3, three, { replicas: 3, perPod: 10_334 }],
    ['of each, with nothing there', { perPod: 10_000 }, 31_000, 0, 0, [], { replicas: 4, perPod: 0 }],
  ])('%s', (_, target, value, currentReplicas, statusReplicas, own, expected) => {
    expect(replicasByValue({ value, target, tolerances: { up: 0.1, down: 0.1 }, currentReplicas, statusReplicas, pods: own })).toEqual(expected);
  });
});

describe('what an adapter is asked', () => {
  const about = { namespace: 'default', podSelector: [{ key: 'app', operator: '=', values: ['web'] }] as const, pods: three, resources: [deployments, namespaces, nodes] };
  const asked = async (metric: MetricSpec, answer: unknown = { items: [{ describedObject: { name: 'p1' }, timestamp: ago(30), value: '1500m', window: 60 }, { describedObject: { name: 'stranger' }, timestamp: ago(30), value: '2' }] }) => {
    const paths: string[] = [];
    const reading = await readCustomMetric((group, path) => { paths.push(`${group} ${path}`); return Promise.resolve(answer); }, { ...about, metric });
    return [paths[0], reading];
  };
  const target = { type: 'AverageValue', averageValue: '1' };
  const metric = { name: 'requests', selector: { matchLabels: { verb: 'GET' } } };
  const about2 = (kind: string, apiVersion: string): MetricSpec => ({ type: 'Object', object: { metric: { name: 'requests' }, target, describedObject: { kind, apiVersion, name: 'it' } } });
  it.each<[MetricSpec, string, unknown]>([
    [{ type: 'Pods', pods: { metric, target } }, 'custom.metrics.k8s.io /namespaces/default/pods/*/requests?labelSelector=app%3Dweb&metricLabelSelector=verb%3DGET', { byPod: new Map([['p1', { value: 1500, atMs: nowMs - 30_000, windowMs: 60_000 }]]) }],
    [about2('Deployment', 'apps/v1'), 'custom.metrics.k8s.io /namespaces/default/deployments.apps/it/requests', { value: 1500 }],
    [about2('Namespace', 'v1'), 'custom.metrics.k8s.io /namespaces/it/metrics/requests', { value: 1500 }],
    [about2('Node', 'v1'), 'custom.metrics.k8s.io /nodes/it/requests', { value: 1500 }],
    [{ type: 'External', external: { metric, target } }, 'external.metrics.k8s.io /namespaces/default/requests?labelSelector=verb%3DGET', { value: 3500 }],
  ])('for %o', async (spec, path, reading) => { expect(await asked(spec)).toEqual([path, reading]); });

  it.each<[MetricSpec, unknown, string]>([
    [{ type: 'External', external: { metric, target } }, { items: [] }, 'unable to get external metric default/requests/verb=GET: no metrics returned from external metrics API'],
    [{ type: 'Pods', pods: { metric, target } }, null, 'unable to get metric requests: no metrics returned from custom metrics API'],
    [about2('Deployment', 'apps/v1'), { items: [{ value: 'many' }] }, 'unable to get metric requests: Deployment on default it/"many" is not a quantity'],
    [about2('Pump', 'v1'), {}, 'unable to get metric requests: Pump on default it/no matches for kind "Pump" in group ""'],
  ])('%o: what is no answer', async (spec, answer, message) => { await expect(asked(spec, answer)).rejects.toThrow(message); });
});

describe('behavior', () => {
  const spec = (behavior?: HorizontalPodAutoscalerSpec['behavior']): HorizontalPodAutoscalerSpec => ({ maxReplicas: 100, minReplicas: 1, scaleTargetRef: { kind: 'Deployment', name: 'web' }, behavior });
  const advised = (...advice: [number, number][]): History => ({ ...noHistory, advice: advice.map(([secondsAgo, replicas]) => ({ atMs: nowMs - secondsAgo * 1000, replicas })) });
  const changed = (...changes: [number, number][]): History => ({ ...noHistory, changes: changes.map(([secondsAgo, by]) => ({ atMs: nowMs - secondsAgo * 1000, by })) });

  it.each<[string, HorizontalPodAutoscalerSpec, History, number, number, [number, string]]>([
    ['up at once', spec(), advised([10, 3]), 3, 9, [9, 'ReadyForNewScale']],
    ['down to the highest of five minutes', spec(), advised([400, 9], [200, 6], [10, 2]), 8, 2, [6, 'ScaleDownStabilized']],
    ['down once they are over', spec(), advised([301, 9]), 8, 2, [2, 'ReadyForNewScale']],
    ['up to the lowest of a window', spec({ scaleUp: { stabilizationWindowSeconds: 60 } }), advised([30, 5]), 3, 9, [5, 'ScaleUpStabilized']],
    ['down at once if so asked', spec({ scaleDown: { stabilizationWindowSeconds: 0 } }), advised([10, 9]), 8, 2, [2, 'ReadyForNewScale']],
  ])('follows advice %s', (_, given, history, current, desired, [replicas, reason]) => { expect(stabilize(given, history, current, desired, nowMs)).toMatchObject({ replicas, reason }); });

  const policies = [{ type: 'Pods', value: 2, periodSeconds: 60 }, { type: 'Percent', value: 10, periodSeconds: 60 }];
  it.each<[string, HorizontalPodAutoscalerSpec, History, number, number, [number, string]]>([
    ['doubles, or adds four', spec(), noHistory, 1, 50, [5, 'ScaleUpLimit']],
    ['doubles', spec(), noHistory, 10, 50, [20, 'ScaleUpLimit']],
    ['counts what was added in the period', spec(), changed([10, 5]), 10, 50, [10, 'ScaleUpLimit']],
    ['stops at the most', { ...spec(), maxReplicas: 8 }, noHistory, 5, 50, [8, 'TooManyReplicas']],
    ['stops at the least', { ...spec(), minReplicas: 2 }, noHistory, 5, 1, [2, 'TooFewReplicas']],
    ['takes the larger policy', spec({ scaleUp: { policies } }), noHistory, 50, 90, [55, 'ScaleUpLimit']],
    ['takes the smaller if so asked', spec({ scaleUp: { policies, selectPolicy: 'Min' } }), noHistory, 50, 90, [52, 'ScaleUpLimit']],
    ['takes the larger policy down', spec({ scaleDown: { policies } }), noHistory, 50, 1, [45, 'ScaleDownLimit']],
    ['takes the smaller down', spec({ scaleDown: { policies, selectPolicy: 'Min' } }), changed([30, -1]), 50, 1, [49, 'ScaleDownLimit']],
    ['may be told to stay', spec({ scaleDown: { selectPolicy: 'Disabled' } }), noHistory, 50, 1, [50, 'ScaleDownLimit']],
    ['goes where it may', spec(), noHistory, 5, 6, [6, 'DesiredWithinRange']],
  ])('%s', (_, given, history, current, desired, [replicas, reason]) => { expect(limitRate(given, history, current, desired, nowMs)).toMatchObject({ replicas, reason }); });
});

describe('the controller', () => {
  function lab() {
    let millis: number | undefined = 100;
    const scales = {
      get: async ({ name }: { name: string }, namespace: string) => {
        const { metadata, spec } = await running.api.get(deployments, namespace, name);
        return { metadata, spec: { replicas: spec?.replicas ?? 1 }, status: { replicas: 1, selector: 'app=web' } };
      },
      update: async (_: unknown, scale: { metadata?: Deployment['metadata']; spec?: { replicas?: number | undefined } | undefined }) => {
        const found = await running.api.get(deployments, 'default', scale.metadata?.name ?? '');
        if (found.spec) await running.api.update(deployments, { ...found, spec: { ...found.spec, replicas: scale.spec?.replicas } });
      },
    };
    let asked = 0;
    const usage = (): Promise<NodeUsage> => { asked += 1; return answer(); };
    const answer = (): Promise<NodeUsage> => millis === undefined ? Promise.reject(new StatusError('ServiceUnavailable', 'gone')) : Promise.resolve({
      atMs: running.clock.now(), windowMs: 15_000, node: { cpuMillis: 0, memoryBytes: 0 },
      pods: running.api.all(pods).map(({ metadata }) => ({ namespace: 'default', name: metadata?.name ?? '', uid: metadata?.uid ?? '', containers: [{ name: 'c', cpuMillis: millis ?? 0, memoryBytes: 1 }] })),
    });
    const running = runControllers(['horizontal-pod-autoscaler'], { config: { autoscaling: { scales, usage, metrics: (group) => Promise.resolve(group === 'external.metrics.k8s.io' ? { items: [{ value: '30' }] } : {}) } } });
    return { ...running, uses: (next: number | undefined) => { millis = next; }, asked: () => asked };
  }
  const autoscaler = (name: string): HorizontalPodAutoscaler => ({
    metadata: { name, namespace: 'default' },
    spec: { maxReplicas: 5, minReplicas: 1, scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' }, metrics: [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 50 } } }] },
  });

  it('scales, says what it sees, and rests when there is nothing to scale', async () => {
    const { api, clock, uses, asked, start, stop, manager } = lab();
    await api.create(deployments, { metadata: { name: 'web', namespace: 'default' }, spec: { replicas: 1, selector: {}, template: {} } });
    await api.create(pods, { ...pod('a'), status: { phase: 'Running', startTime: rfc3339(clock.now() - 3_600_000), conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: rfc3339(clock.now() - 3_000_000) }] } });
    await start();
    await clock.advance(60_000);
    expect(manager().metrics['horizontal-pod-autoscaler']?.processed).toBe(0);
    await api.create(horizontalPodAutoscalers, autoscaler('web'));
    await clock.advance(0);
    const replicas = () => api.all(deployments)[0]?.spec?.replicas;
    const status = () => api.find(horizontalPodAutoscalers, 'default', 'web')?.status;
    expect(replicas()).toBe(2);
    expect(status()).toMatchObject({ currentReplicas: 1, desiredReplicas: 2, lastScaleTime: rfc3339(clock.now()), currentMetrics: [{ type: 'Resource', resource: { name: 'cpu', current: { averageUtilization: 100, averageValue: '100m' } } }] });
    expect(status()?.conditions).toMatchObject([{ type: 'AbleToScale', status: 'True', reason: 'SucceededRescale' }, { type: 'ScalingActive', status: 'True', reason: 'ValidMetricFound' }, { type: 'ScalingLimited', status: 'False', reason: 'DesiredWithinRange' }]);
    expect(api.recorded).toEqual(['horizontal-pod-autoscaler: HorizontalPodAutoscaler/web Normal SuccessfulRescale: New size: 2; reason: cpu resource utilization (percentage of request) above target']);
    uses(undefined);
    await clock.advance(15_000);
    expect(status()?.conditions?.[1]).toMatchObject({ type: 'ScalingActive', status: 'False', reason: 'FailedGetResourceMetric', message: expect.stringMatching(/^the HPA was unable to compute the replica count: failed to get cpu utilization: unable to get metrics/) as string });
    expect(replicas()).toBe(2);
    await api.create(horizontalPodAutoscalers, autoscaler('rival'));
    await clock.advance(15_000);
    const before = asked();
    await clock.advance(15_000);
    // A node is asked once for both.
    expect(asked() - before).toBe(1);
    expect(status()?.conditions?.[1]).toMatchObject({ reason: 'AmbiguousSelector', message: 'pods by selector app=web are controlled by multiple HPAs: [default/rival default/web]' });
    await api.delete(deployments, 'default', 'web');
    await clock.advance(15_000);
    expect(status()?.conditions?.[0]).toMatchObject({ type: 'AbleToScale', status: 'False', reason: 'FailedGetScale' });
    for (const name of ['web', 'rival']) await api.delete(horizontalPodAutoscalers, 'default', name);
    await clock.advance(15_000);
    expect(manager().metrics['horizontal-pod-autoscaler']?.delayed).toBe(0);
    await stop();
  });

  it('takes the largest of what several metrics propose, and a failing one holds back only fewer', async () => {
    const { api, clock, asked, start, stop } = lab();
    await api.create(deployments, { metadata: { name: 'web', namespace: 'default' }, spec: { replicas: 1, selector: {}, template: {} } });
    await api.create(pods, pod('a', { readyForS: 1e9, ageS: 1e9 }));
    const metrics: MetricSpec[] = [
      { type: 'External', external: { metric: { name: 'queue' }, target: { type: 'AverageValue', averageValue: '10' } } },
      { type: 'Pods', pods: { metric: { name: 'requests' }, target: { type: 'AverageValue', averageValue: '10' } } },
    ];
    await api.create(horizontalPodAutoscalers, { ...autoscaler('web'), spec: { ...autoscaler('web').spec, metrics } });
    await start();
    await clock.advance(0);
    expect(api.all(deployments)[0]?.spec?.replicas).toBe(3);
    expect(api.find(horizontalPodAutoscalers, 'default', 'web')?.status?.currentMetrics).toEqual([{ type: 'External', external: { metric: { name: 'queue' }, current: { averageValue: '30' } } }, { type: '' }]);
    expect(api.recorded).toContainEqual('horizontal-pod-autoscaler: HorizontalPodAutoscaler/web Warning FailedGetPodsMetric: unable to get metric requests: no metrics returned from custom metrics API');
    expect(api.recorded.at(-1)).toContain('New size: 3; reason: external metric queue');
    expect(asked()).toBe(0);
    await stop();
  });
});

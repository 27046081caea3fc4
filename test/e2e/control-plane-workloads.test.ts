import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CronJob, DaemonSet, Job, Pod, PodDisruptionBudget, ReplicationController, StatefulSet } from '#api/gen/types.ts';
import { Cluster } from '../support/cluster.ts';
import { eventually } from '../support/lab/eventually.ts';

const image = 'cleat-hello:1';

/** The workloads beside Deployments, on real containers and driven with stock kubectl. */
describe('workloads', () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await Cluster.create({ agents: 2 });
    await cluster.importImage();
  });
  afterAll(async () => { await cluster?.destroy(); });

  const get = <T>(kind: string, name: string): Promise<T> => cluster.json<T>(['get', kind, name]);
  const podsOf = async (app: string): Promise<Pod[]> => (await cluster.json<{ items: Pod[] }>(['get', 'pods', '-l', `app=${app}`])).items;
  const isReady = (pod: Pod): boolean => pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
  const until = <T>(what: string, condition: () => Promise<T>): Promise<unknown> => eventually(condition, { what, timeoutMs: 60_000, intervalMs: 200, explain: () => cluster.diagnostics() });
  const shell = (script: string, more: object = {}): object => ({ terminationGracePeriodSeconds: 0, containers: [{ name: 'c', image, command: ['sh', '-c', script], ...more }] });
  const stay = 'trap exit TERM; echo "$VERSION"; while :; do sleep 1 & wait $!; done';
  const workload = (kind: string, name: string, spec: object, script = stay, more: object = {}): object => ({
    apiVersion: 'apps/v1', kind, metadata: { name }, spec: { ...spec, selector: { matchLabels: { app: name } }, template: { metadata: { labels: { app: name } }, spec: shell(script, more) } },
  });
  const version = (value: string): object => ({ env: [{ name: 'VERSION', value }] });

  it('a DaemonSet has a pod on every host, updates with surge and rolls back', async () => {
    const surging = { updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } } };
    await cluster.apply(workload('DaemonSet', 'log', surging, stay, version('one')));
    expect(await cluster.kubectl(['rollout', 'status', 'daemonset/log', '--timeout=60s'])).toContain('successfully rolled out');
    expect(new Set((await podsOf('log')).map(({ spec }) => spec?.nodeName))).toEqual(new Set(cluster.nodeNames));
    await cluster.apply(workload('DaemonSet', 'log', surging, stay, version('two')));
    const updating = cluster.kubectl(['rollout', 'status', 'daemonset/log', '--timeout=60s'], { timeoutMs: 70_000 }).finally(() => { updated = true; });
    let updated = false;
    const serving = new Set<number>();
    while (!updated) serving.add(new Set((await podsOf('log')).filter((pod) => isReady(pod) && pod.metadata?.deletionTimestamp === undefined).map(({ spec }) => spec?.nodeName)).size);
    await updating;
    // A new pod first, and only then the old one goes: every host is served throughout.
    expect([...serving]).toEqual([2]);
    const logs = async (): Promise<string[]> => Promise.all((await podsOf('log')).map(({ metadata }) => cluster.kubectl(['logs', metadata?.name ?? ''])));
    await until('the second version', async () => (await logs()).join('') === 'two\ntwo\n');
    expect(await cluster.kubectl(['rollout', 'history', 'daemonset/log'])).toMatch(/REVISION.*\n1 .*\n2 /);
    await cluster.kubectl(['rollout', 'undo', 'daemonset/log']);
    await cluster.kubectl(['rollout', 'status', 'daemonset/log', '--timeout=60s']);
    await until('the first version', async () => (await logs()).join('') === 'one\none\n');
    const { status } = await get<DaemonSet>('daemonset', 'log');
    expect(status).toMatchObject({ desiredNumberScheduled: 2, currentNumberScheduled: 2, numberReady: 2, updatedNumberScheduled: 2, numberAvailable: 2, numberMisscheduled: 0 });
    await cluster.kubectl(['delete', 'daemonset/log']);
  });

  it('a StatefulSet starts in order, keeps names and data, and updates from the last', async () => {
    const claims = { volumeClaimTemplates: [{ metadata: { name: 'data' }, spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Mi' } } } }], persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Delete', whenScaled: 'Retain' } };
    const set = (value: string, more: object = {}): object => workload('StatefulSet', 'db', { serviceName: 'db', replicas: 3, ...claims, ...more }, `hostname >>/data/starts; ${stay}`, { ...version(value), volumeMounts: [{ name: 'data', mountPath: '/data' }] });
    await cluster.apply({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'db' }, spec: { clusterIP: 'None', selector: { app: 'db' }, ports: [{ port: 1 }] } });
    await cluster.apply(set('one'));
    expect(await cluster.kubectl(['rollout', 'status', 'statefulset/db', '--timeout=60s'], { timeoutMs: 70_000 })).toContain('complete');
    const pods = await podsOf('db');
    expect(pods.map(({ metadata, spec }) => [metadata?.name, spec?.hostname, spec?.subdomain])).toEqual([0, 1, 2].map((i) => [`db-${String(i)}`, `db-${String(i)}`, 'db']));
    const started = pods.map(({ status }) => status?.startTime ?? '');
    expect([...started].sort((a, b) => (a < b ? -1 : 1))).toEqual(started);
    await cluster.kubectl(['delete', 'pod', 'db-1']);
    await until('db-1 to be back', async () => (await podsOf('db')).filter(isReady).length === 3);
    expect(await cluster.kubectl(['exec', 'db-1', '--', 'cat', '/data/starts'])).toBe('db-1\ndb-1\n');
    await cluster.apply(set('two', { updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 1 } } }));
    await until('the update above the partition', async () => (await get<StatefulSet>('statefulset', 'db')).status?.updatedReplicas === 2 && (await podsOf('db')).every(isReady));
    expect((await podsOf('db')).map(({ spec }) => spec?.containers[0]?.env?.[0]?.value)).toEqual(['one', 'two', 'two']);
    expect((await cluster.kubectl(['get', 'pvc', '-o', 'name'])).split('\n').filter(Boolean)).toEqual([0, 1, 2].map((i) => `persistentvolumeclaim/data-db-${String(i)}`));
    await cluster.kubectl(['delete', 'statefulset/db', 'service/db']);
    await until('its pods, claims and volumes to go', async () => (await cluster.json<{ items: unknown[] }>(['get', 'pods,pvc,pv'])).items.length === 0);
  });

  it('a ReplicaSet and a ReplicationController keep their numbers', async () => {
    await cluster.apply(workload('ReplicaSet', 'set', { replicas: 2 }));
    await cluster.apply({ apiVersion: 'v1', kind: 'ReplicationController', metadata: { name: 'old' }, spec: { replicas: 2, selector: { app: 'old' }, template: { metadata: { labels: { app: 'old' } }, spec: shell(stay) } } });
    const serving = async (app: string): Promise<string[]> => (await podsOf(app)).filter((pod) => isReady(pod) && pod.metadata?.deletionTimestamp === undefined).map(({ metadata }) => metadata?.uid ?? '');
    for (const app of ['set', 'old']) {
      await until(`two pods of ${app}`, async () => (await serving(app)).length === 2);
      const [victim] = await podsOf(app);
      await cluster.kubectl(['delete', 'pod', victim?.metadata?.name ?? '']);
      await until(`another pod of ${app}`, async () => { const uids = await serving(app); return uids.length === 2 && !uids.includes(victim?.metadata?.uid ?? ''); });
    }
    await cluster.kubectl(['scale', 'rc/old', 'rs/set', '--replicas=1']);
    for (const app of ['set', 'old']) await until(`one pod of ${app}`, async () => (await podsOf(app)).length === 1);
    expect((await get<ReplicationController>('rc', 'old')).status).toMatchObject({ replicas: 1, readyReplicas: 1, availableReplicas: 1, observedGeneration: 2 });
    await cluster.kubectl(['delete', 'rc/old', 'rs/set']);
    await until('the end of their pods', async () => [...await podsOf('old'), ...await podsOf('set')].length === 0);
  });

  it('a Job runs to its completions, fails at its limit, and a CronJob makes Jobs', async () => {
    const jobIs = (name: string, type: string): Promise<unknown> => eventually(async () => (await get<Job>('job', name)).status?.conditions?.some((condition) => condition.type === type && condition.status === 'True'), {
      what: `job ${name} to be ${type}`, timeoutMs: 60_000, intervalMs: 200, explain: async () => `${JSON.stringify(await get<Job>('job', name))}\n${JSON.stringify(await podsOf(name))}\n${await cluster.diagnostics()}`,
    });
    const job = (name: string, spec: object, script: string): object => ({ apiVersion: 'batch/v1', kind: 'Job', metadata: { name }, spec: { ...spec, template: { metadata: { labels: { app: name } }, spec: { ...shell(script), restartPolicy: 'Never' } } } });
    await cluster.apply([
      job('indexed', { completions: 3, parallelism: 2, completionMode: 'Indexed' }, 'echo "index $JOB_COMPLETION_INDEX"'),
      job('broken', { backoffLimit: 0 }, 'exit 3'),
      job('judged', { backoffLimit: 6, completionMode: 'Indexed', completions: 2, parallelism: 2, backoffLimitPerIndex: 1, podFailurePolicy: { rules: [{ action: 'FailIndex', onExitCodes: { operator: 'In', values: [42] } }] } }, '[ "$JOB_COMPLETION_INDEX" = 1 ] || exit 42'),
      job('enough', { completionMode: 'Indexed', completions: 2, parallelism: 2, successPolicy: { rules: [{ succeededIndexes: '0' }] } }, `[ "$JOB_COMPLETION_INDEX" = 0 ] || { ${stay}; }`),
      { apiVersion: 'batch/v1', kind: 'CronJob', metadata: { name: 'tick' }, spec: { schedule: '@every 2s', jobTemplate: { spec: { template: { metadata: { labels: { app: 'tick' } }, spec: { ...shell('echo tick'), restartPolicy: 'Never' } } } } } },
    ]);
    await jobIs('indexed', 'Complete');
    expect((await get<Job>('job', 'indexed')).status).toMatchObject({ succeeded: 3, completedIndexes: '0-2' });
    const logs = await Promise.all((await podsOf('indexed')).map(({ metadata }) => cluster.kubectl(['logs', metadata?.name ?? ''])));
    expect(new Set(logs)).toEqual(new Set(['index 0\n', 'index 1\n', 'index 2\n']));
    await jobIs('broken', 'Failed');
    expect((await get<Job>('job', 'broken')).status).toMatchObject({ failed: 1, conditions: [{ type: 'FailureTarget' }, { type: 'Failed', reason: 'BackoffLimitExceeded' }] });
    await jobIs('judged', 'Failed');
    expect((await get<Job>('job', 'judged')).status).toMatchObject({ succeeded: 1, failed: 1, completedIndexes: '1', failedIndexes: '0', conditions: [{ type: 'FailureTarget' }, { type: 'Failed', reason: 'FailedIndexes' }] });
    await jobIs('enough', 'Complete');
    expect((await get<Job>('job', 'enough')).status).toMatchObject({ succeeded: 1, completedIndexes: '0', conditions: [{ type: 'SuccessCriteriaMet', reason: 'SuccessPolicy' }, { type: 'Complete', reason: 'SuccessPolicy' }] });
    await until('a tick', async () => (await get<CronJob>('cronjob', 'tick')).status?.lastSuccessfulTime !== undefined);
    await cluster.kubectl(['delete', 'cronjob/tick', 'job/indexed', 'job/broken', 'job/judged', 'job/enough']);
    await until('all pods to go', async () => (await cluster.json<{ items: Pod[] }>(['get', 'pods'])).items.length === 0);
  });

  it('a disruption budget holds a drain to what it can spare', async () => {
    await cluster.apply([
      workload('Deployment', 'web', { replicas: 4 }, stay, { readinessProbe: { exec: { command: ['true'] }, periodSeconds: 1 } }),
      { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', metadata: { name: 'web' }, spec: { maxUnavailable: 1, selector: { matchLabels: { app: 'web' } } } },
    ]);
    await cluster.kubectl(['rollout', 'status', 'deployment/web', '--timeout=60s']);
    await until('the budget', async () => (await get<PodDisruptionBudget>('pdb', 'web')).status?.disruptionsAllowed === 1);
    const [drained, other] = cluster.nodeNames;
    const draining = cluster.kubectl(['drain', drained ?? '', '--force', '--timeout=60s'], { timeoutMs: 70_000 }).finally(() => { done = true; });
    let done = false;
    let fewest = 4;
    while (!done) fewest = Math.min(fewest, (await podsOf('web')).filter((pod) => isReady(pod) && pod.metadata?.deletionTimestamp === undefined).length);
    expect(await draining).toContain(`node/${drained ?? ''} drained`);
    expect(fewest).toBeGreaterThanOrEqual(3);
    await until('all pods on the other host', async () => { const pods = await podsOf('web'); return pods.length === 4 && pods.every((pod) => isReady(pod) && pod.spec?.nodeName === other); });
    await cluster.kubectl(['uncordon', drained ?? '']);
    await cluster.kubectl(['delete', 'deployment/web', 'pdb/web']);
  });

  it('a pod of higher priority pushes out the one that can be spared, gracefully', async () => {
    const [node = ''] = cluster.nodeNames;
    await cluster.kubectl(['patch', 'node', node, '--subresource=status', '--type=merge', '-p', '{"status":{"capacity":{"example.com/seat":"2"}}}']);
    await until('the seats', async () => (await cluster.kubectl(['get', 'node', node, '-o', 'jsonpath={.status.allocatable.example\\.com/seat}'])) === '2');
    const seat = { resources: { limits: { 'example.com/seat': '1' } } };
    const seated = (name: string, metadata: object, spec: object = {}): object => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name, ...metadata }, spec: { ...shell(stay, seat), terminationGracePeriodSeconds: 20, ...spec } });
    await cluster.apply([
      { apiVersion: 'scheduling.k8s.io/v1', kind: 'PriorityClass', metadata: { name: 'urgent' }, value: 1000 },
      { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', metadata: { name: 'kept' }, spec: { minAvailable: 1, selector: { matchLabels: { app: 'kept' } } } },
      seated('kept', { labels: { app: 'kept' } }), seated('spared', { finalizers: ['example.com/look'] }),
    ]);
    await until('both to sit', async () => isReady(await get<Pod>('pod', 'kept')) && isReady(await get<Pod>('pod', 'spared')));
    await until('the budget to count', async () => (await get<PodDisruptionBudget>('pdb', 'kept')).status?.currentHealthy === 1);
    await cluster.apply(seated('urgent', {}, { priorityClassName: 'urgent' }));
    await until('the other to be told why', async () => (await get<Pod>('pod', 'spared')).status?.conditions?.some(({ type, reason }) => type === 'DisruptionTarget' && reason === 'PreemptionByScheduler'));
    await cluster.kubectl(['patch', 'pod', 'spared', '--type=merge', '-p', '{"metadata":{"finalizers":null}}']);
    await until('the urgent one to run', async () => isReady(await get<Pod>('pod', 'urgent')));
    const urgent = await get<Pod>('pod', 'urgent');
    expect([urgent.spec?.nodeName, isReady(await get<Pod>('pod', 'kept'))]).toEqual([node, true]);
    const { items } = await cluster.json<{ items: { involvedObject: { name: string }; reason: string; message: string }[] }>(['get', 'events']);
    const told = items.map(({ involvedObject, reason, message }) => `${involvedObject.name} ${reason} ${message}`);
    expect(told).toContain(`spared Preempted Preempted by pod ${urgent.metadata?.uid ?? ''} on node ${node}`);
    expect(told).toContain('urgent FailedScheduling 0/2 nodes are available: 2 Insufficient example.com/seat.');
    await cluster.kubectl(['delete', 'pod/urgent', 'pod/kept', 'pdb/kept', 'priorityclass/urgent']);
  });

  it('finishes what it was at when it is killed', async () => {
    const script = 'sleep 2';
    await cluster.apply({ apiVersion: 'batch/v1', kind: 'Job', metadata: { name: 'many' }, spec: { completions: 8, parallelism: 4, template: { metadata: { labels: { app: 'many' } }, spec: { ...shell(script), restartPolicy: 'Never' } } } });
    for (let i = 0; i < 3; i++) {
      await until('a pod to end', async () => ((await get<Job>('job', 'many')).status?.succeeded ?? 0) > i);
      await cluster.stopControlPlane('SIGKILL');
      await cluster.startControlPlane();
    }
    await cluster.kubectl(['wait', '--for=condition=complete', 'job/many', '--timeout=60s'], { timeoutMs: 70_000 });
    expect((await get<Job>('job', 'many')).status).toMatchObject({ succeeded: 8, uncountedTerminatedPods: {} });
    expect((await podsOf('many')).map(({ status, metadata }) => [status?.phase, metadata?.finalizers])).toEqual(Array.from({ length: 8 }, () => ['Succeeded', undefined]));
  });
});

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Deployment, DeploymentSpec, Event, Node, Pod, ReplicaSet } from '#api/gen/types.ts';
import type { KubeObject } from '#api/meta/object.ts';
import type { ExecResult } from '#common/exec.ts';
import { eventually } from '../support/lab/eventually.ts';
import type { LabHost } from '../support/lab/host.ts';
import { createLab, type Lab } from '../support/lab/lab.ts';
import type { LabProcess } from '../support/lab/process.ts';
import { RestClient } from '../support/rest-client.ts';

const executable = join(import.meta.dirname, '../../cleat');
const fleetProgram = join(import.meta.dirname, '../support/agent-fleet.ts');
const apps = '/apis/apps/v1/namespaces/default';
const podsPath = '/api/v1/namespaces/default/pods';

/** What Kubernetes promises of Deployments, watched from outside on a control plane whose agents only pretend. */
describe('rollouts', () => {
  let lab: Lab;
  let host: LabHost;
  let api: RestClient;
  let controlPlane: LabProcess;
  let fleet: ChildProcess;
  const agents = 5;

  beforeAll(async () => {
    lab = await createLab({ hosts: 1, uplink: true });
    host = lab.host(0);
    // Four ranges for five nodes.
    controlPlane = host.spawn('controlplane', executable, ['controlplane', `--advertise-address=${host.address}`, '--log-level=info', '--node-monitor-grace-period=3s', '--heartbeat-period=500ms', '--pod-cidr=10.64.0.0/22']);
    await controlPlane.waitForOutput('is ready at', 20_000);
    api = new RestClient(host.path('/etc/cleat/kubeconfig'), host.address);
    fleet = spawn(process.execPath, [fleetProgram, host.address, '6443', host.path('/var/lib/cleat/server/pki'), String(agents)], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(fleet.stdout!, 'data');
    await eventually(async () => (await items<Node>('/api/v1/nodes')).filter((node) => (node.spec?.taints ?? []).length === 0).length === agents, { what: 'all nodes' });
  });
  afterAll(async () => {
    fleet?.kill('SIGKILL');
    api?.close();
    await lab?.destroy();
  });

  const items = async <T extends KubeObject>(path: string): Promise<T[]> => ((await api.send('GET', path)).body.items ?? []) as T[];
  const podsOf = (name: string): Promise<Pod[]> => items<Pod>(`${podsPath}?labelSelector=app%3D${name}`);
  const setsOf = (name: string): Promise<ReplicaSet[]> => items<ReplicaSet>(`${apps}/replicasets?labelSelector=app%3D${name}`);
  const get = async (name: string): Promise<Deployment> => (await api.send('GET', `${apps}/deployments/${name}`)).body as Deployment;
  const kubectl = (...args: string[]): Promise<ExecResult> => host.exec('kubectl', args, { env: { KUBECONFIG: '/etc/cleat/kubeconfig' } });
  const uids = (objects: readonly KubeObject[]): Set<string | undefined> => new Set(objects.map(({ metadata }) => metadata?.uid));
  const make = (name: string, spec: Partial<DeploymentSpec>, image = 'one'): Deployment => ({
    apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name },
    spec: { ...spec, selector: { matchLabels: { app: name } }, template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'c', image }] } } },
  });
  const create = async (deployment: Deployment): Promise<void> => { expect((await api.send('POST', `${apps}/deployments`, deployment)).status).toBe(201); };
  const setImage = async (name: string, image: string): Promise<void> => {
    expect((await api.send('PATCH', `${apps}/deployments/${name}`, { spec: { template: { spec: { containers: [{ name: 'c', image }] } } } }, 'application/strategic-merge-patch+json')).status).toBe(200);
  };
  const complete = (name: string): Promise<Deployment> => eventually(async () => {
    const deployment = await get(name);
    const { status, spec, metadata } = deployment;
    const done = status?.observedGeneration === metadata?.generation && [status?.updatedReplicas, status?.replicas, status?.availableReplicas].every((n) => (n ?? 0) === spec?.replicas);
    return done ? deployment : false;
  }, { what: `${name} to be complete`, timeoutMs: 20_000, explain: () => controlPlane.output().slice(-3000) });

  it.each([
    ['25%', '25%', 10, { total: 13, available: 8 }],
    ['100%', '0%', 4, { total: 8, available: 4 }],
    [0, '30%', 7, { total: 7, available: 5 }],
    [1, 0, 3, { total: 4, available: 3 }],
  ])('keep to maxSurge %s and maxUnavailable %s at every moment', async (maxSurge, maxUnavailable, replicas, bounds) => {
    const name = `bounds-${String(maxSurge).replace('%', '')}-${String(maxUnavailable).replace('%', '')}`;
    await create(make(name, { replicas, strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge, maxUnavailable } } }));
    await complete(name);
    const stop = new AbortController();
    const present = new Map<string, Pod>();
    const list = await api.send('GET', `${podsPath}?labelSelector=app%3D${name}`);
    for (const pod of list.body.items as Pod[]) present.set(pod.metadata?.name ?? '', pod);
    const seen = { total: 0, available: replicas };
    const watching = (async () => {
      for await (const { type, object } of api.watch(`${podsPath}?watch=1&labelSelector=app%3D${name}&resourceVersion=${list.body.metadata?.resourceVersion ?? ''}`, stop.signal)) {
        if (type === 'DELETED') present.delete(object.metadata?.name ?? '');
        else present.set(object.metadata?.name ?? '', object as Pod);
        const counted = [...present.values()].filter((pod) => pod.metadata?.deletionTimestamp === undefined);
        seen.total = Math.max(seen.total, counted.length);
        seen.available = Math.min(seen.available, counted.filter((pod) => pod.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True')).length);
      }
    })();
    for (const image of ['two', 'three']) {
      await setImage(name, image);
      await complete(name);
    }
    stop.abort();
    await watching;
    expect(seen.total).toBeLessThanOrEqual(bounds.total);
    expect(seen.available).toBeGreaterThanOrEqual(bounds.available);
    await api.send('DELETE', `${apps}/deployments/${name}`);
  });

  it('that cannot finish say so in time, keep what serves, and roll back', async () => {
    await create(make('stuck', { replicas: 4, progressDeadlineSeconds: 2, strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 1 } } }));
    await complete('stuck');
    const before = uids(await podsOf('stuck'));
    await setImage('stuck', 'never-ready');
    const status = await kubectl('rollout', 'status', 'deployment/stuck', '--timeout=20s');
    expect([status.exitCode, status.stderr]).toEqual([1, expect.stringContaining('exceeded its progress deadline')]);
    expect((await get('stuck')).status?.conditions).toEqual(expect.arrayContaining([expect.objectContaining({ type: 'Progressing', status: 'False', reason: 'ProgressDeadlineExceeded' }), expect.objectContaining({ type: 'Available', status: 'True' })]));
    const kept = (await podsOf('stuck')).filter((pod) => before.has(pod.metadata?.uid));
    expect(kept).toHaveLength(3);
    expect((await kubectl('rollout', 'undo', 'deployment/stuck')).exitCode).toBe(0);
    await complete('stuck');
    expect((await podsOf('stuck')).filter((pod) => before.has(pod.metadata?.uid))).toHaveLength(3);
    expect((await kubectl('rollout', 'status', 'deployment/stuck', '--timeout=20s')).exitCode).toBe(0);
  });

  it('pause, resume, and keep as much history as asked', async () => {
    await create(make('slow', { replicas: 2, revisionHistoryLimit: 2 }));
    await complete('slow');
    await kubectl('rollout', 'pause', 'deployment/slow');
    const before = uids(await podsOf('slow'));
    await setImage('slow', 'two');
    await eventually(async () => { const { status, metadata } = await get('slow'); return status?.observedGeneration === metadata?.generation; }, { what: 'the change to be seen' });
    expect(uids(await podsOf('slow'))).toEqual(before);
    await kubectl('scale', 'deployment/slow', '--replicas=3');
    await eventually(async () => (await podsOf('slow')).length === 3, { what: 'a paused deployment to follow its size' });
    await kubectl('rollout', 'resume', 'deployment/slow');
    await complete('slow');
    for (const image of ['three', 'four', 'five', 'six']) {
      await setImage('slow', image);
      await complete('slow');
    }
    await eventually(async () => (await setsOf('slow')).length === 3, { what: 'two old ReplicaSets beside the new one' });
    expect((await kubectl('rollout', 'undo', 'deployment/slow', '--to-revision=2')).exitCode).not.toBe(0);
    expect((await kubectl('rollout', 'undo', 'deployment/slow', '--to-revision=5')).exitCode).toBe(0);
    await complete('slow');
    // Pods on their way out are not counted for the status.
    await expect.poll(async () => new Set((await podsOf('slow')).map((pod) => pod.spec?.containers[0]?.image)), { timeout: 30_000 }).toEqual(new Set(['five']));
  });

  it('by Recreate never run two versions side by side', async () => {
    await create(make('again', { replicas: 4, strategy: { type: 'Recreate' } }));
    await complete('again');
    const stop = new AbortController();
    const present = new Map((await podsOf('again')).map((pod) => [pod.metadata?.uid, pod]));
    let mixed = 0;
    const { metadata } = (await api.send('GET', podsPath)).body;
    const watching = (async () => {
      for await (const { type, object } of api.watch(`${podsPath}?watch=1&labelSelector=app%3Dagain&resourceVersion=${metadata?.resourceVersion ?? ''}`, stop.signal)) {
        if (type === 'DELETED') present.delete(object.metadata?.uid);
        else present.set(object.metadata?.uid, object as Pod);
        mixed = Math.max(mixed, new Set([...present.values()].map((pod) => pod.spec?.containers[0]?.image)).size);
      }
    })();
    await setImage('again', 'two');
    await complete('again');
    stop.abort();
    await watching;
    expect(mixed).toBe(1);
  });

  it('leave orphans alone, and take them up again', async () => {
    await create(make('left', { replicas: 3 }));
    await complete('left');
    const [pods, sets] = [uids(await podsOf('left')), uids(await setsOf('left'))];
    expect((await kubectl('delete', 'deployment/left', '--cascade=orphan')).exitCode).toBe(0);
    await eventually(async () => (await setsOf('left'))[0]?.metadata?.ownerReferences === undefined || (await setsOf('left'))[0]?.metadata?.ownerReferences?.length === 0, { what: 'the ReplicaSet to be free' });
    await create(make('left', { replicas: 3 }));
    await complete('left');
    expect([uids(await podsOf('left')), uids(await setsOf('left'))]).toEqual([pods, sets]);
    // A pod whose labels change is nobody's any more, and is replaced.
    const [pod] = await podsOf('left');
    await kubectl('label', 'pod', pod?.metadata?.name ?? '', 'app=free', '--overwrite');
    await eventually(async () => (await podsOf('left')).length === 3, { what: 'the replacement' });
    expect((await podsOf('free'))[0]?.metadata?.ownerReferences ?? []).toEqual([]);
    expect((await kubectl('delete', 'deployment/left', '--cascade=foreground', '--timeout=20s')).exitCode).toBe(0);
    expect([await podsOf('left'), await setsOf('left'), (await podsOf('free')).length]).toEqual([[], [], 1]);
  });

  it('end with their namespace, which waits for finalizers and says so', async () => {
    await kubectl('create', 'namespace', 'going');
    await api.send('POST', '/apis/apps/v1/namespaces/going/deployments', make('web', { replicas: 3 }));
    await api.send('POST', '/api/v1/namespaces/going/configmaps', { metadata: { name: 'held', finalizers: ['example.com/held'] } });
    await eventually(async () => (await items<Pod>('/api/v1/namespaces/going/pods')).length === 3, { what: 'the pods' });
    await kubectl('delete', 'namespace', 'going', '--wait=false');
    const condition = await eventually(async () => ((await api.send('GET', '/api/v1/namespaces/going')).body as { status?: { conditions?: { type: string; status: string; message: string }[] } }).status?.conditions?.find((c) => c.type === 'NamespaceFinalizersRemaining' && c.status === 'True'), { what: 'the reason why it stays' });
    expect(condition.message).toBe('Some content in the namespace has finalizers remaining: example.com/held in 1 resource instances');
    expect(await items('/api/v1/namespaces/going/pods')).toEqual([]);
    expect((await api.send('POST', '/api/v1/namespaces/going/configmaps', { metadata: { name: 'late' } }))).toMatchObject({ status: 403, body: { reason: 'Forbidden' } });
    await api.send('PATCH', '/api/v1/namespaces/going/configmaps/held', { metadata: { finalizers: null } }, 'application/merge-patch+json');
    await eventually(async () => (await api.send('GET', '/api/v1/namespaces/going')).status === 404, { what: 'the namespace to go' });
  });

  it('rest: nothing is written when nothing changes', async () => {
    await api.send('POST', '/api/v1/namespaces/default/services', { metadata: { name: 'slow' }, spec: { selector: { app: 'slow' }, ports: [{ port: 80 }] } });
    const slices = `/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dslow`;
    await eventually(async () => (await items<KubeObject & { endpoints?: unknown[] }>(slices))[0]?.endpoints?.length === 3, { what: 'the endpoints' });
    const versions = async (): Promise<unknown> => Promise.all(['/api/v1/pods', '/api/v1/nodes', '/api/v1/services', '/api/v1/endpoints', '/apis/apps/v1/deployments', '/apis/apps/v1/replicasets', '/apis/discovery.k8s.io/v1/endpointslices', '/api/v1/namespaces']
      .map(async (path) => (await items(path)).map(({ metadata }) => `${metadata?.name ?? ''} ${metadata?.resourceVersion ?? ''}`)));
    const [pod] = await podsOf('slow');
    const slice = (await items(slices))[0]?.metadata?.resourceVersion;
    await kubectl('annotate', 'pod', pod?.metadata?.name ?? '', 'note=nothing');
    const before = await versions();
    await sleep(4000);
    expect(await versions()).toEqual(before);
    expect((await items(slices))[0]?.metadata?.resourceVersion).toBe(slice);
  });

  it('go on without the node that got no range, and it gets the next one that is free', async () => {
    const ranges = async (): Promise<(string | undefined)[]> => (await items<Node>('/api/v1/nodes')).map((node) => node.spec?.podCIDR);
    expect((await ranges()).filter((range) => range === undefined)).toHaveLength(1);
    const events = await items<Event>('/api/v1/namespaces/default/events');
    expect(events.filter(({ reason }) => reason === 'CIDRNotAvailable').map(({ message }) => message)).toEqual([expect.stringMatching(/gets no pod range: all ranges of \/24 of the pod range 10\.64\.0\.0\/22 are in use: delete nodes that are gone/)]);
    const without = (await items<Node>('/api/v1/nodes')).find((node) => node.spec?.podCIDR === undefined)?.metadata?.name ?? '';
    const other = (await items<Node>('/api/v1/nodes')).find((node) => node.spec?.podCIDR !== undefined)?.metadata?.name ?? '';
    await api.send('DELETE', `/api/v1/nodes/${other}`);
    await eventually(async () => ((await api.send('GET', `/api/v1/nodes/${without}`)).body as Node).spec?.podCIDR !== undefined, { what: 'the range' });
    expect(controlPlane.output().split('\n').filter((line) => /"level":(50|60)/.test(line) && !line.includes('no pod range left'))).toEqual([]);
  });
});

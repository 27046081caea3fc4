import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Event, Node, Pod } from '#api/gen/types.ts';
import { Cluster } from '../support/cluster.ts';
import { eventually } from '../support/lab/eventually.ts';

let cluster: Cluster;
const image = 'cleat-hello:1';

beforeAll(async () => {
  cluster = await Cluster.create({ agents: 1, memoryBytes: 1.5 * 1024 ** 3, agentFlags: ['--eviction-hard=memory.available<450Mi,pid.available<5%', '--system-reserved=cpu=100m', '--node-status-update-frequency=1s', '--eviction-pressure-transition-period=5s'] });
  await cluster.importImage();
});
afterAll(async () => { await cluster?.destroy(); });

const pod = (name: string, script: string, spec: Partial<NonNullable<Pod['spec']>> = {}): Pod => ({
  apiVersion: 'v1', kind: 'Pod', metadata: { name },
  spec: { terminationGracePeriodSeconds: 30, containers: [{ name: 'c', image, command: ['sh', '-c', script], volumeMounts: [{ name: 'm', mountPath: '/m' }] }], volumes: [{ name: 'm', emptyDir: { medium: 'Memory' } }], ...spec },
});
const get = (name: string): Promise<Pod> => cluster.json<Pod>(['get', 'pod', name]);
const isReady = (p: Pod): boolean => p.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') === true;
const node = async (): Promise<Node | undefined> => (await cluster.json<{ items: Node[] }>(['get', 'nodes'])).items.find(({ metadata }) => metadata?.name === cluster.agentHost(0).name);
const pressure = async (type: string): Promise<string | undefined> => (await node())?.status?.conditions?.find((c) => c.type === type)?.status;
const wait = { timeoutMs: 90_000, intervalMs: 200, explain: () => cluster.diagnostics() };

it('evicts the greediest pod of a host that runs short of memory, says so, and takes pods again afterwards', async () => {
  const { capacity, allocatable } = (await node())?.status ?? {};
  expect([capacity?.['memory'], allocatable?.['memory'], allocatable?.['cpu']]).toEqual(['1536Mi', '1086Mi', `${String(Number(capacity?.['cpu']) * 1000 - 100)}m`]);

  await cluster.apply(pod('calm', 'sleep 100000'));
  await eventually(async () => isReady(await get('calm')), { what: 'calm', ...wait });
  // Bounded by the node's allocatable memory, in which all pods are: what the system itself uses comes on top.
  await cluster.apply(pod('hog', 'dd if=/dev/zero of=/m/file bs=1M count=1060; sleep 100000'));
  const evicted = await eventually(async () => { const p = await get('hog'); return p.status?.phase === 'Failed' && p; }, { what: 'hog to be evicted', ...wait });
  expect(evicted.status).toMatchObject({ reason: 'Evicted', message: expect.stringMatching(/^The node was low on resource: memory\. Threshold quantity: 450Mi, available: \d+[KM]i\. Container c was using \d+[KM]i, request is 0, has larger consumption of memory\. $/) as string });
  expect(evicted.status?.conditions?.find((c) => c.type === 'DisruptionTarget')).toMatchObject({ status: 'True', reason: 'TerminationByKubelet' });
  await eventually(async () => (await cluster.json<{ items: Event[] }>(['get', 'events', '-A'])).items.some((e) => e.reason === 'EvictionThresholdMet' && e.message === 'Attempting to reclaim memory'), { what: 'the event', ...wait });
  await eventually(async () => await pressure('MemoryPressure') === 'False', { what: 'the pressure to end', ...wait });
  expect(isReady(await get('calm'))).toBe(true);
  await cluster.apply(pod('next', 'sleep 100000'));
  await eventually(async () => isReady(await get('next')), { what: 'a pod to start again', ...wait });
});

it('evicts a pod that forks without end, and has what it takes to do so', async () => {
  const inCgroup = async (script: string): Promise<string> => (await cluster.agentHost(0).sh(`cd /sys/fs/cgroup; [ ! -d pids ] || cd pids; ${script}`)).trim();
  // The host is this test's own: it may have so many, whatever the machine has.
  await inCgroup('echo 900 > pids.max');
  const podsThere = (): Promise<string> => inCgroup('ls -d kubepods/pod*');
  const before = await podsThere();
  // As fast as a fifth of a core can. A shell that gets no process ends, and makes room for one that does.
  const command = ['sh', '-c', 'bomb() { while :; do bomb & sleep 0.1; done; }; bomb & exec sleep 100000'];
  await cluster.apply(pod('bomb', '', { containers: [{ name: 'c', image, command, resources: { limits: { cpu: '200m' } } }] }));
  await eventually(async () => await pressure('PIDPressure') === 'True', { what: 'the pressure', ...wait });
  expect(Number(await inCgroup('cat kubepods/pids.max'))).toBeLessThan(900 - 128);
  const evicted = await eventually(async () => { const p = await get('bomb'); return p.status?.phase === 'Failed' && p; }, { what: 'the bomb to be evicted', ...wait });
  expect(evicted.status).toMatchObject({ reason: 'Evicted', message: expect.stringMatching(/^The node was low on resource: pids\. Threshold quantity: 5%, available: \d+\./) as string });
  await eventually(async () => await pressure('PIDPressure') === 'False', { what: 'the pressure to end', ...wait });
  expect(isReady(await get('calm'))).toBe(true);
  await cluster.kubectl(['delete', 'pod', 'bomb']);
  await eventually(async () => await podsThere() === before, { what: 'nothing of the bomb to be left', ...wait });
});

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Node, Pod, PodSpec } from '#api/gen/types.ts';
import * as resources from '#api/kinds/resources.ts';
import { systemClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import type { ApiClient } from '#controlplane/apiserver/types.ts';
import { TestServer } from '#controlplane/apiserver/test-server.ts';
import { Informers } from '#controlplane/cache/informers.ts';
import type { Informer, InformerHandler } from '#controlplane/cache/types.ts';
import { schedulerPlugins } from '#controlplane/scheduler/registry.ts';
import { Scheduler } from '#controlplane/scheduler/scheduler.ts';
import { storePrefix } from '#controlplane/store/keys.ts';
import { openStore } from '#controlplane/store/open.ts';
import { usageOf } from './process-usage.ts';

/** The shapes of Kubernetes' scheduler_perf. */
export const shapes = ['basic', 'pod affinity', 'pod anti-affinity', 'topology spread', 'preemption'] as const;
export type Shape = (typeof shapes)[number];

export interface Load {
  readonly shape: Shape;
  readonly nodes: number;
  readonly pods: number;
  /** Without the scheduler: only the bindings, to nodes in turn. */
  readonly bare: boolean;
}

export interface Measured {
  readonly seconds: number;
  /** Of all threads: what collects garbage and writes to the disk counts too. */
  readonly cpuSeconds: number;
  /** Of the process, with store, API and informers, at the end. */
  readonly pssBytes: number;
}

const parallel = 256;
const limitMs = 60_000;
const zones = 3;

/** Store on disk, API, informers and scheduler in a process of their own; from when the scheduler sees the pods until the last is bound. */
export async function measure(load: Load): Promise<Measured> {
  const dir = await mkdtemp(join(tmpdir(), 'cleat-bench-scheduler-'));
  const child = fork(import.meta.filename, ['serve', dir], { execArgv: [...process.execArgv, '--max-semi-space-size=1'], env: { ...process.env, MALLOC_ARENA_MAX: '1', MALLOC_TRIM_THRESHOLD_: '131072', MALLOC_MMAP_THRESHOLD_: '16384' } });
  try {
    child.send(load);
    const ended = once(child, 'exit').then(([code]) => { throw new Error(`the process ended with ${String(code)}`); });
    const [measured] = await Promise.race([once(child, 'message') as Promise<[Measured]>, ended]);
    return measured;
  } finally {
    child.kill('SIGKILL');
    await rm(dir, { recursive: true, force: true });
  }
}

async function serve(dir: string): Promise<void> {
  const [load] = await once(process, 'message') as [Load];
  const store = await openStore({ log: silentLog, clock: systemClock }, { dir, volatilePrefixes: [resources.leases, resources.events].map((resource) => storePrefix(resource)) });
  const server = await TestServer.start({ store });
  const client = server.api.client({ name: 'system:kube-scheduler', groups: ['system:masters'] });
  await makeAll(load.nodes, (i) => makeNode(client, nodeOf(i)));
  await placeFirst(client, load);
  await makeAll(load.pods, (i) => client.create(resources.pods, podOf(load, i)));
  const work = load.bare ? await prepareBindings(client, load) : await prepareScheduler(server, load);
  const before = { at: performance.now(), cpu: process.cpuUsage() };
  await work();
  const cpu = process.cpuUsage(before.cpu);
  const measured: Measured = { seconds: (performance.now() - before.at) / 1000, cpuSeconds: (cpu.user + cpu.system) / 1e6, pssBytes: usageOf(process.pid).pssBytes };
  process.send?.(measured);
}

/** Pods, without those that are measured until they are let in. */
class HeldPods implements Informer<Pod> {
  readonly #pods: Informer<Pod>;
  readonly #handlers = new Set<InformerHandler<Pod>>();
  #held = true;

  constructor(pods: Informer<Pod>) {
    this.#pods = pods;
  }

  get(namespace: string | undefined, name: string): Pod | undefined { return this.#pods.get(namespace, name); }
  list(namespace?: string): readonly Pod[] { return this.#pods.list(namespace); }
  by(index: string, value: string): readonly Pod[] { return this.#pods.by(index, value); }
  async synced(signal: AbortSignal): Promise<void> { await this.#pods.synced(signal); }

  subscribe(handler: InformerHandler<Pod>): () => void {
    this.#handlers.add(handler);
    return this.#pods.subscribe((change) => { if (!this.#held || !isMeasured(change.object)) handler(change); });
  }

  get isWatched(): boolean { return this.#handlers.size > 0; }

  letIn(): void {
    this.#held = false;
    for (const object of this.#pods.list()) if (isMeasured(object)) for (const handler of this.#handlers) handler({ object, old: undefined });
  }
}

function isMeasured(pod: Pod | undefined): boolean {
  return pod?.metadata?.labels?.['load'] === 'measured';
}

/** A scheduler that knows the nodes and the pods on them; what is returned has it see the rest, and bind them. */
async function prepareScheduler(server: TestServer, load: Load): Promise<() => Promise<void>> {
  const informers = new Informers({ store: server.store, log: silentLog });
  const all = informers.informer(resources.pods);
  const pods = new HeldPods(all);
  const scheduler = new Scheduler({
    api: server.api.client({ name: 'system:kube-scheduler', groups: ['system:masters'] }), events: server.api.recorder({ component: 'default-scheduler' }),
    pods, nodes: informers.informer(resources.nodes), namespaces: informers.informer(resources.namespaces), budgets: informers.informer(resources.podDisruptionBudgets),
    storage: { claims: informers.informer(resources.persistentVolumeClaims), volumes: informers.informer(resources.persistentVolumes), classes: informers.informer(resources.storageClasses) },
    plugins: schedulerPlugins, clock: systemClock, random: Math.random, log: silentLog,
  });
  const signal = AbortSignal.timeout(limitMs);
  let bound = 0;
  const done = Promise.withResolvers<undefined>();
  all.subscribe(({ object, old }) => { if (isMeasured(object) && object?.spec?.nodeName && !old?.spec?.nodeName && ++bound === load.pods) done.resolve(undefined); });
  signal.addEventListener('abort', () => { done.reject(new Error(`${String(bound)} of ${String(load.pods)} pods were bound in time`)); }, { once: true });
  void informers.start(signal);
  void scheduler.start(signal);
  while (!pods.isWatched) await sleep(10);
  return async () => { pods.letIn(); await done.promise; };
}

async function prepareBindings(client: ApiClient, load: Load): Promise<() => Promise<void>> {
  const { items } = await client.list<Pod>(resources.pods, 'default', { labelSelector: 'load=measured' });
  return () => makeAll(items.length, (i) => client.bind('default', items[i]?.metadata?.name ?? '', items[i]?.metadata?.uid ?? '', `node-${String(i % load.nodes)}`));
}

/** Pods that are there before the others come. */
async function placeFirst(client: ApiClient, { shape, nodes }: Load): Promise<void> {
  const [count, make]: [number, (i: number) => Pod] = shape === 'preemption' ? [nodes * 4, (i) => lowOf(i, nodes)] : [Math.min(nodes, 1000), (i) => firstOf(shape, i, nodes)];
  await makeAll(count, (i) => client.create(resources.pods, make(i)));
}

async function makeAll(count: number, make: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  await Promise.all(Array.from({ length: parallel }, async () => {
    for (let i = next++; i < count; i = next++) await make(i);
  }));
}

/** Nobody here takes off the taint that a new node begins with. */
async function makeNode(client: ApiClient, node: Node): Promise<void> {
  const { spec: _tainted, ...made } = await client.create(resources.nodes, node);
  const untainted = await client.update(resources.nodes, { ...made, spec: {} });
  await client.update(resources.nodes, { ...untainted, status: node.status }, 'status');
}

function nodeOf(i: number): Node {
  const name = `node-${String(i)}`;
  const capacity = { cpu: '4', memory: '32Gi', pods: '110', 'ephemeral-storage': '100Gi' };
  return {
    metadata: { name, labels: { 'kubernetes.io/hostname': name, 'kubernetes.io/arch': 'amd64', 'kubernetes.io/os': 'linux', 'topology.kubernetes.io/zone': `zone-${String(i % zones)}` } },
    status: { capacity, allocatable: capacity, conditions: [{ type: 'Ready', status: 'True' }] },
  };
}

function makePod(name: string, labels: Record<string, string>, requests: Record<string, string>, spec: Partial<PodSpec>): Pod {
  return {
    metadata: { name, namespace: 'default', labels },
    spec: { containers: [{ name: 'pause', image: 'registry.local/pause:3.9', ports: [{ containerPort: 80 }], resources: { requests } }], ...spec },
  };
}

const asked = { cpu: '10m', memory: '50Mi' };
const blue = { matchLabels: { color: 'blue' } };

function podOf({ shape }: Load, i: number): Pod {
  const name = `pod-${String(i)}`;
  const labels = { load: 'measured', color: 'blue' };
  const apart = { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'kubernetes.io/hostname', labelSelector: blue }] };
  switch (shape) {
    case 'basic': return makePod(name, labels, asked, {});
    case 'pod affinity': return makePod(name, labels, asked, { affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'topology.kubernetes.io/zone', labelSelector: blue }] } } });
    case 'pod anti-affinity': return makePod(name, labels, asked, { affinity: { podAntiAffinity: apart } });
    case 'topology spread': return makePod(name, labels, asked, { topologySpreadConstraints: [{ maxSkew: 5, topologyKey: 'topology.kubernetes.io/zone', whenUnsatisfiable: 'DoNotSchedule', labelSelector: blue }] });
    case 'preemption': return makePod(name, labels, { cpu: '3', memory: '500Mi' }, { priorityClassName: 'system-cluster-critical' });
  }
}

/** One on every node, of the same kind; with anti-affinity they would leave no room. */
function firstOf(shape: Shape, i: number, nodes: number): Pod {
  const color = shape === 'pod affinity' || shape === 'topology spread' ? 'blue' : 'green';
  return makePod(`first-${String(i)}`, { color }, asked, { nodeName: `node-${String(i % nodes)}` });
}

/** Four fill a node; one of high priority takes the room of three. */
function lowOf(i: number, nodes: number): Pod {
  return makePod(`low-${String(i)}`, { color: 'green' }, { cpu: '900m', memory: '500Mi' }, { nodeName: `node-${String(i % nodes)}`, terminationGracePeriodSeconds: 0 });
}

if (process.argv[2] === 'serve' && process.argv[1] === import.meta.filename) {
  await serve(process.argv[3] ?? '');
  // Until it is killed: what it holds may be asked for.
  await sleep(limitMs);
}

import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Node, Pod } from '#api/gen/types.ts';
import { ManualClock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { silentLog } from '#common/log.ts';
import { propertyRuns } from '#test/support/chaos.ts';
import { schedulerPlugins } from './registry.ts';
import { defaultSchedulerConfig, Scheduler } from './scheduler.ts';
import { fakeApi, FakeInformer, node, pod, type FakeApi } from './testing.ts';

/**
 * A cluster that changes at random while bindings fail, answers get lost, the informer lags and pods take their time
 * to go, under a simulated clock. At every step: no node over-committed, no host port twice, no two pods on a node
 * that are to be apart; nothing was pushed out by what is not more important. In the end: a pod waits only if no node
 * could take it, not even without what is less important.
 */
type Step =
  | { readonly do: 'add-pod'; readonly pod: number; readonly cpu: number; readonly port: number | undefined; readonly tolerates: boolean; readonly priority: number; readonly apart: boolean; readonly polite: boolean }
  | { readonly do: 'delete-pod' | 'finish-pod'; readonly pod: number }
  | { readonly do: 'set-node'; readonly node: number; readonly tainted: boolean; readonly cordoned: boolean }
  | { readonly do: 'delete-node'; readonly node: number }
  | { readonly do: 'bindings'; readonly mode: 'ok' | 'refused' | 'answer-lost'; readonly delayMs: number }
  | { readonly do: 'lag'; readonly ms: number }
  | { readonly do: 'wait'; readonly ms: number };

const podNumber = fc.integer({ min: 0, max: 15 });
const nodeNumber = fc.integer({ min: 0, max: 3 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('add-pod' as const), pod: podNumber, cpu: fc.integer({ min: 0, max: 3 }), port: fc.constantFrom(undefined, undefined, 80, 81), tolerates: fc.boolean(), priority: fc.integer({ min: 0, max: 2 }), apart: fc.boolean(), polite: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('delete-pod' as const, 'finish-pod' as const), pod: podNumber }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('set-node' as const), node: nodeNumber, tainted: fc.boolean(), cordoned: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('delete-node' as const), node: nodeNumber }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('bindings' as const), mode: fc.constantFrom('ok' as const, 'refused' as const, 'answer-lost' as const), delayMs: fc.constantFrom(0, 300) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('lag' as const), ms: fc.constantFrom(0, 50, 2000) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(0, 100, 1500, 12_000) }) },
);

const taint = { key: 'k', value: 'v', effect: 'NoSchedule' };
const cpuOf = (number: number): number => number + 1;

class Simulation {
  readonly clock = new ManualClock();
  /** What the API holds; the scheduler's informer follows with a lag. */
  readonly truth = new FakeInformer<Pod>();
  readonly nodes = new FakeInformer<Node>();
  readonly #view = new FakeInformer<Pod>();
  readonly #abort = new AbortController();
  readonly #running: Promise<void>;
  #lagMs = 0;
  #lastShownMs = 0;
  /** Priorities by uid, of all pods that there ever were. */
  readonly priorities = new Map<string, number>();
  readonly api: FakeApi;
  #mode: 'ok' | 'refused' | 'answer-lost' = 'ok';
  #delayMs = 0;
  #uid = 0;

  constructor(random: () => number) {
    this.truth.subscribe((change) => { this.#showLater(change); });
    this.truth.subscribe(({ object, old }) => { if (object?.metadata?.deletionTimestamp && !old?.metadata?.deletionTimestamp) this.#goLater(object); });
    const api = fakeApi(this.truth, async () => {
      if (this.#delayMs > 0) await this.clock.sleep(this.#delayMs, this.#abort.signal);
      if (this.#mode === 'refused') throw new StatusError('ServiceUnavailable', 'refused');
    });
    this.api = api;
    const scheduler = new Scheduler({
      api: {
        ...api,
        bind: async (...args) => {
          await api.bind(...args);
          if (this.#mode === 'answer-lost') throw new StatusError('Timeout', 'no answer');
        },
      },
      events: api, pods: this.#view, nodes: this.nodes, namespaces: { get: () => undefined },
      plugins: schedulerPlugins, clock: this.clock, random, log: silentLog,
      // Nobody is tried again just because time has passed: what helps must have been seen to help.
    }, { ...defaultSchedulerConfig, queue: { ...defaultSchedulerConfig.queue, flushAfterMs: 1e9 } });
    this.#running = scheduler.start(this.#abort.signal);
  }

  /** Changes are shown in their order, whatever the lag. */
  #showLater({ object, old }: { object: Pod | undefined; old: Pod | undefined }): void {
    this.#lastShownMs = Math.max(this.#lastShownMs, this.clock.now() + this.#lagMs);
    this.clock.after(this.#lastShownMs - this.clock.now(), () => {
      if (object) this.#view.set(object);
      else if (old) this.#view.delete(old);
    });
  }

  /** Its containers end when they have ended. */
  #goLater(going: Pod): void {
    this.clock.after(this.#lagMs + 500, () => {
      const now = this.truth.get('default', going.metadata?.name ?? '');
      if (now?.metadata?.uid === going.metadata?.uid) this.truth.delete(going);
    });
  }

  async do(action: Step): Promise<void> {
    switch (action.do) {
      case 'add-pod': this.#addPod(action); break;
      case 'delete-pod': this.#withPod(action.pod, (found) => { this.truth.delete(found); }); break;
      case 'finish-pod': this.#withPod(action.pod, (found) => { this.truth.set({ ...found, status: { phase: 'Succeeded' } }); }); break;
      case 'set-node': this.nodes.set(node(`n${String(action.node)}`, {
        allocatable: { cpu: String(cpuOf(action.node)), pods: '4' }, unschedulable: action.cordoned, taints: action.tainted ? [taint] : [],
      })); break;
      case 'delete-node': this.nodes.delete(node(`n${String(action.node)}`)); break;
      case 'bindings': this.#mode = action.mode; this.#delayMs = action.delayMs; break;
      case 'lag': this.#lagMs = action.ms; break;
      case 'wait': await this.clock.advance(action.ms); break;
    }
  }

  async end(): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }

  #addPod({ pod: number, cpu, port, tolerates, priority, apart, polite }: Step & { do: 'add-pod' }): void {
    const name = `p${String(number)}`;
    if (this.truth.get('default', name)) return;
    this.priorities.set(String(this.#uid), priority);
    const affinity = { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app: String(number % 3) } } }] } };
    this.truth.set(pod({
      name, uid: String(this.#uid++), requests: { cpu: String(cpu) }, owner: `rs${String(number % 3)}`, labels: { app: String(number % 3) },
      spec: { priority, ...(apart && { affinity }), ...(polite && { preemptionPolicy: 'Never' }), ...(tolerates && { tolerations: [{ operator: 'Exists' }] }) },
      ...(port !== undefined && { hostPort: port }),
    }));
  }

  #withPod(number: number, work: (pod: Pod) => void): void {
    const found = this.truth.get('default', `p${String(number)}`);
    if (found) work(found);
  }

  active(): Pod[] {
    return this.truth.list().filter((item) => item.status?.phase !== 'Succeeded');
  }
}

function use(pods: readonly Pod[]): { cpu: number; pods: number; ports: number[] } {
  return {
    cpu: pods.reduce((sum, item) => sum + Number(item.spec?.containers[0]?.resources?.requests?.cpu ?? 0), 0),
    pods: pods.length,
    ports: pods.flatMap((item) => item.spec?.containers[0]?.ports?.map((port) => port.hostPort ?? 0) ?? []),
  };
}

function fits(pods: readonly Pod[], on: Node): boolean {
  const { cpu, pods: count, ports } = use(pods);
  const clash = pods.some((one) => one.spec?.affinity !== undefined && pods.some((other) => other !== one && other.metadata?.labels?.['app'] === one.metadata?.labels?.['app']));
  return !clash && cpu <= Number(on.status?.allocatable?.cpu) && count <= Number(on.status?.allocatable?.pods) && new Set(ports).size === ports.length;
}

function allows(candidate: Pod, on: Node): boolean {
  const tolerated = (candidate.spec?.tolerations?.length ?? 0) > 0;
  return tolerated || (!on.spec?.unschedulable && (on.spec?.taints?.length ?? 0) === 0);
}

function podsOn(simulation: Simulation, name: string): Pod[] {
  return simulation.active().filter((item) => item.spec?.nodeName === name);
}

/** `Preempted by pod UID on node NAME` is told of the pod that goes. */
function expectFairPreemptions({ api, priorities }: Simulation): void {
  for (const { uid, message } of api.recorded.filter(({ reason }) => reason === 'Preempted')) {
    const [, by = ''] = /^Preempted by pod (\S+)/.exec(message) ?? [];
    expect(priorities.get(uid), `${uid} went for ${by}`).toBeLessThan(priorities.get(by) ?? -1);
  }
}

function expectNoOvercommit(simulation: Simulation): void {
  for (const item of simulation.nodes.list()) {
    const name = item.metadata?.name ?? '';
    expect(fits(podsOn(simulation, name), item), `${name} is over-committed`).toBe(true);
  }
}

test('never over-commits, and a pod waits only if nothing could take it', async () => {
  await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 80, size: 'max' }), fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })), async (steps, random) => {
    const simulation = new Simulation(() => random.next().value ?? 0);
    try {
      for (const action of steps) {
        await simulation.do(action);
        expectNoOvercommit(simulation);
        expectFairPreemptions(simulation);
      }
      await simulation.do({ do: 'bindings', mode: 'ok', delayMs: 0 });
      await simulation.do({ do: 'lag', ms: 0 });
      await simulation.clock.advance(400_000);
      expectNoOvercommit(simulation);
      expectFairPreemptions(simulation);
      for (const waiting of simulation.active().filter((item) => !item.spec?.nodeName)) {
        const priority = waiting.spec?.preemptionPolicy === 'Never' ? -1 : waiting.spec?.priority ?? 0;
        const stays = (other: Pod): boolean => (other.spec?.priority ?? 0) >= priority;
        const possible = simulation.nodes.list().filter((item) => allows(waiting, item) && fits([...podsOn(simulation, item.metadata?.name ?? '').filter(stays), waiting], item));
        expect(possible.map((item) => item.metadata?.name), `${String(waiting.metadata?.name)} waits in vain`).toEqual([]);
      }
    } finally {
      await simulation.end();
    }
  }), propertyRuns(150));
}, 300_000);

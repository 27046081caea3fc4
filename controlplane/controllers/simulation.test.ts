import { describe, expect, it } from 'vitest';
import type { Deployment, Pod, ReplicaSet, Service } from '#api/gen/types.ts';
import { deployments, endpoints, endpointSlices, pods, replicaSets, services, type Resource } from '#api/kinds/resources.ts';
import { getCondition } from '#api/meta/conditions.ts';
import { ManualClock } from '#common/clock.ts';
import { rfc3339 } from '#common/time.ts';
import { isStatus } from '#common/errors.ts';
import { silentLog } from '#common/log.ts';
import { generator, mortal, seeds } from '#test/support/chaos.ts';
import { FakeApi, FakeInformers } from '#test/support/fake-api.ts';
import { controllerOf } from './owner-refs.ts';
import { isActive, isReady } from './pod-state.ts';
import { isSettling, limitsOf, specReplicas } from './deployment/limits.ts';
import { ControllerManager } from './manager.ts';
import { omitZero } from './omit-zero.ts';
import { controllers } from './registry.ts';

interface Chaos { readonly podDeaths: boolean; readonly strategy: 'RollingUpdate' | 'Recreate' }

class Simulation {
  readonly clock = new ManualClock();
  readonly random: () => number;
  readonly api: FakeApi;
  readonly #chaos: Chaos;
  readonly #held: (() => void)[] = [];
  #calm = false;
  #abort = new AbortController();
  #informers!: FakeInformers;
  #template = 0;
  /** Loosest bounds since the deployment last was what its spec asks for. */
  #most = 0;
  #least = 0;
  #userDeletes = false;
  readonly problems: string[] = [];

  constructor(seed: number, chaos: Chaos) {
    this.random = generator(seed);
    this.#chaos = chaos;
    this.api = new FakeApi({ clock: this.clock, latency: () => this.#latency() });
    this.api.listen(pods, () => { this.#checkPods(); });
    this.api.listen(deployments, () => { this.#noteBounds(); });
    if (process.env['TRACE'] !== undefined) this.#trace();
  }

  /** Prints every write, for a seed that failed. */
  #trace(): void {
    const line = (text: string): void => { process.stdout.write(`${String(this.clock.now() % 1e6)} ${text}\n`); };
    this.api.listen(deployments, (key, d) => { const { spec, status } = (d ?? {}) as Deployment; line(`deployment ${key} replicas=${String(spec?.replicas)} paused=${String(spec?.paused)} image=${String(spec?.template.spec?.containers[0]?.image)} ${JSON.stringify(spec?.strategy?.rollingUpdate)} status=${JSON.stringify({ ...status, conditions: status?.conditions?.map((c) => `${c.type}=${c.status}/${c.reason ?? ''}`) })}`); });
    this.api.listen(replicaSets, (key, set) => { const { spec, status, metadata } = (set ?? {}) as ReplicaSet; line(`replicaset ${key} gen=${String(metadata?.generation)} replicas=${String(spec?.replicas)} status=${JSON.stringify(status)}`); });
    this.api.listen(pods, (key, pod) => { line(`pod ${key} ${pod ? `${String((pod as Pod).status?.phase)} ready=${String(isReady(pod as Pod))} deleting=${String(pod.metadata?.deletionTimestamp !== undefined)}` : 'gone'}   active=${String(this.#activePods().length)}/${String(this.#most)} available=${String(this.#available())}/${String(this.#least)}`); });
  }

  /** Requests take as long as it takes until a later step lets them go. */
  #latency(): Promise<void> {
    return this.#calm || this.random() < 0.5 ? Promise.resolve() : new Promise((resolve) => { this.#held.push(resolve); });
  }

  int(limit: number): number { return Math.floor(this.random() * limit); }

  start(): void {
    const abort = new AbortController();
    this.#abort = abort;
    this.#informers = new FakeInformers(this.api, { lag: true });
    const used = { deployment: controllers['deployment']!, replicaset: controllers['replicaset']!, 'endpoint-slice': controllers['endpoint-slice']!, endpoints: controllers['endpoints']!, 'garbage-collector': controllers['garbage-collector']! };
    const manager = new ControllerManager(
      { informers: this.#informers, client: mortal(this.api, () => !abort.signal.aborted), recorder: () => this.api.events, clock: this.clock, log: silentLog, random: this.random, controllers: used },
      { podCidr: '10.42.0.0/16', nodeCidrMaskSize: 24, nodeMonitorGracePeriodMs: 40_000, burstReplicas: 500, rootCa: '', resources: [deployments, replicaSets, pods, services, endpointSlices, endpoints] },
    );
    void manager.start(abort.signal);
  }

  /** Kills the control plane. What it had sent was either carried out or is lost; nothing of it comes later. */
  async stop(): Promise<void> {
    this.#abort.abort(new Error('killed'));
    for (const release of this.#held.splice(0)) if (this.random() < 0.5) release();
    await this.clock.advance(0);
    this.#held.splice(0).forEach((release) => { release(); });
    this.#informers.close();
  }

  deployment(): Deployment { return this.api.all(deployments)[0]!; }

  async setUp(): Promise<void> {
    this.#calm = true;
    const service: Service = { metadata: { name: 'web', namespace: 'default' }, spec: { selector: { app: 'web' }, clusterIP: '10.43.0.1', ports: [{ port: 80, protocol: 'TCP', targetPort: 8080 }] } };
    await this.api.create(services, service);
    await this.api.create<Deployment>(deployments, {
      metadata: { name: 'web', namespace: 'default' },
      spec: {
        replicas: 4, selector: { matchLabels: { app: 'web' } }, progressDeadlineSeconds: 600, revisionHistoryLimit: 2, minReadySeconds: this.int(2) * 3,
        strategy: this.#chaos.strategy === 'Recreate' ? { type: 'Recreate' } : { type: 'RollingUpdate', rollingUpdate: { maxSurge: ['25%', 1, 2, 0][this.int(4)]!, maxUnavailable: ['25%', 0, 1][this.int(3)]! } },
        template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'web', image: 'web:0' }] } },
      },
    });
    this.#calm = false;
  }

  #activePods(): Pod[] { return this.api.all(pods).filter(isActive); }

  #noteBounds(): void {
    const deployment = this.api.all(deployments)[0];
    if (!deployment) return;
    const { maxSurge, maxUnavailable } = limitsOf(deployment);
    const [most, least] = [specReplicas(deployment) + maxSurge, specReplicas(deployment) - maxUnavailable];
    const settled = deployment.status?.observedGeneration === deployment.metadata?.generation && getCondition(deployment.status?.conditions, 'Progressing')?.reason === 'NewReplicaSetAvailable'
      && !this.api.all(replicaSets).some(isSettling) && this.#activePods().length === specReplicas(deployment) && this.#available() === specReplicas(deployment);
    this.#most = settled ? most : Math.max(this.#most, most);
    // The minimum counts once it was reached; a smaller one that was asked for in between may still be carried out.
    this.#least = settled ? least : Math.min(this.#least, least);
  }

  #available(): number { return this.#activePods().filter(isReady).length; }

  #checkPods(): void {
    const active = this.#activePods();
    if (active.length > this.#most) this.problems.push(`${String(active.length)} pods, at most ${String(this.#most)} allowed`);
    const strict = !this.#chaos.podDeaths && this.#chaos.strategy === 'RollingUpdate' && !this.#userDeletes;
    if (strict && this.#available() < this.#least) this.problems.push(`${String(this.#available())} available, at least ${String(this.#least)} wanted`);
    const hashes = new Set(this.api.all(pods).filter((pod) => pod.status?.phase !== 'Failed').map((pod) => pod.metadata?.labels?.['pod-template-hash']));
    if (this.#chaos.strategy === 'Recreate' && hashes.size > 1) this.problems.push('two versions run side by side');
  }

  async #try(work: () => Promise<unknown>): Promise<void> {
    const calm = this.#calm;
    this.#calm = true;
    try { await work(); } catch (error) { if (!isStatus(error)) throw error; } finally { this.#calm = calm; }
  }

  async change(edit: (spec: NonNullable<Deployment['spec']>) => NonNullable<Deployment['spec']>): Promise<void> {
    const { metadata, spec } = this.deployment();
    await this.#try(() => this.api.update(deployments, { metadata: { ...metadata, resourceVersion: undefined }, spec: edit(spec!) }));
  }

  /** What a node would do with one of its pods. */
  async kubelet(pod: Pod, harm: boolean): Promise<void> {
    const name = pod.metadata!.name!;
    if (pod.metadata?.deletionTimestamp) return this.#try(() => this.api.delete(pods, 'default', name, { gracePeriodSeconds: 0 }));
    if (!pod.spec?.nodeName) return this.#try(() => this.api.bind('default', name, pod.metadata!.uid!, `node-${String(this.int(2))}`));
    if (pod.status?.phase === 'Failed') return undefined;
    const dies = harm && this.random() < 0.2;
    if (isReady(pod) && !dies) return undefined;
    const conditions = [{ type: 'Ready', status: dies ? 'False' : 'True', lastTransitionTime: rfc3339(this.clock.now()) }];
    const ip = `10.42.0.${pod.metadata!.uid!.slice(4)}`;
    return this.#try(() => this.api.update(pods, { ...pod, status: { phase: dies && this.random() < 0.5 ? 'Failed' : 'Running', podIP: ip, podIPs: [{ ip }], conditions } }, 'status'));
  }

  async #userStep(): Promise<void> {
    const dice = this.int(10);
    if (dice < 3) await this.change((spec) => ({ ...spec, replicas: this.int(9) }));
    else if (dice < 7) await this.setTemplate(this.random() < 0.5 ? ++this.#template : this.int(this.#template + 1));
    else if (dice === 7) await this.change((spec) => ({ ...spec, paused: spec.paused !== true }));
    else if (dice === 8 && this.#chaos.podDeaths) {
      const victim = this.#activePods()[0];
      if (victim) await this.#try(() => this.api.delete(pods, 'default', victim.metadata!.name!));
    }
  }

  async setTemplate(version: number): Promise<void> {
    await this.change((spec) => ({ ...spec, template: { ...spec.template, spec: { containers: [{ name: 'web', image: `web:${String(version)}` }] } } }));
  }

  async step(): Promise<void> {
    const dice = this.random();
    const behind = this.#informers.behind;
    if (dice < 0.45 && behind.length > 0) this.#informers.deliver(behind[this.int(behind.length)]!, 1 + this.int(4));
    else if (dice < 0.6) this.#held.splice(this.int(this.#held.length), 1 + this.int(3)).forEach((release) => { release(); });
    else if (dice < 0.85) {
      const all = this.api.all(pods);
      if (all.length > 0) await this.kubelet(all[this.int(all.length)]!, this.#chaos.podDeaths);
    } else if (dice < 0.89) await this.#userStep();
    else if (dice < 0.9) { await this.stop(); this.start(); }
    await this.clock.advance(this.int(4) === 0 ? 1000 : 3);
  }

  /** Nobody asks for anything and nothing fails any more: runs until nothing changes. */
  async settle(): Promise<void> {
    this.#calm = true;
    await this.change((spec) => ({ ...spec, paused: false }));
    for (let round = 0, quiet = 0; quiet < 3 && round < 500; round++) {
      const before = this.api.revision;
      this.#held.splice(0).forEach((release) => { release(); });
      for (const pod of this.api.all(pods)) await this.kubelet(pod, false);
      for (const name of this.#informers.behind) this.#informers.deliver(name, 1000);
      await this.clock.advance(5000);
      quiet = this.api.revision === before && this.#held.length === 0 ? quiet + 1 : 0;
    }
  }
}

function ownedBy<T extends ReplicaSet | Pod>(api: FakeApi, objects: readonly T[], owner: Resource): boolean {
  const uids = new Set(api.all(owner).map((object) => object.metadata?.uid));
  return objects.every((object) => uids.has(controllerOf(object)?.uid));
}

function checkSettled({ api, deployment }: { api: FakeApi; deployment: Deployment }): void {
  const wanted = specReplicas(deployment);
  const active = api.all(pods).filter(isActive);
  const image = deployment.spec!.template.spec!.containers[0]!.image;
  expect(active.map((pod) => pod.spec!.containers[0]!.image)).toEqual(Array.from({ length: wanted }, () => image));
  expect(ownedBy(api, api.all(pods), replicaSets)).toBe(true);
  expect(ownedBy(api, api.all(replicaSets), deployments)).toBe(true);
  expect(api.all(replicaSets).length).toBeLessThanOrEqual(3);
  const { conditions: _, ...status } = deployment.status!;
  const counts = Object.fromEntries(['replicas', 'updatedReplicas', 'readyReplicas', 'availableReplicas'].map((name) => [name, omitZero(wanted)]));
  expect(status).toEqual({ ...counts, observedGeneration: deployment.metadata!.generation });
  expect(getCondition(deployment.status!.conditions, 'Progressing')?.reason).toBe('NewReplicaSetAvailable');
  const newest = api.all(replicaSets).find((set) => specReplicas(set) > 0);
  if (newest) expect(deployment.metadata!.annotations!['deployment.kubernetes.io/revision']).toBe(newest.metadata!.annotations!['deployment.kubernetes.io/revision']);
  const ips = active.map((pod) => pod.status!.podIP!).sort();
  const slices = api.all(endpointSlices);
  expect(slices.flatMap((slice) => (slice.endpoints ?? []).flatMap((endpoint) => endpoint.addresses)).sort()).toEqual(ips);
  expect(slices.length).toBe(1);
  expect((api.all(endpoints)[0]?.subsets ?? []).flatMap((subset) => (subset.addresses ?? []).map((address) => address.ip)).sort()).toEqual(ips);
}

async function simulate(seed: number, chaos: Chaos, steps: number): Promise<void> {
  const simulation = new Simulation(seed, chaos);
  await simulation.setUp();
  simulation.start();
  for (let i = 0; i < steps && simulation.problems.length === 0; i++) await simulation.step();
  if (simulation.problems.length === 0) await simulation.settle();
  await simulation.stop();
  expect(simulation.problems).toEqual([]);
  checkSettled({ api: simulation.api, deployment: simulation.deployment() });
}

describe('deployment, replicaset and endpoints under chaos', () => {
  const tried = seeds(8);
  // Seed 500418: scaled down in the middle of a rollout whose new pods were not ready yet.
  it.each([...tried, 500418])('rolls out as asked (SEED=%i)', (seed) => simulate(seed, { podDeaths: false, strategy: 'RollingUpdate' }, 400), 30_000);
  it.each(tried)('survives dying pods (SEED=%i)', (seed) => simulate(seed, { podDeaths: true, strategy: 'RollingUpdate' }, 400), 30_000);
  // Seed 234162: paused after Recreate had taken all pods of the newest version away, while they were still ending.
  it.each([...tried, 234162])('recreates (SEED=%i)', (seed) => simulate(seed, { podDeaths: true, strategy: 'Recreate' }, 300), 30_000);
});

import type { Deployment, HorizontalPodAutoscaler, Job, Node, PersistentVolume, PersistentVolumeClaim, Pod, PodDisruptionBudget, StatefulSet } from '#api/gen/types.ts';
import { cronJobs, daemonSets, deployments, horizontalPodAutoscalers, jobs, namespaces, nodes, persistentVolumeClaims, persistentVolumes, podDisruptionBudgets, pods, replicaSets, replicationControllers, resourceQuotas, serviceAccounts, statefulSets, type Resource } from '#api/kinds/resources.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { isStatus } from '#common/errors.ts';
import { controllerOf, isControlledBy } from '#controlplane/controllers/owner-refs.ts';
import { isActive, isReady } from '#controlplane/controllers/pod-state.ts';
import { matchesTerm } from '#api/pod-spec/node-selector.ts';
import { SimulatedControlPlane } from './control-plane.ts';
import { Demand, memoryMs } from './demand.ts';
import { SimulatedHost } from './host.ts';
import { Invariants, isFinished, targetOf } from './invariants.ts';
import { Truth } from './truth.ts';
import { guarded, imageOf, wishes, type Wish } from './wishes.ts';

const hostFacts = { a: 'arm64', b: 'arm64', c: 'amd64', d: 'amd64' };
const rolled: readonly Resource[] = [deployments, statefulSets, daemonSets];
const scaled: readonly Resource[] = [deployments, statefulSets, replicaSets, replicationControllers];
const propagation = ['Background', 'Foreground', 'Orphan'] as const;

/**
 * One history of a cluster: users change their minds, hosts get lost and come back, the control plane is killed, agents
 * are slow. `gentle`: nothing is taken away, so that nothing has a reason not to be available.
 */
export class Workloads {
  readonly plane: SimulatedControlPlane;
  readonly hosts: SimulatedHost[];
  readonly #gentle: boolean;
  readonly #truth: Truth;
  readonly #invariants: Invariants;
  readonly #demand: Demand;
  readonly #wishes: readonly Wish[];
  #isDoomed = false;

  private constructor(plane: SimulatedControlPlane, gentle: boolean) {
    this.plane = plane;
    this.#gentle = gentle;
    this.#wishes = wishes(plane);
    this.#invariants = new Invariants(() => this.#truth, gentle);
    this.#truth = new Truth(plane.store, (change) => { this.#invariants.written(change); });
    plane.onBinding = (pod, node) => { this.#invariants.binding(pod, node); };
    const program = (): { forMs: number; succeeds: boolean } => ({ forMs: 1000 + plane.int(40_000), succeeds: plane.int(4) > 0 });
    const deps = { random: plane.random, nowMs: () => plane.clock.uptime(), killed: () => undefined, program };
    this.#demand = new Demand({ nowMs: () => plane.clock.now(), hosts: () => this.hosts, autoscalerOf: (target) => plane.known(horizontalPodAutoscalers, 'default', target), problem: (text) => { this.#invariants.problems.push(text); } });
    plane.measured = (scales) => this.#demand.autoscaling(scales);
    this.hosts = Object.entries(hostFacts).map(([name, arch]) => new SimulatedHost(name, deps, { labels: { 'kubernetes.io/arch': arch }, capacity: { cpu: gentle ? '4' : '1300m', memory: '8Gi', pods: '110' } }));
  }

  static async make(seed: number, gentle: boolean): Promise<Workloads> {
    return new Workloads(await SimulatedControlPlane.make(seed), gentle);
  }

  get problems(): readonly string[] { return this.#invariants.problems; }

  /** A history, until all is as asked for, and quiet. Returns what is not as it should be. */
  async run(events: number): Promise<string[]> {
    const { plane } = this;
    await plane.start();
    await this.#makeAll();
    await this.#live(60_000);
    for (let i = 0; i < events && this.problems.length === 0; i++) {
      if (plane.int(12) === 0) { await plane.stop(); this.#demand.forget(); await plane.start(); }
      if (!this.#gentle && plane.int(3) === 0) this.#trouble();
      await this.#tries(() => this.#user());
      await this.#live(plane.one([300, 2000, 5000, 20_000, 60_000]));
      for (const host of this.hosts) if (plane.int(3) === 0) mend(host);
    }
    await this.#settle();
    const faults = this.problems.length > 0 ? [...this.problems] : this.#faults();
    await plane.stop();
    this.#truth.close();
    return faults;
  }

  async #makeAll(): Promise<void> {
    for (const { resource, object } of this.#wishes) {
      const { namespace, name = '' } = object.metadata ?? {};
      if ((this.#isDoomed && (namespace ?? name) === 'doomed') || this.#truth.find(resource, namespace, name)) continue;
      // As `kubectl` would say: the account of a new namespace is not there yet, try again.
      if (namespace !== undefined && resource.plural !== 'resourcequotas') for (let i = 0; i < 100 && !this.#truth.find(serviceAccounts, namespace, 'default'); i++) await this.#live(1000);
      await this.#tries(() => this.plane.api.create(resource, object));
    }
  }

  /** A user's request may be refused. */
  async #tries(work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!isStatus(error)) throw error;
    }
    await this.plane.quiet();
  }

  async #live(ms: number): Promise<void> {
    const { plane } = this;
    for (let left = ms; left > 0 && this.problems.length === 0; left -= 1000) {
      for (let i = plane.int(12); i > 0; i--) plane.pass();
      // Nothing takes so long that a host is thought lost for it.
      if (this.#gentle && plane.int(8) === 0) plane.flush();
      await plane.quiet();
      await plane.clock.advance(Math.min(1000, left));
      this.#lookAtHosts();
      await this.#demandChanges();
      await plane.quiet();
    }
  }

  #lookAtHosts(): void {
    for (const host of this.hosts) {
      if (host.dials) this.plane.dial(host);
      host.exchange(this.plane.int(5));
      host.tick();
    }
    const copies = this.hosts.flatMap((host) => [...host.copies.values()].map(({ pod }) => ({ host: host.name, name: `${pod.metadata?.namespace ?? ''}/${pod.metadata?.name ?? ''}`, isOne: controllerOf(pod)?.kind === 'StatefulSet' })));
    for (const [name, list] of Map.groupBy(copies.filter(({ isOne }) => isOne), (copy) => copy.name)) if (list.length > 1) this.#invariants.problems.push(`${name} runs on ${list.map(({ host }) => host).join(' and ')}`);
  }

  #trouble(): void {
    const host = this.plane.one(this.hosts);
    switch (this.plane.int(4)) {
      case 0: host.online = false; break;
      case 1: host.powerOff(); break;
      case 2: host.restartAgent(); break;
      default: for (const other of this.hosts) if (this.plane.int(3) > 0) other.online = false;
    }
  }

  async #user(): Promise<unknown> {
    const { plane } = this;
    const dice = plane.int(this.#gentle ? 8 : 13);
    if (dice < 2) return this.#roll();
    if (dice < 4) return this.#scale();
    if (dice === 4) return this.#patch(deployments, () => ({ paused: plane.int(2) === 0 }));
    if (dice === 5) return plane.api.patch(resourceQuotas, 'limited', 'few', 'merge', { spec: { hard: { pods: String(3 + plane.int(5)) } } });
    if (dice === 6) return this.#doom();
    if (dice === 7) return this.#resizeRange();
    if (dice === 8) return this.#deletePod();
    if (dice === 9) return this.#evict('web');
    if (dice === 10) return this.#recreate();
    return plane.api.patch(nodes, undefined, plane.one(this.hosts).name, 'merge', { spec: plane.one<object>([{ unschedulable: true }, { unschedulable: false }, { taints: [{ key: 'mine', effect: plane.one(['NoSchedule', 'NoExecute']) }] }, { taints: [] }]) });
  }

  async #roll(): Promise<unknown> {
    const image = imageOf(this.plane.int(4));
    return this.#patch(this.plane.one(rolled), ({ spec }) => ({ template: { spec: { containers: spec?.template.spec?.containers.map((container) => ({ ...container, image })) } } }));
  }

  async #scale(): Promise<unknown> {
    return this.#patch(this.plane.one(scaled), () => ({ replicas: this.plane.int(6) }), (object) => controllerOf(object) === undefined && object.metadata?.name !== 'arm');
  }

  /** `arm` has room for one pod on each of two hosts, and is not scaled. */
  async #patch(resource: Resource, specOf: (object: Deployment) => object, chosen: (object: KubeObject) => boolean = () => true): Promise<unknown> {
    const found = this.#truth.all(resource).filter((object) => chosen(object) && !guarded.includes(object.metadata?.name ?? ''));
    if (found.length === 0) return undefined;
    const object = this.plane.one(found);
    return this.plane.api.patch(resource, object.metadata?.namespace, object.metadata?.name ?? '', 'merge', { spec: specOf(object as Deployment) });
  }

  async #resizeRange(): Promise<unknown> {
    const { plane } = this;
    const minReplicas = 1 + plane.int(2);
    return plane.api.patch(horizontalPodAutoscalers, 'default', plane.one(['calc', 'queue']), 'merge', { spec: { minReplicas, maxReplicas: minReplicas + plane.int(4) } });
  }

  /** More work comes in or less, nobody hears of it, or hosts are drained. */
  async #demandChanges(): Promise<void> {
    const { plane } = this;
    switch (plane.int(20)) {
      case 0: this.#demand.change({ cpuMillis: plane.int(200) }); break;
      case 1: this.#demand.change({ queueLength: plane.int(70) }); break;
      case 2: this.#demand.change({ isTold: plane.int(3) > 0 }); break;
      case 3: await this.#evict(plane.one(guarded)); break;
      default:
    }
  }

  async #doom(): Promise<unknown> {
    if (this.plane.int(4) > 0) return undefined;
    this.#isDoomed = true;
    return this.plane.api.delete(namespaces, undefined, 'doomed');
  }

  async #deletePod(): Promise<unknown> {
    const found = this.#truth.all<Pod>(pods).filter(isActive);
    if (found.length === 0) return undefined;
    const { namespace, name = '' } = this.plane.one(found).metadata ?? {};
    return this.plane.api.delete(pods, namespace, name);
  }

  /** Some at once, of which a budget may spare one. */
  async #evict(app: string): Promise<void> {
    const found = this.#truth.all<Pod>(pods).filter((pod) => isActive(pod) && pod.metadata?.labels?.['app'] === app);
    const chosen = found.filter(() => this.plane.int(2) === 0);
    await Promise.all(chosen.map(({ metadata }) => this.#tries(() => this.plane.evict(metadata?.namespace ?? '', metadata?.name ?? ''))));
  }

  /** Deletes what is to be there, one way or another; it is made again some time after. */
  async #recreate(): Promise<void> {
    const { resource, object } = this.plane.one(this.#wishes.filter((wish) => [...rolled, ...scaled, cronJobs].includes(wish.resource)));
    await this.#tries(() => this.plane.api.delete(resource, object.metadata?.namespace, object.metadata?.name ?? '', { propagationPolicy: this.plane.one(propagation) }));
    await this.#live(this.plane.one([1000, 10_000]));
    await this.#makeAll();
  }

  /** Users want nothing more, and everything is well: in the end all is as it was asked for. */
  async #settle(): Promise<void> {
    const { plane } = this;
    for (const host of this.hosts) mend(host);
    plane.calm();
    this.#demand.change({ isTold: true });
    await this.#doomForGood();
    await this.#tries(() => plane.api.patch(resourceQuotas, 'limited', 'few', 'merge', { spec: { hard: { pods: '20' } } }));
    for (const { metadata } of this.#truth.all<Node>(nodes)) await this.#tries(() => plane.api.patch(nodes, undefined, metadata?.name ?? '', 'merge', { spec: { unschedulable: false, taints: null } }));
    const quietRounds = 30 + Math.max(60, ...this.#truth.all<HorizontalPodAutoscaler>(horizontalPodAutoscalers).map((one) => memoryMs(one) / 1000));
    for (let round = 0, quiet = 0; quiet < quietRounds && round < 2500 && this.problems.length === 0; round++) {
      const before = this.#state();
      if (round % 60 === 0) await this.#unhold();
      plane.flush();
      await plane.quiet();
      await plane.clock.advance(1000);
      this.#lookAtHosts();
      await plane.quiet();
      // A Job whose pods have failed waits for longer and longer.
      const isIdle = before === this.#state() && this.#truth.all<Job>(jobs).every(isFinished);
      quiet = isIdle ? quiet + 1 : 0;
    }
  }

  async #doomForGood(): Promise<void> {
    if (this.#isDoomed) return;
    this.#isDoomed = true;
    await this.#tries(() => this.plane.api.delete(namespaces, undefined, 'doomed'));
  }

  async #unhold(): Promise<void> {
    await this.#makeAll();
    for (const { metadata, spec } of this.#truth.all<Deployment>(deployments)) if (spec?.paused === true) await this.#tries(() => this.plane.api.patch(deployments, metadata?.namespace, metadata?.name ?? '', 'merge', { spec: { paused: false } }));
    for (const { metadata } of this.#truth.all(cronJobs)) await this.#tries(() => this.plane.api.patch(cronJobs, metadata?.namespace, metadata?.name ?? '', 'merge', { spec: { suspend: true } }));
  }

  /** What people see: all but heartbeats. */
  #state(): string {
    return [pods, replicaSets, deployments, statefulSets, daemonSets, jobs, namespaces, nodes].map((resource) => this.#truth.all<KubeObject>(resource as Resource).map(({ metadata }) => metadata?.resourceVersion).join()).join(' ');
  }

  #faults(): string[] {
    return [...this.#wishes.flatMap((wish) => this.#wishFaults(wish)), ...this.#leftovers()];
  }

  #wishFaults({ resource, object: { metadata } }: Wish): string[] {
    const { namespace, name = '' } = metadata ?? {};
    if ((namespace ?? name) === 'doomed') return this.#truth.find(resource, namespace, name) ? [`${resource.kind} ${name} of the namespace doomed is there`] : [];
    const object = this.#truth.find(resource, namespace, name);
    if (!object) return [`${resource.kind} ${name} is missing`];
    if (resource === horizontalPodAutoscalers) return this.#autoscalerFaults(object as HorizontalPodAutoscaler);
    if (resource === podDisruptionBudgets) return this.#invariants.budgetFaults(object as PodDisruptionBudget);
    if (resource === jobs) return this.#jobFaults(object as Job);
    if (![...rolled, ...scaled].includes(resource)) return [];
    const { spec, status } = object as StatefulSet;
    // Those two take whatever pods there are; what their templates say is for new ones.
    const image = resource === replicaSets || resource === replicationControllers ? 'any' : spec?.template.spec?.containers[0]?.image ?? '';
    const own = resource === deployments ? this.#invariants.ownPods(object as Deployment) : this.#truth.all<Pod>(pods).filter((pod) => isControlledBy(pod, object.metadata?.uid));
    const called = (pod: Pod): string => (resource === statefulSets ? pod.metadata?.name ?? '' : resource === daemonSets ? targetOf(pod) : '');
    const is = own.map((pod) => `${called(pod)} ${image === 'any' ? image : pod.spec?.containers[0]?.image ?? ''} ${isActive(pod) && isReady(pod) && this.#runs(pod) ? 'runs' : JSON.stringify(pod.status)}`).sort();
    const names = resource === daemonSets ? this.hosts.map((host) => host.name) : Array.from({ length: spec?.replicas ?? 0 }, (_, i) => (resource === statefulSets ? `${name}-${String(i)}` : ''));
    const should = names.map((one) => `${one} ${image} runs`);
    const observed = status?.observedGeneration === object.metadata?.generation ? [] : [`${resource.kind} ${name}: its status is of generation ${String(status?.observedGeneration)}`];
    return is.join('; ') === should.join('; ') ? observed : [`${resource.kind} ${name}: [${is.join('; ')}] for [${should.join('; ')}]`];
  }

  #autoscalerFaults(autoscaler: HorizontalPodAutoscaler): string[] {
    const { kind, name } = autoscaler.spec.scaleTargetRef;
    const target = this.#truth.find<StatefulSet>(kind === 'Deployment' ? deployments as Resource : statefulSets, 'default', name);
    return [this.#demand.fault(autoscaler, target?.spec?.replicas ?? 0) ?? []].flat();
  }

  #jobFaults({ metadata, spec, status }: Job): string[] {
    const done = isFinished({ status }) && status?.succeeded === spec?.completions && (status?.uncountedTerminatedPods?.failed?.length ?? 0) === 0;
    return done ? [] : [`Job ${metadata?.name ?? ''}: ${JSON.stringify(status)}`];
  }

  /** The claim has a volume, and that is where the pod is. */
  #isAt({ metadata, spec }: Pod, claimName: string): boolean {
    const claim = this.#truth.find<PersistentVolumeClaim>(persistentVolumeClaims, metadata?.namespace, claimName);
    const volume = this.#truth.find<PersistentVolume>(persistentVolumes, undefined, claim?.spec?.volumeName ?? '');
    return claim?.status?.phase === 'Bound' && (volume?.spec?.nodeAffinity?.required?.nodeSelectorTerms ?? []).some((term) => matchesTerm(term, { name: spec?.nodeName ?? '', labels: this.#truth.find<Node>(nodes, undefined, spec?.nodeName ?? '')?.metadata?.labels ?? {} }));
  }

  #runs(pod: Pod): boolean {
    return this.hosts.some((host) => host.name === pod.spec?.nodeName && host.copies.has(pod.metadata?.uid ?? ''));
  }

  /** Objects without their owner, containers without their pod, what is left of a namespace, and quotas that count wrong. */
  #leftovers(): string[] {
    const entries = [...this.#truth.entries()].filter(([key]) => !key.startsWith('core/events/'));
    const uids = new Set(entries.map(([, { metadata }]) => metadata?.uid));
    const orphans = entries.filter(([, object]) => object.metadata?.ownerReferences?.some(({ uid }) => !uids.has(uid)) ?? false).map(([key]) => `${key} has lost its owner`);
    const left = entries.filter(([key]) => key.includes('/doomed/')).map(([key]) => `${key} is left`);
    const copies = this.hosts.flatMap((host) => [...host.copies.values()].filter(({ pod }) => this.#truth.find<Pod>(pods, pod.metadata?.namespace, pod.metadata?.name ?? '')?.metadata?.uid !== pod.metadata?.uid).map(({ pod }) => `${pod.metadata?.name ?? ''} runs on ${host.name} and is nobody's`));
    const used = this.#truth.find(resourceQuotas, 'limited', 'few')?.status?.used?.['pods'];
    const living = this.#truth.all<Pod>(pods).filter((pod) => pod.metadata?.namespace === 'limited' && pod.status?.phase !== 'Succeeded' && pod.status?.phase !== 'Failed').length;
    const open = this.#truth.all<Job>(jobs).filter((job) => controllerOf(job)?.name === 'tick' && !isFinished(job)).map(({ metadata }) => `job ${metadata?.name ?? ''} is not finished`);
    const strayed = this.#truth.all<Pod>(pods).flatMap((pod) => (pod.spec?.volumes ?? []).flatMap(({ persistentVolumeClaim: claim }) => (claim && !this.#isAt(pod, claim.claimName) ? [`${pod.metadata?.name ?? ''} is on ${pod.spec?.nodeName ?? ''}, and its volume is not`] : [])));
    return [...orphans, ...left, ...copies, ...open, ...strayed, ...(Number(used) === living ? [] : [`the quota counts ${String(used)} pods of ${String(living)}`])];
  }
}

function mend(host: SimulatedHost): void {
  host.online = true;
  host.powered = true;
}

import type { Pod } from '#api/gen/types.ts';
import { pods } from '#api/kinds/resources.ts';
import { keyOf } from '#api/meta/object.ts';
import { claimNamesOf } from '#api/volumes/binding.ts';
import type { Clock } from '#common/clock.ts';
import type { UsageParts } from '#common/container-details.ts';
import type { DiskUsage } from '#common/disk-usage.ts';
import { isAbort, TaskGroup, type Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import type { PodCsi } from '#agent/csi/types.ts';
import type { PodDevices } from '#agent/devices/types.ts';
import { ImagePuller } from '#agent/images/puller.ts';
import type { AgentCounts } from '#agent/metrics/counts.ts';
import type { RuntimeDriver } from '#agent/runtimes/types.ts';
import type { AgentEvents, Contact, Fencing, LogQuery, PodReport, PodReports, PodTokens, TunnelHandlers, UsageReport } from '#agent/session/types.ts';
import type { DesiredState, StateChange } from '#agent/state/types.ts';
import { allocatableOf } from './allocation/allocatable.ts';
import { NodeCapacity } from './allocation/capacity.ts';
import { Leases } from './leases.ts';
import { criticalPriority } from '#agent/node/policy.ts';
import { isCritical } from './eviction/rank.ts';
import { podsWithFiles, removeLeftovers } from './leftovers.ts';
import { Limit } from '#common/limit.ts';
import { PodLogs } from './logs/pod-logs.ts';
import { defaultRotation } from './logs/rotate.ts';
import { objectLookup } from './lookup.ts';
import { systemCheck } from './probes/checks.ts';
import { ProbeSchedule } from './probes/schedule.ts';
import type { Check } from './probes/types.ts';
import { podRecorder } from './recorder.ts';
import { ReportBoard } from './reports.ts';
import { groupByPod, orphan, signatureOf } from './snapshot.ts';
import { graceSecondsOf } from './spec/containers.ts';
import type { ObjectLookup } from './spec/env.ts';
import type { NodeFacts, PodManagerConfig, PodPresence, PodProtection } from './types.ts';
import { isOfFile } from './static/source.ts';
import { untilAnswered } from './until-answered.ts';
import { UsageMeter } from './usage.ts';
import { UserRanges } from './user-namespaces.ts';
import type { VolumeMeter } from './volumes/meter.ts';
import type { SecretVolumes } from './volumes/secret-volumes.ts';
import { PodWorker } from './worker.ts';

export interface PodManagerDeps {
  readonly state: DesiredState;
  readonly driver: RuntimeDriver;
  /** Brings images here; in the usual way when absent. */
  readonly images?: ImagePuller;
  readonly clock: Clock;
  readonly log: Log;
  readonly events: AgentEvents;
  readonly node: NodeFacts;
  /** Absent where no control plane can be asked, as in some tests. */
  readonly tokens?: PodTokens;
  /** Where volumes with Secrets are; absent where plain folders serve, as in tests without root. */
  readonly secretVolumes?: SecretVolumes;
  /** What pods of which there may be only one copy live by; absent in some tests. */
  readonly contact?: Contact;
  /** Absent where there are none, as in some tests. */
  readonly devices?: PodDevices;
  /** Absent where there are none, as in some tests. */
  readonly csi?: PodCsi;
  /** Absent where no policies are enforced, as in some tests. */
  readonly network?: PodProtection;
  /** How probes look; the system's way when absent. */
  readonly check?: Check;
  /** Absent where nobody counts, as in some tests. */
  readonly counts?: AgentCounts;
}

/** Longer than any pause between heartbeats. */
const aloneMs = 60_000;
/** A fence is rare, and what it waits for takes a moment. */
const fencePollMs = 100;

/** Runs the pods that the desired state names, one worker each, and tells how they are. Works the same connected or not. */
export class PodManager implements Runnable, PodReports, PodPresence, TunnelHandlers, Fencing {
  readonly #deps: PodManagerDeps;
  readonly #config: PodManagerConfig;
  readonly #log: Log;
  readonly #board = new ReportBoard();
  readonly #workers = new Map<string, PodWorker>();
  readonly #limit: Limit;
  readonly #unhurried = new Limit(1);
  readonly #puller: ImagePuller;
  readonly #lookup: ObjectLookup;
  readonly #usage: UsageMeter;
  readonly #users: UserRanges;
  #meter: Promise<VolumeMeter> | undefined;
  readonly #capacity: NodeCapacity;
  readonly #tasks: TaskGroup;
  readonly #leases: Leases;
  readonly #schedule: ProbeSchedule;
  readonly #logs: PodLogs;
  readonly #leftListeners = new Set<() => void>();
  #runtimeName = 'containerd';
  #signal: AbortSignal = AbortSignal.abort();
  #wasCertain = false;
  /** Set while the host is shutting down. */
  #halted: { readonly below: number; readonly graceSeconds: number } | undefined;
  #fencing = false;

  constructor(deps: PodManagerDeps, config: PodManagerConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#log = deps.log.child({ component: 'pods' });
    this.#limit = new Limit(config.parallelStarts);
    this.#puller = deps.images ?? new ImagePuller(deps);
    this.#usage = new UsageMeter(deps, config);
    this.#users = new UserRanges(config);
    this.#leases = new Leases(deps);
    this.#schedule = new ProbeSchedule(deps.clock);
    this.#capacity = new NodeCapacity(() => allocatableOf(deps.node, deps.devices), () => { for (const worker of this.#workers.values()) if (worker.isDeferred) worker.wake(); });
    this.#tasks = new TaskGroup(this.#log);
    this.#lookup = objectLookup(deps.state, deps.csi, deps.tokens, deps.secretVolumes);
    this.#logs = new PodLogs({ driver: deps.driver, clock: deps.clock, log: this.#log, rotation: config.logRotation ?? defaultRotation, hasPods: () => this.#workers.size > 0, waitingReason: (uid, container) => this.#board.waitingReason(uid, container) });
  }

  /** Until aborted; then pods go on running and only the looking after them stops. */
  async start(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    this.#wasCertain = this.#isCertain;
    this.#leases.start(signal);
    const stops = [this.#deps.state.subscribe((changes) => { this.#apply(changes); }), this.#deps.devices?.subscribe(() => { this.#devicesChanged(); }), this.#deps.csi?.subscribe(() => { this.#driversChanged(); }), this.#puller.subscribe(() => { for (const worker of this.#workers.values()) worker.imagesArrived(); })];
    try {
      await this.#learnRuntimeName(signal);
      await this.#adopt();
      for (const pod of this.#deps.state.list(pods)) this.#want(pod);
      this.#tasks.run('logs', signal, () => this.#logs.start(signal));
      for await (const { podUid } of this.#deps.driver.events(signal)) {
        if (podUid === undefined) await this.#lookAtEverything(signal);
        else this.#wake(podUid);
      }
    } catch (error) {
      if (!isAbort(error, signal)) throw error;
    } finally {
      for (const stop of stops) stop?.();
      await this.#tasks.drain();
    }
  }

  /** Before the host goes down: ends the pods of a lower priority than that, and starts none. Resolves when they have ended. */
  async halt(below: number, graceSeconds: number, signal: AbortSignal): Promise<void> {
    this.#halted = { below, graceSeconds };
    const halted = [...this.#workers.values()].filter((worker) => this.#haltIfDue(worker));
    for (let waitMs = 50; ; waitMs = Math.min(2 * waitMs, 1000)) {
      const { containers } = await this.#deps.driver.list(signal);
      if (!containers.some((container) => container.state === 'running' && halted.some(({ uid }) => uid === container.podUid))) return;
      await this.#deps.clock.sleep(waitMs, signal);
    }
  }

  /** The host stays: pods go on. */
  resume(): void {
    this.#halted = undefined;
    for (const worker of this.#workers.values()) worker.halt(undefined);
  }

  #haltIfDue(worker: PodWorker): boolean {
    const priority = isCritical(worker.pod) ? Math.max(criticalPriority, worker.pod.spec?.priority ?? 0) : worker.pod.spec?.priority ?? 0;
    const due = this.#halted !== undefined && priority < this.#halted.below;
    if (due) worker.halt(this.#halted?.graceSeconds);
    return due;
  }

  /** Pods that have not ended here, for whoever decides which of them must. */
  evictable(): readonly PodWorker[] { return [...this.#workers.values()]; }

  all(): readonly PodReport[] { return this.#board.all(); }

  subscribe(listener: (report: PodReport) => void): () => void { return this.#board.subscribe(listener); }

  async addresses(signal: AbortSignal): Promise<ReadonlyMap<string, readonly string[]>> {
    const { sandboxes } = await this.#deps.driver.list(signal);
    return new Map([...Map.groupBy(sandboxes, ({ podUid }) => podUid)].map(([uid, own]) => [uid, own.flatMap(({ ips }) => ips)]));
  }

  leaving(): readonly string[] { return [...this.#workers.values()].filter(({ isLeaving }) => isLeaving).map(({ uid }) => uid); }

  onLeft(listener: () => void): () => void {
    this.#leftListeners.add(listener);
    return () => { this.#leftListeners.delete(listener); };
  }

  logs(request: LogQuery, signal: AbortSignal): AsyncIterable<Uint8Array> {
    return this.#logs.query(request, signal);
  }

  async usage(signal: AbortSignal, { volumes = false, cgroups = false }: UsageParts = {}): Promise<UsageReport> {
    const report = await this.#usage.read(signal, cgroups);
    if (!volumes) return report;
    const all = [...this.#workers.values()].map(({ pod }) => pod);
    const held = await (await this.#volumes()).read(all, signal, this.#signal);
    const { withHoldings } = await import('./volumes/holdings.ts');
    return withHoldings(report, all, held, { driver: this.#deps.driver, stateDir: this.#config.stateDir }, signal);
  }

  /** Loaded when the first asks. */
  #volumes(): Promise<VolumeMeter> {
    return this.#meter ??= import('./volumes/meter.ts').then((loaded) => new loaded.VolumeMeter({ clock: this.#deps.clock, log: this.#log, lookup: this.#lookup, written: (signal) => this.#written(signal) }, this.#config));
  }

  async #written(signal: AbortSignal): Promise<ReadonlyMap<string, DiskUsage>> {
    const { driver } = this.#deps;
    return driver.written ? driver.written((await driver.list(signal)).containers.filter(({ state }) => state === 'running').map(({ id }) => id), signal) : new Map();
  }

  /** Removes the directory of a local volume that no pod uses any more. */
  async removeVolume(name: string): Promise<void> {
    const { removeLocalVolume } = await import('./volumes/claims.ts');
    await removeLocalVolume(this.#config.stateDir, name);
  }

  /** Pods that have begun here keep their part of the node before any new one gets a part. */
  async #adopt(): Promise<void> {
    const begun = await podsWithFiles(this.#config.stateDir);
    for (const pod of this.#deps.state.list(pods)) {
      const phase = pod.status?.phase;
      if (begun.has(pod.metadata?.uid ?? '') && phase !== 'Succeeded' && phase !== 'Failed') this.#capacity.adopt(pod);
    }
  }

  /** Pods that only the host itself asks for, static ones, stay: nobody has put them elsewhere. */
  async fence(forget: () => Promise<void>, signal: AbortSignal): Promise<void> {
    this.#fencing = true;
    try {
      await forget();
      const own = new Set(this.#deps.state.list(pods).map(({ metadata }) => metadata?.uid ?? ''));
      // Those that were about to end anyway are not waited for either.
      for (const worker of this.#workers.values()) if (!own.has(worker.uid)) worker.end(0);
      // What only the runtime knows of ends too. Volumes and networks are taken down after that, however long it takes.
      await this.#lookAtEverything(signal);
      // What is created but does not run yet may be about to.
      while ((await this.#deps.driver.list(signal)).containers.some((c) => c.state !== 'exited' && !own.has(c.podUid))) await this.#deps.clock.sleep(fencePollMs, signal);
    } finally {
      this.#fencing = false;
    }
  }

  /** Ids look like `containerd://…`, by the name that the runtime gives itself. */
  async #learnRuntimeName(signal: AbortSignal): Promise<void> {
    await untilAnswered({ clock: this.#deps.clock, log: this.#log }, signal, async () => {
      this.#runtimeName = (await this.#deps.driver.version(signal)).split('://')[0] ?? this.#runtimeName;
    });
  }

  get #isAlone(): boolean {
    const { contact } = this.#deps;
    return contact !== undefined && (contact.silentMs() ?? Infinity) > aloneMs;
  }

  get #isCertain(): boolean { return this.#deps.state.known && this.#deps.state.reliable; }

  #apply(changes: readonly StateChange[]): void {
    for (const change of changes) {
      const namespace = change.type === 'set' ? change.object.metadata?.namespace : change.namespace;
      const name = change.type === 'set' ? change.object.metadata?.name ?? '' : change.name;
      if (change.resource.plural === pods.plural && change.resource.group === '') {
        this.#podChanged(namespace, name, change.type === 'set' ? change.object : undefined);
      } else if (change.resource.group === '' && (change.resource.kind === 'ConfigMap' || change.resource.kind === 'Secret')) {
        for (const worker of this.#workers.values()) if (worker.uses(change.resource.kind, namespace, name)) worker.refresh();
      } else if (change.type === 'set' && change.resource.group === '' && (change.resource.kind === 'PersistentVolumeClaim' || change.resource.kind === 'PersistentVolume')) {
        // Pods that wait for a claim to be bound go on.
        for (const worker of this.#workers.values()) if ((namespace === undefined || worker.pod.metadata?.namespace === namespace) && claimNamesOf(worker.pod).length > 0) worker.refresh();
      }
    }
    if (!this.#wasCertain && this.#isCertain) {
      this.#wasCertain = true;
      this.#tasks.run('orphans', this.#signal, () => this.#lookAtEverything(this.#signal));
    }
  }

  /** What a container waits for may be there now. */
  #devicesChanged(): void {
    for (const worker of this.#workers.values()) if (worker.hasDevices) worker.refresh();
  }

  /** A driver that was waited for may be there now, for pods that begin and for those that end. */
  #driversChanged(): void {
    for (const worker of this.#workers.values()) if (worker.mayHaveCsi) worker.refresh();
  }

  #podChanged(namespace: string | undefined, name: string, pod: Pod | undefined): void {
    for (const worker of this.#workers.values()) {
      const { metadata } = worker.pod;
      // A pod of the same name with another uid is another pod: the old one ends.
      if (metadata?.namespace === namespace && metadata?.name === name && worker.uid !== pod?.metadata?.uid) this.#drop(worker);
    }
    if (pod) this.#want(pod);
  }

  #want(pod: Pod): void {
    const uid = pod.metadata?.uid;
    if (uid === undefined) return;
    const worker = this.#workers.get(uid);
    if (worker) {
      worker.update(pod);
      this.#leases.note(worker);
    } else if (!isOfFile(pod) || ![...this.#workers.values()].some((other) => keyOf(other.pod) === keyOf(pod))) {
      this.#launch(pod);
    }
  }

  /** A pod of a file begins when the one that its file described before has ended: they may need the same ports. */
  #wantSuccessor(gone: Pod): void {
    const next = isOfFile(gone) ? this.#deps.state.list(pods).find((pod) => keyOf(pod) === keyOf(gone)) : undefined;
    if (next) this.#want(next);
  }

  #drop(worker: PodWorker): void {
    if (worker.isLeaving && !this.#fencing) return;
    this.#leases.drop(worker);
    // One of a file ends as gently as it asks for: nobody else's hand is in that.
    worker.end(this.#fencing ? 0 : isOfFile(worker.pod) ? graceSecondsOf(worker.pod) : undefined);
    // Its place may have been given to another already.
    this.#capacity.release(worker.uid);
    // Its devices have not: it may still hold them open.
    this.#deps.devices?.ending(worker.uid);
    this.#board.drop(worker.uid);
  }

  #launch(pod: Pod): PodWorker {
    const uid = pod.metadata?.uid ?? '';
    const worker: PodWorker = new PodWorker({
      ...this.#deps,
      log: this.#log,
      lookup: this.#lookup,
      limit: this.#limit,
      unhurried: this.#unhurried,
      users: this.#users,
      puller: this.#puller,
      isAlone: () => this.#isAlone,
      capacity: this.#capacity,
      others: () => this.evictable(),
      check: this.#deps.check ?? systemCheck(this.#deps.driver, this.#deps.clock),
      schedule: this.#schedule,
      recorder: podRecorder(this.#deps.events, this.#deps.clock, () => worker.pod),
      runtimeName: () => this.#runtimeName,
      report: (report) => { this.#board.put(report); },
    }, this.#config, pod);
    this.#workers.set(uid, worker);
    this.#haltIfDue(worker);
    this.#leases.note(worker);
    this.#tasks.run('pod worker', this.#signal, async () => {
      await worker.run(this.#signal);
      // A worker that ends with the agent leaves its pod running: nothing of that is left over.
      if (this.#signal.aborted) return;
      if (this.#workers.get(uid) === worker) this.#workers.delete(uid);
      for (const listener of this.#leftListeners) listener();
      this.#wantSuccessor(worker.pod);
    });
    return worker;
  }

  #wake(podUid: string): void {
    this.#workers.get(podUid)?.wake();
    this.#logs.changed(podUid);
  }

  /** After events may have been lost: wakes the pods that differ from what their workers saw, and ends what nobody wants. */
  async #lookAtEverything(signal: AbortSignal): Promise<void> {
    const { clock, counts } = this.#deps;
    await untilAnswered({ clock, log: this.#log }, signal, async () => {
      const beganMs = clock.monotonic();
      const snapshot = await this.#deps.driver.list(signal);
      counts?.relisted(clock.monotonic() - beganMs);
      this.#logs.seen(snapshot);
      const byPod = groupByPod(snapshot);
      for (const [uid, worker] of this.#workers) {
        if (signatureOf(byPod.get(uid) ?? { sandboxes: [], containers: [] }) !== worker.signature) this.#wake(uid);
      }
      // Before the first word of the control plane, a stranger is more likely a pod whose checkpoint was lost.
      if (!this.#isCertain && !this.#fencing) return;
      for (const [uid, snapshot] of byPod) if (!this.#workers.has(uid)) this.#launch(orphan(uid, snapshot)).end(this.#fencing ? 0 : undefined);
      this.#deps.devices?.retain(new Set(this.#workers.keys()));
      this.#deps.csi?.retain((uid) => this.#workers.has(uid));
      await removeLeftovers({ driver: this.#deps.driver, log: this.#log }, this.#config, (uid) => this.#workers.has(uid), signal);
    });
  }
}

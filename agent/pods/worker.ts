import type { Pod, PodStatus } from '#api/gen/types.ts';
import { backoffMs } from '#common/backoff.ts';
import { kernelBootId } from '#common/kernel-file.ts';
import { messageOf } from '#common/errors.ts';
import { Wakeup } from '#common/wakeup.ts';
import { wantsOf } from '#agent/devices/wants.ts';
import type { AgentCounts } from '#agent/metrics/counts.ts';
import type { RuntimeSnapshot } from '#agent/runtimes/types.ts';
import type { PodReport } from '#agent/session/types.ts';
import { ActiveTime } from './active-time.ts';
import { admit } from './admit.ts';
import { PodActions, type ActionDeps } from './actions.ts';
import { PodAllocation } from './allocation/allocation.ts';
import type { NodeCapacity } from './allocation/capacity.ts';
import type { EvictablePod } from './eviction/evictor.ts';
import { Announcer } from './announce.ts';
import { earliest, FreshVolumes, mayHaveCsi } from './fresh-volumes.ts';
import { PodMemory } from './memory.ts';
import { currentSandbox, wasTerminal } from './observed.ts';
import { podPaths, type PodPaths } from './paths.ts';
import { PodProbes } from './pod-probes.ts';
import { abilitiesOf } from './prepare.ts';
import type { ProbeCount } from './probes/counts.ts';
import type { ProbeSchedule } from './probes/schedule.ts';
import { referencesOf } from './references.ts';
import type { Rejection } from './spec/admission.ts';
import { containerNamed } from './spec/containers.ts';
import { signatureOf } from './snapshot.ts';
import { podStatus } from './status.ts';
import { step } from './step.ts';
import { readTermination } from './termination.ts';
import { sandboxKey, type Decision, type Eviction, type PodManagerConfig, type PodView, type Withheld } from './types.ts';
import { PodWishes } from './wishes.ts';

export interface WorkerDeps extends ActionDeps {
  /** For `containerID`. */
  readonly runtimeName: () => string;
  readonly report: (report: PodReport) => void;
  readonly capacity: NodeCapacity;
  /** All pods of this host. */
  readonly others: () => readonly EvictablePod[];
  readonly schedule: ProbeSchedule;
  /** Absent where nobody counts, as in some tests. */
  readonly counts?: AgentCounts;
}

const runtimeBackoff = { baseMs: 500, maxMs: 30_000, jitter: 0.2 };
/** Timers hold no more than 24 days; what is further away is looked at once in between. */
const maxSleepMs = 86_400_000;
const maxRepeats = 5;
/** A runtime that starts anew is not worth an Event; one that has not answered by then is. */
const patientFailures = 3;

/**
 * Brings one pod to what is wanted, one step after the other, and reports what is. Sleeps until something is told to
 * it: a change of the pod or of an object that it uses, an event of the runtime, a probe's verdict, a back-off's end.
 */
export class PodWorker {
  readonly uid: string;
  readonly #deps: WorkerDeps;
  readonly #memory = new PodMemory();
  readonly #actions: PodActions;
  readonly #announcer: Announcer;
  readonly #config: PodManagerConfig;
  readonly #paths: PodPaths;
  readonly #allocation: PodAllocation;
  readonly #wishes: PodWishes;
  readonly #volumes: FreshVolumes;
  readonly #probes: PodProbes;
  readonly #activeTime: ActiveTime;
  /** As it is wanted, with what it has been given. */
  #pod: Pod;
  #rejection: Rejection | undefined;
  readonly #wakeup = new Wakeup();
  /** Something was told since the turn began. */
  #woken = false;
  /** What led to that which is being done. */
  #doing: RuntimeSnapshot | undefined;
  #observedBefore = false;
  #removed = false;
  #over = false;
  #lastStatus: PodStatus | undefined;
  /** Monotonic; when this agent first heard of it. */
  readonly #seenMs: number;
  #failures = 0;
  #before = '';
  #repeats = 0;
  /** Ids and states as last seen; a difference means that there is something to look at. */
  signature = '';

  constructor(deps: WorkerDeps, config: PodManagerConfig, pod: Pod) {
    const { uid = '', namespace = '', name = '' } = pod.metadata ?? {};
    this.uid = uid;
    this.#deps = deps;
    this.#seenMs = deps.clock.monotonic();
    this.#pod = pod;
    this.#wishes = new PodWishes(pod, deps.clock, () => { this.wake(); });
    this.#paths = podPaths(config, { namespace, name, uid });
    this.#allocation = new PodAllocation(this.#paths.allocation, deps.capacity);
    this.#actions = new PodActions(deps, config, this.#memory, this.#paths, this.#allocation);
    this.#announcer = new Announcer(deps.recorder);
    const parts = { ...deps, actions: this.#actions, memory: this.#memory, changed: () => { this.#probed(); } };
    this.#volumes = new FreshVolumes(parts);
    this.#probes = new PodProbes(parts);
    this.#activeTime = new ActiveTime(deps.clock, { root: this.#paths.root, path: this.#paths.active, bootId: kernelBootId });
    this.#config = config;
  }

  get pod(): Pod { return this.#pod; }

  /** It waits for room on this node, to be given more. */
  get isDeferred(): boolean { return this.#allocation.view?.refusal?.reason === 'Deferred'; }

  /** A container of it asks for devices. */
  get hasDevices(): boolean { return wantsOf(this.#wishes.pod).length > 0; }

  /** A volume of it may be one of a CSI driver. */
  get mayHaveCsi(): boolean { return mayHaveCsi(this.#wishes.pod); }

  /** Nobody asks for it any more; what is left of it ends. */
  get isLeaving(): boolean { return !this.#wishes.isDesired; }

  get isEnding(): boolean { return this.#wishes.ending !== undefined || this.#wishes.eviction !== undefined; }

  /** It has ended, and has given back what it had of the host: volumes in memory, too. */
  get isOver(): boolean { return this.#over || this.#removed; }

  /** Undefined lets the pod go on. */
  halt(seconds: number | undefined): void { this.#wishes.halt(seconds); }

  get probeCounts(): readonly ProbeCount[] { return this.#memory.probeCounts.all(); }

  /** What it was last reported as. */
  get status(): PodStatus | undefined { return this.#lastStatus; }

  /** Ends the pod for good, as failed. One that has ended, or is ending, is left to that. */
  evict(eviction: Eviction): void {
    if (!isTerminal(this.#lastStatus ?? this.#pod.status)) this.#wishes.evict(eviction);
  }

  /** The pod as it is wanted now. */
  update(pod: Pod): void {
    if (this.#wishes.update(pod)) {
      this.#memory.failures.clear();
      this.#volumes.outdated();
    }
    this.#pod = this.#allocation.of(pod);
  }

  /** Whether the pod may run here at the moment. */
  withhold(withheld: Withheld | undefined): void {
    if (this.#wishes.withhold(withheld)) this.#deps.recorder.emit('Warning', 'Withheld', 'This host has had no contact with the control plane for so long that the pod may be replaced: the copy here does not run until there is contact again');
  }

  /** The pod is not wanted on this node any more; see `PodWishes.drop`. */
  end(graceSeconds?: number): void { this.#wishes.drop(graceSeconds); }

  /** An object that the pod refers to has changed. */
  refresh(): void {
    this.#volumes.outdated();
    this.#memory.retryNow();
    this.wake();
  }

  /** Somebody has brought images to this host. */
  imagesArrived(): void {
    if (this.#memory.retryImages()) this.wake();
  }

  wake(): void {
    this.#woken = true;
    this.#wakeup.notify();
  }

  /** Whether the pod refers to the ConfigMap or Secret. */
  uses(kind: 'ConfigMap' | 'Secret', namespace: string | undefined, name: string): boolean {
    return this.#wishes.pod.metadata?.namespace === namespace && referencesOf(this.#wishes.pod, kind).has(name);
  }

  /** Works until aborted, or until a pod that is not wanted any more is gone. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) {
        const untilMs = await this.#counted(() => this.#turn(signal), signal);
        if (this.#removed && !this.#wishes.isDesired) return;
        await this.#sleep(untilMs, signal);
      }
    } finally {
      this.#probes.stop();
    }
  }

  async #counted<T>(turn: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const { clock, counts } = this.#deps;
    const [beganMs, isFirst] = [clock.monotonic(), !this.#observedBefore];
    const result = await turn();
    if (!signal.aborted) counts?.podSynced(isFirst ? 'create' : this.isEnding ? 'kill' : 'sync', clock.monotonic() - beganMs);
    return result;
  }

  /** Steps until there is nothing to do; resolves with the (monotonic) time to look again, if any. */
  async #turn(signal: AbortSignal): Promise<number | undefined> {
    this.#repeats = 0;
    while (!signal.aborted && !this.#removed) {
      this.#woken = false;
      const interrupt = AbortSignal.any([signal, this.#wishes.interrupt]);
      try {
        const view = await this.#observe(signal, interrupt);
        const decision = step(view);
        this.#over = decision.type === 'done';
        this.#publish(view);
        if (decision.type === 'wait' || decision.type === 'done') {
          this.#failures = 0;
          return earliest(decision.type === 'wait' ? decision.untilMs : undefined, this.#volumes.dueMs);
        }
        this.#deps.log.debug({ uid: this.uid, decision: decision.type }, 'pod step');
        const isNew = this.#guard(JSON.stringify(decision));
        this.#doing = { sandboxes: view.sandboxes, containers: view.containers };
        await this.#actions.perform(decision, view, { stop: signal, interrupt }).finally(() => { this.#doing = undefined; });
        this.#noteRemoval(decision);
        // A runtime that says that it has done something, and has not, is not to be asked ever and again.
        if (isNew) this.#failures = 0;
      } catch (error) {
        if (signal.aborted) return undefined;
        if (interrupt.aborted) continue;
        this.#failures++;
        this.#deps.log.warn({ uid: this.uid, pod: this.#pod.metadata?.name, err: messageOf(error) }, 'pod step failed; trying again');
        if (this.#failures >= patientFailures) this.#deps.recorder.emit('Warning', 'FailedSync', `Error syncing pod, trying again: ${messageOf(error)}`);
        return this.#deps.clock.monotonic() + backoffMs(runtimeBackoff, this.#failures, Math.random);
      }
    }
    return undefined;
  }

  /** Doing one thing over and over without an effect is a fault of ours or of the runtime's: it must not cost a core. False when it was done before. */
  #guard(decision: string): boolean {
    const now = `${this.signature} ${decision}`;
    const isNew = now !== this.#before;
    this.#repeats = isNew ? 0 : this.#repeats + 1;
    this.#before = now;
    if (this.#repeats >= maxRepeats) throw new Error(`the container runtime says that it has done what it was asked to, and nothing has changed; look at its log, or restart it: ${decision}`);
    return isNew;
  }

  async #observe(signal: AbortSignal, interrupt: AbortSignal): Promise<PodView> {
    const snapshot = await this.#deps.driver.list(signal, this.uid);
    this.signature = signatureOf(snapshot);
    for (const { state, name } of snapshot.containers) if (state === 'running') this.#memory.failures.delete(name);
    this.#memory.forget(new Set([...snapshot.containers, ...snapshot.sandboxes].map((c) => c.id)));
    for (const container of snapshot.containers) {
      if (container.state !== 'exited' || this.#memory.ended.has(container.id)) continue;
      this.#memory.ended.set(container.id, this.#deps.clock.monotonic());
      this.#memory.terminationMessages.set(container.id, await readTermination(this.#paths, containerNamed(this.#pod, container.name), container, (tailLines) => this.#deps.driver.readLog?.(container.id, { follow: false, tailLines }, signal)));
    }
    await this.#allot(snapshot, interrupt);
    const view = this.#view(snapshot);
    this.#probes.follow(view, !this.#observedBefore);
    if (!this.#observedBefore && currentSandbox(view)) this.#volumes.adopt(this.#pod);
    this.#observedBefore = true;
    await this.#volumes.refresh(view, interrupt);
    return this.#view(snapshot);
  }

  /** Settles whether a new pod may be here, and what one that is here may have. */
  async #allot({ sandboxes, containers }: RuntimeSnapshot, signal: AbortSignal): Promise<void> {
    if (!this.#observedBefore) await this.#allocation.load();
    const wishes = this.#wishes;
    const isOver = isTerminal(this.#pod.status);
    // What runs is not ended by a rule that came later.
    const isNew = sandboxes.length + containers.length === 0;
    if (isNew && !wishes.ending && !this.#rejection && !isOver) this.#rejection = await admit(wishes.pod, wishes.mayBegin, this.#deps, this.#config, signal);
    // It has what it was given, whatever its spec says by now.
    if (!isNew && !wishes.ending && !this.#observedBefore && !isOver) this.#deps.capacity.adopt(this.#allocation.of(wishes.pod));
    if (!isNew && !wishes.ending && await this.#allocation.follow(wishes.pod)) this.#announcer.announceResize(this.#allocation.view);
    this.#pod = this.#allocation.of(wishes.pod);
  }

  get #startTime(): string | undefined { return this.#lastStatus?.startTime ?? this.#pod.status?.startTime; }

  #view(snapshot: RuntimeSnapshot): PodView {
    const { ending, eviction, haltSeconds, withheld } = this.#wishes;
    return {
      pod: this.#pod,
      nowMs: this.#deps.clock.now(),
      monotonicMs: this.#deps.clock.monotonic(),
      startTime: this.#startTime,
      activeMs: this.#activeTime.ms(this.#pod, this.#startTime),
      ending,
      rejection: this.#rejection,
      eviction,
      haltSeconds,
      withheld,
      resize: this.#allocation.view,
      ...(this.#deps.devices && { outdated: this.#deps.devices.outdated(this.uid) }),
      ...snapshot,
      probes: new Map([...this.#memory.probes].map(([id, probes]) => [id, probes.view])),
      crashes: this.#memory.crashes,
      failures: this.#memory.failures,
      ended: this.#memory.ended,
      stopped: this.#memory.stopped,
    };
  }

  /** What is being done for the pod, its end above all, may take long: who sends it requests is told at once. */
  #probed(): void {
    if (this.#doing) this.#publish(this.#view(this.#doing));
    this.wake();
  }

  #publish(view: PodView): void {
    // A restarted agent says nothing until it knows whether the containers that it found are ready.
    if ([...view.probes.values()].some((p) => p.pending)) return;
    const status = podStatus(view, {
      hostIps: this.#deps.node.hostIps(),
      terminationMessages: this.#memory.terminationMessages,
      runtimeName: this.#deps.runtimeName(),
      recursiveReadOnly: abilitiesOf(this.#pod, this.#deps.lookup, this.#deps.node).recursiveReadOnly,
      ...(this.#deps.devices && { devices: this.#deps.devices.health(this.uid) }),
      previous: this.#lastStatus,
    });
    if (!wasTerminal(view)) this.#announcer.announce(view, status);
    if (status.phase === 'Running' && this.#lastStatus?.phase === 'Pending') this.#deps.counts?.podStarted(this.#deps.clock.monotonic() - this.#seenMs);
    this.#lastStatus = status;
    if (isTerminal(status)) this.#release();
    this.#report(status, false);
  }

  #noteRemoval(decision: Decision): void {
    if (decision.type !== 'remove' || this.#memory.failures.has(sandboxKey)) return;
    this.#removed = true;
    this.#release();
    this.#report(this.#lastStatus ?? {}, true);
  }

  #release(): void {
    this.#deps.capacity.release(this.uid);
    this.#deps.devices?.release(this.uid);
  }

  #report(status: PodStatus, gone: boolean): void {
    const { namespace = '', name = '' } = this.#pod.metadata ?? {};
    if (this.#wishes.isDesired) this.#deps.report({ namespace, name, uid: this.uid, status, gone });
  }

  async #sleep(untilMs: number | undefined, signal: AbortSignal): Promise<void> {
    if (signal.aborted || (this.#woken && !this.#removed)) return;
    const { clock } = this.#deps;
    const woken = untilMs === undefined ? this.#wakeup.wait(signal) : this.#wakeup.waitAtMost(Math.min(maxSleepMs, Math.max(0, untilMs - clock.monotonic())), clock, signal);
    await woken.catch((error: unknown) => { if (!signal.aborted) throw error; });
  }
}

function isTerminal(status: PodStatus | undefined): boolean {
  return status?.phase === 'Succeeded' || status?.phase === 'Failed';
}

import { withheld } from '#agent/pods/leases.ts';
import { disconnectPolicyOf, keepsOne, leaseEnd } from '#api/disconnect/policy.ts';
import type { Pod, PodStatus } from '#api/gen/types.ts';
import type { ControlMessage } from '#proto/edge/v1/messages.ts';
import type { Link } from './link.ts';

export interface Copy { readonly pod: Pod; readonly bornMs: number; stopAtMs: number | undefined; readonly end?: { readonly atMs: number; readonly phase: 'Succeeded' | 'Failed' } | undefined }

export interface HostDeps {
  readonly random: () => number;
  /** True time, which nobody in the simulation can read. */
  readonly nowMs: () => number;
  /** Told of each copy that begins to end though nobody asked for it. */
  readonly killed: (pod: Pod, why: 'deleted' | 'dropped' | 'withheld' | 'fenced') => void;
  /** For how long the program of a pod that is not always started again runs, and whether it then succeeds. Absent: they all run on. */
  readonly program?: (pod: Pod) => { readonly forMs: number; readonly succeeds: boolean };
}

/** What it says of itself. */
export interface HostFacts {
  readonly labels: Readonly<Record<string, string>>;
  readonly capacity: Readonly<Record<string, string>>;
}

/**
 * A host and its agent: what it was last told, what it runs, and the rules by which the real agent acts on that. Its clock
 * runs at its own pace; its network, power and sleep are the simulation's.
 */
export class SimulatedHost {
  readonly name: string;
  readonly copies = new Map<string, Copy>();
  powered = true;
  asleep = false;
  online = true;
  link: Link | undefined;
  connected = false;
  /** When it will notice that nothing comes any more, and dial again. */
  #redialMs = 0;
  #lastHeardMs = 0;
  #desired = new Map<string, Pod>();
  #parts: Pod[] = [];
  #revision = 0;
  #contactMs: number | undefined;
  #sequence = 0;
  #beatMs = 0;
  readonly #sent = new Map<number, number>();
  readonly #reported = new Map<string, string>();
  /** By uid: when the pod was first heard of, and since when it is ready or is not. */
  readonly #times = new Map<string, { readonly startTime: string; readonly ready: string; readonly lastTransitionTime: string }>();
  /** By uid, of pods that are started once only: on its disk. */
  readonly #phases = new Map<string, 'Running' | 'Succeeded' | 'Failed'>();
  readonly #deps: HostDeps;
  readonly #facts: HostFacts;
  readonly #rate: number;

  constructor(name: string, deps: HostDeps, facts: HostFacts = { labels: {}, capacity: { pods: '110' } }) {
    this.name = name;
    this.#deps = deps;
    this.#facts = facts;
    this.#rate = 0.998 + deps.random() * 0.004;
  }

  #clockMs(): number { return this.#deps.nowMs() * this.#rate; }
  #silentMs(): number | undefined { return this.#contactMs === undefined ? undefined : this.#clockMs() - this.#contactMs; }

  /** Everything that runs stops at once; the disk stays, and what only memory or /run knew does not. */
  powerOff(): void {
    this.powered = false;
    this.copies.clear();
    this.#forgetSession();
    this.#contactMs = undefined;
  }

  /** The agent's process is killed and started again: containers run on, the time of the last contact is known. */
  restartAgent(): void {
    this.#forgetSession();
  }

  #forgetSession(): void {
    if (this.link) this.link.hostClosed = true;
    this.link = undefined;
    this.connected = false;
    this.#sent.clear();
    this.#reported.clear();
  }

  /** True when it wants to open a session now. */
  get dials(): boolean {
    return this.powered && !this.asleep && this.online && !this.link && this.#deps.nowMs() >= this.#redialMs;
  }

  open(link: Link): void {
    this.link = link;
    this.#lastHeardMs = this.#deps.nowMs();
    this.#parts = [];
    link.send({ hello: { agentVersion: 'simulated', checkpointRevision: 0 } });
  }

  /** Some messages cross the network, either way. */
  exchange(count: number): void {
    const { link } = this;
    if (!link || !this.online || !this.powered || this.asleep) return;
    link.carryUp(count);
    for (const message of link.carryDown(count)) {
      this.#lastHeardMs = this.#deps.nowMs();
      this.#receive(message, link);
      if (this.link !== link) return;
    }
    if (link.isOver) this.#hangUp();
  }

  #hangUp(): void {
    this.#forgetSession();
    this.#redialMs = this.#deps.nowMs() + 1000 + this.#deps.random() * 10_000;
  }

  #receive({ welcome, complete, incremental, heartbeatAck }: ControlMessage, link: Link): void {
    if (welcome) {
      if (welcome.fence) {
        for (const { pod } of this.copies.values()) this.#deps.killed(pod, 'fenced');
        this.copies.clear();
        this.#desired.clear();
        link.send({ fenced: { fence: welcome.fence } });
      }
      const conditions = ['Ready', 'MemoryPressure', 'DiskPressure', 'PIDPressure'].map((type) => ({ type, status: type === 'Ready' ? 'True' : 'False', lastHeartbeatTime: new Date(this.#deps.nowMs()).toISOString() }));
      link.send({ nodeStatus: { report: Buffer.from(JSON.stringify({ labels: this.#facts.labels, status: { capacity: this.#facts.capacity, allocatable: this.#facts.capacity, conditions } })) } });
      this.#beatMs = 0;
    } else if (complete) {
      this.#parts.push(...complete.objects.filter(({ resource }) => resource === 'pods').map(({ json }) => JSON.parse(Buffer.from(json).toString()) as Pod));
      if (!complete.last) return;
      this.#desired = new Map(this.#parts.map((pod) => [key(pod), pod]));
      this.#revision = complete.revision;
      this.connected = true;
    } else if (incremental) {
      if (incremental.fromRevision !== this.#revision) { this.#hangUp(); return; }
      this.#revision = incremental.toRevision;
      for (const { resource, json } of incremental.set) {
        if (resource !== 'pods') continue;
        const pod = JSON.parse(Buffer.from(json).toString()) as Pod;
        this.#desired.set(key(pod), pod);
      }
      for (const { resource, namespace, name } of incremental.removed) if (resource === 'pods') this.#desired.delete(`${namespace}/${name}`);
    } else if (heartbeatAck && this.connected) {
      const sentMs = this.#sent.get(heartbeatAck.sequence);
      if (sentMs !== undefined) this.#contactMs = Math.max(sentMs, this.#contactMs ?? -Infinity);
    }
  }

  /** The agent looks at everything once, as it does about every second. */
  tick(): void {
    if (!this.powered || this.asleep) return;
    for (const [uid, copy] of this.copies) if (copy.stopAtMs !== undefined && copy.stopAtMs <= this.#deps.nowMs()) this.copies.delete(uid);
    for (const [uid, { end }] of this.copies) if (end && end.atMs <= this.#deps.nowMs()) { this.#phases.set(uid, end.phase); this.copies.delete(uid); }
    this.#run();
    this.#beat();
    if (this.link && this.#deps.nowMs() - this.#lastHeardMs > 25_000) this.#hangUp();
  }

  #run(): void {
    const wanted = new Set<string>();
    for (const pod of this.#desired.values()) {
      const uid = pod.metadata!.uid!;
      wanted.add(uid);
      const copy = this.copies.get(uid);
      const hold = keepsOne(pod) ? withheld(pod, this.#silentMs()) : undefined;
      if (pod.metadata?.deletionTimestamp !== undefined) this.#stop(copy, 'deleted', Math.min(5, pod.metadata.deletionGracePeriodSeconds ?? 5));
      else if (hold) this.#stop(copy, 'withheld', hold.graceSeconds);
      else if (!copy && this.#mayStart(pod) && this.#deps.random() < 0.7) this.#start(pod);
      this.#report(pod);
    }
    for (const [uid, copy] of this.copies) if (!wanted.has(uid)) this.#stop(copy, 'dropped', 5);
    for (const known of [this.#phases, this.#times]) for (const uid of known.keys()) if (!wanted.has(uid)) known.delete(uid);
  }

  /** What was started once, and is gone with the power, has failed. */
  #mayStart({ metadata }: Pod): boolean {
    const uid = metadata?.uid ?? '';
    if (this.#phases.get(uid) === 'Running') this.#phases.set(uid, 'Failed');
    return !this.#phases.has(uid);
  }

  #start(pod: Pod): void {
    const program = pod.spec?.restartPolicy === 'Never' ? this.#deps.program?.(pod) : undefined;
    const uid = pod.metadata?.uid ?? '';
    if (program) this.#phases.set(uid, 'Running');
    this.copies.set(uid, { pod, bornMs: this.#deps.nowMs(), stopAtMs: undefined, end: program && { atMs: this.#deps.nowMs() + program.forMs, phase: program.succeeds ? 'Succeeded' : 'Failed' } });
  }

  /** A program takes what it is given of its time, and the runtime a moment more. */
  #stop(copy: Copy | undefined, why: 'deleted' | 'dropped' | 'withheld', graceSeconds: number): void {
    if (!copy || copy.stopAtMs !== undefined) return;
    this.#deps.killed(copy.pod, why);
    copy.stopAtMs = this.#deps.nowMs() + Math.floor(this.#deps.random() * graceSeconds * 1000) + 200;
  }

  #report(pod: Pod): void {
    const { uid = '', namespace = '', name = '', deletionTimestamp } = pod.metadata ?? {};
    const runs = this.copies.has(uid);
    const gone = deletionTimestamp !== undefined && !runs;
    const known = runs ? undefined : this.#phases.get(uid);
    const ended = known === 'Running' ? 'Failed' : known;
    const ready = runs && deletionTimestamp === undefined ? 'True' : 'False';
    const { startTime, lastTransitionTime } = this.#timesOf(uid, ready);
    const text = `${String(runs)} ${String(gone)} ${ended ?? ''}`;
    if (!this.connected || !this.link || this.#reported.get(uid) === text) return;
    this.#reported.set(uid, text);
    const status: PodStatus = { phase: runs ? 'Running' : ended ?? (gone ? 'Failed' : 'Pending'), startTime, conditions: [{ type: 'Ready', status: ready, lastTransitionTime }] };
    this.link.send({ podStatus: { namespace, name, uid, gone, status: Buffer.from(JSON.stringify(status)) } });
  }

  #timesOf(uid: string, ready: string): { readonly startTime: string; readonly lastTransitionTime: string } {
    const now = new Date(this.#deps.nowMs()).toISOString();
    const known = this.#times.get(uid);
    if (known?.ready === ready) return known;
    const times = { startTime: known?.startTime ?? now, ready, lastTransitionTime: now };
    this.#times.set(uid, times);
    return times;
  }

  #beat(): void {
    if (!this.link || this.#clockMs() < this.#beatMs) return;
    const needed = [...this.#desired.values()].filter(keepsOne).map((pod) => leaseEnd(disconnectPolicyOf(pod)!, pod.spec?.terminationGracePeriodSeconds ?? 30).beginMs / 3);
    this.#beatMs = this.#clockMs() + Math.min(10_000, ...needed);
    this.#sent.set(++this.#sequence, this.#clockMs());
    this.link.send({ heartbeat: { sentAtMs: this.#deps.nowMs(), sequence: this.#sequence } });
  }
}

function key({ metadata }: Pod): string {
  return `${metadata?.namespace ?? ''}/${metadata?.name ?? ''}`;
}

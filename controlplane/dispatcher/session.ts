import type { ServerDuplexStream } from '@grpc/grpc-js';
import { isStatus, statusCodes, StatusError, toStatus } from '#common/errors.ts';
import type { Clock } from '#common/clock.ts';
import type { Log } from '#common/log.ts';
import { Wakeup } from '#common/wakeup.ts';
import type { AgentMessage, ControlMessage, Hello, OpenTunnel } from '#proto/edge/v1/messages.ts';
import type { Node, Pod } from '#api/gen/types.ts';
import { fenceOf, keepsOne } from '#api/disconnect/policy.ts';
import { pods } from '#api/kinds/resources.ts';
import { publicKeyAnnotation } from '#api/node/identity.ts';
import type { ApiClient, EventRecorder } from '../apiserver/types.ts';
import { parseEvent, parseNodeReport, parsePodReport } from './agent-message.ts';
import type { Assignments, AssignmentInformers } from './assignments.ts';
import { currentFence, liftFence, removeEnded } from './fence.ts';
import { LatestQueue } from './latest-queue.ts';
import type { NodeAssignment, AssignmentChange } from './node-assignment.ts';
import { contradicts, renewLease, storeNodeReport, type NodeReport } from './node-reports.ts';
import type { NodeIdentity } from './peer.ts';
import { contradictsPod, storeMirror, storePodReport, type PodReport } from './pod-reports.ts';
import { TokenBucket } from './rate-limit.ts';
import { finish, grpcStatus, send } from './stream.ts';
import { Watchdog } from './watchdog.ts';

export interface SessionDeps {
  readonly api: ApiClient;
  readonly events: EventRecorder;
  readonly informers: AssignmentInformers;
  readonly assignments: Assignments;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
}

export interface SessionConfig {
  readonly heartbeatPeriodMs: number;
  /** URLs by which agents may find this control plane, now or later; told to them. */
  readonly servers?: readonly string[];
}

type Call = ServerDuplexStream<AgentMessage, ControlMessage>;

/** Bytes of objects after which a message is sent and a new one begun; one object may exceed it. An agent reads up to 16 messages ahead. */
const messageBytes = 256 << 10;
const helloTimeoutMs = 10_000;
/** Over a link that carries 5 KB a second a message still arrives in time. */
const stuckMs = 60_000;
/** For a fenced host to kill all that runs on it. */
const fencingMs = 300_000;
/** Heartbeats that may be missing before a session counts as dead. */
const missedHeartbeats = 3;

/**
 * One connected agent. Downwards one loop sends what is marked in its assignment; upwards reports are checked,
 * handed to the queue that stores them, and forgotten. Ends when either side, the watchdog or a newer session ends it.
 */
export class NodeSession {
  readonly identity: NodeIdentity;
  readonly #deps: SessionDeps;
  readonly #config: SessionConfig;
  readonly #call: Call;
  readonly #log: Log;
  readonly #end = new AbortController();
  readonly #reports: LatestQueue<() => Promise<void>>;
  readonly #eventLimit: TokenBucket;
  readonly #mirrorLimit: TokenBucket;
  readonly #tunnels: OpenTunnel[] = [];
  #assignment: NodeAssignment | undefined;
  #nodeReport: NodeReport | undefined;
  /** The last of each pod, by uid. */
  readonly #podReports = new Map<string, PodReport>();
  readonly #wakeup = new Wakeup();
  readonly #watchdog: Watchdog;
  #revision = 0;
  #greeted = false;
  #nodeDeleted = false;
  /** The heartbeat to be answered next. */
  #ack: number | undefined;
  /** What a host that was declared dead has to do first; undefined until that is known, empty when there is nothing. */
  #fence: string | undefined;
  /** Set once the host has done it. */
  #fenced = false;

  constructor(deps: SessionDeps, config: SessionConfig, identity: NodeIdentity, call: Call) {
    this.#deps = deps;
    this.#config = config;
    this.#call = call;
    this.identity = identity;
    this.#log = deps.log.child({ component: 'dispatcher', node: identity.name });
    this.#reports = new LatestQueue({ clock: deps.clock, log: this.#log, random: deps.random }, { concurrency: 8 }, (work) => work(), this.#end.signal);
    // As many as an agent keeps while it is away.
    this.#eventLimit = new TokenBucket(deps.clock, 10, 1000);
    this.#mirrorLimit = new TokenBucket(deps.clock, 10, 200);
    this.#watchdog = new Watchdog(deps.clock, (silentMs) => { this.end(new StatusError('Timeout', `nothing was heard from the agent for ${(silentMs / 1000).toFixed(1)} s`)); });
  }

  /** Serves the agent until the session ends; never rejects. `ready` is called once it has said hello, and may throw to refuse it. */
  async run(ready: (hello: Hello) => void): Promise<void> {
    this.#watchdog.limit(helloTimeoutMs);
    this.#call.on('cancelled', () => { this.end(new StatusError('ServiceUnavailable', 'the agent went away')); });
    try {
      await this.#receive(ready);
      this.end(new StatusError('ServiceUnavailable', 'the agent closed the session'));
    } catch (error) {
      this.end(error);
    } finally {
      this.#watchdog.stop();
    }
  }

  /** Ends the session; the agent is told why. Only the first reason counts. */
  end(reason: unknown, grpcCode?: number): void {
    if (this.#end.signal.aborted) return;
    const error = toStatus(reason);
    this.#end.abort(error);
    if (this.#assignment) this.#deps.assignments.close(this.#assignment);
    const status = grpcStatus(error);
    finish(this.#call, { ...status, code: grpcCode ?? status.code });
    const retryable = statusCodes[error.code].retryable || grpcCode !== undefined;
    this.#log[retryable ? 'info' : 'warn']({ err: error.message, cause: error.cause instanceof Error ? error.cause.message : undefined }, 'session ended');
  }

  get signal(): AbortSignal { return this.#end.signal; }

  /** Asks the agent to open a tunnel. */
  openTunnel(request: OpenTunnel): void {
    if (this.#tunnels.length >= 100) throw new StatusError('TooManyRequests', `node ${this.identity.name} does not keep up with requests; try again`, { retryAfterMs: 1000 });
    this.#tunnels.push(request);
    this.#wakeup.notify();
  }

  /** Called for each change of this node's Node object. Somebody who deletes it wants it gone: it comes back with a new session only. */
  nodeChanged(node: Node | undefined): void {
    this.#nodeDeleted = node === undefined;
    const owner = node?.metadata?.annotations?.[publicKeyAnnotation];
    if (owner !== undefined && owner !== this.identity.publicKeySha256) {
      this.end(new StatusError('AlreadyExists', `node ${this.identity.name} belongs to another host now (key ${owner.slice(0, 12)}), which took this one's place; join again under another name with a token from \`cleat token create\``));
      return;
    }
    const fence = fenceOf(node);
    if (fence !== undefined && this.#fence !== undefined && fence !== this.#fence) {
      this.end(new StatusError('Conflict', `node ${this.identity.name} was fenced: somebody declared its host dead while it was connected`));
      return;
    }
    if (node && this.#nodeReport && contradicts(node, this.#nodeReport)) this.#storeNode();
  }

  /** Called for each change of a pod that is, or was, on this node. What others wrote while the node seemed lost is put right. */
  podChanged(pod: Pod | undefined, old: Pod | undefined): void {
    const uid = pod?.metadata?.uid ?? '';
    if (old?.metadata?.uid !== undefined && old.metadata.uid !== uid) this.#podReports.delete(old.metadata.uid);
    const report = this.#podReports.get(uid);
    if (pod && report && contradictsPod(pod, report)) this.#storePod(report);
  }

  async #receive(ready: (hello: Hello) => void): Promise<void> {
    for await (const message of this.#call.iterator({ destroyOnReturn: false }) as AsyncIterable<AgentMessage>) {
      if (this.#end.signal.aborted) return;
      this.#watchdog.heard();
      if (message.hello) {
        if (this.#greeted) throw new StatusError('BadRequest', 'a second hello in one session');
        this.#greeted = true;
        this.#watchdog.limit(missedHeartbeats * this.#config.heartbeatPeriodMs);
        ready(message.hello);
        void this.#send();
      } else if (!this.#greeted) {
        throw new StatusError('BadRequest', 'a session begins with hello');
      } else {
        this.#handle(message);
      }
    }
  }

  #handle(message: AgentMessage): void {
    if (message.fenced) {
      this.#fenced = message.fenced.fence === this.#fence;
      this.#wakeup.notify();
    }
    // A host that was declared dead counts as that until it has ended what ran on it.
    if (this.#isFencing) return;
    if (message.heartbeat) this.#heartbeat(message.heartbeat.sequence ?? 0);
    else if (message.nodeStatus) {
      this.#nodeReport = parseNodeReport(message.nodeStatus);
      this.#storeNode();
    } else if (message.podStatus) this.#podStatus(message);
    else if (message.event) this.#event(message);
  }

  get #isFencing(): boolean { return this.#fence !== '' && !this.#fenced; }

  /** Answered only once the Lease is stored: whoever replaces pods of silent nodes looks at the stored one. */
  #heartbeat(sequence: number): void {
    this.#reports.put('lease', async () => {
      await renewLease(this.#deps.api, this.identity.name, this.#deps.clock.now());
      if (sequence === 0 || !await this.#knowsAll()) return;
      this.#ack = sequence;
      this.#wakeup.notify();
    });
  }

  /**
   * True when what is sent from here on says of every pod of which there may be only one copy whether it is still this
   * node's. Without that the answer is left out; the next heartbeat asks again.
   */
  async #knowsAll(): Promise<boolean> {
    for (const known of this.#deps.informers.pods.by('node', this.identity.name)) {
      if (known.metadata?.deletionTimestamp !== undefined || !keepsOne(known)) continue;
      const stored = await this.#deps.api.get(pods, known.metadata?.namespace, known.metadata?.name ?? '').catch((error: unknown) => {
        if (!isStatus(error, 'NotFound')) throw error;
      });
      if (stored?.metadata?.uid !== known.metadata?.uid || stored?.metadata?.deletionTimestamp !== undefined) return false;
    }
    return true;
  }

  #storeNode(): void {
    this.#reports.put('node', async () => {
      const report = this.#nodeReport;
      if (!report || this.#nodeDeleted) return;
      const { api, clock, events } = this.#deps;
      await storeNodeReport(api, this.identity, report, clock.now());
      if (report.csi?.expansions) await (await import('./expansions.ts')).storeExpansions({ api, events }, this.identity.name, report.csi.expansions, clock.now());
    });
  }

  #podStatus({ podStatus }: AgentMessage): void {
    if (!podStatus) return;
    const report = parsePodReport(podStatus);
    if (report.mirror) {
      if (this.#mirrorLimit.take()) this.#reports.put(`mirror ${report.namespace}/${report.name}`, () => storeMirror(this.#deps.api, this.identity.name, report));
      return;
    }
    // What is not this node's pod is dropped here already: that bounds the queue.
    const pod = this.#deps.informers.pods.get(report.namespace, report.name);
    if (pod?.metadata?.uid !== report.uid || pod.spec?.nodeName !== this.identity.name) return;
    this.#podReports.set(report.uid, report);
    this.#storePod(report);
  }

  #storePod(report: PodReport): void {
    this.#reports.put(`pod ${report.uid}`, () => storePodReport(this.#deps.api, this.identity.name, report, this.#deps.clock.now()));
  }

  #event(message: AgentMessage): void {
    if (!message.event || !this.#eventLimit.take()) return;
    const event = parseEvent(message.event);
    const nowMs = this.#deps.clock.now();
    const times = { count: event.count, firstMs: nowMs - event.firstAgeMs, lastMs: nowMs - event.lastAgeMs };
    if (event.kind === 'Node') {
      if (event.name === this.identity.name) this.#deps.events.event({ apiVersion: 'v1', kind: 'Node', metadata: { name: event.name, uid: event.name }, host: this.identity.name }, event.type, event.reason, event.message, times);
      return;
    }
    const pod = this.#deps.informers.pods.get(event.namespace, event.name);
    if (pod?.metadata?.uid === event.uid && pod.spec?.nodeName === this.identity.name) {
      this.#deps.events.event({ apiVersion: 'v1', kind: 'Pod', metadata: pod.metadata, host: this.identity.name, ...(event.fieldPath !== '' && { fieldPath: event.fieldPath }) }, event.type, event.reason, event.message, times);
    }
  }

  /** The one sender. */
  async #send(): Promise<void> {
    const { signal } = this.#end;
    try {
      this.#fence = await currentFence(this.#deps.api, this.identity.name) ?? '';
      await this.#write({ welcome: { heartbeatPeriodMs: this.#config.heartbeatPeriodMs, fence: this.#fence, renew: this.identity.certificate?.outdated === true, servers: [...this.#config.servers ?? []] } });
      if (this.#isFencing) await this.#carryOutFence(this.#fence, signal);
      this.#heartbeat(0);
      this.#assignment = this.#deps.assignments.open(this.identity.name, () => { this.#wakeup.notify(); });
      await this.#sendComplete(this.#assignment);
      while (!signal.aborted) {
        for (let tunnel = this.#tunnels.shift(); tunnel; tunnel = this.#tunnels.shift()) await this.#write({ openTunnel: tunnel });
        if (this.#assignment.dirty) await this.#sendIncrementals(this.#assignment);
        else if (this.#ack !== undefined) await this.#sendAck(this.#ack);
        else if (this.#tunnels.length === 0) await this.#wakeup.wait(signal);
      }
    } catch (error) {
      this.end(error);
    }
  }

  async #carryOutFence(fence: string, signal: AbortSignal): Promise<void> {
    this.#log.warn({ fence }, 'the host was declared dead and is back: it ends all that ran on it before anything else');
    const cancel = this.#deps.clock.after(fencingMs, () => { this.end(new StatusError('Timeout', 'the host was declared dead, and does not say that it has ended its pods')); });
    try {
      while (this.#isFencing) await this.#wakeup.wait(signal);
    } finally {
      cancel();
    }
    await removeEnded(this.#deps.api, this.#deps.informers.pods.by('node', this.identity.name));
    await liftFence(this.#deps.api, this.identity.name, fence);
    this.#deps.events.event({ apiVersion: 'v1', kind: 'Node', metadata: { name: this.identity.name, uid: this.identity.name } }, 'Normal', 'FenceLifted', 'The host has ended everything that ran on it when it was declared dead');
  }

  async #sendAck(sequence: number): Promise<void> {
    this.#ack = undefined;
    await this.#write({ heartbeatAck: { sequence } });
  }

  /** One message; an agent that takes nothing for long, though it lives, has to begin anew. */
  async #write(message: ControlMessage): Promise<void> {
    const cancel = this.#deps.clock.after(stuckMs, () => {
      this.end(new StatusError('Timeout', `the agent has taken nothing for ${String(stuckMs / 1000)} s`));
    });
    try {
      await send(this.#call, message, this.#end.signal);
    } finally {
      cancel();
    }
  }

  async #sendComplete(assignment: NodeAssignment): Promise<void> {
    this.#revision = 1;
    for (const { set } of batches(assignment.changes())) {
      await this.#write({ complete: { objects: set, revision: this.#revision, last: false } });
    }
    await this.#write({ complete: { objects: [], revision: this.#revision, last: true } });
  }

  async #sendIncrementals(assignment: NodeAssignment): Promise<void> {
    for (const { set, removed } of batches(assignment.changes())) {
      await this.#write({ incremental: { fromRevision: this.#revision, toRevision: ++this.#revision, set, removed } });
    }
  }
}

interface Batch {
  set: Extract<AssignmentChange, { set: unknown }>['set'][];
  removed: Extract<AssignmentChange, { removed: unknown }>['removed'][];
}

/** Changes in portions that fit into a message. */
function* batches(changes: Iterable<AssignmentChange>): Generator<Batch> {
  let batch: Batch = { set: [], removed: [] };
  let bytes = 0;
  for (const change of changes) {
    const size = 'set' in change ? change.set.json.length : 200;
    if (bytes > 0 && bytes + size > messageBytes) {
      yield batch;
      batch = { set: [], removed: [] };
      bytes = 0;
    }
    bytes += size;
    if ('set' in change) batch.set.push(change.set);
    else batch.removed.push(change.removed);
  }
  if (bytes > 0) yield batch;
}

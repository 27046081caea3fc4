import { randomUUID, X509Certificate } from 'node:crypto';
import type { ClientDuplexStream } from '@grpc/grpc-js';
import { pods } from '#api/kinds/resources.ts';
import { backoffMs } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import { isStatus, messageOf, StatusError, toStatus } from '#common/errors.ts';
import { TaskGroup, type Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import { renewAtMs, timeFloor } from '#common/pki/validity.ts';
import type { AgentMessage, ControlMessage, Welcome } from '#proto/edge/v1/messages.ts';
import type { EdgeServices } from '#proto/edge/v1/services.ts';
import type { Checkpoint, StateChange } from '../state/types.ts';
import { Beats } from './beats.ts';
import type { HostContact } from './contact.ts';
import { dialBackoff } from './dial-backoff.ts';
import { DownStream } from './down-stream.ts';
import { EdgeClient, fromGrpc, type PingConfig } from './edge-client.ts';
import type { EventBuffer } from './event-buffer.ts';
import type { AgentCounts } from '#agent/metrics/counts.ts';
import { IdentityFiles, type Identity } from './identity.ts';
import { renewIdentity } from './join.ts';
import { nodeEvent } from './node-event.ts';
import { Outbox } from './outbox.ts';
import { explainFailure, formatServerAddress, type ServerAddress } from './server-probe.ts';
import { Servers } from './servers.ts';
import { send } from './stream.ts';
import { AgentTunnels } from './tunnels.ts';
import type { Fencing, NodeReports, PodReports, PodTokenRequest, PodTokens, TunnelHandlers } from './types.ts';

export interface AgentSessionDeps {
  readonly services: EdgeServices;
  readonly identity: Identity;
  readonly checkpoint: Checkpoint;
  readonly pods: PodReports;
  readonly node: NodeReports;
  readonly events: EventBuffer;
  readonly handlers: TunnelHandlers;
  readonly contact: HostContact;
  readonly fencing: Fencing;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
  /** Told when the control plane is reached, and when no more. */
  readonly reached?: (reached: boolean) => void;
  /** Absent where nobody counts, as in some tests. */
  readonly counts?: Pick<AgentCounts, 'renewalFailed'>;
}

export interface AgentSessionConfig {
  readonly stateDir: string;
  /** `https://HOST:6443`. */
  readonly server: string;
  readonly agentVersion: string;
  /** How soon a dead connection is noticed; under 20 s when not given. */
  readonly ping?: PingConfig;
}

type Call = ClientDuplexStream<AgentMessage, ControlMessage>;

const welcomeTimeoutMs = 15_000;
/** A session that held this long was a good one: the next dial starts with the shortest wait again. */
const goodSessionMs = 5_000;
const renewCheckMs = 12 * 3_600_000;
/** A control plane that begins anew is back sooner. */
const lookElsewhereMs = 15_000;

/** Keeps this agent connected: dials, opens the session, applies what comes down to the checkpoint, sends reports up, renews the certificate. */
export class AgentSession implements Runnable, PodTokens {
  readonly #deps: AgentSessionDeps;
  readonly #config: AgentSessionConfig;
  readonly #log: Log;
  readonly #tasks: TaskGroup;
  /** What the next dial does not wait for: tunnels whose handlers are slow to stop, finding out why dialling failed. */
  readonly #background: TaskGroup;
  readonly #tunnels: AgentTunnels;
  readonly #files: IdentityFiles;
  /** By which the control plane tells two hosts with one key apart. */
  readonly #instance = randomUUID();
  #servers: Servers | undefined;
  /** When a session ended that had been open; before the first, when this began. */
  #reachedAtMs = 0;
  #identity: Identity;
  #connected = false;
  /** Set while a session is open. */
  #current: { readonly client: EdgeClient; readonly signal: AbortSignal } | undefined;
  #lastFailure = '';
  #endDial: (reason: Error) => void = () => undefined;

  constructor(deps: AgentSessionDeps, config: AgentSessionConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#log = deps.log.child({ component: 'session', node: deps.identity.nodeName });
    this.#tasks = new TaskGroup(this.#log);
    this.#background = new TaskGroup(this.#log);
    this.#tunnels = new AgentTunnels(deps.handlers, this.#background);
    this.#files = new IdentityFiles(config.stateDir);
    this.#identity = deps.identity;
  }

  /** Until when this host's certificate is valid. */
  get certificateEndsAtMs(): number { return new X509Certificate(this.#identity.certPem).validToDate.getTime(); }

  /** True between the control plane's first COMPLETE and the end of the session. */
  get connected(): boolean { return this.#connected; }

  /** Dials anew: what the connection went through is gone, which it would notice much later. */
  redial(why: string): void {
    this.#endDial(new StatusError('ServiceUnavailable', why));
  }

  async token(request: PodTokenRequest): Promise<string> {
    if (!this.#current) throw new StatusError('ServiceUnavailable', 'the control plane is not connected');
    const { client, signal } = this.#current;
    return (await client.podToken(request, signal)).token;
  }

  async start(signal: AbortSignal): Promise<void> {
    let failures = 0;
    const { checkpoint, clock } = this.#deps;
    const servers = this.#servers = await Servers.open({ state: checkpoint, log: this.#log }, this.#config.stateDir, this.#config.server);
    this.#reachedAtMs = clock.monotonic();
    while (!signal.aborted) {
      const startedMs = clock.monotonic();
      try {
        await this.#dial(servers.current, signal);
      } catch (error) {
        if (signal.aborted) break;
        const status = toStatus(error);
        this.#report(status, servers.current, signal);
        const lost = isStatus(status, 'ServiceUnavailable', 'Timeout') && clock.monotonic() - this.#reachedAtMs >= lookElsewhereMs;
        if (lost && await this.#lookElsewhere(servers, signal)) continue;
      }
      failures = this.#deps.clock.monotonic() - startedMs >= goodSessionMs ? 1 : failures + 1;
      await this.#deps.clock.sleep(backoffMs(dialBackoff, failures, this.#deps.random), signal).catch(() => undefined);
    }
    await this.#background.drain();
  }

  /** One connection, from dialling to its end; always rejects. */
  async #dial(address: ServerAddress, signal: AbortSignal): Promise<never> {
    const client = new EdgeClient(this.#deps.services, address, this.#identity, this.#config.ping);
    const end = new AbortController();
    const ends = AbortSignal.any([signal, end.signal]);
    this.#endDial = (reason) => { end.abort(reason); };
    try {
      if (this.#renewDue()) await this.#renew(client, ends);
      const cancelRenewal = this.#renewLater(client, ends);
      try {
        await this.#converse(client, ends);
      } catch (error) {
        // an expired certificate may still renew itself; the next dial uses the new one
        if (isStatus(error, 'Unauthorized')) await this.#renew(client, ends);
        throw error;
      } finally {
        cancelRenewal();
      }
      throw new StatusError('ServiceUnavailable', 'the control plane closed the session');
    } finally {
      if (this.#connected) {
        this.#reachedAtMs = this.#deps.clock.monotonic();
        this.#deps.reached?.(false);
      }
      this.#connected = false;
      this.#current = undefined;
      end.abort(new StatusError('ServiceUnavailable', 'the session ended'));
      await this.#tasks.drain();
      client.close();
    }
  }

  async #converse(client: EdgeClient, signal: AbortSignal): Promise<void> {
    const { clock, checkpoint } = this.#deps;
    const call = client.session();
    const failed = new AbortController();
    const ends = AbortSignal.any([signal, failed.signal]);
    const cancel = (): void => { call.cancel(); };
    ends.addEventListener('abort', cancel, { once: true });
    const stopTimeout = clock.after(welcomeTimeoutMs, () => { failed.abort(new StatusError('Timeout', 'the control plane did not answer')); });
    const down = new DownStream({ checkpoint, log: this.#log });
    const beats = new Beats({ clock, contact: this.#deps.contact });
    try {
      await send(call, { hello: { agentVersion: this.#config.agentVersion, checkpointRevision: checkpoint.revision, instance: this.#instance } }, ends);
      for await (const message of call as AsyncIterable<ControlMessage>) {
        if (message.welcome) {
          stopTimeout();
          await this.#servers?.learn(message.welcome.servers ?? []);
          if (message.welcome.fence) await this.#carryOutFence(call, beats, message.welcome, ends);
          this.#current = { client, signal: ends };
          if (message.welcome.renew === true) this.#tasks.run('renewal', ends, () => this.#renew(client, ends));
          this.#sendReports(call, beats, message.welcome.heartbeatPeriodMs, failed, ends);
        } else if (message.heartbeatAck) {
          // Before the whole state has arrived nobody knows what the answer is about.
          if (this.#connected) beats.answered(message.heartbeatAck.sequence);
        } else if (message.openTunnel) {
          this.#tunnels.open(client, message.openTunnel, ends);
        } else if (await this.#keep(down, message)) {
          this.#nowConnected();
        }
      }
    } catch (error) {
      throw ends.aborted ? ends.reason : fromGrpc(error);
    } finally {
      stopTimeout();
      beats.stop();
      failed.abort(new StatusError('ServiceUnavailable', 'the session ended'));
      ends.removeEventListener('abort', cancel);
      call.on('error', () => undefined);
      call.cancel();
    }
  }

  /** What cannot be kept cannot be acted on: the cluster is told why this host takes nothing more. */
  async #keep(down: DownStream, message: ControlMessage): Promise<boolean> {
    try {
      return await down.apply(message);
    } catch (error) {
      const what = messageOf(error);
      if (isStatus(error, 'ServiceUnavailable') && what !== this.#lastFailure) this.#deps.events.emit(nodeEvent(this.#identity.nodeName, this.#deps.clock, 'Warning', 'CheckpointNotWritten', what));
      throw error;
    }
  }

  /** This host was declared dead and its pods run elsewhere: they end here before anything else is said or done. */
  async #carryOutFence(call: Call, beats: Beats, { fence = '', heartbeatPeriodMs }: Welcome, signal: AbortSignal): Promise<void> {
    const { checkpoint, fencing } = this.#deps;
    this.#log.warn({ fence }, 'this host was declared dead while it was away: killing its pods');
    beats.start(heartbeatPeriodMs, (sequence) => { void send(call, { heartbeat: { sentAtMs: this.#deps.clock.now(), sequence } }, signal).catch(() => undefined); });
    const forget = async (): Promise<void> => {
      const changes = checkpoint.list(pods).map((pod): StateChange => ({ type: 'remove', resource: pods, namespace: pod.metadata?.namespace, name: pod.metadata?.name ?? '' }));
      await checkpoint.incremental(changes, checkpoint.revision, checkpoint.revision);
    };
    await fencing.fence(forget, signal);
    beats.stop();
    await send(call, { fenced: { fence } }, signal);
  }

  /** Heartbeats and reports, from `welcome` to the end of the session. */
  #sendReports(call: Call, beats: Beats, heartbeatPeriodMs: number, failed: AbortController, signal: AbortSignal): void {
    const { clock } = this.#deps;
    const outbox = new Outbox({ ...this.#deps, sending: (sequence) => { beats.sending(sequence); } });
    beats.start(heartbeatPeriodMs, (sequence) => { outbox.heartbeat(sequence); });
    this.#tasks.run('reports', signal, async () => {
      try {
        await outbox.drain((message) => send(call, message, signal), () => clock.now(), signal);
      } catch (error) {
        failed.abort(error);
      } finally {
        outbox.close();
      }
    });
  }

  /** Whether the control plane answers at another of its addresses, or on another host of the fleet. */
  async #lookElsewhere(servers: Servers, signal: AbortSignal): Promise<boolean> {
    const { clock, identity } = this.#deps;
    const asked = await Promise.all(servers.elsewhere(identity.nodeName).map(async (address) => ({ address, why: await explainFailure(address, this.#identity.caPem, clock.now(), signal).catch((error: unknown) => toStatus(error)) })));
    const found = asked.find(({ why }) => why === undefined);
    if (!found || signal.aborted) return false;
    this.#log.warn({ server: formatServerAddress(found.address) }, 'the control plane has been found at another address');
    await servers.use(found.address);
    return true;
  }

  #nowConnected(): void {
    if (!this.#connected) {
      this.#log.info({ revision: this.#deps.checkpoint.revision }, 'connected to the control plane');
      this.#deps.reached?.(true);
    }
    this.#connected = true;
    this.#lastFailure = '';
  }

  /** Says once what is wrong, not at every dial. */
  #report(error: StatusError, address: ServerAddress, signal: AbortSignal): void {
    if (error.message === this.#lastFailure) {
      this.#log.debug({ err: error.message }, 'still not connected to the control plane');
      return;
    }
    this.#lastFailure = error.message;
    this.#background.run('explain', signal, async () => {
      const better = error.code === 'ServiceUnavailable' ? await explainFailure(address, this.#identity.caPem, this.#deps.clock.now(), signal) : undefined;
      const { code, message } = better ?? error;
      const level = code === 'Unauthorized' || code === 'AlreadyExists' || code === 'Forbidden' ? 'error' : 'warn';
      this.#log[level]({ err: message }, 'not connected to the control plane; what runs here goes on');
    });
  }

  #renewDue(): boolean {
    return timeFloor(this.#deps.clock.now()) >= renewAtMs(new X509Certificate(this.#identity.certPem));
  }

  #renewLater(client: EdgeClient, signal: AbortSignal): () => void {
    let cancel = (): void => undefined;
    const arm = (): void => {
      cancel = this.#deps.clock.after(renewCheckMs, () => {
        arm();
        if (this.#renewDue()) this.#tasks.run('renewal', signal, () => this.#renew(client, signal));
      });
    };
    arm();
    return () => { cancel(); };
  }

  /** A renewal that fails is tried again later; the old certificate serves as long as it can. */
  async #renew(client: EdgeClient, signal: AbortSignal): Promise<void> {
    try {
      this.#identity = await renewIdentity(client, this.#files, this.#identity, signal);
      this.#log.info('certificate renewed');
    } catch (error) {
      signal.throwIfAborted();
      this.#deps.counts?.renewalFailed();
      this.#log[isStatus(error, 'ServiceUnavailable') ? 'debug' : 'error']({ err: messageOf(error) }, 'the certificate could not be renewed');
    }
  }
}

import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { pino } from 'pino';
import { AgentSession } from '#agent/session/agent-session.ts';
import { HostContact } from '#agent/session/contact.ts';
import { EventBuffer } from '#agent/session/event-buffer.ts';
import type { Identity } from '#agent/session/identity.ts';
import { joinOrLoad, type JoinConfig } from '#agent/session/join.ts';
import type { Fencing, NodeReport, NodeReports, PodReport, PodReports, TunnelHandlers } from '#agent/session/types.ts';
import { CheckpointStore } from '#agent/state/checkpoint.ts';
import { secrets } from '#api/kinds/resources.ts';
import { systemClock, type Clock } from '#common/clock.ts';
import type { Log } from '#common/log.ts';
import { fingerprintOf } from '#common/pki/certificate.ts';
import { loadClusterCa, type ClusterCa } from '#common/pki/cluster-ca.ts';
import { formatJoinToken, makeJoinToken } from '#common/pki/join-token.ts';
import { ensureLeaf } from '#common/pki/store.ts';
import { Dispatcher } from '#controlplane/dispatcher/dispatcher.ts';
import { loadEdge } from '#proto/edge/v1/services.ts';
import { FakeCluster } from './fake-cluster.ts';

const services = loadEdge();
/** Back-off and limits shrink with this, so that tests wait for milliseconds where people wait for seconds. */
const speed = 20;

/** The system's clock with everything that waits `speed` times faster. */
class FastClock implements Clock {
  #frozenAtMs: number | undefined;

  now(): number { return systemClock.now(); }
  monotonic(): number { return this.#frozenAtMs ?? systemClock.monotonic() * speed; }
  sleep(ms: number, signal: AbortSignal): Promise<void> { return systemClock.sleep(ms / speed, signal); }
  after(ms: number, fn: () => void): () => void { return systemClock.after(ms / speed, fn); }

  /** From now on no time passes by `monotonic`: what is counted per second does not depend on how fast the machine is. */
  freeze(): void { this.#frozenAtMs = this.monotonic(); }
}

/** A fast clock that shows a date that a test chose and lets what waits for hours begin when the test says so. */
export class CalendarClock extends FastClock {
  #aheadMs = 0;
  readonly #timers = new Set<() => void>();

  override now(): number { return super.now() + this.#aheadMs; }

  override after(ms: number, fn: () => void): () => void {
    if (ms < 3_600_000) return super.after(ms, fn);
    this.#timers.add(fn);
    return () => { this.#timers.delete(fn); };
  }

  /** Lets `ms` pass; hours and more. */
  pass(ms: number): void {
    this.#aheadMs += ms;
    const due = [...this.#timers];
    this.#timers.clear();
    for (const fn of due) fn();
  }
}

/** A real TLS port and dispatcher over a cluster in memory. */
export class EdgeLab {
  readonly clock = new CalendarClock();
  readonly cluster = new FakeCluster();
  readonly recorded: string[] = [];
  readonly logged: { level: number; msg: string; err?: string }[] = [];
  readonly log: Log = pino({ level: 'debug' }, { write: (line: string) => { this.logged.push(JSON.parse(line) as { level: number; msg: string; err?: string }); } });
  readonly sockets = new Set<TLSSocket>();
  readonly stop = new AbortController();
  readonly #running: Promise<void>[] = [];
  readonly #checkpoints: CheckpointStore[] = [];
  folder = '';
  port = 0;
  /** Where the control plane says that it may be. */
  servers: readonly string[] = [];
  ca!: ClusterCa;
  dispatcher!: Dispatcher;
  #server!: Server;
  #dispatcherStop = new AbortController();

  static async start(): Promise<EdgeLab> {
    const lab = new EdgeLab();
    lab.folder = await mkdtemp(join(tmpdir(), 'cleat-edge-'));
    lab.ca = await loadClusterCa(join(lab.folder, 'pki'), Date.now());
    await lab.listen(0);
    return lab;
  }

  /** Starts, or starts again, control plane and port. */
  async listen(port: number): Promise<void> {
    this.#dispatcherStop = new AbortController();
    this.dispatcher = new Dispatcher({
      api: this.cluster, informers: this.cluster.informers, ca: this.ca, clock: this.clock, log: this.log, random: Math.random,
      events: { event: (about, type, reason, message, times) => { this.recorded.push([about.host, about.kind, about.metadata?.name, about.fieldPath, type, reason, message, (times?.count ?? 1) > 1 && `x${String(times?.count)}`].filter(Boolean).join(' ')); } },
    }, { heartbeatPeriodMs: 2000, servers: this.servers });
    this.#running.push(this.dispatcher.start(this.#dispatcherStop.signal));
    const leaf = await ensureLeaf(join(this.folder, 'pki'), 'server', this.ca, { subject: { commonName: 'server' }, usage: 'server', names: ['127.0.0.1', 'agents.cleat.internal'] }, Date.now());
    this.#server = createServer({ cert: leaf.certPem + this.ca.chainPem, key: leaf.keyPem, ca: this.ca.trustedPem, requestCert: true, rejectUnauthorized: false, ALPNProtocols: ['h2'] }, (socket) => {
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
      this.dispatcher.accept(socket);
    });
    this.#server.on('tlsClientError', () => undefined);
    this.#server.listen(port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.port = (this.#server.address() as AddressInfo).port;
  }

  /** Stops the control plane as a crash would: connections are cut. */
  async crash(): Promise<void> {
    this.#server.close();
    for (const socket of this.sockets) socket.destroy();
    this.#dispatcherStop.abort();
    await this.until(() => this.sockets.size === 0);
  }

  get url(): string { return `https://127.0.0.1:${String(this.port)}`; }

  token(expiration = new Date(Date.now() + 60_000).toISOString(), more: Readonly<Record<string, string>> = {}): string {
    const token = makeJoinToken(fingerprintOf(this.ca.certificate));
    const data = Object.fromEntries(Object.entries({ 'token-id': token.id, 'token-secret': token.secret, expiration, 'usage-bootstrap-authentication': 'true', ...more }).map(([k, v]) => [k, Buffer.from(v).toString('base64')]));
    this.cluster.put(secrets, { apiVersion: 'v1', kind: 'Secret', type: 'bootstrap.kubernetes.io/token', metadata: { namespace: 'kube-system', name: `bootstrap-token-${token.id}` }, data });
    return formatJoinToken(token);
  }

  joinConfig(host: string, token: string, nodeName = host): JoinConfig {
    return { stateDir: join(this.folder, host), server: this.url, token, nodeName, hostname: host };
  }

  join(host: string, token = this.token(), nodeName = host): Promise<Identity> {
    return joinOrLoad({ services, clock: this.clock, log: this.log, random: Math.random }, this.joinConfig(host, token, nodeName), this.stop.signal);
  }

  /** A joined agent whose session runs. */
  async agent(host: string, clock: Clock = this.clock, nodeName = host): Promise<LabAgent> {
    const identity = await this.join(host, undefined, nodeName);
    const checkpoint = await CheckpointStore.open({ log: this.log }, { folder: join(this.folder, host, 'agent', 'checkpoint') });
    this.#checkpoints.push(checkpoint);
    const contact = await HostContact.open({ log: this.log }, join(this.folder, host, 'contact'));
    const agent = new LabAgent(identity, checkpoint, contact);
    this.#running.push(this.session(agent, host, clock).start(AbortSignal.any([this.stop.signal, agent.stop.signal])));
    return agent;
  }

  session(agent: LabAgent, host: string, clock: Clock = this.clock): AgentSession {
    agent.session = new AgentSession({
      services, identity: agent.identity, checkpoint: agent.checkpoint, pods: agent.pods, node: agent.node, events: agent.events, handlers: agent.handlers, contact: agent.contact, fencing: agent.fencing,
      clock, log: this.log.child({ host }), random: Math.random,
    }, { stateDir: join(this.folder, host), server: this.url, agentVersion: 'test', ping: { periodMs: 300, timeoutMs: 200 } });
    return agent.session;
  }

  async until(condition: () => boolean, what = 'the condition'): Promise<void> {
    const deadline = Date.now() + 15_000;
    while (!condition()) {
      if (Date.now() > deadline) throw new Error(`waited in vain for ${what}; log: ${JSON.stringify(this.logged.slice(-10))}`);
      await systemClock.sleep(5, new AbortController().signal);
    }
  }

  async close(): Promise<void> {
    this.stop.abort();
    await this.crash();
    await Promise.all(this.#running);
    await Promise.all(this.#checkpoints.map((checkpoint) => checkpoint.close()));
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** The rest of an agent, faked: what it reports is set by the test. */
export class LabAgent {
  readonly identity: Identity;
  readonly checkpoint: CheckpointStore;
  readonly contact: HostContact;
  readonly events = new EventBuffer(systemClock);
  fencing: Fencing = { fence: (forget) => forget() };
  readonly stop = new AbortController();
  session!: AgentSession;
  handlers: TunnelHandlers = {
    logs: async function* none() { /* no logs */ },
    usage: () => Promise.resolve({ atMs: 1, windowMs: 1, node: { cpuMillis: 1, memoryBytes: 1, cpuSeconds: 3 }, pods: [] }),
  };
  readonly #podReports = new Map<string, PodReport>();
  readonly #podListeners = new Set<(report: PodReport) => void>();
  readonly #nodeListeners = new Set<(report: NodeReport) => void>();
  #node: NodeReport = { labels: { 'kubernetes.io/os': 'linux', 'node-role.kubernetes.io/control-plane': '' }, status: { capacity: { cpu: '1' }, conditions: [{ type: 'Ready', status: 'True' }] } };

  constructor(identity: Identity, checkpoint: CheckpointStore, contact: HostContact) {
    this.identity = identity;
    this.checkpoint = checkpoint;
    this.contact = contact;
  }

  readonly pods: PodReports = {
    all: () => [...this.#podReports.values()],
    subscribe: (listener) => {
      this.#podListeners.add(listener);
      return () => { this.#podListeners.delete(listener); };
    },
  };
  readonly node: NodeReports = {
    current: () => this.#node,
    subscribe: (listener) => {
      this.#nodeListeners.add(listener);
      return () => { this.#nodeListeners.delete(listener); };
    },
  };

  reportPod(report: PodReport): void {
    this.#podReports.set(report.uid, report);
    for (const listener of this.#podListeners) listener(report);
  }

  reportNode(status: NodeReport['status']): void {
    this.#node = { ...this.#node, status };
    for (const listener of this.#nodeListeners) listener(this.#node);
  }
}

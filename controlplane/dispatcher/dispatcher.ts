import type { TLSSocket } from 'node:tls';
import { Server, ServerCredentials, type sendUnaryData, type ServerDuplexStream, type ServerUnaryCall, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { isRecord } from '#api/meta/json.ts';
import type { UsageParts } from '#common/container-details.ts';
import { StatusError, messageOf } from '#common/errors.ts';
import { untilAborted, type Runnable } from '#common/lifecycle.ts';
import type { Channels } from '#common/streams/channels.ts';
import { timeFloor } from '#common/pki/validity.ts';
import type { ClusterCa } from '#common/pki/cluster-ca.ts';
import type { AgentMessage, ControlMessage, EnrolRequest, EnrolResponse, PodTokenRequest, PodTokenResponse, RenewRequest, TunnelFrame, TunnelKind } from '#proto/edge/v1/messages.ts';
import { loadEdge, type EdgeServices } from '#proto/edge/v1/services.ts';
import type { LogRequest, NodeGateway, NodeUsage, StreamRequest } from '../apiserver/types.ts';
import { Assignments } from './assignments.ts';
import { Duplicates, type Opener } from './duplicates.ts';
import { Enrolment } from './enrolment.ts';
import { identify, requireNode, type Peer } from './peer.ts';
import { podToken, type PodTokenIssuer } from './pod-tokens.ts';
import { NodeSession, type SessionConfig, type SessionDeps } from './session.ts';
import { finish, grpcAborted, grpcStatus } from './stream.ts';
import { Tunnels } from './tunnels.ts';

export type DispatcherDeps = Omit<SessionDeps, 'assignments'> & {
  readonly ca: ClusterCa;
  /** Absent where there are no service accounts, as in some tests. */
  readonly tokens?: PodTokenIssuer;
};

/** At once; one more takes the place of the oldest, so that idle ones keep nobody out. */
const maxStrangers = 64;
const strangerLimitMs = 30_000;
const idleLimitMs = 60_000;
/** For the agent to read why its session ended. */
const goodbyeMs = 2000;
const maxAnswerBytes = 4 << 20;
const usageTimeoutMs = 10_000;
/** A check of many peers, each of which may answer nothing. */
const networkTimeoutMs = 60_000;

interface Connection {
  readonly socket: TLSSocket;
  readonly peer: Peer;
  closing: boolean;
}

/** The control plane's end of the edge: gRPC to agents on connections that the API server hands over, and NodeGateway through them. */
export class Dispatcher implements Runnable, NodeGateway {
  readonly #deps: DispatcherDeps;
  readonly #config: SessionConfig;
  readonly #assignments: Assignments;
  readonly #enrolment: Enrolment;
  readonly #tunnels: Tunnels;
  readonly #duplicates: Duplicates;
  readonly #sessions = new Map<string, NodeSession>();
  readonly #servers = new Set<Server>();
  /** Connections of hosts that have yet to join, oldest first. */
  readonly #strangers = new Set<TLSSocket>();
  #services: EdgeServices | undefined;
  #running = false;

  constructor(deps: DispatcherDeps, config: SessionConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#assignments = new Assignments(deps.informers, deps.clock);
    this.#enrolment = new Enrolment(deps);
    this.#tunnels = new Tunnels(deps.clock);
    this.#duplicates = new Duplicates(deps.clock);
  }

  /** Accepts connections once all informers have synced; ends all sessions when the signal aborts. */
  async start(signal: AbortSignal): Promise<void> {
    await Promise.all(Object.values(this.#deps.informers).map((informer: { synced(s: AbortSignal): Promise<void> }) => informer.synced(signal)));
    const stops = [
      this.#assignments.start(),
      this.#deps.informers.nodes.subscribe(({ object, old }) => {
        const name = (object ?? old)?.metadata?.name ?? '';
        if (!object) this.#duplicates.forget(name);
        this.#sessions.get(name)?.nodeChanged(object);
      }),
      this.#deps.informers.pods.subscribe(({ object, old }) => { this.#sessions.get((object ?? old)?.spec?.nodeName ?? '')?.podChanged(object, old); }),
    ];
    this.#running = true;
    await untilAborted(signal);
    this.#running = false;
    for (const stop of stops) stop();
    for (const session of this.#sessions.values()) session.end(new StatusError('ServiceUnavailable', 'the control plane is stopping'));
    // One turn of the event loop lets the goodbyes out.
    await new Promise<void>((resolve) => { setImmediate(resolve); });
    for (const server of this.#servers) server.forceShutdown();
  }

  /** Names of the nodes that are connected now. */
  connected(): string[] {
    return [...this.#sessions.keys()];
  }

  /** Serves gRPC on an accepted TLS connection (server name `agents.cleat.internal`, ALPN h2) from which nothing was read yet. */
  accept(socket: TLSSocket): void {
    socket.on('error', () => undefined); // its close is what counts
    const peer = identify(socket, this.#deps.ca, timeFloor(this.#deps.clock.now()));
    const stranger = peer.node === undefined || peer.node.expired;
    if (!this.#running) {
      socket.destroy();
      return;
    }
    if (stranger) this.#limitStranger(socket);
    this.#serve(socket, peer, stranger);
  }

  #limitStranger(socket: TLSSocket): void {
    if (this.#strangers.size >= maxStrangers) {
      const [oldest] = this.#strangers;
      if (oldest) this.#strangers.delete(oldest);
      oldest?.destroy();
    }
    this.#strangers.add(socket);
    const cancel = this.#deps.clock.after(strangerLimitMs, () => { socket.destroy(); });
    socket.once('close', () => {
      this.#strangers.delete(socket);
      cancel();
    });
  }

  /** A gRPC server per connection: handlers then know whose call it is, and strangers get smaller limits. */
  #serve(socket: TLSSocket, peer: Peer, stranger: boolean): void {
    this.#services ??= loadEdge();
    const server = new Server({
      'grpc.enable_channelz': 0,
      'grpc.max_concurrent_streams': stranger ? 4 : 256,
      'grpc.max_receive_message_length': stranger ? 64 << 10 : 4 << 20,
      'grpc.max_connection_idle_ms': idleLimitMs,
    });
    this.#servers.add(server);
    server.addService(this.#services.enrolment, this.#enrolmentHandlers(peer));
    server.addService(this.#services.agents, this.#agentHandlers({ socket, peer, closing: false }));
    const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
    socket.once('close', () => {
      injector.destroy();
      server.forceShutdown();
      this.#servers.delete(server);
    });
    injector.injectConnection(socket);
  }

  #enrolmentHandlers(peer: Peer): UntypedServiceImplementation {
    const unary = <Request>(work: (request: Request) => Promise<EnrolResponse>) => (call: ServerUnaryCall<Request, EnrolResponse>, reply: sendUnaryData<EnrolResponse>): void => {
      work(call.request).then((response) => { reply(null, response); }, (error: unknown) => {
        this.#deps.log.warn({ component: 'dispatcher', address: peer.address, err: messageOf(error) }, 'a host was refused');
        reply(grpcStatus(error));
      });
    };
    return {
      Enrol: unary((request: EnrolRequest) => this.#enrolment.enrol(peer, request)),
      Renew: unary((request: RenewRequest) => this.#enrolment.renew(peer, request)),
    };
  }

  #agentHandlers(connection: Connection): UntypedServiceImplementation {
    return {
      Session: (call: ServerDuplexStream<AgentMessage, ControlMessage>) => { void this.#session(connection, call); },
      Tunnel: (call: ServerDuplexStream<TunnelFrame, TunnelFrame>) => {
        try {
          this.#tunnels.accept(requireNode(connection.peer), call);
        } catch (error) {
          finish(call, grpcStatus(error));
        }
      },
      PodToken: (call: ServerUnaryCall<PodTokenRequest, PodTokenResponse>, reply: sendUnaryData<PodTokenResponse>) => {
        try {
          reply(null, { token: podToken(this.#deps, requireNode(connection.peer), call.request) });
        } catch (error) {
          reply(grpcStatus(error));
        }
      },
    };
  }

  async #session(connection: Connection, call: ServerDuplexStream<AgentMessage, ControlMessage>): Promise<void> {
    call.on('error', () => undefined);
    let identity;
    try {
      identity = { ...requireNode(connection.peer), seenAt: connection.peer.address.replace(/^::ffff:/, '') };
      await this.#enrolment.checkOwner(identity.name, identity.publicKeySha256);
    } catch (error) {
      this.#deps.log.warn({ component: 'dispatcher', address: connection.peer.address, err: messageOf(error) }, 'a session was refused');
      finish(call, grpcStatus(error));
      return;
    }
    const { name } = identity;
    const session = new NodeSession({ ...this.#deps, assignments: this.#assignments }, this.#config, identity, call);
    await session.run(({ instance = '' }) => {
      if (this.#duplicates.isCopy(name, instance)) throw new StatusError('AlreadyExists', `another host connects with the key of node ${name}: was a disk, or a state directory, copied? On this one stop the agent, remove the folder agent/pki of its state directory, and join with a token and another --node-name`);
      this.#noteDuplicate(name, { instance, address: connection.peer.address });
      this.#sessions.get(name)?.end(new StatusError('Conflict', `node ${name} has opened a newer session`), grpcAborted);
      this.#sessions.set(name, session);
    });
    if (this.#sessions.get(name) === session) this.#sessions.delete(name);
    // The connection goes with its session: an agent dials anew, and one that does not read would hold it for ever.
    if (connection.closing) return;
    connection.closing = true;
    this.#deps.clock.after(goodbyeMs, () => { connection.socket.destroy(); });
  }

  #noteDuplicate(name: string, opener: Opener): void {
    const other = this.#duplicates.opened(name, opener)?.address;
    if (other === undefined) return;
    const { address } = opener;
    this.#deps.log.error({ component: 'dispatcher', node: name, address, other }, 'two hosts have the identity of one node: was a state directory copied? Empty it on one of them and join it again');
    this.#deps.events.event({ apiVersion: 'v1', kind: 'Node', metadata: { name, uid: name } }, 'Warning', 'DuplicateIdentity', `Hosts ${[address, other].sort().join(' and ')} both connect as node ${name}; empty the state directory of one of them and join it again`);
  }

  async *logs(nodeName: string, request: LogRequest, signal: AbortSignal): AsyncIterable<Uint8Array> {
    yield* this.#tunnels.read(this.#sessionOf(nodeName), 'LOGS', request, signal);
  }

  async usage(nodeName: string, signal: AbortSignal, parts: UsageParts = {}): Promise<NodeUsage> {
    return parseUsage(await this.#answer(nodeName, 'USAGE', parts, usageTimeoutMs, signal), nodeName);
  }

  async network(nodeName: string, check: boolean, signal: AbortSignal): Promise<unknown> {
    return parseAnswer(await this.#answer(nodeName, 'NETWORK', { check }, networkTimeoutMs, signal), `node ${nodeName} told of its network`);
  }

  async kubelet(nodeName: string, about: 'metrics' | 'probes' | 'configz', signal: AbortSignal): Promise<unknown> {
    return parseAnswer(await this.#answer(nodeName, 'KUBELET', { about }, usageTimeoutMs, signal), `node ${nodeName} told of itself`);
  }

  /** What a node says to one question, in full. */
  async #answer(nodeName: string, kind: TunnelKind, request: unknown, timeoutMs: number, signal: AbortSignal): Promise<string> {
    const timeout = new AbortController();
    const cancel = this.#deps.clock.after(timeoutMs, () => { timeout.abort(); });
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    try {
      for await (const chunk of this.#tunnels.read(this.#sessionOf(nodeName), kind, request, AbortSignal.any([signal, timeout.signal]))) {
        bytes += chunk.length;
        if (bytes > maxAnswerBytes) throw new StatusError('InternalError', `node ${nodeName} sent too much`);
        chunks.push(chunk);
      }
    } finally {
      cancel();
    }
    if (timeout.signal.aborted) throw new StatusError('Timeout', `node ${nodeName} did not answer in time`);
    signal.throwIfAborted();
    return Buffer.concat(chunks).toString();
  }

  /** Resolves when the directory of a local volume is no longer on the node. */
  async removeVolume(nodeName: string, name: string, signal: AbortSignal): Promise<void> {
    for await (const _ of this.#tunnels.read(this.#sessionOf(nodeName), 'REMOVE_VOLUME', { name }, signal)) { /* says nothing but its end */ }
    signal.throwIfAborted();
  }

  async open(nodeName: string, { kind, ...request }: StreamRequest, channels: readonly number[], signal: AbortSignal): Promise<Channels> {
    const wireKinds = { exec: 'EXEC', attach: 'ATTACH', 'port-forward': 'PORT_FORWARD', dial: 'DIAL', host: 'HOST', images: 'IMAGES' } as const;
    return this.#tunnels.open(this.#sessionOf(nodeName), wireKinds[kind], request, channels, signal);
  }

  #sessionOf(nodeName: string): NodeSession {
    const session = this.#sessions.get(nodeName);
    if (!session) throw new StatusError('ServiceUnavailable', `node ${nodeName} is not connected`);
    return session;
  }
}

function parseAnswer(text: string, subject: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new StatusError('InternalError', `${subject} what cannot be read`, { cause: error });
  }
}

function parseUsage(text: string, nodeName: string): NodeUsage {
  try {
    const value: unknown = JSON.parse(text);
    if (isRecord(value) && isRecord(value['node']) && Array.isArray(value['pods']) && typeof value['atMs'] === 'number' && typeof value['windowMs'] === 'number') return value as unknown as NodeUsage;
  } catch { /* said below */ }
  throw new StatusError('InternalError', `node ${nodeName} sent usage data that cannot be read`);
}

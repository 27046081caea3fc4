import type { ServerResponse } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { isStatus, messageOf, StatusError, statusCodes, toStatus } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import { http } from '#common/node-http.ts';
import { noSuchPath } from '../api-errors.ts';
import { resourceAttributes } from '../auth/attributes.ts';
import type { Attributes, Authenticator, Authorizer } from '../auth/types.ts';
import { refusal } from '../auth/authorizers.ts';
import type { Audit, Trail } from '../audit/audit.ts';
import { impersonated } from '../auth/impersonation.ts';
import { parseResourcePath, verbOf } from '../routes/resource-path.ts';
import type { Measured, RequestAbout, RequestMetrics } from '../request-metrics.ts';
import type { ResourceCall } from '../routes/types.ts';
import { webSocketAuthorization } from '../streams/protocols.ts';
import type { User } from '../types.ts';
import type { Classified, FlowControl } from '../flow-control/flow-control.ts';
import type { FairQueue } from './fair-queue.ts';
import type { HttpRequest, HttpResponse } from './listener.ts';
import { pretty, wantsPretty } from './pretty.ts';
import { BodyReader, parseTarget, type ApiRequest, type RequestLimits } from './request.ts';
import { errorReply, sendReply, type Reply } from './reply.ts';

export interface HandlerConfig extends RequestLimits {
  /** Requests worked on at once or waiting, watches and logs aside. */
  readonly maxInFlight: number;
  readonly maxStreams: number;
  /** A client that reads nothing for so long is cut off. */
  readonly stallMs: number;
  /** A request other than a watch or a log that takes longer is answered with a Timeout. */
  readonly requestTimeoutMs: number;
}

export interface HandlerDeps {
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly metrics: RequestMetrics;
  readonly queue: FairQueue;
  readonly flows: FlowControl;
  /** Absent when nothing is recorded. */
  readonly audit: Audit | undefined;
  readonly log: Log;
  /** Answers requests on resources. */
  readonly resource: (call: ResourceCall) => Promise<Reply>;
  /** Answers all others; undefined where nothing is served. */
  readonly other: (request: ApiRequest, user: User | undefined) => Promise<Reply | undefined>;
}

interface Answer { readonly reply: Reply; readonly about: RequestAbout; readonly trail: Trail | undefined }

/** Why a request's work ends: it is answered, its client has gone, or the server stops. One for all: making an error takes longer than much of the work. */
const over = new StatusError('ServiceUnavailable', 'the server is shutting down');
const nothingKnown: RequestAbout = { verb: 'other', resource: undefined, path: '', dryRun: false };
/** Who asks without credentials what everybody may know. */
const anonymous: User = { name: 'system:anonymous', groups: ['system:unauthenticated'] };
const publicPaths = new Set(['healthz', 'livez', 'readyz', 'version', 'cacerts']);
const knownMethods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']);

/** A stream on which nothing is said for so long is closed, as Kubernetes does. */
const streamIdleMs = 4 * 3_600_000;
const lingerMs = 500;
const lingerBytes = 16 << 20;

/**
 * Takes what is still coming of a request off the wire, within bounds: closing a connection with bytes unread resets
 * it, and a client that is still sending would see the reset in place of the answer.
 */
async function discardRest(incoming: HttpRequest): Promise<void> {
  await new Promise<void>((resolve) => {
    let bytes = 0;
    const timer = setTimeout(resolve, lingerMs);
    const end = (): void => { clearTimeout(timer); resolve(); };
    incoming.on('data', (chunk: Buffer) => { if ((bytes += chunk.length) > lingerBytes) end(); });
    incoming.once('end', end).once('close', end);
  });
}

/** authentication → authorization → route → answer. Whatever goes wrong is answered with a Status. */
export class RequestHandler {
  readonly #deps: HandlerDeps;
  readonly #config: HandlerConfig;
  readonly #bodies: BodyReader;
  /** What ends each request's work when the server stops. A signal would go through all its listeners for each that comes or goes. */
  readonly #ends = new Set<() => void>();
  #inFlight = 0;
  #streams = 0;

  constructor(deps: HandlerDeps, config: HandlerConfig, stop: AbortSignal) {
    this.#deps = deps;
    this.#config = config;
    this.#bodies = new BodyReader(config);
    stop.addEventListener('abort', () => { for (const end of this.#ends) end(); }, { once: true });
  }

  /** Never throws and never rejects. */
  handle(incoming: HttpRequest, response: HttpResponse): void {
    this.#handle(incoming, response).catch((error: unknown) => {
      this.#deps.log.debug({ err: messageOf(error) }, 'request ended early');
      response.destroy();
    });
  }

  async #handle(incoming: HttpRequest, response: HttpResponse): Promise<void> {
    const gone = new AbortController();
    const abort = (): void => { gone.abort(over); };
    response.on('close', abort);
    // A stream that the client resets is no error of ours; its signal says enough.
    response.on('error', abort);
    incoming.on('error', abort);
    this.#ends.add(abort);
    const body = this.#bodies.attach(incoming, () => {
      // HTTP/2 does it by itself.
      if (incoming.headers.expect !== undefined && response instanceof http.ServerResponse) response.writeContinue();
    });
    const measured = this.#deps.metrics.begin(incoming.method);
    let answer: Answer | undefined;
    try {
      answer = await this.#answer(incoming, gone.signal, body.read);
      const { about } = answer;
      const takeOver = answer.reply.takeOver ?? (isUpgrade(incoming) ? await this.#overWebSocket(incoming, answer) : undefined);
      if (takeOver && response instanceof http.ServerResponse) await this.#streamed(measured, about, () => handOver(response, takeOver));
      else await this.#send(incoming, response, answer, measured);
    } finally {
      body.release();
      this.#ends.delete(abort);
      gone.abort(over);
      measured.end(answer?.about ?? nothingKnown, response.statusCode);
      answer?.trail?.ended(answer.reply, response.statusCode);
    }
  }

  async #send(incoming: HttpRequest, response: HttpResponse, { reply, about }: Answer, measured: Measured): Promise<void> {
    const streaming = typeof reply.body === 'object' && Symbol.asyncIterator in reply.body;
    if (incoming.httpVersionMajor === 1 && !incoming.complete && reply.status >= 400) {
      response.setHeader('Connection', 'close');
      if (incoming.headers.expect === undefined && !isUpgrade(incoming)) await discardRest(incoming);
    }
    const send = (): Promise<void> => sendReply(response, reply, incoming.method === 'HEAD', this.#config.stallMs);
    await (streaming ? this.#streamed(measured, about, send) : send());
  }

  async #overWebSocket(incoming: HttpRequest, { reply, about: { verb } }: Answer): Promise<Reply['takeOver']> {
    const { overWebSocket } = await import('../streams/websocket-reply.ts');
    return overWebSocket(incoming, reply, verb);
  }

  async #streamed(measured: Measured, about: RequestAbout, work: () => Promise<void>): Promise<void> {
    this.#streams++;
    const ended = measured.stream(about);
    try {
      await work();
    } finally {
      this.#streams--;
      ended();
    }
  }

  async #answer(incoming: HttpRequest, signal: AbortSignal, body: () => Promise<Buffer>): Promise<Answer> {
    let about = nothingKnown;
    let trail: Trail | undefined;
    let flow: Classified | undefined;
    let style = (reply: Reply): Reply => reply;
    this.#inFlight++;
    try {
      if (this.#inFlight > this.#config.maxInFlight) throw new StatusError('TooManyRequests', 'too many requests at once, please try again later', { retryAfterMs: 1000 });
      const method = incoming.method ?? 'GET';
      const target = parseTarget(incoming.url ?? '/', this.#config.maxUrlBytes);
      const request: ApiRequest = { method, ...target, headers: incoming.headers, socket: socketOf(incoming), incoming, signal, body: async () => { const read = await body(); trail?.sent(read); return read; }, annotate: this.#deps.audit && ((...said) => { trail?.annotate(...said); }) };
      const path = parseResourcePath(request.segments);
      const verb = knownMethods.has(method) ? (path ? verbOf(request, path) : undefined) ?? method.toLowerCase() : 'other';
      about = { verb, resource: path, path: `/${request.segments[0] ?? ''}`, dryRun: request.query.has('dryRun') };
      trail = this.#deps.audit?.begin({ request, path, verb, longRunning: verb === 'watch' || (path !== undefined && isStream(path)) });
      if (wantsPretty(request) && path?.subresource !== 'proxy') style = pretty;
      const reply = this.#route(request, trail, (classified) => { flow = classified; });
      return answered(style(path?.subresource === 'proxy' ? await reply : await this.#deadline(reply, verb, request)), about, trail, flow);
    } catch (error) {
      return answered(style(errorReply(this.#translate(error))), about, trail, flow);
    } finally {
      this.#inFlight--;
    }
  }

  async #route(request: ApiRequest, trail: Trail | undefined, tell: (flow: Classified) => void): Promise<Reply> {
    const sender = await this.#authenticate(request);
    const user = sender && await impersonated(request.incoming.rawHeaders, sender, this.#deps.authorizer);
    trail?.authenticated(sender, user);
    const attributes = attributesOf(user ?? anonymous, request);
    const flow = this.#deps.flows.flowOf(attributes);
    tell(flow);
    const leave = await this.#deps.queue.enter(flow, request.signal);
    try {
      return await this.#routeFor(user, attributes, request, trail);
    } finally {
      leave();
    }
  }

  async #routeFor(user: User | undefined, attributes: Attributes, request: ApiRequest, trail: Trail | undefined): Promise<Reply> {
    if (!knownMethods.has(request.method) && !(request.method === 'OPTIONS' && parseResourcePath(request.segments)?.subresource === 'proxy')) throw new StatusError('MethodNotAllowed', `the method ${JSON.stringify(request.method.slice(0, 20))} is not supported`);
    if (user) await this.#authorize(attributes, trail);
    const path = attributes.resource && parseResourcePath(request.segments);
    const { verb } = attributes;
    if (path && user) {
      if ((verb === 'watch' || isStream(path)) && this.#streams >= this.#config.maxStreams) throw new StatusError('TooManyRequests', 'too many watches, logs and connections into pods at once, please try again later', { retryAfterMs: 5000 });
      return this.#deps.resource({ request, path, verb, user });
    }
    if (request.method !== 'GET' && request.method !== 'HEAD' && request.segments[0] !== 'cleat') throw new StatusError('MethodNotAllowed', 'the server does not allow this method on the requested resource');
    const reply = await this.#deps.other(request, user);
    if (!reply) throw noSuchPath();
    return reply;
  }

  async #authenticate(request: ApiRequest): Promise<User | undefined> {
    const isPublic = publicPaths.has(request.segments[0] ?? '');
    try {
      const user = await this.#deps.authenticator.authenticate({ socket: request.socket, authorization: request.headers.authorization ?? webSocketAuthorization(request.headers), rawHeaders: request.incoming.rawHeaders });
      if (user || isPublic) return user;
    } catch (error) {
      // A probe with yesterday's token still gets its answer.
      if (isPublic) return undefined;
      if (isStatus(error)) this.#deps.log.debug({ err: messageOf(error.cause) }, 'request not authenticated');
      throw error;
    }
    throw new StatusError('Unauthorized', 'Unauthorized');
  }

  async #authorize(attributes: Attributes, trail: Trail | undefined): Promise<void> {
    const { allowed, reason } = await this.#deps.authorizer.authorize(attributes);
    trail?.authorized(allowed, reason);
    if (!allowed) throw refusal(attributes, reason);
  }

  /** Streams have no deadline once they have begun. */
  async #deadline(reply: Promise<Reply>, verb: string, request: ApiRequest): Promise<Reply> {
    const { requestTimeoutMs } = this.#config;
    const { promise, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => { reject(new StatusError('Timeout', `the request did not finish within ${String(requestTimeoutMs)} ms: ${verb} ${request.path.slice(0, 200)}`)); }, requestTimeoutMs);
    try {
      return await Promise.race([reply, promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  #translate(error: unknown): StatusError {
    const status = toStatus(error);
    if (statusCodes[status.code].http === 500) this.#deps.log.error({ err: messageOf(error), stack: error instanceof Error ? error.stack : undefined }, 'request failed');
    return status;
  }
}

function answered(answer: Reply, about: RequestAbout, trail: Trail | undefined, flow: Classified | undefined): Answer {
  const reply = flow ? { ...answer, headers: { ...answer.headers, ...flow.headers } } : answer;
  return { about, trail, reply: trail ? trail.answered({ ...reply, headers: { ...reply.headers, 'Audit-Id': trail.auditId } }) : reply };
}

/** What a request wants; of a method that no resource has a verb for, by its path. */
function attributesOf(user: User, request: ApiRequest): Attributes {
  const path = parseResourcePath(request.segments);
  const verb = path ? verbOf(request, path) : undefined;
  return path && verb !== undefined ? resourceAttributes(user, verb, path, request.query) : { user, verb: request.method.toLowerCase(), path: request.path };
}

/** What Kubernetes counts as long-running: no deadline once it has begun, and a place among the streams. */
function isStream({ subresource }: { readonly subresource: string | undefined }): boolean {
  return subresource !== undefined && ['log', 'exec', 'attach', 'portforward', 'proxy'].includes(subresource);
}

function isUpgrade(incoming: HttpRequest): boolean {
  return 'upgrade' in incoming && incoming.upgrade === true;
}

/** Lets go of the connection for `takeOver`; it is closed when that fails. */
async function handOver(response: ServerResponse, takeOver: NonNullable<Reply['takeOver']>): Promise<void> {
  const { socket } = response;
  if (!socket) return;
  response.detachSocket(socket);
  response.statusCode = 101;
  socket.setTimeout(streamIdleMs, () => { socket.destroy(); });
  try {
    await takeOver(socket);
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** The TLS socket under a request of either version. */
function socketOf(incoming: HttpRequest): TLSSocket {
  const socket = 'stream' in incoming ? incoming.stream.session?.socket : incoming.socket;
  if (!socket) throw new StatusError('ServiceUnavailable', 'the connection has closed');
  return socket as TLSSocket;
}

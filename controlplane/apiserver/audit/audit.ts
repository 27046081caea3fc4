import { randomUUID } from 'node:crypto';
import { isRecord } from '#api/meta/json.ts';
import type { Clock } from '#common/clock.ts';
import { counter, type Family } from '#common/metrics.ts';
import type { ApiRequest } from '../http/request.ts';
import type { Reply } from '../http/reply.ts';
import type { ResourcePath } from '../routes/resource-path.ts';
import type { User } from '../types.ts';
import { decide, type AuditPolicy, type Decision, type Level, type Stage } from './policy.ts';

export interface AuditDeps {
  readonly clock: Clock;
  readonly log: { write(line: string): void; readonly dropped: number };
}

export interface AuditedCall {
  readonly request: ApiRequest;
  readonly path: ResourcePath | undefined;
  readonly verb: string;
  /** Whether it may last: its start is told, too. */
  readonly longRunning: boolean;
}

const anonymous: User = { name: 'system:anonymous', groups: ['system:unauthenticated'] };
/** Bodies beyond this are left out. */
const maxBodyBytes = 1 << 20;
const maxAnnotations = 200;
const maxAnnotationLength = 10 << 10;

/** Writes who asked for what, and what became of it, as events of audit.k8s.io/v1, one JSON object a line. */
export class Audit {
  readonly #deps: AuditDeps;
  readonly #policy: AuditPolicy;
  #events = 0;

  constructor(deps: AuditDeps, policy: AuditPolicy) {
    this.#deps = deps;
    this.#policy = policy;
  }

  begin(call: AuditedCall): Trail {
    return new Trail(this.#policy, this.#deps.clock, (event) => {
      this.#events++;
      this.#deps.log.write(JSON.stringify(event));
    }, call);
  }

  * collect(): Iterable<Family> {
    yield counter('apiserver_audit_event_total', 'Audit events made.', [{ value: this.#events }]);
    yield counter('apiserver_audit_error_total', 'Audit events that could not be written.', [{ labels: { plugin: 'log' }, value: this.#deps.log.dropped }]);
  }
}

/** One request on its way. */
export class Trail {
  readonly auditId: string = randomUUID();
  readonly #policy: AuditPolicy;
  readonly #clock: Clock;
  readonly #write: (event: object) => void;
  readonly #call: AuditedCall;
  readonly #received: string;
  #decision: Decision | undefined;
  #user = anonymous;
  #impersonated: User | undefined;
  #body: Buffer | undefined;
  /** By key, in the order they came. */
  readonly #annotations = new Map<string, { readonly value: string; readonly level: 'Metadata' | 'Request' }>();

  constructor(policy: AuditPolicy, clock: Clock, write: (event: object) => void, call: AuditedCall) {
    this.#policy = policy;
    this.#clock = clock;
    this.#write = write;
    this.#call = call;
    this.#received = micro(clock.now());
  }

  /** Who sent it is known, and whom it speaks for. */
  authenticated(sender: User | undefined, user: User | undefined): void {
    this.#user = sender ?? anonymous;
    if (user !== undefined && user !== sender) this.#impersonated = user;
    this.#tell('RequestReceived');
  }

  authorized(allowed: boolean, reason: string): void {
    this.annotate('authorization.k8s.io/decision', allowed ? 'allow' : 'forbid');
    this.annotate('authorization.k8s.io/reason', reason);
  }

  /** What others have to say of the request; who speaks first of something is heard. */
  annotate(key: string, value: string, level: 'Metadata' | 'Request' = 'Metadata'): void {
    if (this.#annotations.size < maxAnnotations && !this.#annotations.has(key)) this.#annotations.set(key, { value: value.slice(0, maxAnnotationLength), level });
  }

  /** What was sent, where the policy wants it. */
  sent(body: Buffer): void {
    if (this.#wants('Request') && body.length <= maxBodyBytes) this.#body = body;
  }

  /** The answer as it goes out, which may have been read for the event. */
  answered(reply: Reply): Reply {
    const known = this.#wants('RequestResponse') ? gathered(reply) : reply;
    if (this.#call.longRunning) this.#tell('ResponseStarted', known);
    return known;
  }

  ended(reply: Reply | undefined, code: number): void {
    this.#tell('ResponseComplete', reply, code);
  }

  get #decided(): Decision {
    const { path, verb, request } = this.#call;
    return this.#decision ??= decide(this.#policy, { user: this.#user, verb, path: request.path, resource: path });
  }

  #wants(level: 'Request' | 'RequestResponse'): boolean {
    return this.#decided.level === 'RequestResponse' || this.#decided.level === level;
  }

  #tell(stage: Stage, reply?: Reply, code = reply?.status): void {
    const { level, omitStages } = this.#decided;
    if (level === 'None' || omitStages.has(stage)) return;
    const { request, path, verb } = this.#call;
    const annotations = this.#annotationsAt(level);
    const requestObject = this.#body && parsed(this.#body);
    const responseObject = this.#wants('RequestResponse') && stage === 'ResponseComplete' ? parsed(reply?.body) : undefined;
    this.#write({
      kind: 'Event', apiVersion: 'audit.k8s.io/v1', level, auditID: this.auditId, stage,
      requestURI: request.path + (request.query.size > 0 ? `?${request.query.toString()}` : ''),
      verb, user: userOf(this.#user), ...(this.#impersonated && { impersonatedUser: userOf(this.#impersonated) }),
      sourceIPs: [request.socket.remoteAddress?.replace(/^::ffff:/, '') ?? ''], ...(request.headers['user-agent'] !== undefined && { userAgent: request.headers['user-agent'] }),
      ...(path && { objectRef: referenceOf(path) }),
      ...(reply && code !== undefined && { responseStatus: statusOf(reply, code) }),
      ...(requestObject !== undefined && { requestObject: this.#trimmed(requestObject) }),
      ...(responseObject !== undefined && { responseObject: this.#trimmed(responseObject) }),
      requestReceivedTimestamp: this.#received, stageTimestamp: micro(this.#clock.now()),
      ...(annotations.length > 0 && { annotations: Object.fromEntries(annotations) }),
    });
  }

  #annotationsAt(level: Level): (readonly [string, string])[] {
    return [...this.#annotations].flatMap(([key, annotation]) => (annotation.level === 'Metadata' || level !== 'Metadata' ? [[key, annotation.value] as const] : []));
  }

  #trimmed(object: unknown): unknown {
    if (!this.#decided.omitManagedFields || !isRecord(object)) return object;
    const bare = (one: unknown): unknown => (isRecord(one) && isRecord(one['metadata']) ? { ...one, metadata: { ...one['metadata'], managedFields: undefined } } : one);
    return Array.isArray(object['items']) ? { ...object, items: object['items'].map(bare) } : bare(object);
  }
}

function userOf({ name, uid, groups, extra }: User): object {
  return { username: name, ...(uid !== undefined && { uid }), groups, ...(extra && { extra }) };
}

function referenceOf({ group, version, plural, subresource, namespace, name }: ResourcePath): object {
  return { resource: plural, ...(namespace !== undefined && { namespace }), ...(name !== undefined && { name }), ...(group !== '' && { apiGroup: group }), apiVersion: version, ...(subresource !== undefined && { subresource }) };
}

/** A Status as it was answered; of other answers only the code. */
function statusOf(reply: Reply, code: number): object {
  const status = code >= 400 ? parsed(reply.body) : undefined;
  return isRecord(status) && status['kind'] === 'Status' ? { metadata: {}, status: status['status'], message: status['message'], reason: status['reason'], code } : { metadata: {}, code };
}

/** A body in pieces becomes one that can be read twice, if it is small. */
function gathered(reply: Reply): Reply {
  const { body } = reply;
  if (typeof body === 'string' || body instanceof Uint8Array || Symbol.asyncIterator in body) return reply;
  const pieces: Uint8Array[] = [...body];
  const size = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
  return { ...reply, body: size <= maxBodyBytes ? Buffer.concat(pieces) : pieces };
}

function parsed(body: Reply['body'] | undefined): unknown {
  if (!(typeof body === 'string' || body instanceof Uint8Array) || body.length > maxBodyBytes) return undefined;
  try {
    return JSON.parse(typeof body === 'string' ? body : Buffer.from(body).toString());
  } catch {
    return undefined; // YAML, protobuf or text: who and what is told all the same
  }
}

/** MicroTime. */
function micro(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '000Z');
}

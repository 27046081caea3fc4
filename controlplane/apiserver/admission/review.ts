import { randomUUID } from 'node:crypto';
import type { Resource } from '#api/kinds/resources.ts';
import { isRecord } from '#api/meta/json.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { StatusError, statusCodes, type StatusCode } from '#common/errors.ts';
import type { User } from '../types.ts';
import { operationOf } from './request-facts.ts';
import type { AdmissionRequest } from './types.ts';

const optionsKinds = { create: 'CreateOptions', update: 'UpdateOptions', delete: 'DeleteOptions', connect: undefined } as const;

const scale = { group: 'autoscaling', version: 'v1', kind: 'Scale' };

/** `request` of an AdmissionReview, also what expressions see. `resource` may be another version than the one that was asked for. */
export function reviewRequest(request: AdmissionRequest, resource: Resource, objects: { readonly object: KubeObject | undefined; readonly old: KubeObject | undefined }, uid: string = randomUUID()): Record<string, unknown> {
  const { kind, subresource, name, namespace, user, dryRun, operation, asked } = request;
  const as = (own: Resource): Pick<Resource, 'group' | 'version' | 'kind'> => (subresource === 'scale' && kind.scale ? scale : subresource === undefined || request.object?.kind === kind.resource.kind ? own : typeOf(request.object) ?? own);
  return {
    uid,
    kind: kindOf(as(resource)), resource: resourceOf(resource), ...(subresource !== undefined && { subResource: subresource }),
    requestKind: kindOf(as(kind.resource)), requestResource: resourceOf(kind.resource), ...(subresource !== undefined && { requestSubResource: subresource }),
    name, ...(namespace !== undefined && { namespace }),
    operation: operationOf(request), userInfo: userInfo(user),
    object: objects.object ?? null, oldObject: objects.old ?? null, dryRun,
    options: optionsKinds[operation] === undefined ? null : { kind: optionsKinds[operation], apiVersion: 'meta.k8s.io/v1', ...asked, ...(dryRun && { dryRun: ['All'] }) },
  };
}

/** What is asked of a subresource may be an object of its own type. */
function typeOf(object: KubeObject | undefined): Pick<Resource, 'group' | 'version' | 'kind'> | undefined {
  const [version = '', group = ''] = (object?.apiVersion ?? '').split('/').reverse();
  return object?.kind === undefined ? undefined : { group, version, kind: object.kind };
}

function kindOf({ group, version, kind }: Pick<Resource, 'group' | 'version' | 'kind'>): object {
  return { group, version, kind };
}

function resourceOf({ group, version, plural }: Resource): object {
  return { group, version, resource: plural };
}

function userInfo({ name, groups, uid, extra }: User): object {
  return { username: name, ...(uid !== undefined && { uid }), groups, ...(extra !== undefined && { extra }) };
}

export interface ReviewResponse {
  readonly allowed: boolean;
  readonly result: Readonly<Record<string, unknown>>;
  /** Parsed JSON; undefined when nothing is to change. */
  readonly patch: unknown;
  readonly warnings: readonly string[];
  readonly auditAnnotations: Readonly<Record<string, string>>;
}

/** Reads the answer of a webhook. Throws an Error that says what is wrong with it. */
export function readResponse(answer: unknown, uid: string, mayPatch: boolean): ReviewResponse {
  if (!isRecord(answer) || answer['kind'] !== 'AdmissionReview' || answer['apiVersion'] !== 'admission.k8s.io/v1') throw new Error('expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview');
  const { response } = answer;
  if (!isRecord(response)) throw new Error('webhook response was absent');
  if (response['uid'] !== uid) throw new Error(`expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(response['uid'] ?? '')}`);
  const { allowed, status, patch, patchType, warnings, auditAnnotations } = response;
  if (patch !== undefined && patch !== null) {
    if (!mayPatch) throw new Error('webhook response may not contain a patch');
    if (patchType !== 'JSONPatch') throw new Error(`invalid response.patchType: expected JSONPatch, got ${JSON.stringify(patchType ?? '')}`);
  }
  return {
    allowed: allowed === true, result: isRecord(status) ? status : {},
    patch: typeof patch === 'string' && patch !== '' ? JSON.parse(Buffer.from(patch, 'base64').toString('utf8')) as unknown : undefined,
    warnings: Array.isArray(warnings) ? warnings.filter((text) => typeof text === 'string') : [],
    auditAnnotations: isRecord(auditAnnotations) ? Object.fromEntries(Object.entries(auditAnnotations).flatMap(([key, value]): [string, string][] => (typeof value === 'string' ? [[key, value]] : []))) : {},
  };
}

const maxMessage = 32 << 10;

/** What the client is told when somebody from outside refuses: `denied by …: why`, under the code that was asked for. */
export function denial(denied: string, result: Readonly<Record<string, unknown>>): StatusError {
  const { message, reason, code } = result;
  const said = [message, reason].find((text) => typeof text === 'string' && text !== '');
  const text = typeof said === 'string' ? `${denied}: ${said.slice(0, maxMessage)}` : `${denied} without explanation`;
  const http = Number.isInteger(code) && Number(code) >= 400 && Number(code) < 600 ? Number(code) : 400;
  const refusal = { http, reason: typeof reason === 'string' ? reason.slice(0, maxMessage) : '' };
  return new StatusError(codeFor(refusal.reason, http), text, { refusal });
}

function codeFor(reason: string, http: number): StatusCode {
  const codes = Object.entries(statusCodes) as [StatusCode, { readonly http: number }][];
  const named = codes.find(([name, row]) => name === reason && row.http === http);
  return (named ?? codes.find(([, row]) => row.http === http) ?? codes.find(([name]) => name === (http < 500 ? 'BadRequest' : 'InternalError')))?.[0] ?? 'Forbidden';
}

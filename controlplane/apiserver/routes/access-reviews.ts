import type { NonResourceAttributes, ResourceAttributes, SubjectAccessReviewSpec, UserInfo } from '#api/gen/types.ts';
import type * as k from '#api/gen/types.ts';
import type { KindDefinition } from '#api/kinds/types.ts';
import { invalid as invalidField, type FieldError } from '#api/meta/field-error.ts';
import { isStatus, messageOf } from '#common/errors.ts';
import { badRequest, invalid, methodNotAllowed, noSuchPath } from '../api-errors.ts';
import type { Attributes } from '../auth/types.ts';
import { json, type Reply } from '../http/reply.ts';
import type { User } from '../types.ts';
import { reviewKinds } from './computed-kinds.ts';
import type { ResourceCall, RouteDeps } from './types.ts';
import { decodeFor, readStrictly } from './write-parameters.ts';

type Status = Record<string, unknown>;

/** `kubectl auth can-i` and `whoami`, and what servers ask about their clients: objects that are answered, never kept. */
export async function serveAccessReview(deps: RouteDeps, call: ResourceCall): Promise<Reply> {
  const { request, path, verb, user } = call;
  const kind = reviewKinds[`${path.plural}.${path.group}`];
  if (!kind || path.version !== 'v1' || path.name !== undefined || (path.namespace !== undefined) !== kind.resource.namespaced) throw noSuchPath();
  if (verb !== 'create') throw methodNotAllowed(kind.resource, verb);
  const warnings: string[] = [];
  const review = decodeFor(kind, await readStrictly(request), request.query, warnings);
  return { ...json({ ...review, metadata: review.metadata ?? {}, status: await statusOf(deps, kind, review, user, path.namespace) }, 201), warnings };
}

async function statusOf(deps: RouteDeps, kind: KindDefinition, review: unknown, user: User, namespace: string | undefined): Promise<Status> {
  switch (kind.resource.kind) {
    case 'SelfSubjectReview': return { userInfo: userInfo(user) };
    case 'SelfSubjectRulesReview': return rulesStatus(deps, (review as k.SelfSubjectRulesReview).spec, user);
    case 'TokenReview': return tokenStatus(deps, (review as k.TokenReview).spec);
    case 'SelfSubjectAccessReview': {
      const { spec } = review as k.SelfSubjectAccessReview;
      return accessStatus(deps, kind, spec, user, []);
    }
    default: return subjectStatus(deps, kind, review as k.SubjectAccessReview, namespace);
  }
}

function userInfo({ name, uid, groups, extra }: User): UserInfo {
  return { username: name, ...(uid !== undefined && { uid }), groups: [...groups], ...(extra && { extra: Object.fromEntries(Object.entries(extra).map(([key, values]) => [key, [...values]])) }) };
}

async function accessStatus(deps: RouteDeps, kind: KindDefinition, spec: Pick<SubjectAccessReviewSpec, 'resourceAttributes' | 'nonResourceAttributes'> | undefined, user: User, errors: FieldError[]): Promise<Status> {
  const { resourceAttributes, nonResourceAttributes } = spec ?? {};
  if (resourceAttributes && nonResourceAttributes) errors.push(invalidField('spec.nonResourceAttributes', nonResourceAttributes, 'cannot be specified in combination with resourceAttributes'));
  if (!resourceAttributes && !nonResourceAttributes) errors.push(invalidField('spec.resourceAttributes', null, 'exactly one of nonResourceAttributes or resourceAttributes must be specified'));
  if (errors.length > 0) throw invalid(kind.resource, '', errors);
  const { allowed, reason } = await deps.authorizer.authorize(attributesOf(user, resourceAttributes, nonResourceAttributes));
  return { allowed, ...(reason !== '' && { reason }) };
}

function attributesOf(user: User, resource: ResourceAttributes | undefined, path: NonResourceAttributes | undefined): Attributes {
  if (!resource) return { user, verb: path?.verb ?? '', path: path?.path ?? '' };
  return {
    user, verb: resource.verb ?? '',
    resource: {
      group: resource.group ?? '', version: resource.version ?? '', plural: resource.resource ?? '',
      subresource: resource.subresource || undefined, namespace: resource.namespace || undefined, name: resource.name || undefined,
      fields: new Map((resource.fieldSelector?.requirements ?? []).flatMap(({ key, operator, values = [] }) => (operator === 'In' && values.length === 1 ? [[key, values[0] ?? '']] : []))),
    },
  };
}

async function subjectStatus(deps: RouteDeps, kind: KindDefinition, review: k.SubjectAccessReview, namespace: string | undefined): Promise<Status> {
  const spec: SubjectAccessReviewSpec = (review.spec as SubjectAccessReviewSpec | undefined) ?? {};
  const errors: FieldError[] = [];
  if (!spec.user && (spec.groups ?? []).length === 0) errors.push(invalidField('spec.user', spec.user ?? '', 'at least one of user or group must be specified'));
  if (namespace !== undefined) {
    if (spec.nonResourceAttributes) errors.push(invalidField('spec.nonResourceAttributes', spec.nonResourceAttributes, 'disallowed on this kind of request'));
    if (spec.resourceAttributes && spec.resourceAttributes.namespace !== namespace) throw badRequest(`spec.resourceAttributes.namespace must match namespace: ${namespace}`);
  }
  const user: User = { name: spec.user ?? '', groups: spec.groups ?? [], ...(spec.uid !== undefined && { uid: spec.uid }), ...(spec.extra && { extra: spec.extra }) };
  return accessStatus(deps, kind, spec, user, errors);
}

function rulesStatus(deps: RouteDeps, spec: k.SelfSubjectRulesReviewSpec | undefined, user: User): Status {
  if (!spec?.namespace) throw badRequest('no namespace on request');
  const { rules, problem } = deps.access.rules.rulesFor(user, spec.namespace);
  return {
    incomplete: problem !== '', ...(problem !== '' && { evaluationError: problem }),
    resourceRules: rules.filter(({ nonResourceURLs = [] }) => nonResourceURLs.length === 0),
    nonResourceRules: rules.filter(({ nonResourceURLs = [] }) => nonResourceURLs.length > 0).map(({ verbs, nonResourceURLs }) => ({ verbs, nonResourceURLs })),
  };
}

async function tokenStatus(deps: RouteDeps, spec: k.TokenReviewSpec | undefined): Promise<Status> {
  if (!spec?.token) throw badRequest('token is required for TokenReview in authentication');
  try {
    const { user, audiences } = await deps.access.bearer.review(spec.token, spec.audiences ?? []);
    return { authenticated: true, user: userInfo({ ...user, groups: [...user.groups, 'system:authenticated'] }), audiences };
  } catch (error) {
    if (!isStatus(error, 'Unauthorized')) throw error;
    return { user: {}, error: `[invalid bearer token, ${messageOf(error.cause)}]` };
  }
}

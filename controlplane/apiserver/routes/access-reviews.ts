import { isRecord } from '#api/meta/json.ts';
import { badRequest, methodNotAllowed, noSuchPath } from '../api-errors.ts';
import type { Attributes } from '../auth/types.ts';
import { readDocument } from '../http/request.ts';
import { json, type Reply } from '../http/reply.ts';
import type { ResourceCall, RouteDeps } from './types.ts';

/** `kubectl auth can-i` and `whoami`: objects that are answered, never kept. */
export async function serveAccessReview(deps: RouteDeps, { request, path, verb, user }: ResourceCall): Promise<Reply> {
  const { group, plural, version } = path;
  const kind = reviewKinds[`${plural}.${group}`];
  if (!kind || version !== 'v1' || path.name !== undefined) throw noSuchPath();
  if (verb !== 'create') throw methodNotAllowed({ group, plural, kind }, verb);
  const review = await readDocument(request);
  if (!isRecord(review)) throw badRequest(`the object provided is not a ${kind}`);
  const spec = isRecord(review['spec']) ? review['spec'] : {};
  const answer = (status: unknown): Reply => json({ ...review, kind, apiVersion: `${group}/v1`, metadata: {}, spec, status }, 201);
  if (kind === 'SelfSubjectReview') return answer({ userInfo: { username: user.name, groups: user.groups } });
  if (kind === 'SelfSubjectRulesReview') {
    const { allowed: everything } = await deps.authorizer.authorize({ user, verb: '*', path: '*' });
    return answer({
      incomplete: false,
      resourceRules: everything ? [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }] : [],
      nonResourceRules: everything ? [{ verbs: ['*'], nonResourceURLs: ['*'] }] : [],
    });
  }
  const attributes = attributesOf(spec, user);
  if (!attributes) throw badRequest('exactly one of spec.resourceAttributes and spec.nonResourceAttributes must be given');
  return answer(await deps.authorizer.authorize(attributes));
}

export const reviewKinds: Readonly<Record<string, string | undefined>> = {
  'selfsubjectaccessreviews.authorization.k8s.io': 'SelfSubjectAccessReview',
  'selfsubjectrulesreviews.authorization.k8s.io': 'SelfSubjectRulesReview',
  'selfsubjectreviews.authentication.k8s.io': 'SelfSubjectReview',
};

function attributesOf(spec: Record<string, unknown>, user: Attributes['user']): Attributes | undefined {
  const { resourceAttributes: resource, nonResourceAttributes: path } = spec;
  const text = (value: unknown): string => (typeof value === 'string' ? value : '');
  if (isRecord(resource) && path === undefined) {
    return {
      user, verb: text(resource['verb']),
      resource: {
        group: text(resource['group']), version: text(resource['version']), plural: text(resource['resource']),
        subresource: text(resource['subresource']) || undefined, namespace: text(resource['namespace']) || undefined, name: text(resource['name']) || undefined,
      },
    };
  }
  return isRecord(path) && resource === undefined ? { user, verb: text(path['verb']), path: text(path['path']) } : undefined;
}

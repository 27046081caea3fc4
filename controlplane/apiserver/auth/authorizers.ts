import { qualifiedName } from '#api/kinds/resources.ts';
import { StatusError } from '#common/errors.ts';
import type { Attributes, Authorizer } from './types.ts';

/**
 * The group system:masters may do everything; everyone else may find out what is served and what they may do,
 * and no more. RBAC takes its place.
 */
export const mastersOnly: Authorizer = {
  authorize: ({ user, verb, resource, path }) => ({
    allowed: user.groups.includes('system:masters')
      || (resource !== undefined && verb === 'create' && selfReviews.has(`${resource.plural}.${resource.group}`))
      || (path !== undefined && (verb === 'get' || verb === 'head') && discoveryPaths.test(path)),
    reason: '',
  }),
};

const discoveryPaths = /^\/(api|apis|openapi|version|healthz|livez|readyz|cacerts)(\/|$)/;

const selfReviews = new Set([
  'selfsubjectaccessreviews.authorization.k8s.io', 'selfsubjectrulesreviews.authorization.k8s.io', 'selfsubjectreviews.authentication.k8s.io',
]);

/** Kubernetes' words for a refusal. */
export function refusal({ user, verb, resource, path }: Attributes, reason = ''): StatusError {
  const why = reason === '' ? '' : `: ${reason}`;
  if (!resource) return new StatusError('Forbidden', `forbidden: User "${user.name}" cannot ${verb} path "${path ?? ''}"${why}`);
  const plural = resource.subresource === undefined ? resource.plural : `${resource.plural}/${resource.subresource}`;
  const subject = resource.name ? `${qualifiedName(resource)} "${resource.name}"` : qualifiedName(resource);
  const where = resource.namespace ? ` in the namespace "${resource.namespace}"` : ' at the cluster scope';
  return new StatusError('Forbidden', `${subject} is forbidden: User "${user.name}" cannot ${verb} resource "${plural}" in API group "${resource.group}"${where}${why}`, {
    details: { ...(resource.name && { name: resource.name }), ...(resource.group && { group: resource.group }), kind: resource.plural },
  });
}

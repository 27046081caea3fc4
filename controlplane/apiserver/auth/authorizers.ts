import { qualifiedName } from '#api/kinds/resources.ts';
import { StatusError } from '#common/errors.ts';
import type { Attributes, Authorizer, Decision } from './types.ts';

/** The group system:masters may do everything, whatever becomes of roles and bindings. */
export const masters: Authorizer = {
  authorize: ({ user }) => ({ allowed: user.groups.includes('system:masters'), reason: '' }),
};

/** Asks each in turn until one allows. */
export class AuthorizerChain implements Authorizer {
  readonly #authorizers: readonly Authorizer[];

  constructor(authorizers: readonly Authorizer[]) {
    this.#authorizers = authorizers;
  }

  async authorize(attributes: Attributes): Promise<Decision> {
    const reasons: string[] = [];
    for (const authorizer of this.#authorizers) {
      const decision = await authorizer.authorize(attributes);
      if (decision.allowed) return decision;
      if (decision.reason !== '') reasons.push(decision.reason);
    }
    return { allowed: false, reason: reasons.join('\n') };
  }
}

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

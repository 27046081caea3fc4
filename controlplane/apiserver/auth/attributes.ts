import { parseFieldSelector } from '#api/meta/selectors.ts';
import type { User } from '../types.ts';
import type { Attributes } from './types.ts';

type Named = Omit<NonNullable<Attributes['resource']>, 'fields'>;

/**
 * What a request on a resource wants. A list or watch of the one object that its field selector names counts as
 * naming it, so that rules with resourceNames cover it.
 */
export function resourceAttributes(user: User, verb: string, { group, version, namespace, plural, name, subresource }: Named, query: URLSearchParams): Attributes {
  // What is done to a namespace is done in it: a RoleBinding there may allow it.
  const home = group === '' && plural === 'namespaces' ? name : namespace;
  const resource = { group, version, plural, subresource, namespace: home, name };
  const selector = ['list', 'watch', 'deletecollection'].includes(verb) ? query.get('fieldSelector') ?? '' : '';
  if (selector === '') return { user, verb, resource };
  const fields = new Map(parseFieldSelector(selector).flatMap(({ field, op, value }) => (op === '=' ? [[field, value]] : [])));
  return { user, verb, resource: { ...resource, name: name ?? fields.get('metadata.name'), fields } };
}

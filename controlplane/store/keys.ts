import type { Resource } from '#api/kinds/resources.ts';

type Named = Pick<Resource, 'group' | 'plural'>;

/** `core/pods/`, `core/pods/default/`: the prefix of every key of a resource, or of one namespace of it. */
export function storePrefix(resource: Named, namespace?: string): string {
  const all = `${resource.group === '' ? 'core' : resource.group}/${resource.plural}/`;
  return namespace ? `${all}${namespace}/` : all;
}

/** `core/pods/default/web`; `core/nodes/one` for a cluster-scoped object, whose namespace is undefined. */
export function storeKey(resource: Named, namespace: string | undefined, name: string): string {
  return storePrefix(resource, namespace) + name;
}

/** The namespace and name in a key of `resource`; a key without a namespace is a cluster-scoped object's. */
export function splitStoreKey(resource: Named, key: string): { namespace: string | undefined; name: string } {
  const rest = key.slice(storePrefix(resource).length);
  const slash = rest.indexOf('/');
  return slash < 0 ? { namespace: undefined, name: rest } : { namespace: rest.slice(0, slash), name: rest.slice(slash + 1) };
}

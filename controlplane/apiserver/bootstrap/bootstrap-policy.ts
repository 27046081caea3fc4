import { clusterRoleBindings, clusterRoles, roleBindings, roles, type Resource } from '#api/kinds/resources.ts';
import { keyOf, type KubeObject } from '#api/meta/object.ts';
import type { ApiClient } from '../types.ts';
import { marked, updatedBinding, updatedRole } from './reconcile.ts';

type Update<T> = (current: T, wanted: T) => { readonly object: T; readonly replace: boolean } | undefined;

/** Makes the default roles and bindings, and gives those that are there what they lack. Loaded and forgotten: it runs once. */
export async function bootstrapPolicy(client: ApiClient): Promise<void> {
  const { defaultPolicy } = await import('./policy.ts');
  const role = <T extends Parameters<typeof updatedRole>[0]>(current: T, wanted: T): ReturnType<Update<T>> => {
    const object = updatedRole(current, wanted);
    return object && { object, replace: false };
  };
  await Promise.all([
    reconcile(client, clusterRoles, defaultPolicy.clusterRoles, role),
    reconcile(client, roles, defaultPolicy.roles, role),
    reconcile(client, clusterRoleBindings, defaultPolicy.clusterRoleBindings, updatedBinding),
    reconcile(client, roleBindings, defaultPolicy.roleBindings, updatedBinding),
  ]);
}

async function reconcile<T extends KubeObject>(client: ApiClient, resource: Resource<T>, defaults: readonly T[], update: Update<T>): Promise<void> {
  const current = new Map((await client.list(resource)).items.map((object) => [keyOf(object), object]));
  await Promise.all(defaults.map(marked).map(async (wanted) => {
    const { namespace, name = '' } = wanted.metadata ?? {};
    const known = current.get(keyOf(wanted));
    const change = known && update(known, wanted);
    if (known && !change) return;
    if (change && !change.replace) {
      await client.update(resource, change.object);
      return;
    }
    if (change) await client.delete(resource, namespace, name);
    await client.create(resource, wanted);
  }));
}

import { namespaces, serviceAccounts } from '#api/kinds/resources.ts';
import { perNamespace } from '../per-namespace.ts';
import type { Controller, ControllerDeps } from '../types.ts';
import { reconcileDefaultAccount } from './reconcile.ts';

/** Keeps the ServiceAccount `default` of every namespace. */
export function serviceAccountController(deps: ControllerDeps): Controller {
  const lister = deps.informers.informer(serviceAccounts);
  const namespaceLister = deps.informers.informer(namespaces);
  return perNamespace(deps, lister, 'default', (name) => {
    const namespace = namespaceLister.get(undefined, name);
    return namespace ? reconcileDefaultAccount(namespace, lister.get(name, 'default')) : [];
  });
}

import { configMaps, namespaces } from '#api/kinds/resources.ts';
import { perNamespace } from '../per-namespace.ts';
import type { Controller, ControllerConfig, ControllerDeps } from '../types.ts';
import { configMapName, reconcileRootCa } from './reconcile.ts';

/** Keeps the ConfigMap `kube-root-ca.crt` of every namespace. */
export function rootCaPublisher(deps: ControllerDeps, config: ControllerConfig): Controller {
  const lister = deps.informers.informer(configMaps);
  const namespaceLister = deps.informers.informer(namespaces);
  return perNamespace(deps, lister, configMapName, (name) => {
    const namespace = namespaceLister.get(undefined, name);
    return namespace ? reconcileRootCa(namespace, lister.get(name, configMapName), config.rootCa) : [];
  });
}

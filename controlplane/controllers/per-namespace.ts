import { namespaces } from '#api/kinds/resources.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { isStatus } from '#common/errors.ts';
import type { Informer } from '../cache/types.ts';
import { execute, isNamespaceTerminating } from './execute.ts';
import { watch, type Action, type Controller, type ControllerDeps } from './types.ts';

/** A controller that keeps one object called `name` in every namespace; its keys are namespaces. */
export function perNamespace<T extends KubeObject>(deps: ControllerDeps, informer: Informer<T>, name: string, decide: (namespace: string) => readonly Action[]): Controller {
  return {
    watches: [
      watch(deps.informers.informer(namespaces), ({ object }) => (object ? [object.metadata?.name ?? ''] : [])),
      watch(informer, ({ object, old }) => {
        const changed = object ?? old;
        return changed?.metadata?.name === name && old !== undefined ? [changed.metadata.namespace ?? ''] : [];
      }),
    ],
    async reconcile(namespace) {
      try {
        await execute(deps, decide(namespace));
      } catch (error) {
        // There already, or not wanted any more.
        if (!isStatus(error, 'AlreadyExists', 'NotFound') && !isNamespaceTerminating(error)) throw error;
      }
      return undefined;
    },
  };
}

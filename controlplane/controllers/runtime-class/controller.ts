import { nodes, runtimeClasses } from '#api/kinds/resources.ts';
import { isStatus } from '#common/errors.ts';
import { execute } from '../execute.ts';
import { watch, type Controller, type ControllerDeps } from '../types.ts';
import { reconcileRuntimeClass, wellKnownHandlers } from './reconcile.ts';

/** Makes the RuntimeClass of a well-known handler when a node has it; keys are handlers. */
export function runtimeClassController(deps: ControllerDeps): Controller {
  const nodeLister = deps.informers.informer(nodes);
  const classLister = deps.informers.informer(runtimeClasses);
  return {
    watches: [
      watch(nodeLister, ({ object, old }) => wellKnownHandlers.filter((handler) => [object, old].map((node) => node?.status?.runtimeHandlers?.some(({ name }) => name === handler) === true).join() === 'true,false')),
      watch(classLister, ({ object, old }) => (object ? [] : wellKnownHandlers.filter((handler) => handler === old?.metadata?.name))),
    ],
    async reconcile(handler) {
      try {
        await execute(deps, reconcileRuntimeClass(handler, nodeLister.list(), classLister.get(undefined, handler)));
      } catch (error) {
        if (!isStatus(error, 'AlreadyExists')) throw error;
      }
      return undefined;
    },
  };
}

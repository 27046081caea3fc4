import { apiServices, customResourceDefinitions } from '#api/kinds/resources.ts';
import { isStatus } from '#common/errors.ts';
import { execute } from '../execute.ts';
import { watch, type Controller, type ControllerConfig, type ControllerDeps } from '../types.ts';
import { builtInServices, customService, namesOf, reconcile } from './reconcile.ts';

/** Keeps an APIService for each group version that is served here: the built-in ones when it starts, those of custom resources always. */
export function apiServiceRegistration(deps: ControllerDeps, config: ControllerConfig): Controller {
  const lister = deps.informers.informer(apiServices);
  const definitions = deps.informers.informer(customResourceDefinitions);
  const atStart = builtInServices(config.resources);
  return {
    watches: [
      watch(lister, ({ object, old }) => [(object ?? old)?.metadata?.name ?? '']),
      // A version may have been dropped.
      watch(definitions, ({ object, old }) => [object, old].flatMap((definition) => (definition ? namesOf(definition) : []))),
    ],
    ready: (enqueue) => { for (const name of atStart.keys()) enqueue(name); },
    async reconcile(name) {
      const wanted = atStart.get(name) ?? customService(name, definitions.list());
      try {
        await execute(deps, reconcile(wanted, lister.get(undefined, name)));
        atStart.delete(name);
      } catch (error) {
        if (!isStatus(error, 'AlreadyExists')) throw error;
      }
      return undefined;
    },
  };
}

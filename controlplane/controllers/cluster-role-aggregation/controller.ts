import { clusterRoles } from '#api/kinds/resources.ts';
import { execute } from '../execute.ts';
import { watch, type Controller, type ControllerDeps } from '../types.ts';
import { reconcileAggregation } from './reconcile.ts';

/** Keeps the rules of aggregated roles; keys are their names. Any role may be part of any of them. */
export function clusterRoleAggregation(deps: ControllerDeps): Controller {
  const lister = deps.informers.informer(clusterRoles, { aggregated: ({ aggregationRule }) => (aggregationRule ? ['yes'] : []) });
  return {
    watches: [watch(lister, () => lister.by('aggregated', 'yes').map(({ metadata }) => metadata?.name ?? ''))],
    async reconcile(name) {
      await execute(deps, reconcileAggregation(lister.get(undefined, name), lister.list()));
      return undefined;
    },
  };
}

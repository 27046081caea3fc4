import { endpoints, endpointSlices, services } from '#api/kinds/resources.ts';
import { keyOf, objectKey, splitKey, type KubeObject } from '#api/meta/object.ts';
import { execute, isNamespaceTerminating } from '../execute.ts';
import { endpointSliceIndexes, serviceNameLabel } from '../indexes.ts';
import { watch, type Change, type Controller, type ControllerDeps } from '../types.ts';
import { managedByLabel, managedByUs, reconcileMirror } from './reconcile.ts';

/** Keeps slices of Endpoints that are written for Services without a selector: only slices route. */
export function endpointSliceMirroring(deps: ControllerDeps): Controller {
  const { informers } = deps;
  const serviceLister = informers.informer(services);
  const lister = informers.informer(endpoints);
  const sliceLister = informers.informer(endpointSlices, endpointSliceIndexes);
  const own = ({ object, old }: Change<KubeObject>): string[] => {
    const changed = object ?? old;
    return changed && lister.get(changed.metadata?.namespace, changed.metadata?.name ?? '') !== undefined ? [keyOf(changed)] : [];
  };
  return {
    watches: [
      watch(serviceLister, own),
      watch(lister, ({ object, old }) => { const changed = object ?? old; return changed ? [keyOf(changed)] : []; }),
      watch(sliceLister, ({ object, old }) => {
        const { labels, namespace } = (object ?? old)?.metadata ?? {};
        return labels?.[managedByLabel] === managedByUs ? [objectKey(namespace, labels[serviceNameLabel] ?? '')] : [];
      }),
    ],
    async reconcile(key) {
      const { namespace, name } = splitKey(key);
      const slices = sliceLister.by('service', key).filter(({ metadata }) => metadata?.labels?.[managedByLabel] === managedByUs);
      try {
        await execute(deps, reconcileMirror({ endpoints: lister.get(namespace, name), service: serviceLister.get(namespace, name), slices }));
      } catch (error) {
        if (!isNamespaceTerminating(error)) throw error;
      }
      return undefined;
    },
  };
}

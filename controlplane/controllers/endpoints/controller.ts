import type { Endpoints } from '#api/gen/types.ts';
import { endpoints, nodes, pods, services } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import { keyOf, splitKey, type KubeObject } from '#api/meta/object.ts';
import { deleteObject, execute, isNamespaceTerminating } from '../execute.ts';
import { Pace } from '../pace.ts';
import { endpointsPace, servicesOfPod } from '../service-endpoints.ts';
import { watch, type Change, type Controller, type ControllerDeps } from '../types.ts';
import { managedByLabel, reconcileEndpoints } from './reconcile.ts';

/** Keeps the Endpoints object of every Service that has a selector; it goes with its Service. */
export function endpointsController(deps: ControllerDeps): Controller {
  const { informers, client } = deps;
  const serviceLister = informers.informer(services);
  const podLister = informers.informer(pods);
  const lister = informers.informer(endpoints);
  const nodeLister = informers.informer(nodes);
  const pace = new Pace(deps.clock);
  const own = ({ object, old }: Change<KubeObject>): string[] => {
    const changed = object ?? old;
    return changed ? [keyOf(changed)] : [];
  };
  return {
    workers: 2,
    watches: [
      watch(serviceLister, (change) => {
        const keys = own(change);
        if (!equal(change.object?.spec, change.old?.spec)) for (const key of keys) pace.forget(key);
        return keys;
      }),
      watch(lister, (change) => pace.awake(own(change))),
      watch(podLister, (change) => pace.awake(servicesOfPod(serviceLister.list((change.object ?? change.old)?.metadata?.namespace), change))),
    ],
    async reconcile(key) {
      const { namespace, name } = splitKey(key);
      const service = serviceLister.get(namespace, name);
      const current = lister.get(namespace, name);
      if (service === undefined) {
        // Only what was made here: a user may write the Endpoints before the Service.
        if (current?.metadata?.labels?.[managedByLabel] !== undefined) await deleteObject(client, endpoints, current);
        return undefined;
      }
      if (service.metadata?.deletionTimestamp !== undefined) return undefined;
      const restMs = endpointsPace(pace, key, sizeOf(current), nodeLister.list().length);
      if (restMs > 0) return { afterMs: restMs };
      try {
        await execute(deps, reconcileEndpoints({ service, pods: podLister.list(namespace), endpoints: current }));
      } catch (error) {
        if (!isNamespaceTerminating(error)) throw error;
      }
      return undefined;
    },
  };
}

function sizeOf(endpoints: Endpoints | undefined): number {
  return (endpoints?.subsets ?? []).reduce((sum, { addresses, notReadyAddresses }) => sum + (addresses?.length ?? 0) + (notReadyAddresses?.length ?? 0), 0);
}

import type { EndpointSlice } from '#api/gen/types.ts';
import { endpointSlices, pods, services } from '#api/kinds/resources.ts';
import { keyOf, objectKey, splitKey } from '#api/meta/object.ts';
import { deleteObject, isNamespaceTerminating } from '../execute.ts';
import { Expectations } from '../expectations.ts';
import { serviceNameLabel } from '../indexes.ts';
import { servicesOfPod } from '../service-endpoints.ts';
import { watch, type Change, type Controller, type ControllerDeps } from '../types.ts';
import { managedByLabel, managedByUs, reconcileSlices, type SliceChanges } from './reconcile.ts';

/** As in Kubernetes: small enough that one pod's change sends little to every node. */
const maxEndpointsPerSlice = 100;

/** Keeps the EndpointSlices of every Service that has a selector. Those of a deleted Service go with their owner. */
export function endpointSliceController(deps: ControllerDeps): Controller {
  const { informers, client } = deps;
  const serviceLister = informers.of(services);
  const podLister = informers.of(pods);
  const sliceLister = informers.of(endpointSlices);
  const expectations = new Expectations(deps.clock);

  function* sliceChanged({ object, old }: Change<EndpointSlice>): Iterable<string> {
    const slice = object ?? old;
    const service = slice?.metadata?.labels?.[serviceNameLabel];
    if (!slice || service === undefined || slice.metadata?.labels?.[managedByLabel] !== managedByUs) return;
    const key = objectKey(slice.metadata.namespace, service);
    if (old === undefined) expectations.created(key);
    else expectations.deleted(key, versionOf(old));
    if (object === undefined) expectations.deleted(key, slice.metadata.uid ?? '');
    yield key;
  }

  async function write(key: string, changes: SliceChanges): Promise<void> {
    for (const slice of changes.create) {
      try {
        await client.create(endpointSlices, slice);
      } catch (error) {
        expectations.created(key);
        throw error;
      }
    }
    for (const slice of changes.update) {
      const { metadata } = await client.update(endpointSlices, slice);
      // Nothing to see when nothing was written.
      if (metadata?.resourceVersion === slice.metadata?.resourceVersion) expectations.deleted(key, versionOf(slice));
    }
    for (const slice of changes.remove) {
      if (!await deleteObject(client, endpointSlices, slice)) expectations.deleted(key, slice.metadata?.uid ?? '');
    }
  }

  return {
    workers: 2,
    watches: [
      watch(serviceLister, ({ object, old }) => { const service = object ?? old; return service ? [keyOf(service)] : []; }),
      watch(podLister, (change) => servicesOfPod(serviceLister.list((change.object ?? change.old)?.metadata?.namespace), change)),
      watch(sliceLister, sliceChanged),
    ],
    async reconcile(key) {
      const { namespace, name } = splitKey(key);
      const service = serviceLister.get(namespace, name);
      if (service === undefined || service.metadata?.deletionTimestamp !== undefined) return undefined;
      const waitMs = expectations.remainingMs(key);
      if (waitMs > 0) return { afterMs: waitMs };
      const slices = sliceLister.by('service', key).filter((slice) => slice.metadata?.labels?.[managedByLabel] === managedByUs);
      const changes = reconcileSlices({ service, pods: podLister.list(namespace), slices, maxEndpointsPerSlice });
      if (changes.create.length + changes.update.length + changes.remove.length === 0) return undefined;
      expectations.expect(key, changes.create.length, [...changes.update.map(versionOf), ...changes.remove.map((slice) => slice.metadata?.uid ?? '')]);
      try {
        await write(key, changes);
      } catch (error) {
        // Some writes may have been done, others not: back off, then look at what there is.
        expectations.forget(key);
        if (!isNamespaceTerminating(error)) throw error;
      }
      return undefined;
    },
  };
}

/** Seen when the cache has moved on from this version. */
function versionOf(slice: EndpointSlice): string {
  return `${slice.metadata?.uid ?? ''}@${slice.metadata?.resourceVersion ?? ''}`;
}

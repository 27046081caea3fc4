import type { EndpointSlice, Node } from '#api/gen/types.ts';
import { endpointSlices, nodes, pods, services } from '#api/kinds/resources.ts';
import { isConditionTrue } from '#api/meta/conditions.ts';
import { equal } from '#api/meta/equal.ts';
import { keyOf, objectKey, splitKey } from '#api/meta/object.ts';
import { deleteObject, isNamespaceTerminating } from '../execute.ts';
import { Expectations } from '../expectations.ts';
import { endpointSliceIndexes, serviceNameLabel } from '../indexes.ts';
import { Pace } from '../pace.ts';
import { endpointsPace, servicesOfPod } from '../service-endpoints.ts';
import { watch, type Change, type Controller, type ControllerDeps } from '../types.ts';
import { managedByLabel, managedByUs, reconcileSlices, type SliceChanges } from './reconcile.ts';
import { isShared, sharesOf, zoneLabel } from './topology.ts';

/** As in Kubernetes: small enough that one pod's change sends little to every node. */
const maxEndpointsPerSlice = 100;

/** Keeps the EndpointSlices of every Service that has a selector. Those of a deleted Service go with their owner. */
export function endpointSliceController(deps: ControllerDeps): Controller {
  const { informers, client } = deps;
  const serviceLister = informers.informer(services);
  const podLister = informers.informer(pods);
  const sliceLister = informers.informer(endpointSlices, endpointSliceIndexes);
  const nodeLister = informers.informer(nodes);
  const zoneOf = (name: string): string | undefined => nodeLister.get(undefined, name)?.metadata?.labels?.[zoneLabel];
  const expectations = new Expectations(deps);
  const pace = new Pace(deps.clock);

  function* sliceChanged({ object, old }: Change<EndpointSlice>): Iterable<string> {
    const slice = object ?? old;
    const service = slice?.metadata?.labels?.[serviceNameLabel];
    if (!slice || service === undefined || slice.metadata?.labels?.[managedByLabel] !== managedByUs) return;
    const key = objectKey(slice.metadata.namespace, service);
    if (old === undefined) expectations.created(key);
    else expectations.deleted(key, versionOf(old));
    if (object === undefined) expectations.deleted(key, slice.metadata.uid ?? '');
    yield* pace.awake([key]);
  }

  /** Few nodes ever change their zone: all Services may look. What else makes a zone's share matters to those that go by it. */
  function nodeChanged({ object, old }: Change<Node>): string[] {
    if (object?.metadata?.labels?.[zoneLabel] !== old?.metadata?.labels?.[zoneLabel]) return serviceLister.list().map(keyOf);
    const facts = (node: Node | undefined): unknown => node && [node.status?.allocatable?.['cpu'], isConditionTrue(node.status?.conditions, 'Ready')];
    return equal(facts(object), facts(old)) ? [] : serviceLister.list().filter(isShared).map(keyOf);
  }

  async function writeAll(key: string, { create, update, remove }: SliceChanges): Promise<void> {
    const results = await Promise.allSettled([
      ...create.map((slice) => write(() => { expectations.created(key); }, async () => {
        await client.create(endpointSlices, slice);
        return true;
      })),
      ...update.map((slice) => write(() => { expectations.deleted(key, versionOf(slice)); }, async () => {
        const { metadata } = await client.update(endpointSlices, slice);
        return metadata?.resourceVersion !== slice.metadata?.resourceVersion;
      })),
      ...remove.map((slice) => write(() => { expectations.deleted(key, slice.metadata?.uid ?? ''); }, () => deleteObject(client, endpointSlices, slice))),
    ]);
    const failed = results.find((result) => result.status === 'rejected');
    if (failed && !isNamespaceTerminating(failed.reason)) throw failed.reason;
  }

  return {
    workers: 2,
    watches: [
      watch(serviceLister, ({ object, old }) => {
        const service = object ?? old;
        if (!service) return [];
        if (object?.metadata?.uid !== old?.metadata?.uid || !equal(object?.spec, old?.spec)) pace.forget(keyOf(service));
        return [keyOf(service)];
      }),
      watch(podLister, (change) => pace.awake(servicesOfPod(serviceLister.list((change.object ?? change.old)?.metadata?.namespace), change))),
      watch(sliceLister, sliceChanged),
      watch(nodeLister, nodeChanged),
    ],
    async reconcile(key) {
      const { namespace, name } = splitKey(key);
      const service = serviceLister.get(namespace, name);
      if (service === undefined || service.metadata?.deletionTimestamp !== undefined) return undefined;
      const slices = sliceLister.by('service', key).filter((slice) => slice.metadata?.labels?.[managedByLabel] === managedByUs);
      const restMs = endpointsPace(pace, key, slices.reduce((sum, { endpoints }) => sum + (endpoints?.length ?? 0), 0), nodeLister.list().length);
      if (restMs > 0) return { afterMs: restMs };
      const waitMs = expectations.remainingMs(key);
      if (waitMs > 0) return { afterMs: waitMs };
      const changes = reconcileSlices({ service, pods: podLister.list(namespace), slices, maxEndpointsPerSlice, zoneOf, shares: () => sharesOf(nodeLister.list()) });
      if (changes.create.length + changes.update.length + changes.remove.length === 0) return undefined;
      expectations.expect(key, changes.create.length, [...changes.update.map(versionOf), ...changes.remove.map((slice) => slice.metadata?.uid ?? '')]);
      await writeAll(key, changes);
      return undefined;
    },
  };
}

/** One write; a write that failed or changed nothing will not be seen. */
async function write(seen: () => void, work: () => Promise<boolean>): Promise<void> {
  try {
    if (!await work()) seen();
  } catch (error) {
    seen();
    throw error;
  }
}

/** Seen when the cache has moved on from this version. */
function versionOf(slice: EndpointSlice): string {
  return `${slice.metadata?.uid ?? ''}@${slice.metadata?.resourceVersion ?? ''}`;
}

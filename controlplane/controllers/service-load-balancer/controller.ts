import type { EndpointSlice, Node, Service } from '#api/gen/types.ts';
import { endpointSlices, nodes, services } from '#api/kinds/resources.ts';
import { isConditionTrue } from '#api/meta/conditions.ts';
import { equal } from '#api/meta/equal.ts';
import { keyOf, objectKey, splitKey } from '#api/meta/object.ts';
import { execute } from '../execute.ts';
import { endpointSliceIndexes, serviceNameLabel } from '../indexes.ts';
import { watch, type Change, type Controller, type ControllerConfig, type ControllerDeps } from '../types.ts';
import { isOurs, reconcileLoadBalancer } from './reconcile.ts';

/** Gives Services of type LoadBalancer the addresses of the hosts, unless that is switched off or a class names somebody else. */
export function serviceLoadBalancer(deps: ControllerDeps, { loadBalancer }: ControllerConfig): Controller {
  if (loadBalancer === undefined) return { watches: [], reconcile: () => Promise.resolve(undefined) };
  const { informers } = deps;
  const lister = informers.informer(services);
  const nodeLister = informers.informer(nodes);
  const sliceLister = informers.informer(endpointSlices, endpointSliceIndexes);
  const balanced = (): string[] => lister.list().filter(isOurs).map(keyOf);

  /** Who waits for a port may get it when another lets go of it. */
  function serviceChanged({ object, old }: Change<Service>): string[] {
    const facts = (service: Service | undefined): unknown => service && [isOurs(service), service.spec, service.status?.loadBalancer];
    if (object && old && equal(facts(object), facts(old))) return [];
    const own = object ? [keyOf(object)] : [];
    return [object, old].some((one) => one !== undefined && isOurs(one)) ? [...new Set([...own, ...balanced()])] : own;
  }

  function nodeChanged({ object, old }: Change<Node>): string[] {
    const facts = (node: Node | undefined): unknown => node && [node.metadata?.labels, node.metadata?.deletionTimestamp, node.status?.addresses, isConditionTrue(node.status?.conditions, 'Ready')];
    return equal(facts(object), facts(old)) ? [] : balanced();
  }

  function sliceChanged({ object, old }: Change<EndpointSlice>): string[] {
    const { namespace, labels } = (object ?? old)?.metadata ?? {};
    const service = lister.get(namespace, labels?.[serviceNameLabel] ?? '');
    return service && isOurs(service) && service.spec?.externalTrafficPolicy === 'Local' ? [objectKey(namespace, service.metadata?.name ?? '')] : [];
  }

  return {
    watches: [watch(lister, serviceChanged), watch(nodeLister, nodeChanged), watch(sliceLister, sliceChanged)],
    async reconcile(key) {
      const { namespace, name } = splitKey(key);
      const service = lister.get(namespace, name);
      if (service === undefined) return undefined;
      const others = lister.list().filter((other) => other !== service && isOurs(other));
      await execute(deps, reconcileLoadBalancer({ service, nodes: nodeLister.list(), slices: sliceLister.by('service', key), others, reservedPorts: loadBalancer.reservedPorts }));
      return undefined;
    },
  };
}

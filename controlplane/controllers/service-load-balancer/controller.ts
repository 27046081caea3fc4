import { randomBytes } from 'node:crypto';
import type { EndpointSlice, Node, Service } from '#api/gen/types.ts';
import { endpointSlices, nodes, secrets, services } from '#api/kinds/resources.ts';
import { poolSecret } from '#api/load-balancer/pool.ts';
import { isConditionTrue } from '#api/meta/conditions.ts';
import { equal } from '#api/meta/equal.ts';
import { keyOf, objectKey, splitKey } from '#api/meta/object.ts';
import { execute } from '../execute.ts';
import { endpointSliceIndexes, serviceNameLabel } from '../indexes.ts';
import { watch, type Change, type Controller, type ControllerConfig, type ControllerDeps } from '../types.ts';
import { isBefore, isOurs, isPooled, reconcileLoadBalancer, reconcilePoolSecret } from './reconcile.ts';

/** A key that is no Service's. */
const settingsKey = '#settings';

/** Gives Services of type LoadBalancer addresses of a pool or those of the hosts, unless that is switched off or a class names somebody else. */
export function serviceLoadBalancer(deps: ControllerDeps, { loadBalancer }: ControllerConfig): Controller {
  const { informers } = deps;
  const secretLister = informers.informer(secrets);
  const settings = {
    watch: watch(secretLister, ({ object, old }) => {
      const { namespace, name } = (object ?? old)?.metadata ?? {};
      return namespace === poolSecret.namespace && name === poolSecret.name ? [settingsKey] : [];
    }),
    ready: (enqueue: (key: string) => void) => { enqueue(settingsKey); },
    write: () => execute(deps, reconcilePoolSecret(secretLister.get(poolSecret.namespace, poolSecret.name), loadBalancer?.pool?.texts, () => randomBytes(32).toString('base64'))),
  };
  if (loadBalancer === undefined) return { watches: [settings.watch], ready: settings.ready, reconcile: async () => { await settings.write(); return undefined; } };
  const { pool } = loadBalancer;
  const lister = informers.informer(services);
  const nodeLister = informers.informer(nodes);
  const sliceLister = informers.informer(endpointSlices, endpointSliceIndexes);
  /** By Service: what it was given last, which the lister may not show yet. */
  const given = new Map<string, readonly string[]>();
  const isBalanced = (service: Service): boolean => isOurs(service, pool);
  const balanced = (): string[] => lister.list().filter(isBalanced).map(keyOf);
  const ipsOf = ({ status }: Service): string[] => (status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => ip ?? []);

  /** Who waits for a port or an address may get it when another lets go of it. */
  function serviceChanged({ object, old }: Change<Service>): string[] {
    const facts = (service: Service | undefined): unknown => service && [isBalanced(service), service.spec, service.status?.loadBalancer];
    if (object && old && equal(facts(object), facts(old))) return [];
    const own = [keyOf(object ?? old ?? {})];
    return [object, old].some((one) => one !== undefined && isBalanced(one)) ? [...new Set([...own, ...balanced()])] : own;
  }

  function nodeChanged({ object, old }: Change<Node>): string[] {
    const facts = (node: Node | undefined): unknown => node && [node.metadata?.labels, node.metadata?.deletionTimestamp, node.status?.addresses, isConditionTrue(node.status?.conditions, 'Ready')];
    return equal(facts(object), facts(old)) ? [] : balanced();
  }

  function sliceChanged({ object, old }: Change<EndpointSlice>): string[] {
    const { namespace, labels } = (object ?? old)?.metadata ?? {};
    const service = lister.get(namespace, labels?.[serviceNameLabel] ?? '');
    return service && isBalanced(service) && !isPooled(service, pool) && service.spec?.externalTrafficPolicy === 'Local' ? [objectKey(namespace, service.metadata?.name ?? '')] : [];
  }

  /** What others have, hosts included. */
  function takenBy(others: readonly Service[]): ReadonlySet<string> {
    const hosts = nodeLister.list().flatMap(({ status }) => (status?.addresses ?? []).map(({ address }) => address));
    return new Set([...hosts, ...others.flatMap((other) => [...ipsOf(other), ...given.get(keyOf(other)) ?? []])]);
  }

  return {
    watches: [settings.watch, watch(lister, serviceChanged), watch(nodeLister, nodeChanged), watch(sliceLister, sliceChanged)],
    ready: settings.ready,
    async reconcile(key) {
      if (key === settingsKey) { await settings.write(); return undefined; }
      const { namespace, name } = splitKey(key);
      const service = lister.get(namespace, name);
      given.delete(key);
      if (service === undefined) return undefined;
      const others = lister.list().filter((other) => other !== service && isBalanced(other));
      const [rivals, pooled] = [others.filter((other) => !isPooled(other, pool)), others.filter((other) => isPooled(other, pool))];
      // Who has an address keeps it: of two with the same one the later gives way.
      const taken = takenBy(pooled.filter((other) => !ipsOf(other).some((ip) => ipsOf(service).includes(ip)) || isBefore(other, service)));
      const actions = reconcileLoadBalancer({ service, nodes: nodeLister.list(), slices: sliceLister.by('service', key), others: rivals, reservedPorts: loadBalancer.reservedPorts, pool, taken });
      for (const action of actions) if (action.type === 'update') given.set(key, ipsOf(action.object as Service));
      await execute(deps, actions);
      return undefined;
    },
  };
}

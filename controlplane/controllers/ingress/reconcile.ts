import type { Ingress, IngressClass, IngressLoadBalancerIngress, Node, Secret, Service } from '#api/gen/types.ts';
import { ingressAnnotation, ingressController } from '#api/ingress/ingress.ts';
import { routesOf, type RouteProblem } from '#api/ingress/routes.ts';
import { ingressClasses, ingresses as resource } from '#api/kinds/resources.ts';
import { isConditionTrue } from '#api/meta/conditions.ts';
import { equal } from '#api/meta/equal.ts';
import type { Action } from '../types.ts';

export interface IngressSnapshot {
  /** Those of our class. */
  readonly ingresses: readonly Ingress[];
  readonly nodes: readonly Node[];
  readonly service: (namespace: string, name: string) => Service | undefined;
  readonly secret: (namespace: string, name: string) => Secret | undefined;
}

/** The class that a cluster begins with; whoever wants none switches Ingresses off. */
export function firstClass(present: readonly IngressClass[]): Action[] {
  if (present.some(({ spec }) => spec?.controller === ingressController)) return [];
  const others = present.some(({ metadata }) => metadata?.annotations?.[defaultAnnotation] === 'true');
  const object: IngressClass = { metadata: { name: 'cleat', ...(!others && { annotations: { [defaultAnnotation]: 'true' } }) }, spec: { controller: ingressController } };
  return [{ type: 'create', resource: ingressClasses, object }];
}

const defaultAnnotation = 'ingressclass.kubernetes.io/is-default-class';

/** Every Ingress's status: where those that serve it are reached. And what of it cannot be honoured. */
export function reconcileIngresses({ ingresses, nodes, service, secret }: IngressSnapshot): { readonly actions: readonly Action[]; readonly problems: readonly RouteProblem[] } {
  const addresses = addressesOf(nodes);
  const actions = ingresses.flatMap((ingress): Action[] => {
    if (equal(ingress.status?.loadBalancer?.ingress ?? [], addresses)) return [];
    return [{ type: 'update', resource, object: { ...ingress, status: { loadBalancer: addresses.length > 0 ? { ingress: addresses } : {} } } as Ingress, subresource: 'status' }];
  });
  const { problems } = routesOf({ ingresses, service, slices: () => [], certificateProblem: (namespace, name) => secretProblem(secret(namespace, name), `${namespace}/${name}`) });
  return { actions, problems };
}

function secretProblem(secret: Secret | undefined, key: string): string | undefined {
  if (!secret) return `Secret ${key} does not exist; make it with kubectl create secret tls`;
  return secret.data?.['tls.crt'] && secret.data['tls.key'] ? undefined : `Secret ${key} lacks tls.crt or tls.key; make it with kubectl create secret tls`;
}

/** What others reach hosts by that serve now: external addresses where they have them. */
function addressesOf(nodes: readonly Node[]): IngressLoadBalancerIngress[] {
  const serving = nodes.filter(({ metadata, status }) => metadata?.deletionTimestamp === undefined && metadata?.annotations?.[ingressAnnotation] === 'ready' && isConditionTrue(status?.conditions, 'Ready'));
  const ips = serving.flatMap(({ status }) => {
    const of = (wanted: string): string[] => (status?.addresses ?? []).flatMap(({ type, address }) => (type === wanted ? address : []));
    return of('ExternalIP').length > 0 ? of('ExternalIP') : of('InternalIP');
  });
  return [...new Set(ips)].sort().map((ip) => ({ ip }));
}

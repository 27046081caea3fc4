import type { Node } from '#api/gen/types.ts';
import { ingressAnnotation, isServed, secretNamesOf } from '#api/ingress/ingress.ts';
import { ingressClasses, ingresses, nodes, secrets, services } from '#api/kinds/resources.ts';
import { isConditionTrue } from '#api/meta/conditions.ts';
import { equal } from '#api/meta/equal.ts';
import { eventAction, execute } from '../execute.ts';
import { watch, type Change, type Controller, type ControllerConfig, type ControllerDeps } from '../types.ts';
import { firstClass, reconcileIngresses } from './reconcile.ts';

/** All Ingresses are looked at together: two may want the same. */
const allKey = '#all';

/** Says where Ingresses of our class are reached, and what of them cannot be honoured. Hosts serve them: agent/ingress. */
export function ingressController(deps: ControllerDeps, { ingress }: ControllerConfig): Controller {
  const { informers } = deps;
  if (ingress !== true) return { watches: [], reconcile: () => Promise.resolve(undefined) };
  const lister = informers.informer(ingresses);
  const classes = informers.informer(ingressClasses);
  const [serviceLister, secretLister, nodeLister] = [informers.informer(services), informers.informer(secrets), informers.informer(nodes)];
  let told = new Set<string>();
  let hasClass = false;

  const any = (): string[] => (lister.list().length > 0 ? [allKey] : []);
  const inNamespace = ({ object, old }: Change<{ readonly metadata?: { readonly namespace?: string | undefined } | undefined }>): boolean => lister.list((object ?? old)?.metadata?.namespace).length > 0;
  const facts = (node: Node | undefined): unknown => node && [node.metadata?.annotations?.[ingressAnnotation], node.metadata?.deletionTimestamp, node.status?.addresses, isConditionTrue(node.status?.conditions, 'Ready')];

  return {
    watches: [
      watch(lister, () => [allKey]), watch(classes, any),
      watch(serviceLister, (change) => (inNamespace(change) && !equal(change.object?.spec, change.old?.spec) ? [allKey] : [])),
      watch(secretLister, (change) => {
        const { namespace, name = '' } = (change.object ?? change.old)?.metadata ?? {};
        return lister.list(namespace).some((one) => secretNamesOf(one).includes(name)) ? [allKey] : [];
      }),
      watch(nodeLister, ({ object, old }) => (equal(facts(object), facts(old)) ? [] : any())),
    ],
    ready: (enqueue) => { enqueue(allKey); },
    async reconcile() {
      if (!hasClass) await execute(deps, firstClass(classes.list()));
      hasClass = true;
      const served = lister.list().filter((one) => isServed(one, (name) => classes.get(undefined, name)));
      const { actions, problems } = reconcileIngresses({ ingresses: served, nodes: nodeLister.list(), service: (...key) => serviceLister.get(...key), secret: (...key) => secretLister.get(...key) });
      const now = new Map(problems.map((one) => [`${one.ingress.metadata?.uid ?? ''} ${one.message}`, one]));
      const news = [...now].filter(([key]) => !told.has(key)).map(([, { ingress: about, reason, message }]) => eventAction(ingresses, about, 'Warning', reason, message));
      await execute(deps, [...news, ...actions]);
      told = new Set(now.keys());
      return undefined;
    },
  };
}

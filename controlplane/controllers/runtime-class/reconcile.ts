import type { Node, RuntimeClass } from '#api/gen/types.ts';
import { runtimeClasses } from '#api/kinds/resources.ts';
import type { Action } from '../types.ts';

/** Handlers whose class is made as soon as a node has them: what is written for other clusters names it so. */
export const wellKnownHandlers = ['nvidia'] as const;

/** One that is there is whoever's it is, and left alone. */
export function reconcileRuntimeClass(handler: string, nodes: readonly Node[], present: RuntimeClass | undefined): Action[] {
  if (present || !nodes.some(({ status }) => status?.runtimeHandlers?.some(({ name }) => name === handler))) return [];
  const object: RuntimeClass = { apiVersion: 'node.k8s.io/v1', kind: runtimeClasses.kind, metadata: { name: handler }, handler };
  return [{ type: 'create', resource: runtimeClasses, object }];
}

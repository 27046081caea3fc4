import type { Pod } from '#api/gen/types.ts';
import { pods as podResource } from '#api/kinds/resources.ts';
import type { Action } from '../types.ts';

/** Removes the pods of a node that is gone, at once: nobody is left to stop them in order. */
export function reconcileMissingNode(pods: readonly Pod[]): Action[] {
  return pods.map((object) => ({ type: 'delete', resource: podResource, object, options: { gracePeriodSeconds: 0 } }));
}

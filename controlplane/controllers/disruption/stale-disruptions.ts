import type { Pod } from '#api/gen/types.ts';
import { pods } from '#api/kinds/resources.ts';
import { setCondition } from '#api/meta/conditions.ts';
import { keyOf, splitKey } from '#api/meta/object.ts';
import { isStatus } from '#common/errors.ts';
import { rfc3339 } from '#common/time.ts';
import type { Lister } from '../../cache/types.ts';
import type { Change, ControllerDeps, ReconcileResult } from '../types.ts';
import { staleDisruptionInMs } from './reconcile.ts';

const prefix = 'stale disruption of|';

/** Pods that somebody meant to delete: should it not come to that, it is taken back. */
export class StaleDisruptions {
  readonly #deps: Pick<ControllerDeps, 'client' | 'clock'>;
  readonly #pods: Pick<Lister<Pod>, 'get'>;

  constructor(deps: Pick<ControllerDeps, 'client' | 'clock'>, lister: Pick<Lister<Pod>, 'get'>) {
    this.#deps = deps;
    this.#pods = lister;
  }

  keys({ object }: Change<Pod>): string[] {
    return object && staleDisruptionInMs(object, this.#deps.clock.now()) !== undefined ? [prefix + keyOf(object)] : [];
  }

  isKey(key: string): boolean { return key.startsWith(prefix); }

  async reconcile(key: string): Promise<ReconcileResult | undefined> {
    const { client, clock } = this.#deps;
    const { namespace, name } = splitKey(key.slice(prefix.length));
    const pod = this.#pods.get(namespace, name);
    const afterMs = pod && staleDisruptionInMs(pod, clock.now());
    if (pod === undefined || afterMs === undefined) return undefined;
    if (afterMs > 0) return { afterMs };
    const conditions = setCondition(pod.status?.conditions, { type: 'DisruptionTarget', status: 'False' }, rfc3339(clock.now()));
    try {
      await client.update(pods, { ...pod, status: { ...pod.status, conditions } }, 'status');
    } catch (error) {
      // What changed it meanwhile brings the next look.
      if (!isStatus(error, 'NotFound', 'Conflict')) throw error;
    }
    return undefined;
  }
}

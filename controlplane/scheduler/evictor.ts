import type { Pod } from '#api/gen/types.ts';
import { pods } from '#api/kinds/resources.ts';
import { setCondition } from '#api/meta/conditions.ts';
import type { Clock } from '#common/clock.ts';
import { isStatus, messageOf } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import { rfc3339 } from '#common/time.ts';
import type { ApiClient, EventRecorder } from '../apiserver/types.ts';
import type { Lister } from '../cache/types.ts';
import type { PodInfo } from './types.ts';
import type { WaitingPods } from './waiting-pods.ts';

export interface EvictorDeps {
  readonly api: ApiClient;
  readonly events: EventRecorder;
  readonly pods: Pick<Lister<Pod>, 'get'>;
  readonly waiting: WaitingPods;
  readonly clock: Clock;
  readonly log: Log;
}

/** Deletes, gracefully, the pods that give way to one of higher priority, and says in their status and in events why. */
export class Evictor {
  readonly #deps: EvictorDeps;

  constructor(deps: EvictorDeps) {
    this.#deps = deps;
  }

  /** True when all of them go. */
  async evict(preemptor: PodInfo, victims: readonly PodInfo[], nodeName: string): Promise<boolean> {
    const done = await Promise.all(victims.map((victim) => this.#evictOne(preemptor, victim, nodeName)));
    return done.every(Boolean);
  }

  async #evictOne(preemptor: PodInfo, victim: PodInfo, nodeName: string): Promise<boolean> {
    const { events, waiting, log } = this.#deps;
    const { namespace, name } = victim;
    try {
      // One that waits for permission is not bound yet: it need not die to give way.
      if (!waiting.refuse(victim.uid, 'DefaultPreemption', 'preempted') && !await this.#delete(preemptor, victim)) return true;
      events.event({ ...victim.pod, apiVersion: 'v1', kind: 'Pod' }, 'Normal', 'Preempted', `Preempted by pod ${preemptor.uid} on node ${nodeName}`);
      log.info({ namespace, name, node: nodeName, by: `${preemptor.namespace}/${preemptor.name}` }, 'pod preempted');
      return true;
    } catch (error) {
      if (isStatus(error, 'NotFound')) return true;
      log.warn({ namespace, name, node: nodeName, err: messageOf(error) }, 'pod cannot be preempted');
      return false;
    }
  }

  /** False when it was going already. */
  async #delete(preemptor: PodInfo, { namespace, name, uid, pod }: PodInfo): Promise<boolean> {
    const { api, clock } = this.#deps;
    const current = this.#deps.pods.get(namespace, name) ?? pod;
    if (current.metadata?.uid !== uid || current.metadata.deletionTimestamp !== undefined) return false;
    const message = `${preemptor.pod.spec?.schedulerName ?? 'default-scheduler'}: preempting to accommodate a higher priority pod`;
    const conditions = setCondition(current.status?.conditions, { type: 'DisruptionTarget', status: 'True', reason: 'PreemptionByScheduler', message }, rfc3339(clock.now()));
    const condition = conditions.find(({ type }) => type === 'DisruptionTarget');
    await api.patch(pods, namespace, name, 'strategic', { metadata: { uid }, status: { conditions: [condition] } }, 'status');
    await api.delete(pods, namespace, name, { preconditions: { uid } });
    return true;
  }
}

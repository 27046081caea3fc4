import type { Pod, PodCondition } from '#api/gen/types.ts';
import { pods as podResource } from '#api/kinds/resources.ts';
import { getCondition } from '#api/meta/conditions.ts';
import type { Clock } from '#common/clock.ts';
import { rfc3339 } from '#common/time.ts';
import { isStatus, messageOf } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import type { ApiClient } from '../apiserver/types.ts';
import type { Lister } from '../cache/types.ts';
import type { PodInfo } from './types.ts';
import { Wakeup } from '#common/wakeup.ts';

export interface PodConditionsDeps {
  readonly api: ApiClient;
  readonly pods: Pick<Lister<Pod>, 'get'>;
  readonly clock: Clock;
  readonly log: Log;
}

interface Wanted {
  readonly pod: PodInfo;
  readonly reason: 'Unschedulable' | 'SchedulingGated' | undefined;
  readonly message: string;
  /** Where room is being made for it; empty for nowhere. */
  readonly nominatedNodeName: string;
}

/**
 * Writes the PodScheduled condition of pods that wait. Only the newest wish for a pod counts and an unchanged
 * condition is not written, so that a thousand waiting pods cost nothing while nothing happens to them.
 */
export class PodConditions {
  readonly #deps: PodConditionsDeps;
  readonly #wanted = new Map<string, Wanted>();
  readonly #wakeup = new Wakeup();

  constructor(deps: PodConditionsDeps) {
    this.#deps = deps;
  }

  unschedulable(pod: PodInfo, message: string, nominatedNodeName = ''): void {
    this.#want({ pod, reason: 'Unschedulable', message, nominatedNodeName });
  }

  /** Room is no longer made for the pod; what its condition says stands. */
  notNominated(pod: PodInfo): void {
    const wanted = this.#wanted.get(pod.uid);
    this.#want(wanted ? { ...wanted, nominatedNodeName: '' } : { pod, reason: undefined, message: '', nominatedNodeName: '' });
  }

  gated(pod: PodInfo): void {
    this.#want({ pod, reason: 'SchedulingGated', message: 'Scheduling is blocked due to non-empty scheduling gates', nominatedNodeName: '' });
  }

  async start(signal: AbortSignal): Promise<void> {
    for (;;) {
      for (const next of this.#wanted.values()) {
        this.#wanted.delete(next.pod.uid);
        await this.#write(next);
        signal.throwIfAborted();
      }
      if (this.#wanted.size === 0) await this.#wakeup.wait(signal);
    }
  }

  #want(wanted: Wanted): void {
    this.#wanted.set(wanted.pod.uid, wanted);
    this.#wakeup.notify();
  }

  async #write(wanted: Wanted): Promise<void> {
    const { pod: { namespace, name, uid }, reason, message, nominatedNodeName } = wanted;
    const current = this.#deps.pods.get(namespace, name);
    if (current?.metadata?.uid !== uid || current.spec?.nodeName) return;
    const old = getCondition(current.status?.conditions, 'PodScheduled');
    const saysSo = reason === undefined || (old?.status === 'False' && old.reason === reason && old.message === message);
    const isNominated = (current.status?.nominatedNodeName ?? '') === nominatedNodeName;
    if (saysSo && isNominated) return;
    const condition: PodCondition = {
      type: 'PodScheduled', status: 'False', ...(reason && { reason }), message,
      lastTransitionTime: (old?.status === 'False' ? old.lastTransitionTime : undefined) ?? rfc3339(this.#deps.clock.now()),
    };
    const status = { ...(!saysSo && { conditions: [condition] }), ...(!isNominated && { nominatedNodeName: nominatedNodeName === '' ? null : nominatedNodeName }) };
    try {
      await this.#deps.api.patch(podResource, namespace, name, 'strategic', { metadata: { uid }, status }, 'status');
    } catch (error) {
      // The next attempt to schedule the pod writes it again.
      if (!isStatus(error, 'NotFound', 'Conflict')) this.#deps.log.warn({ namespace, name, err: messageOf(error) }, 'condition not written');
    }
  }
}

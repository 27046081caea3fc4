import type { Pod, PodStatus } from '#api/gen/types.ts';
import { pods } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import { isStatus } from '#common/errors.ts';
import { rfc3339 } from '#common/time.ts';
import type { ApiClient } from '../apiserver/types.ts';
import { agentPodConditions } from './trim.ts';

/** What a node says of one of its pods. */
export interface PodReport {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly status: PodStatus;
  readonly gone: boolean;
}

const attempts = 4;

/** Stores a report: the status when it says something new, and the end of a deletion when the pod is gone. */
export async function storePodReport(api: ApiClient, nodeName: string, report: PodReport, nowMs: number): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const pod = await current(api, nodeName, report);
    if (!pod) return;
    try {
      const status = mergePodStatus(pod.status ?? {}, report.status, { createdMs: Date.parse(pod.metadata?.creationTimestamp ?? ''), nowMs });
      if (!equal(pod.status ?? {}, status)) await api.update(pods, { ...pod, status }, 'status');
      if (report.gone && pod.metadata?.deletionTimestamp !== undefined) {
        await api.delete(pods, report.namespace, report.name, { gracePeriodSeconds: 0, preconditions: { uid: report.uid } });
      }
      return;
    } catch (error) {
      if (isStatus(error, 'NotFound')) return;
      if (!isStatus(error, 'Conflict') || attempt === attempts) throw error; // someone else wrote it in between: look again
    }
  }
}

/** The pod that the report is about, if it still is this node's. */
async function current(api: ApiClient, nodeName: string, report: PodReport): Promise<Pod | undefined> {
  try {
    const pod = await api.get(pods, report.namespace, report.name);
    return pod.metadata?.uid === report.uid && pod.spec?.nodeName === nodeName ? pod : undefined;
  } catch (error) {
    if (isStatus(error, 'NotFound')) return undefined;
    throw error;
  }
}

/** True when somebody wrote a condition that the node itself says otherwise, as the node lifecycle does for pods of a lost node. */
export function contradictsPod(pod: Pod, report: PodReport): boolean {
  return report.status.conditions?.some((reported) => pod.status?.conditions?.find((stored) => stored.type === reported.type)?.status !== reported.status) ?? false;
}

/**
 * The node's word replaces the status, except for what others decide: their conditions, the start time once set, the
 * class. A condition that says the same keeps its time: an agent that was restarted no longer knows it. Times before
 * the pod was made or in the future are those of a host with a wrong clock: now is nearer to the truth, and what
 * counts from them (`minReadySeconds`) must not wait for years.
 */
export function mergePodStatus(old: PodStatus, reported: PodStatus, { createdMs, nowMs }: { readonly createdMs: number; readonly nowMs: number }): PodStatus {
  const plausible = (time: string | undefined): string | undefined => {
    const at = Date.parse(time ?? '');
    return at < createdMs || at > nowMs ? rfc3339(nowMs) : time;
  };
  const types = new Set(reported.conditions?.map((condition) => condition.type));
  const kept = old.conditions?.filter((condition) => !types.has(condition.type) && !agentPodConditions.has(condition.type)) ?? [];
  const conditions = [...kept, ...(reported.conditions ?? []).map((condition) => {
    const before = old.conditions?.find((c) => c.type === condition.type && c.status === condition.status)?.lastTransitionTime;
    const lastTransitionTime = before ?? plausible(condition.lastTransitionTime);
    return lastTransitionTime === undefined ? condition : { ...condition, lastTransitionTime };
  })];
  return {
    ...reported,
    ...(conditions.length > 0 && { conditions }),
    ...(old.startTime !== undefined && { startTime: old.startTime }),
    ...(reported.qosClass === undefined && old.qosClass !== undefined && { qosClass: old.qosClass }),
  };
}

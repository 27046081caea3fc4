import type { OwnerReference, Pod, PodStatus } from '#api/gen/types.ts';
import { nodes, pods } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import { isStatus, StatusError } from '#common/errors.ts';
import { rfc3339 } from '#common/time.ts';
import type { ApiClient } from '../apiserver/types.ts';
import { referencesOf } from './references.ts';
import { agentPodConditions } from './trim.ts';

/** What a node says of one of its pods. */
export interface PodReport {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly status: PodStatus;
  readonly gone: boolean;
  /** Of a pod that the node runs by itself: the object to make. */
  readonly mirror?: Pod;
}

const mirrorAnnotation = 'kubernetes.io/config.mirror';

const attempts = 4;

/** Stores a report: the status when it says something new, and the end of a deletion when the pod is gone. */
export async function storePodReport(api: ApiClient, nodeName: string, report: PodReport, nowMs: number): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const pod = await current(api, nodeName, report);
    if (!pod) return;
    try {
      const status = mergePodStatus(pod.status ?? {}, report.status, { createdMs: Date.parse(pod.metadata?.creationTimestamp ?? ''), nowMs });
      if (!equal(pod.status ?? {}, status)) await api.update(pods, { ...pod, status }, 'status');
      if (report.gone && (pod.metadata?.deletionTimestamp !== undefined || pod.metadata?.annotations?.[mirrorAnnotation] !== undefined)) {
        await api.delete(pods, report.namespace, report.name, { gracePeriodSeconds: 0, preconditions: { uid: report.uid } });
      }
      return;
    } catch (error) {
      if (isStatus(error, 'NotFound')) return;
      if (!isStatus(error, 'Conflict') || attempt === attempts) throw error; // someone else wrote it in between: look again
    }
  }
}

/**
 * Makes the object of a pod that a node runs by itself. A node may show nothing but what runs on it, and nothing that
 * would give it more to read than it has: such a pod is told no secrets and is nobody's account.
 */
export async function storeMirror(api: ApiClient, nodeName: string, { namespace, name, mirror }: PodReport): Promise<void> {
  const { metadata, spec } = mirror ?? {};
  const annotations = metadata?.annotations;
  const refused = spec === undefined || spec.nodeName !== nodeName || !name.endsWith(`-${nodeName}`) || !annotations?.[mirrorAnnotation] ? 'it is no mirror of a pod of this node'
    : spec.serviceAccountName ? 'it names a service account' : referencesOf({ metadata: { namespace }, spec } as Pod).length > 0 ? 'it refers to secrets, config maps or claims' : undefined;
  if (refused !== undefined) throw new StatusError('Forbidden', `node ${nodeName} may not show the pod ${namespace}/${name}: ${refused}`);
  const ownerReferences = await ownersOf(api, nodeName);
  try {
    await api.create(pods, { apiVersion: 'v1', kind: 'Pod', metadata: { namespace, name, ...(metadata?.labels && { labels: metadata.labels }), annotations: { ...annotations }, ...(ownerReferences && { ownerReferences }) }, spec } as Pod);
  } catch (error) {
    // Then the node is told of the one that is there.
    if (!isStatus(error, 'AlreadyExists')) throw error;
  }
}

/** A mirror is its node's: without a controller, a ReplicaSet whose selector matches it would take it for one of its own. */
async function ownersOf(api: ApiClient, name: string): Promise<OwnerReference[] | undefined> {
  try {
    const { metadata } = await api.get(nodes, undefined, name);
    return [{ apiVersion: 'v1', kind: 'Node', name, uid: metadata?.uid ?? '', controller: true }];
  } catch (error) {
    if (isStatus(error, 'NotFound')) return undefined;
    throw error;
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

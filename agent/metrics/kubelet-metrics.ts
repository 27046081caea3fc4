import type { Pod, PodStatus, Volume } from '#api/gen/types.ts';
import { isOfFile } from '#agent/pods/static/source.ts';
import { volumeOf } from '#agent/pods/volumes/claims.ts';
import type { ObjectLookup } from '#agent/pods/spec/env.ts';
import type { Sandbox } from '#agent/runtimes/types.ts';
import { gauge, type Family } from '#common/metrics.ts';
import { processMetrics } from '#common/process-metrics.ts';
import type { AgentCounts } from './counts.ts';

/** A pod that this agent looks after. */
export interface HeldPod {
  readonly pod: Pod;
  /** Nobody asks for it any more. */
  readonly isLeaving: boolean;
  /** As it was last reported, if it was. */
  readonly status: PodStatus | undefined;
}

export interface AgentState {
  readonly counts: AgentCounts;
  readonly pods: readonly HeldPod[];
  readonly sandboxes: readonly Sandbox[];
  readonly lookup: ObjectLookup;
  readonly nowMs: number;
  readonly certificateEndsAtMs: number;
}

/** What of `/metrics` only the agent itself knows; names and labels are kubelet's. */
export function* kubeletFamilies({ counts, pods, sandboxes, lookup, nowMs, certificateEndsAtMs }: AgentState): Iterable<Family> {
  const desired = pods.filter(({ isLeaving }) => !isLeaving);
  const active = pods.filter(isActive);
  yield gauge('kubelet_active_pods', 'The number of pods the kubelet considers active and which are being considered when admitting new pods. static is true if the pod is not from the apiserver.', bySource(active));
  yield gauge('kubelet_certificate_manager_client_ttl_seconds', 'Gauge of the TTL (time-to-live) of the Kubelet\'s client certificate. The value is in seconds until certificate expiry (negative if already expired).', [{ value: Math.round((certificateEndsAtMs - nowMs) / 1000) }]);
  yield gauge('kubelet_desired_pods', 'The number of pods the kubelet is being instructed to run. static is true if the pod is not from the apiserver.', bySource(desired));
  yield gauge('kubelet_mirror_pods', 'The number of mirror pods the kubelet will try to create (one per admitted static pod)', [{ value: desired.filter(({ pod }) => isOfFile(pod)).length }]);
  yield* counts.collect();
  yield* processMetrics();
  yield volumeFamily(desired.filter(isActive), pods, sandboxes, lookup);
}

function bySource(pods: readonly HeldPod[]): { readonly labels: { readonly static: string }; readonly value: number }[] {
  const ofFiles = pods.filter(({ pod }) => isOfFile(pod)).length;
  return [{ labels: { static: '' }, value: pods.length - ofFiles }, { labels: { static: 'true' }, value: ofFiles }];
}

function isActive({ pod, status = pod.status }: HeldPod): boolean {
  return status?.phase !== 'Succeeded' && status?.phase !== 'Failed';
}

/** A pod's volumes are there before its sandbox is, and as long. */
function volumeFamily(wanted: readonly HeldPod[], pods: readonly HeldPod[], sandboxes: readonly Sandbox[], lookup: ObjectLookup): Family {
  const begun = new Set(sandboxes.filter(({ state }) => state === 'ready').map(({ podUid }) => podUid));
  const states = { desired_state_of_world: wanted, actual_state_of_world: pods.filter(({ pod }) => begun.has(pod.metadata?.uid ?? '')) };
  return gauge('volume_manager_total_volumes', 'Number of volumes in Volume Manager', Object.entries(states).flatMap(([state, held]) => {
    const names = Map.groupBy(held.flatMap(({ pod }) => (pod.spec?.volumes ?? []).map((volume) => pluginOf(pod, volume, lookup))), (name) => name);
    return [...names].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, all]) => ({ labels: { plugin_name: name, state }, value: all.length }));
  }));
}

type Source = Pick<Volume, 'csi' | 'nfs' | 'hostPath'> & { readonly local?: object };

/** Which of kubelet's plugins would be in charge of a volume. */
function pluginOf(pod: Pod, volume: Volume, lookup: ObjectLookup): string {
  const source: Source & Volume = volume.persistentVolumeClaim ?? volume.ephemeral ? { ...volume, ...claimedSource(pod, volume, lookup) } : volume;
  if (source.csi) return `kubernetes.io/csi:${source.csi.driver}`;
  const names = { local: 'local-volume', nfs: 'nfs', hostPath: 'host-path', secret: 'secret', configMap: 'configmap', downwardAPI: 'downward-api', projected: 'projected', emptyDir: 'empty-dir', image: 'image' } as const;
  const kind = (Object.keys(names) as (keyof typeof names)[]).find((name) => source[name] !== undefined);
  return `kubernetes.io/${kind === undefined ? 'unknown' : names[kind]}`;
}

/** Nothing while the claim is not bound. */
function claimedSource(pod: Pod, volume: Volume, lookup: ObjectLookup): Source {
  try {
    const { csi, nfs, hostPath, local } = volumeOf(pod, volume, lookup).spec ?? {};
    return { ...(csi && { csi: { driver: csi.driver } }), ...(nfs && { nfs }), ...(hostPath && { hostPath }), ...(local && { local }) };
  } catch {
    return {};
  }
}

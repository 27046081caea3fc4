import type { Endpoint } from '#api/gen/types.ts';
import type { PodReport } from '#agent/session/types.ts';

/** What this host itself knows of one of its pods. */
export interface LocalPod {
  readonly ips: readonly string[];
  readonly ready: boolean;
}

/** By pod uid. */
export type LocalPods = ReadonlyMap<string, LocalPod>;

export function localPodsOf(reports: readonly PodReport[]): LocalPods {
  return new Map(reports.map(({ uid, status, gone }) => [uid, {
    ips: gone ? [] : (status.podIPs ?? []).map((p) => p.ip ?? ''),
    ready: status.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') === true,
  }]));
}

/**
 * An endpoint of this host, corrected by what this host knows better than the last EndpointSlice it was sent: after a
 * reboot with the control plane away its pods have other addresses. As long as the address is right the slice is
 * believed in everything. No endpoint when the pod has no address now.
 */
export function asSeenHere(endpoint: Endpoint, addressType: string, pods: LocalPods, publishNotReady: boolean): Endpoint[] {
  const pod = pods.get(endpoint.targetRef?.uid ?? '');
  if (!pod || pod.ips.includes(endpoint.addresses[0] ?? '')) return [endpoint];
  const ip = pod.ips.find((address) => address.includes(':') === (addressType === 'IPv6'));
  if (ip === undefined) return [];
  const terminating = endpoint.conditions?.terminating === true;
  return [{ ...endpoint, addresses: [ip], conditions: { ready: (pod.ready || publishNotReady) && !terminating, serving: pod.ready, terminating } }];
}

import type { Pod } from '#api/gen/types.ts';
import { counter, type Family, type Labels, type Sample } from '#common/metrics.ts';
import { probeBounds, type ProbeCount } from '#agent/pods/probes/counts.ts';

export interface ProbedPod { readonly pod: Pod; readonly probeCounts: readonly ProbeCount[] }

const titles = { startup: 'Startup', liveness: 'Liveness', readiness: 'Readiness' } as const;

/** `/metrics/probes`, of the pods that are here; names and labels are kubelet's. */
export function probeFamilies(pods: Iterable<ProbedPod>): Family[] {
  const counts = [...pods].flatMap(({ pod: { metadata = {} }, probeCounts }) => probeCounts.map((count) => ({
    count, uid: metadata.uid ?? '', labels: { container: count.container, namespace: metadata.namespace ?? '', pod: metadata.name ?? '', probe_type: titles[count.kind] },
  })));
  return [
    counter('prober_probe_total', 'Cumulative number of a liveness, readiness or startup probe for a container by result.', counts.flatMap(({ count: { results }, uid, labels }) => (
      Object.entries(results).filter(([, total]) => total > 0).map(([result, value]) => ({ labels: { ...labels, pod_uid: uid, result }, value }))))),
    { name: 'prober_probe_duration_seconds', type: 'histogram', help: 'Duration in seconds for a probe response.', samples: counts.filter(({ count }) => count.results.successful > 0).flatMap(({ count, labels }) => durations(count, labels)) },
  ];
}

function durations({ durations: found, seconds, results }: ProbeCount, labels: Labels): Sample[] {
  let total = 0;
  return [
    ...[...probeBounds.map(String), '+Inf'].map((le, i) => ({ suffix: '_bucket', labels: { ...labels, le }, value: total += found[i] ?? 0 })),
    { suffix: '_sum', labels, value: seconds }, { suffix: '_count', labels, value: results.successful },
  ];
}

import type { Job } from '#api/gen/types.ts';
import { jobs } from '#api/kinds/resources.ts';
import type { Decision } from '../types.ts';

/** A finished Job goes with its pods when it has been so for ttlSecondsAfterFinished. */
export function reconcileTtl(job: Job, nowMs: number): Decision {
  const ttl = job.spec?.ttlSecondsAfterFinished;
  const end = job.status?.conditions?.find(({ type, status }) => (type === 'Complete' || type === 'Failed') && status === 'True');
  if (ttl === undefined || end === undefined || job.metadata?.deletionTimestamp !== undefined) return { actions: [] };
  const leftMs = (Date.parse(end.lastTransitionTime ?? '') || 0) + ttl * 1000 - nowMs;
  return leftMs > 0 ? { actions: [], afterMs: leftMs } : { actions: [{ type: 'delete', resource: jobs, object: job, options: { propagationPolicy: 'Foreground' } }] };
}

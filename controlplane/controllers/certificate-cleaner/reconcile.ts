import type { CertificateSigningRequest } from '#api/gen/types.ts';
import { certificateSigningRequests } from '#api/kinds/resources.ts';
import type { Decision } from '../types.ts';

const hourMs = 3_600_000;
/** As Kubernetes keeps requests: decided ones for an hour, others for a day. */
const decidedMs = hourMs;
const pendingMs = 24 * hourMs;

/** Requests are notes of the moment: each goes when its time is up. */
export function reconcileCleaning(request: CertificateSigningRequest | undefined, nowMs: number): Decision {
  if (!request || request.metadata?.deletionTimestamp !== undefined) return { actions: [] };
  const created = Date.parse(request.metadata?.creationTimestamp ?? '') || nowMs;
  const decisions = (request.status?.conditions ?? []).filter(({ type }) => ['Approved', 'Denied', 'Failed'].includes(type)).map(({ lastUpdateTime }) => Date.parse(lastUpdateTime ?? '') || created);
  const dueMs = (decisions.length > 0 ? Math.max(...decisions) + decidedMs : created + pendingMs) - nowMs;
  return dueMs > 0 ? { actions: [], afterMs: dueMs } : { actions: [{ type: 'delete', resource: certificateSigningRequests, object: request }] };
}

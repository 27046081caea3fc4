import type { Secret } from '#api/gen/types.ts';
import { secrets } from '#api/kinds/resources.ts';
import type { Decision } from '../types.ts';

export const tokenNamespace = 'kube-system';
export const tokenType = 'bootstrap.kubernetes.io/token';

/** A join token goes when its time is over; a time that cannot be read counts as over. One without a time stays. */
export function reconcileToken(secret: Secret, nowMs: number): Decision {
  const expiration = secret.data?.['expiration'];
  if (secret.type !== tokenType || !expiration) return { actions: [] };
  const leftMs = Date.parse(Buffer.from(expiration, 'base64').toString()) - nowMs;
  return leftMs > 0 ? { actions: [], afterMs: leftMs } : { actions: [{ type: 'delete', resource: secrets, object: secret }] };
}

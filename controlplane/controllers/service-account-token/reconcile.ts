import type { Secret, ServiceAccount } from '#api/gen/types.ts';
import { secrets } from '#api/kinds/resources.ts';
import type { Action } from '../types.ts';

export const tokenType = 'kubernetes.io/service-account-token';
const nameAnnotation = 'kubernetes.io/service-account.name';
const uidAnnotation = 'kubernetes.io/service-account.uid';

export interface TokenFacts {
  /** Makes the token that such a Secret holds. */
  readonly token: (namespace: string, account: { readonly name: string; readonly uid: string }, secretName: string) => string;
  /** PEM of the CA that verifies the API. */
  readonly rootCa: string;
}

export function accountOf(secret: Secret): string {
  return secret.metadata?.annotations?.[nameAnnotation] ?? '';
}

/** A Secret of this type is filled in for its account, and goes with it. */
export function reconcileTokenSecret(secret: Secret | undefined, account: ServiceAccount | undefined, facts: TokenFacts): Action[] {
  if (secret?.type !== tokenType || secret.metadata?.deletionTimestamp !== undefined) return [];
  const { name = '', namespace = '', annotations = {} } = secret.metadata ?? {};
  const uid = account?.metadata?.uid;
  const wantedUid = annotations[uidAnnotation];
  // Made for an account that has been replaced since, or that was never there.
  if (uid === undefined || (wantedUid !== undefined && wantedUid !== '' && wantedUid !== uid)) return [{ type: 'delete', resource: secrets, object: secret }];
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const data = {
    ...secret.data, 'ca.crt': base64(facts.rootCa), namespace: base64(namespace),
    token: secret.data?.['token'] || base64(facts.token(namespace, { name: accountOf(secret), uid }, name)),
  };
  const same = wantedUid === uid && (['ca.crt', 'namespace', 'token'] as const).every((key) => data[key] === secret.data?.[key]);
  return same ? [] : [{ type: 'update', resource: secrets, object: { ...secret, metadata: { ...secret.metadata, annotations: { ...annotations, [uidAnnotation]: uid } }, data } as Secret }];
}

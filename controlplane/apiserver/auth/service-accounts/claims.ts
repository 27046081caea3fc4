import { isRecord, type JsonRecord } from '#api/meta/json.ts';

/** What a token says of one object that it depends on. */
export interface Reference {
  readonly name: string;
  readonly uid: string;
}

export interface BoundClaims {
  readonly namespace: string;
  readonly serviceAccount: Reference;
  readonly pod?: Reference;
  readonly secret?: Reference;
  readonly node?: Reference;
}

/** What is read from a token whose signature was found good. */
export interface TokenClaims extends BoundClaims {
  readonly audiences: readonly string[];
  /** A token without an end has none of these. */
  readonly expiresAtMs: number | undefined;
  readonly id: string | undefined;
  /** A token that stands in a Secret, and lasts as long as that. */
  readonly legacySecretName: string | undefined;
}

export const legacyIssuer = 'kubernetes/serviceaccount';
const privatePrefix = 'kubernetes.io/serviceaccount/';

export function accountUser(namespace: string, name: string): string {
  return `system:serviceaccount:${namespace}:${name}`;
}

export interface Lifetime {
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
  /** A token that outlives what was asked for says from when its user should have got another. */
  readonly warnAfterMs: number | undefined;
}

export function boundClaims(issuer: string, id: string, audiences: readonly string[], bound: BoundClaims, { issuedAtMs, expiresAtMs, warnAfterMs }: Lifetime): JsonRecord {
  const { namespace, serviceAccount, pod, secret, node } = bound;
  const issuedAt = seconds(issuedAtMs);
  return {
    aud: [...audiences], exp: seconds(expiresAtMs), iat: issuedAt, iss: issuer, jti: id,
    'kubernetes.io': {
      namespace, ...(node && { node }), ...(pod && { pod }), ...(secret && { secret }), serviceaccount: serviceAccount,
      ...(warnAfterMs !== undefined && { warnafter: seconds(warnAfterMs) }),
    },
    nbf: issuedAt, sub: accountUser(namespace, serviceAccount.name),
  };
}

export function legacyClaims(namespace: string, account: Reference, secretName: string): JsonRecord {
  return {
    iss: legacyIssuer, [`${privatePrefix}namespace`]: namespace, [`${privatePrefix}secret.name`]: secretName,
    [`${privatePrefix}service-account.name`]: account.name, [`${privatePrefix}service-account.uid`]: account.uid,
    sub: accountUser(namespace, account.name),
  };
}

/** Undefined when the claims are not those of a service account's token. */
export function parseClaims(claims: JsonRecord): TokenClaims | undefined {
  return claims['iss'] === legacyIssuer ? parseLegacy(claims) : parseBound(claims);
}

function parseBound(claims: JsonRecord): TokenClaims | undefined {
  const about = claims['kubernetes.io'];
  if (!isRecord(about)) return undefined;
  const namespace = text(about['namespace']);
  const serviceAccount = reference(about['serviceaccount']);
  const [pod, secret, node] = [about['pod'], about['secret'], about['node']].map(reference);
  const expiresAtMs = epochMs(claims['exp']);
  if (namespace === undefined || !serviceAccount || expiresAtMs === undefined || claims['sub'] !== accountUser(namespace, serviceAccount.name)) return undefined;
  const audience = claims['aud'];
  return {
    namespace, serviceAccount, ...(pod && { pod }), ...(secret && { secret }), ...(node && { node }), expiresAtMs, id: text(claims['jti']), legacySecretName: undefined,
    audiences: (Array.isArray(audience) ? audience as unknown[] : [audience]).filter((one) => typeof one === 'string'),
  };
}

function parseLegacy(claims: JsonRecord): TokenClaims | undefined {
  const field = (name: string): string | undefined => text(claims[privatePrefix + name]);
  const [namespace, name, uid, legacySecretName] = [field('namespace'), field('service-account.name'), field('service-account.uid'), field('secret.name')];
  if (namespace === undefined || name === undefined || uid === undefined || legacySecretName === undefined || claims['sub'] !== accountUser(namespace, name)) return undefined;
  return { namespace, serviceAccount: { name, uid }, audiences: [], expiresAtMs: undefined, id: undefined, legacySecretName };
}

function reference(value: unknown): Reference | undefined {
  const name = isRecord(value) ? text(value['name']) : undefined;
  return name === undefined || !isRecord(value) ? undefined : { name, uid: text(value['uid']) ?? '' };
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function epochMs(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value * 1000 : undefined;
}

function seconds(epoch: number): number {
  return Math.floor(epoch / 1000);
}

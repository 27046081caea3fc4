import type { FieldError } from '#api/meta/field-error.ts';
import { StatusError } from '#common/errors.ts';
import { badRequest, invalid } from './api-errors.ts';

/** What a client may ask of a list or a watch. Source: Kubernetes API concepts, "Resource versions". */
export interface ListOptions {
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  readonly limit?: number | undefined;
  readonly continueToken?: string | undefined;
  /** Undefined and 0 both ask for what is at hand; any other is a revision. */
  readonly resourceVersion?: number | undefined;
  readonly resourceVersionMatch?: 'Exact' | 'NotOlderThan' | undefined;
}

export interface WatchOptions extends ListOptions {
  readonly allowBookmarks: boolean;
  readonly timeoutSeconds?: number | undefined;
  readonly sendInitialEvents: boolean;
}

const optionsKind = { group: 'meta.k8s.io', kind: 'ListOptions' };

export function parseListOptions(query: URLSearchParams): ListOptions {
  const resourceVersion = revisionParameter(query.get('resourceVersion'));
  const match = query.get('resourceVersionMatch') ?? '';
  const continueToken = query.get('continue') ?? undefined;
  const refuse = (message: string, type: FieldError['type'] = 'FieldValueForbidden'): StatusError => invalid(optionsKind, '', [{ type, field: 'resourceVersionMatch', message }]);
  const isWatch = booleanParameter(query, 'watch');
  if (match !== '' && !isWatch) {
    if (resourceVersion === undefined) throw refuse('Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided');
    if (continueToken) throw refuse('Forbidden: resourceVersionMatch is forbidden when continue is provided');
    if (match !== 'Exact' && match !== 'NotOlderThan') throw refuse(`Unsupported value: ${JSON.stringify(match)}: supported values: "Exact", "NotOlderThan"`, 'FieldValueNotSupported');
    if (match === 'Exact' && resourceVersion === 0) throw refuse('Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"');
  }
  return {
    labelSelector: query.get('labelSelector') ?? undefined,
    fieldSelector: query.get('fieldSelector') ?? undefined,
    limit: integerParameter(query, 'limit') || undefined,
    continueToken: continueToken === '' ? undefined : continueToken,
    resourceVersion,
    resourceVersionMatch: match === '' ? undefined : match as 'Exact' | 'NotOlderThan',
  };
}

export function parseWatchOptions(query: URLSearchParams): WatchOptions {
  const sendInitialEvents = query.get('sendInitialEvents');
  if (sendInitialEvents !== null && query.get('resourceVersionMatch') !== 'NotOlderThan') {
    throw invalid(optionsKind, '', [{ type: 'FieldValueForbidden', field: 'sendInitialEvents', message: 'Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan' }]);
  }
  return {
    ...parseListOptions(query),
    allowBookmarks: booleanParameter(query, 'allowWatchBookmarks'),
    timeoutSeconds: integerParameter(query, 'timeoutSeconds') || undefined,
    sendInitialEvents: booleanParameter(query, 'sendInitialEvents'),
  };
}

/** Go's reading of a boolean parameter: present without a value, `1` and `true` are true. */
export function booleanParameter(query: URLSearchParams, name: string): boolean {
  const value = query.get(name);
  return value !== null && !['0', 'false', 'False', 'FALSE', 'f', 'F'].includes(value);
}

export function integerParameter(query: URLSearchParams, name: string): number | undefined {
  const value = query.get(name);
  if (value === null || value === '') return undefined;
  const number = /^-?\d{1,18}$/.test(value) ? Number(value) : Number.NaN;
  if (Number.isNaN(number)) throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(value)}: invalid syntax: the parameter ${name} must be an integer`);
  return number;
}

export function revisionParameter(value: string | null): number | undefined {
  if (value === null || value === '') return undefined;
  if (!/^\d{1,15}$/.test(value)) {
    throw invalid({ group: 'meta.k8s.io', kind: 'ListOptions' }, '', [{ type: 'FieldValueInvalid', field: 'resourceVersion', message: `Invalid value: ${JSON.stringify(value)}: must be a resourceVersion that the server gave` }]);
  }
  return Number(value);
}

/** Newer than the server knows: the client talked to another server, or the state was restored from a backup. */
export function tooLarge(resourceVersion: number, current: number): StatusError {
  return new StatusError('Timeout', `Too large resource version: ${String(resourceVersion)}, current: ${String(current)}`, {
    retryAfterMs: 1000, details: { causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }] },
  });
}

/** Position of a paged list: the revision that all pages are true at, and the last key sent. */
export interface ContinueToken { readonly revision: number; readonly after: string }

export function encodeContinue({ revision, after }: ContinueToken): string {
  return Buffer.from(JSON.stringify({ v: 'meta.k8s.io/v1', rv: revision, start: after })).toString('base64url');
}

export function decodeContinue(token: string, prefix: string): ContinueToken {
  try {
    const { v, rv, start } = JSON.parse(Buffer.from(token, 'base64url').toString()) as { v?: unknown; rv?: unknown; start?: unknown };
    if (v === 'meta.k8s.io/v1' && typeof rv === 'number' && Number.isSafeInteger(rv) && rv > 0 && typeof start === 'string' && start.startsWith(prefix)) return { revision: rv, after: start };
  } catch {
    // Falls through to the same answer as any other broken token.
  }
  throw badRequest('continue key is not valid: it does not belong to this list; list again without it');
}

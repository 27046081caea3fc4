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
  /** Undefined: what there is comes first unless the watch begins at a revision. */
  readonly sendInitialEvents: boolean | undefined;
}

const optionsKind = { group: 'meta.k8s.io', kind: 'ListOptions' };

function refuse(field: string, message: string, type: FieldError['type'] = 'FieldValueForbidden'): StatusError {
  return invalid(optionsKind, '', [{ type, field, message: type === 'FieldValueForbidden' ? `Forbidden: ${message}` : message }]);
}

export function parseListOptions(query: URLSearchParams): ListOptions {
  const options = selection(query);
  const match = query.get('resourceVersionMatch') ?? '';
  if (match !== '') {
    if (options.resourceVersion === undefined) throw refuse('resourceVersionMatch', 'resourceVersionMatch is forbidden unless resourceVersion is provided');
    if (options.continueToken) throw refuse('resourceVersionMatch', 'resourceVersionMatch is forbidden when continue is provided');
    if (match !== 'Exact' && match !== 'NotOlderThan') throw refuse('resourceVersionMatch', `Unsupported value: ${JSON.stringify(match)}: supported values: "Exact", "NotOlderThan"`, 'FieldValueNotSupported');
    if (match === 'Exact' && options.resourceVersion === 0) throw refuse('resourceVersionMatch', 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"');
  }
  if (query.get('sendInitialEvents')) throw refuse('sendInitialEvents', 'sendInitialEvents is forbidden for list');
  return { ...options, resourceVersionMatch: match === '' ? undefined : match as 'Exact' | 'NotOlderThan' };
}

function selection(query: URLSearchParams): ListOptions {
  return {
    labelSelector: query.get('labelSelector') ?? undefined,
    fieldSelector: query.get('fieldSelector') ?? undefined,
    limit: integerParameter(query, 'limit') || undefined,
    continueToken: query.get('continue') || undefined,
    resourceVersion: revisionParameter(query.get('resourceVersion')),
  };
}

export function parseWatchOptions(query: URLSearchParams): WatchOptions {
  const options = selection(query);
  const match = query.get('resourceVersionMatch') ?? '';
  const asked = (query.get('sendInitialEvents') ?? '') !== '';
  if (match !== '') {
    if (!asked) throw refuse('resourceVersionMatch', 'resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided');
    if (match !== 'NotOlderThan') throw refuse('resourceVersionMatch', `Unsupported value: ${JSON.stringify(match)}: supported values: "NotOlderThan"`, 'FieldValueNotSupported');
    if (options.continueToken) throw refuse('resourceVersionMatch', 'resourceVersionMatch is forbidden when continue is provided');
  }
  if (asked && match === '') throw refuse('resourceVersionMatch', 'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan');
  return {
    ...options,
    allowBookmarks: booleanParameter(query, 'allowWatchBookmarks'),
    timeoutSeconds: integerParameter(query, 'timeoutSeconds') || undefined,
    sendInitialEvents: asked ? booleanParameter(query, 'sendInitialEvents') : undefined,
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
  return new StatusError('Timeout', `Timeout: Too large resource version: ${String(resourceVersion)}, current: ${String(current)}`, {
    retryAfterMs: 1000, details: { causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }] },
  });
}

/** Position of a paged list: the revision that all pages are true at, and the last key sent. */
export interface ContinueToken {
  /** Undefined: the state as it is when the next page is read, whatever it was before. */
  readonly revision: number | undefined;
  readonly after: string;
}

const newest = -1;

export function encodeContinue({ revision = newest, after }: ContinueToken): string {
  return Buffer.from(JSON.stringify({ v: 'meta.k8s.io/v1', rv: revision, start: after })).toString('base64url');
}

export function decodeContinue(token: string, prefix: string): ContinueToken {
  try {
    const { v, rv, start } = JSON.parse(Buffer.from(token, 'base64url').toString()) as { v?: unknown; rv?: unknown; start?: unknown };
    const sound = v === 'meta.k8s.io/v1' && typeof rv === 'number' && Number.isSafeInteger(rv) && (rv > 0 || rv === newest);
    if (sound && typeof start === 'string' && start.startsWith(prefix)) return { revision: rv === newest ? undefined : rv, after: start };
  } catch {
    // Falls through to the same answer as any other broken token.
  }
  throw badRequest('continue key is not valid: it does not belong to this list; list again without it');
}

/** The answer to a token whose revision is forgotten, with one for the rest of the list as it is now. */
export function continueExpired({ after }: ContinueToken, cause: unknown): StatusError {
  return new StatusError('Expired', 'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.', {
    cause, continueToken: encodeContinue({ revision: undefined, after }),
  });
}

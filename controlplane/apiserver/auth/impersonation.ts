import { badRequest } from '../api-errors.ts';
import type { User } from '../types.ts';
import { refusal } from './authorizers.ts';
import type { Attributes, Authorizer } from './types.ts';

type Asked = NonNullable<Attributes['resource']>;

/**
 * Who a request is to be judged as: `kubectl --as`, `--as-group`. The one who asks must be allowed to impersonate
 * each of them; without such headers it is the one who asks.
 * Source: https://kubernetes.io/docs/reference/access-authn-authz/user-impersonation/
 */
export async function impersonated(rawHeaders: readonly string[], user: User, authorizer: Authorizer): Promise<User> {
  const headers = impersonationHeaders(rawHeaders);
  if (headers.length === 0) return user;
  const named = (name: string): string[] => headers.filter(([key]) => key === name).map(([, value]) => value);
  const [name = '', ...others] = named('impersonate-user');
  if (name === '' || others.length > 0) throw badRequest(`exactly one Impersonate-User header is needed beside ${headers[0]?.[0] ?? ''}`);
  const groups = named('impersonate-group');
  for (const resource of asked(name, groups, headers)) {
    const attributes: Attributes = { user, verb: 'impersonate', resource };
    const { allowed, reason } = await authorizer.authorize(attributes);
    if (!allowed) throw refusal(attributes, reason);
  }
  const [uid] = named('impersonate-uid');
  const extra = extraOf(headers);
  return { name, ...(uid !== undefined && { uid }), ...(extra && { extra }), groups: [...new Set([...(groups.length > 0 ? groups : impliedGroups(name)), name === 'system:anonymous' ? 'system:unauthenticated' : 'system:authenticated'])] };
}

function impersonationHeaders(raw: readonly string[]): [string, string][] {
  const found: [string, string][] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i]?.toLowerCase() ?? '';
    if (name.startsWith('impersonate-')) found.push([name, raw[i + 1] ?? '']);
  }
  return found;
}

function asked(name: string, groups: readonly string[], headers: readonly [string, string][]): Asked[] {
  const about = (group: string, plural: string, value: string, extra: Partial<Asked> = {}): Asked => ({ group, version: 'v1', plural, subresource: undefined, namespace: undefined, name: value, ...extra });
  const account = serviceAccountOf(name);
  return [
    account ? about('', 'serviceaccounts', account.name, { namespace: account.namespace }) : about('', 'users', name),
    ...groups.map((group) => about('', 'groups', group)),
    ...headers.flatMap(([key, value]) => {
      if (key === 'impersonate-uid') return [about('authentication.k8s.io', 'uids', value)];
      if (key.startsWith(extraPrefix)) return [about('authentication.k8s.io', 'userextras', value, { subresource: extraKey(key) })];
      return [];
    }),
  ];
}

const extraPrefix = 'impersonate-extra-';

/** Keys of extras may hold what no header's name may: they are percent-encoded. */
function extraKey(header: string): string {
  const key = header.slice(extraPrefix.length);
  try {
    return decodeURIComponent(key);
  } catch {
    return key;
  }
}

function extraOf(headers: readonly [string, string][]): Record<string, string[]> | undefined {
  const extra = new Map<string, string[]>();
  for (const [header, value] of headers) if (header.startsWith(extraPrefix)) extra.set(extraKey(header), [...extra.get(extraKey(header)) ?? [], value]);
  return extra.size > 0 ? Object.fromEntries(extra) : undefined;
}

function serviceAccountOf(user: string): { namespace: string; name: string } | undefined {
  const [, namespace, name] = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(user) ?? [];
  return namespace !== undefined && name !== undefined ? { namespace, name } : undefined;
}

function impliedGroups(name: string): string[] {
  const account = serviceAccountOf(name);
  return account ? ['system:serviceaccounts', `system:serviceaccounts:${account.namespace}`] : [];
}

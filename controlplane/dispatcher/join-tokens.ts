import { createHash, timingSafeEqual } from 'node:crypto';
import type { Secret } from '#api/gen/types.ts';
import { secrets } from '#api/kinds/resources.ts';
import type { Clock } from '#common/clock.ts';
import { isStatus, StatusError } from '#common/errors.ts';
import { timeFloor } from '#common/pki/validity.ts';
import type { ApiClient } from '../apiserver/types.ts';

/** Annotation of a token's Secret: SHA-256 of the public key of the host that used it. */
const usedByAnnotation = 'cleat.dev/used-by';

/** What a token that fits allows. */
export interface JoinPermission {
  /** A host with another key has this name now, and gives it up. */
  readonly replaces: boolean;
  /** Notes that this key has used it; rejects when another one did first. Nothing for a token that may be used often. */
  use(key: string): Promise<void>;
}

interface Deps {
  readonly api: ApiClient;
  readonly clock: Clock;
}

/**
 * Checks `id.secret` of a join token against its Secret, in Kubernetes' form of bootstrap tokens with three fields of ours: `node-names`
 * (which names may join, with * for anything), `one-time`, and `replace` (the name may be another host's). Rejects with `Unauthorized`
 * when it is unknown, expired, revoked, used up or wrong, and with `Forbidden` when it is not for this name.
 */
export async function checkJoinToken({ api, clock }: Deps, token: string, nodeName: string): Promise<JoinPermission> {
  const match = /^([a-z0-9]{6})\.([a-z0-9]{16})$/.exec(token);
  const [, id = '', secret = ''] = match ?? [];
  const object = match ? await usable(api, clock, id) : undefined;
  const wanted = field(object, 'token-secret');
  // both sides hashed: equal lengths for the comparison, which takes the same time wherever they differ
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  if (!timingSafeEqual(digest(secret), digest(wanted)) || wanted === '' || !object) {
    throw new StatusError('Unauthorized', 'the join token is unknown, expired or wrong; make a new one on the control plane: cleat token create');
  }
  const names = field(object, 'node-names').split(',').filter(Boolean);
  if (names.length > 0 && !names.some((pattern) => fits(pattern, nodeName))) {
    throw new StatusError('Forbidden', `the join token is for ${names.join(', ')}, and not for ${nodeName}; start this host with --node-name, or make a token for it: cleat token create --node-names=${nodeName}`);
  }
  return { replaces: field(object, 'replace') === 'true', use: (key) => (field(object, 'one-time') === 'true' ? useOnce(api, object, key) : Promise.resolve()) };
}

async function usable(api: ApiClient, clock: Clock, id: string): Promise<Secret | undefined> {
  let object: Secret;
  try {
    object = await api.get(secrets, 'kube-system', `bootstrap-token-${id}`);
  } catch (error) {
    if (isStatus(error, 'NotFound')) return undefined;
    throw error;
  }
  const expiration = field(object, 'expiration');
  const good = object.type === 'bootstrap.kubernetes.io/token' && field(object, 'token-id') === id && field(object, 'usage-bootstrap-authentication') === 'true'
    && object.metadata?.deletionTimestamp === undefined
    && (expiration === '' || Date.parse(expiration) > timeFloor(clock.now()));
  return good ? object : undefined;
}

/** The answer may be lost on its way, so the host that used it may ask again. */
async function useOnce(api: ApiClient, object: Secret, key: string): Promise<void> {
  const spent = new StatusError('Unauthorized', 'the join token was for one host, and another one has used it; make a new one on the control plane: cleat token create');
  const usedBy = object.metadata?.annotations?.[usedByAnnotation];
  if (usedBy === key) return;
  if (usedBy !== undefined) throw spent;
  try {
    await api.update(secrets, { ...object, metadata: { ...object.metadata, annotations: { ...object.metadata?.annotations, [usedByAnnotation]: key } } });
  } catch (error) {
    if (isStatus(error, 'Conflict', 'NotFound')) throw spent;
    throw error;
  }
}

function field(object: Secret | undefined, name: string): string {
  return Buffer.from(object?.data?.[name] ?? '', 'base64').toString();
}

function fits(pattern: string, name: string): boolean {
  const [first = '', ...rest] = pattern.split('*');
  if (rest.length === 0) return pattern === name;
  const last = rest.pop() ?? '';
  let at = first.length;
  if (!name.startsWith(first)) return false;
  for (const part of rest) {
    const found = name.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return name.length - last.length >= at && name.endsWith(last);
}

import { createHash, timingSafeEqual } from 'node:crypto';
import type { Secret } from '#api/gen/types.ts';
import { secrets } from '#api/kinds/resources.ts';
import type { Clock } from '#common/clock.ts';
import { timeFloor } from '#common/pki/validity.ts';
import type { Lister } from '#controlplane/cache/types.ts';
import { unauthorized } from './authenticators.ts';
import type { Informers, TokenAuthenticator, TokenIdentity } from './types.ts';

/**
 * Tokens `ID.SECRET` that Secrets of kube-system hold, for hosts that are about to join.
 * Source: https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/
 */
export class BootstrapTokenAuthenticator implements TokenAuthenticator {
  readonly #secrets: Lister<Secret>;
  readonly #clock: Clock;

  constructor(informers: Informers, clock: Clock) {
    this.#secrets = informers.informer(secrets);
    this.#clock = clock;
  }

  authenticateToken(token: string, audiences: readonly string[]): TokenIdentity | undefined {
    const [, id, secret] = /^([a-z0-9]{6})\.([a-z0-9]{16})$/.exec(token) ?? [];
    if (id === undefined || secret === undefined) return undefined;
    const kept = this.#secrets.get('kube-system', `bootstrap-token-${id}`);
    const field = (name: string): string => Buffer.from(kept?.data?.[name] ?? '', 'base64').toString();
    const problem = kept === undefined || kept.metadata?.deletionTimestamp !== undefined ? 'not found'
      : kept.type !== 'bootstrap.kubernetes.io/token' || field('token-id') !== id ? 'not a token'
      : !sameSecret(field('token-secret'), secret) ? 'another secret'
      : hasExpired(field('expiration'), this.#clock.now()) ? 'expired'
      : field('usage-bootstrap-authentication') !== 'true' ? 'not meant for authentication' : undefined;
    if (problem !== undefined) throw unauthorized(`bootstrap token ${id}: ${problem}`);
    const extraGroups = field('auth-extra-groups').split(',').filter((group) => group !== '');
    if (extraGroups.some((group) => !/^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$/.test(group))) throw unauthorized(`bootstrap token ${id}: groups must begin with system:bootstrappers:`);
    return { audiences, user: { name: `system:bootstrap:${id}`, groups: ['system:bootstrappers', ...extraGroups] } };
  }
}

/** Hashed first, so that the comparison takes the same time wherever they differ. */
function sameSecret(kept: string, given: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return kept !== '' && timingSafeEqual(digest(kept), digest(given));
}

/** A time that cannot be read has passed. */
function hasExpired(expiration: string, nowMs: number): boolean {
  return expiration !== '' && !(Date.parse(expiration) > timeFloor(nowMs));
}

import { randomUUID } from 'node:crypto';
import type { Clock } from '#common/clock.ts';
import { timeFloor } from '#common/pki/validity.ts';
import { boundClaims, legacyClaims, parseClaims, legacyIssuer, type BoundClaims, type Reference, type TokenClaims } from './claims.ts';
import { algorithm, isSignedWith, signingKey, signToken, unverifiedClaims, verifyingKeys, webKey, type SigningKey, type VerifyingKey } from './jwt.ts';

export interface TokenAuthorityConfig {
  /** PEM; see `signingKey`. */
  readonly key: string;
  /** PEM of the public halves of keys that have signed before: their tokens stay good. */
  readonly oldKeys?: string;
  /** `iss` of what is issued, and the audience that the API itself is. */
  readonly issuer: string;
  /** Where the public key is served. */
  readonly jwksUri: string;
}

export interface IssuedToken {
  readonly token: string;
  /** When its user should have got another. */
  readonly expiresAtMs: number;
}

/** What pods ask for that did not choose; such tokens live on, for programs that read theirs only once. */
const podDefaultSeconds = 3607;
const extendedSeconds = 365 * 24 * 3600;
/** As Kubernetes allows for clocks that differ. */
const leewayMs = 60_000;
const maxKnown = 1000;

/** Signs tokens of service accounts and knows its own again. Whether what a token speaks of still exists is for others to check. */
export class TokenAuthority {
  readonly issuer: string;
  readonly #key: SigningKey;
  readonly #keys: readonly VerifyingKey[];
  readonly #clock: Clock;
  readonly #config: TokenAuthorityConfig;
  /** Tokens whose signature was found good: each is sent with many requests. */
  readonly #known = new Map<string, TokenClaims>();

  constructor(clock: Clock, config: TokenAuthorityConfig) {
    this.#clock = clock;
    this.#config = config;
    this.#key = signingKey(config.key);
    this.#keys = [this.#key, ...verifyingKeys(config.oldKeys ?? '')];
    this.issuer = config.issuer;
  }

  /** Audiences empty: the API. */
  issue(bound: BoundClaims, audiences: readonly string[], expirationSeconds: number): IssuedToken {
    const issuedAtMs = timeFloor(this.#clock.now());
    const expiresAtMs = issuedAtMs + expirationSeconds * 1000;
    const forApi = audiences.length === 0 || (audiences.length === 1 && audiences[0] === this.issuer);
    const extended = bound.pod !== undefined && forApi && expirationSeconds === podDefaultSeconds;
    const lifetime = { issuedAtMs, expiresAtMs: extended ? issuedAtMs + extendedSeconds * 1000 : expiresAtMs, warnAfterMs: extended ? expiresAtMs : undefined };
    const claims = boundClaims(this.issuer, randomUUID(), audiences.length === 0 ? [this.issuer] : audiences, bound, lifetime);
    return { token: signToken(this.#key, claims), expiresAtMs };
  }

  /** The token that a Secret of type kubernetes.io/service-account-token holds. */
  issueForSecret(namespace: string, account: Reference, secretName: string): string {
    return signToken(this.#key, legacyClaims(namespace, account, secretName));
  }

  /** True for text that claims to come from here; only then is `verify` to be asked. */
  isOurs(token: string): boolean {
    const issuer = unverifiedClaims(token)?.['iss'];
    return issuer === this.issuer || issuer === legacyIssuer;
  }

  /** Why the token is not good, or what it says. */
  verify(token: string): TokenClaims | { readonly problem: string } {
    let claims = this.#known.get(token);
    if (!claims) {
      if (!this.#keys.some((key) => isSignedWith(key, token))) return { problem: 'invalid signature' };
      claims = parseClaims(unverifiedClaims(token) ?? {});
      if (!claims) return { problem: 'invalid claims' };
      this.#remember(token, claims);
    }
    if (claims.expiresAtMs !== undefined && this.#clock.now() > claims.expiresAtMs + leewayMs) return { problem: 'service account token has expired' };
    // One from the future, signed by this key, says that the clock here is wrong, as a Raspberry Pi's is after a boot. That is no reason to lock everybody out.
    return claims;
  }

  #remember(token: string, claims: TokenClaims): void {
    const [oldest] = this.#known.keys();
    if (this.#known.size >= maxKnown && oldest !== undefined) this.#known.delete(oldest);
    this.#known.set(token, claims);
  }

  /** Documents by which others check tokens. Source: https://openid.net/specs/openid-connect-discovery-1_0.html */
  get discovery(): unknown {
    return {
      issuer: this.issuer, jwks_uri: this.#config.jwksUri, response_types_supported: ['id_token'], subject_types_supported: ['public'], id_token_signing_alg_values_supported: [algorithm],
    };
  }

  get keySet(): unknown {
    return { keys: this.#keys.map(webKey) };
  }
}

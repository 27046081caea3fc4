import type { Clock } from '#common/clock.ts';
import type { AdmissionPlugin } from '../admission/types.ts';
import type { User } from '../types.ts';
import { AuthenticatorChain, ClientCertificateAuthenticator, TokenAuthenticator } from './authenticators.ts';
import { AuthorizerChain, masters } from './authorizers.ts';
import { escalationCheck } from './rbac/escalation.ts';
import { RbacAuthorizer } from './rbac/rbac-authorizer.ts';
import type { Authenticator, Authorizer, Informers, RuleAuthorizer } from './types.ts';

export interface AccessControlDeps {
  readonly informers: Informers;
  readonly clock: Clock;
  /** Of a file; see `parseTokenFile`. */
  readonly tokens: ReadonlyMap<string, User>;
  /** In place of RBAC, for tests. */
  readonly authorizer: Authorizer | undefined;
}

/** Who somebody is, and what they may do: all of it, put together. */
export class AccessControl {
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly rules: RuleAuthorizer;
  /** What writes have to pass for safety's sake. */
  readonly admission: readonly AdmissionPlugin[];
  readonly #rbac: RbacAuthorizer;

  constructor(deps: AccessControlDeps) {
    this.#rbac = new RbacAuthorizer(deps.informers);
    this.rules = this.#rbac;
    this.authorizer = deps.authorizer ?? new AuthorizerChain([masters, this.#rbac]);
    this.authenticator = new AuthenticatorChain([new ClientCertificateAuthenticator(deps.clock), new TokenAuthenticator(deps.tokens)]);
    this.admission = [escalationCheck(this.#rbac, this.authorizer)];
  }

  /** Resolves when everything is known that decisions are made from. */
  async synced(signal: AbortSignal): Promise<void> {
    await this.#rbac.synced(signal);
  }
}

import type { Node } from '#api/gen/types.ts';
import { nodes } from '#api/kinds/resources.ts';
import { publicKeyAnnotation } from '#api/node/identity.ts';
import type { Clock } from '#common/clock.ts';
import type { Informer } from '#controlplane/cache/types.ts';
import type { AdmissionPlugin } from '../admission/types.ts';
import type { User } from '../types.ts';
import { AuthenticatorChain, BearerAuthenticator, ClientCertificateAuthenticator, FileTokenAuthenticator } from './authenticators.ts';
import { AuthorizerChain, masters } from './authorizers.ts';
import { BootstrapTokenAuthenticator } from './bootstrap-tokens.ts';
import { certificateRequests } from './certificates/admission.ts';
import { NodeAuthorizer } from './node/node-authorizer.ts';
import { nodeRules } from './node/node-rules.ts';
import { nodeRestriction } from './node/restriction.ts';
import { escalationCheck } from './rbac/escalation.ts';
import { RbacAuthorizer } from './rbac/rbac-authorizer.ts';
import { proxyOf, RequestHeaderAuthenticator, type RequestHeaderConfig } from './request-header.ts';
import { ServiceAccountAuthenticator } from './service-accounts/authenticator.ts';
import { PodTokens } from './service-accounts/pod-tokens.ts';
import { TokenAuthority, type TokenAuthorityConfig } from './service-accounts/token-authority.ts';
import type { Authenticator, Authorizer, Informers, RuleAuthorizer } from './types.ts';

export interface AccessControlDeps {
  readonly informers: Informers;
  readonly clock: Clock;
  /** Of a file; see `parseTokenFile`. */
  readonly tokens: ReadonlyMap<string, User>;
  /** Whose proxies are believed; absent: nobody's. */
  readonly frontProxy?: RequestHeaderConfig | undefined;
  /** In place of RBAC, for tests. */
  readonly authorizer: Authorizer | undefined;
}

/** Who somebody is, and what they may do: all of it, put together. */
export class AccessControl {
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly rules: RuleAuthorizer;
  readonly bearer: BearerAuthenticator;
  readonly tokens: TokenAuthority;
  readonly podTokens: PodTokens;
  /** What writes have to pass for safety's sake. */
  readonly admission: readonly AdmissionPlugin[];
  readonly #rbac: RbacAuthorizer;
  readonly #accounts: ServiceAccountAuthenticator;
  readonly #nodes: NodeAuthorizer;
  readonly #hosts: Informer<Node>;

  constructor(deps: AccessControlDeps, config: TokenAuthorityConfig) {
    const { informers, clock } = deps;
    this.#rbac = new RbacAuthorizer(informers);
    this.rules = this.#rbac;
    this.#nodes = new NodeAuthorizer(informers, nodeRules);
    this.#hosts = informers.informer(nodes);
    this.authorizer = deps.authorizer ?? new AuthorizerChain([masters, this.#nodes, this.#rbac]);
    this.tokens = new TokenAuthority(clock, config);
    this.podTokens = new PodTokens(this.tokens, informers);
    this.#accounts = new ServiceAccountAuthenticator({ authority: this.tokens, informers, clock });
    this.bearer = new BearerAuthenticator([new FileTokenAuthenticator(deps.tokens), this.#accounts, new BootstrapTokenAuthenticator(informers, clock)], [config.issuer]);
    const { frontProxy } = deps;
    this.authenticator = new AuthenticatorChain([
      ...(frontProxy ? [new RequestHeaderAuthenticator(clock, frontProxy)] : []),
      new ClientCertificateAuthenticator(clock, (socket) => frontProxy !== undefined && proxyOf(socket, frontProxy.ca) !== undefined, (name) => this.#hosts.get(undefined, name)?.metadata?.annotations?.[publicKeyAnnotation]),
      this.bearer,
    ]);
    this.admission = [nodeRestriction, escalationCheck(this.#rbac, this.authorizer), certificateRequests(this.authorizer, clock)];
  }

  /** Resolves when everything is known that decisions are made from. */
  async synced(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#rbac.synced(signal), this.#accounts.synced(signal), this.#nodes.synced(signal), this.#hosts.synced(signal)]);
  }
}

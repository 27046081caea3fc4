import type { TLSSocket } from 'node:tls';
import type { PolicyRule } from '#api/gen/types.ts';
import type { Resource } from '#api/kinds/resources.ts';
import type { KubeObject } from '#api/meta/object.ts';
import type { Indexes, Informer } from '#controlplane/cache/types.ts';
import type { User } from '../types.ts';

/** What a request brings to say who sent it. */
export interface Credentials {
  readonly socket: TLSSocket;
  readonly authorization: string | undefined;
  /** Names and values of all headers by turns, as they came. */
  readonly rawHeaders: readonly string[];
}

/** Undefined: no credentials of this kind. Throws Unauthorized when there are some and they are bad. */
export interface Authenticator {
  authenticate(credentials: Credentials): Promise<User | undefined> | User | undefined;
}

export interface TokenIdentity {
  readonly user: User;
  /** Those of the asked-for audiences that the token is meant for. */
  readonly audiences: readonly string[];
}

/** Undefined: not a token of this kind. Throws Unauthorized for one of this kind that is not good. */
export interface TokenAuthenticator {
  authenticateToken(token: string, audiences: readonly string[]): Promise<TokenIdentity | undefined> | TokenIdentity | undefined;
}

/** What a request wants to do, as Kubernetes' SubjectAccessReview names it. */
export interface Attributes {
  readonly user: User;
  readonly verb: string;
  /** Set for resource requests. */
  readonly resource?: {
    readonly group: string;
    readonly version: string;
    readonly plural: string;
    readonly subresource: string | undefined;
    readonly namespace: string | undefined;
    readonly name: string | undefined;
    /** What a list or watch demands of fields, where it demands equality. */
    readonly fields?: ReadonlyMap<string, string>;
  };
  /** Set for other requests. */
  readonly path?: string;
}

/** Not allowed is not denied: another authorizer may still allow it. */
export interface Decision {
  readonly allowed: boolean;
  /** Why, in words for the client; empty when there is nothing to add. */
  readonly reason: string;
}

export interface Authorizer {
  authorize(attributes: Attributes): Promise<Decision> | Decision;
}

export interface RulesOfUser {
  readonly rules: readonly PolicyRule[];
  /** What could not be found out; empty when `rules` is all. */
  readonly problem: string;
}

/** An authorizer that can also say what all a user may do. */
export interface RuleAuthorizer extends Authorizer {
  rulesFor(user: User, namespace: string | undefined): RulesOfUser;
}

/** One informer per resource, shared by all that ask; `cache/informers.ts` is one. */
export interface Informers {
  informer<T extends KubeObject>(resource: Resource<T>, indexes?: Indexes<T>): Informer<T>;
}

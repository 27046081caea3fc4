import type { TLSSocket } from 'node:tls';
import type { User } from '../types.ts';

/** What a request brings to say who sent it. */
export interface Credentials {
  readonly socket: TLSSocket;
  readonly authorization: string | undefined;
}

/** Undefined: no credentials of this kind. Throws Unauthorized when there are some and they are bad. */
export interface Authenticator {
  authenticate(credentials: Credentials): Promise<User | undefined> | User | undefined;
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

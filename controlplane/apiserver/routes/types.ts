import type { KindDefinition } from '#api/kinds/types.ts';
import type { Clock } from '#common/clock.ts';
import type { Log } from '#common/log.ts';
import type { Informers } from '#controlplane/cache/informers.ts';
import type { Store } from '#controlplane/store/types.ts';
import type { AccessControl } from '../auth/access-control.ts';
import type { Authorizer } from '../auth/types.ts';
import type { ApiRequest } from '../http/request.ts';
import type { Reply } from '../http/reply.ts';
import type { KindIndex } from '../kind-index.ts';
import type { ResourceStore } from '../resource-store.ts';
import type { NodeGateway, User } from '../types.ts';
import type { ResourcePath } from './resource-path.ts';

/** What the routes share. */
export interface RouteDeps {
  readonly store: Store;
  readonly resources: ResourceStore;
  readonly kinds: KindIndex;
  readonly authorizer: Authorizer;
  readonly access: AccessControl;
  readonly informers: Pick<Informers, 'known'>;
  /** Absent where no agents connect, as in some tests. */
  readonly nodes: NodeGateway | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/** A request on a resource, after authentication and authorization. */
export interface ResourceCall {
  readonly request: ApiRequest;
  readonly path: ResourcePath;
  readonly verb: string;
  readonly user: User;
}

/** A call on a kind that the registry has. */
export interface KindCall extends ResourceCall {
  readonly kind: KindDefinition;
}

export type Route = (call: ResourceCall) => Promise<Reply>;

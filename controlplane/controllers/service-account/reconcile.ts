import type { Namespace, ServiceAccount } from '#api/gen/types.ts';
import { serviceAccounts } from '#api/kinds/resources.ts';
import type { Action } from '../types.ts';

/** Every namespace that stays has the account that pods use when they name none. */
export function reconcileDefaultAccount(namespace: Namespace, account: ServiceAccount | undefined): Action[] {
  if (account !== undefined || namespace.metadata?.deletionTimestamp !== undefined) return [];
  const object: ServiceAccount = { apiVersion: 'v1', kind: serviceAccounts.kind, metadata: { name: 'default', namespace: namespace.metadata?.name } };
  return [{ type: 'create', resource: serviceAccounts, object }];
}

import type { Lease, Node } from '#api/gen/types.ts';
import { leases } from '#api/kinds/resources.ts';
import type { Action } from '../types.ts';

/** The lease by which a node shows that it lives goes with its Node. */
export function reconcileLease(node: Node | undefined, lease: Lease | undefined): Action[] {
  return node === undefined && lease !== undefined ? [{ type: 'delete', resource: leases, object: lease }] : [];
}

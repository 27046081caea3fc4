import type { OwnerReference } from '#api/gen/types.ts';
import type { Resource } from '#api/kinds/resources.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { withMetadata } from '../owner-refs.ts';
import type { Action } from '../types.ts';

const foregroundFinalizer = 'foregroundDeletion';
const orphanFinalizer = 'orphan';

/**
 * What is known of an owner. `deleting`: it waits for its dependents to go (foreground deletion). `unknown`:
 * its kind is not served here, so nobody can say; it keeps its dependents.
 */
export type OwnerState = 'present' | 'deleting' | 'absent' | 'unknown';

export interface Member { readonly resource: Resource; readonly object: KubeObject }

export interface OwnershipSnapshot extends Member {
  /** One for each of the object's owner references. */
  readonly owners: readonly { readonly reference: OwnerReference; readonly state: OwnerState }[];
  readonly dependents: readonly Member[];
}

/** What follows from the object's owners and, when it is being deleted itself, from its dependents. */
export function reconcileOwnership(snapshot: OwnershipSnapshot): Action[] {
  const { object } = snapshot;
  if (object.metadata?.deletionTimestamp === undefined) return asDependent(snapshot);
  if (hasFinalizer(object, orphanFinalizer)) return [...orphanDependents(snapshot), withoutFinalizer(snapshot, orphanFinalizer)];
  if (waitsForDependents(object)) return hasBlockers(snapshot) ? [] : [withoutFinalizer(snapshot, foregroundFinalizer)];
  return [];
}

/** Foreground deletion under way: the object stays until its blocking dependents are gone. */
export function waitsForDependents(object: KubeObject): boolean {
  return object.metadata?.deletionTimestamp !== undefined && hasFinalizer(object, foregroundFinalizer);
}

function hasFinalizer(object: KubeObject, name: string): boolean {
  return object.metadata?.finalizers?.includes(name) ?? false;
}

function hasBlockers({ object, dependents }: OwnershipSnapshot): boolean {
  return dependents.some((dependent) => dependent.object.metadata?.ownerReferences
    ?.some((reference) => reference.uid === object.metadata?.uid && reference.blockOwnerDeletion === true));
}

function withoutFinalizer({ resource, object }: Member, name: string): Action {
  return { type: 'update', resource, object: withMetadata(object, { finalizers: (object.metadata?.finalizers ?? []).filter((f) => f !== name) }) };
}

function orphanDependents({ object, dependents }: OwnershipSnapshot): Action[] {
  return dependents.map((dependent) => withoutOwners(dependent, (reference) => reference.uid === object.metadata?.uid));
}

function withoutOwners({ resource, object }: Member, drop: (reference: OwnerReference) => boolean): Action {
  const ownerReferences = (object.metadata?.ownerReferences ?? []).filter((reference) => !drop(reference));
  return { type: 'update', resource, object: withMetadata(object, { ownerReferences }) };
}

function withoutBlocking({ resource, object }: Member): Action {
  const ownerReferences = object.metadata?.ownerReferences?.map((reference) => ({ ...reference, blockOwnerDeletion: false })) ?? [];
  return { type: 'update', resource, object: withMetadata(object, { ownerReferences }) };
}

/** An object goes with the last of its owners; while one remains it only loses the references to the others. */
function asDependent(snapshot: OwnershipSnapshot): Action[] {
  const { resource, object, owners, dependents } = snapshot;
  const gone = owners.filter(({ state }) => state === 'absent' || state === 'deleting');
  if (gone.length === 0) return [];
  if (gone.length < owners.length) {
    return [withoutOwners(snapshot, (reference) => gone.some((owner) => owner.reference.uid === reference.uid))];
  }
  const foreground = owners.some(({ state }) => state === 'deleting') && dependents.length > 0;
  // A circle: it would wait for those that wait for it. Let go of its owners first; the change brings it here again.
  const blocks = object.metadata?.ownerReferences?.some(({ blockOwnerDeletion }) => blockOwnerDeletion === true) ?? false;
  if (foreground && blocks && dependents.some((dependent) => waitsForDependents(dependent.object))) return [withoutBlocking(snapshot)];
  return [{ type: 'delete', resource, object, options: foreground ? { propagationPolicy: 'Foreground' } : {} }];
}

import { apiVersionOf, type Resource } from '#api/kinds/resources.ts';
import type { KubeObject, ObjectMeta, OwnerReference } from '#api/meta/object.ts';

/** The one owner reference with `controller: true`. */
export function controllerOf(object: KubeObject): OwnerReference | undefined {
  return object.metadata?.ownerReferences?.find((reference) => reference.controller === true);
}

export function isControlledBy(object: KubeObject, ownerUid: string | undefined): boolean {
  return ownerUid !== undefined && controllerOf(object)?.uid === ownerUid;
}

/** A reference that makes `owner` the controller; foreground deletion of the owner waits for the dependent. */
export function controllerReference(resource: Resource, owner: KubeObject): OwnerReference {
  return {
    apiVersion: apiVersionOf(resource), kind: resource.kind, name: owner.metadata?.name ?? '', uid: owner.metadata?.uid ?? '',
    controller: true, blockOwnerDeletion: true,
  };
}

/** `object` with other metadata fields, the rest shared. */
export function withMetadata<T extends KubeObject>(object: T, changes: Partial<ObjectMeta>): T {
  return { ...object, metadata: { ...object.metadata, ...changes } };
}

export interface Claim<T extends KubeObject> {
  /** Controlled by the owner and matching. */
  readonly owned: readonly T[];
  /** Matching, without a controller: to be adopted. Already carries the reference. */
  readonly adopt: readonly T[];
  /** Controlled by the owner but no longer matching. Already without the reference. */
  readonly release: readonly T[];
}

/**
 * What belongs to `owner` among `candidates`. An owner that is being deleted adopts and releases nothing,
 * and nothing that is being deleted is adopted.
 */
export function claim<T extends KubeObject>(resource: Resource, owner: KubeObject, candidates: readonly T[], matches: (object: T) => boolean): Claim<T> {
  const owned: T[] = [];
  const adopt: T[] = [];
  const release: T[] = [];
  const uid = owner.metadata?.uid;
  const deleting = owner.metadata?.deletionTimestamp !== undefined;
  for (const object of candidates) {
    const controller = controllerOf(object);
    const references = object.metadata?.ownerReferences ?? [];
    if (controller !== undefined && controller.uid !== uid) continue;
    if (controller !== undefined) {
      if (matches(object)) owned.push(object);
      else if (!deleting) release.push(withMetadata(object, { ownerReferences: references.length > 1 ? references.filter((r) => r !== controller) : undefined }));
    } else if (!deleting && object.metadata?.deletionTimestamp === undefined && matches(object)) {
      adopt.push(withMetadata(object, { ownerReferences: [...references, controllerReference(resource, owner)] }));
    }
  }
  return { owned, adopt, release };
}

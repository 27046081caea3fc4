import type { KubeObject } from '#api/meta/object.ts';
import { keyOf, objectKey } from '#api/meta/object.ts';
import { equal } from '#api/meta/equal.ts';
import { configMaps, csiDrivers, endpointSlices, ingresses, networkPolicies, nodes, persistentVolumeClaims, persistentVolumes, pods, qualifiedName, runtimeClasses, secrets, services, volumeAttachments, type Resource } from '#api/kinds/resources.ts';
import { ingressCertificates } from '#api/ingress/ingress.ts';
import { peerGroupSlices } from '#api/network-policy/peer-group.ts';
import type { StateChange } from './types.ts';

/** Every resource that a checkpoint can hold, by qualified name. Others (of a newer control plane) are ignored. */
export const stateResources: ReadonlyMap<string, Resource> = new Map(
  [pods, secrets, configMaps, services, endpointSlices, nodes, runtimeClasses, persistentVolumeClaims, persistentVolumes, csiDrivers, volumeAttachments, networkPolicies, peerGroupSlices, ingresses, ingressCertificates].map((resource: Resource) => [qualifiedName(resource), resource]),
);

/** Objects by resource, then by `namespace/name`. */
export class ObjectSet {
  readonly #byResource = new Map<string, Map<string, KubeObject>>();

  get(resource: Resource, namespace: string | undefined, name: string): KubeObject | undefined {
    return this.#byResource.get(qualifiedName(resource))?.get(objectKey(namespace, name));
  }

  list(resource: Resource): readonly KubeObject[] {
    return [...this.#byResource.get(qualifiedName(resource))?.values() ?? []];
  }

  *entries(): Generator<{ resource: Resource; object: KubeObject }> {
    for (const [name, objects] of this.#byResource) {
      const resource = stateResources.get(name);
      if (resource) for (const object of objects.values()) yield { resource, object };
    }
  }

  apply(changes: readonly StateChange[]): void {
    for (const change of changes) {
      const name = qualifiedName(change.resource);
      let objects = this.#byResource.get(name);
      if (!objects) this.#byResource.set(name, objects = new Map());
      if (change.type === 'set') objects.set(keyOf(change.object), change.object);
      else objects.delete(objectKey(change.namespace, change.name));
    }
  }

  copy(): ObjectSet {
    const copy = new ObjectSet();
    for (const [name, objects] of this.#byResource) copy.#byResource.set(name, new Map(objects));
    return copy;
  }

  /** Those of `changes` that change something; of several for one object the last. */
  effective(changes: readonly StateChange[]): StateChange[] {
    const last = new Map<string, StateChange>();
    for (const change of changes) {
      const key = change.type === 'set' ? keyOf(change.object) : objectKey(change.namespace, change.name);
      last.set(`${qualifiedName(change.resource)} ${key}`, change);
    }
    return [...last.values()].filter((change) => {
      const [namespace, name] = change.type === 'set' ? [change.object.metadata?.namespace, change.object.metadata?.name ?? ''] : [change.namespace, change.name];
      const old = this.get(change.resource, namespace, name);
      return change.type === 'set' ? !equal(old, change.object) : old !== undefined;
    });
  }

  /** The changes that turn this into exactly `objects`. */
  changesTo(objects: readonly { resource: Resource; object: KubeObject }[]): StateChange[] {
    const wanted = new Set(objects.map(({ resource, object }) => `${qualifiedName(resource)} ${keyOf(object)}`));
    const removals: StateChange[] = [];
    for (const { resource, object } of this.entries()) {
      if (!wanted.has(`${qualifiedName(resource)} ${keyOf(object)}`)) {
        removals.push({ type: 'remove', resource, namespace: object.metadata?.namespace, name: object.metadata?.name ?? '' });
      }
    }
    return [...removals, ...this.effective(objects.map(({ resource, object }) => ({ type: 'set', resource, object })))];
  }
}

import type { CSIDriver, CSINode, CSIStorageCapacity, PersistentVolume, PersistentVolumeClaim, Pod, StorageClass } from '#api/gen/types.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { fakeApi, FakeInformer, pod } from './testing.ts';
import type { PluginHandle, Storage } from './types.ts';

export interface StorageObjects {
  readonly claims?: readonly PersistentVolumeClaim[];
  readonly volumes?: readonly PersistentVolume[];
  readonly classes?: readonly StorageClass[];
  readonly nodes?: readonly CSINode[];
  readonly drivers?: readonly CSIDriver[];
  readonly capacities?: readonly CSIStorageCapacity[];
}

function informer<T extends KubeObject>(objects: readonly T[] = []): FakeInformer<T> {
  const made = new FakeInformer<T>();
  for (const object of objects) made.set(object);
  return made;
}

/** For tests of plugins that look at storage. */
export function storageHandle({ claims, volumes, classes, nodes, drivers, capacities }: StorageObjects): PluginHandle {
  const storage: Storage = { claims: informer(claims), volumes: informer(volumes), classes: informer(classes), csi: { nodes: informer(nodes), drivers: informer(drivers), capacities: informer(capacities) } };
  return { api: fakeApi(new FakeInformer<Pod>()), storage };
}

export function claimedBy(name: string, ...claims: string[]): Pod {
  return pod({ name, spec: { volumes: claims.map((claimName) => ({ name: claimName, persistentVolumeClaim: { claimName } })) } });
}

export function claim(name: string, spec: PersistentVolumeClaim['spec'] = {}): PersistentVolumeClaim {
  return { metadata: { name, namespace: 'default', uid: name }, spec };
}

import type { Ingress, IngressClass, PersistentVolumeClaim, StorageClass } from '#api/gen/types.ts';
import { ingressClasses, qualifiedName, storageClasses } from '#api/kinds/resources.ts';
import type { KubeObject } from '#api/meta/object.ts';
import type { StoredObjects } from './stored-objects.ts';
import type { AdmissionPlugin } from './types.ts';

const isDefaultIngress = ['ingressclass.kubernetes.io/is-default-class'];
const isDefaultStorage = ['storageclass.kubernetes.io/is-default-class', 'storageclass.beta.kubernetes.io/is-default-class'];

/** Of several the newest, and of those the first by name. */
function defaultOf<T extends KubeObject>(classes: readonly T[], annotations: readonly string[]): string | undefined {
  const marked = classes.filter(({ metadata }) => annotations.some((key) => metadata?.annotations?.[key] === 'true'));
  const newest = [...marked].sort((a, b) => Date.parse(b.metadata?.creationTimestamp ?? '') - Date.parse(a.metadata?.creationTimestamp ?? '') || ((a.metadata?.name ?? '') < (b.metadata?.name ?? '') ? -1 : 1));
  return newest[0]?.metadata?.name;
}

/** A claim that names no class gets the default one. An empty name is a name: it wants none. */
export function defaultStorageClass(objects: StoredObjects): AdmissionPlugin {
  return {
    name: 'DefaultStorageClass',
    async admit({ operation, kind, subresource, object }) {
      if (operation !== 'create' || subresource !== undefined || qualifiedName(kind.resource) !== 'persistentvolumeclaims') return;
      const { spec, metadata } = object as PersistentVolumeClaim;
      if (!spec || spec.storageClassName !== undefined || metadata?.annotations?.['volume.beta.kubernetes.io/storage-class'] !== undefined) return;
      const name = defaultOf<StorageClass>(await objects.list(storageClasses), isDefaultStorage);
      if (name !== undefined) spec.storageClassName = name;
    },
  };
}

export function defaultIngressClass(objects: StoredObjects): AdmissionPlugin {
  return {
    name: 'DefaultIngressClass',
    async admit({ operation, kind, subresource, object }) {
      if (operation !== 'create' || subresource !== undefined || qualifiedName(kind.resource) !== 'ingresses.networking.k8s.io') return;
      const { spec, metadata } = object as Ingress;
      if (!spec || spec.ingressClassName !== undefined || metadata?.annotations?.['kubernetes.io/ingress.class'] !== undefined) return;
      const name = defaultOf<IngressClass>(await objects.list(ingressClasses), isDefaultIngress);
      if (name !== undefined) spec.ingressClassName = name;
    },
  };
}

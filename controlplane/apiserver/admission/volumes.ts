import type { PersistentVolumeClaim } from '#api/gen/types.ts';
import { persistentVolumeClaims, qualifiedName, storageClasses } from '#api/kinds/resources.ts';
import { compareQuantities, isQuantity } from '#api/meta/quantity.ts';
import { forbidden } from '../api-errors.ts';
import type { StoredObjects } from './stored-objects.ts';
import type { AdmissionPlugin } from './types.ts';

const protection: Readonly<Record<string, string>> = { persistentvolumeclaims: 'kubernetes.io/pvc-protection', persistentvolumes: 'kubernetes.io/pv-protection' };

/** Nothing that is in use goes away; controllers of the same name take the finalizers off again. */
export const storageProtection: AdmissionPlugin = {
  name: 'StorageObjectInUseProtection',
  admit({ operation, kind, subresource, object }) {
    const resource = qualifiedName(kind.resource);
    const finalizer = Object.hasOwn(protection, resource) ? protection[resource] : undefined;
    if (operation !== 'create' || subresource !== undefined || !object || finalizer === undefined) return;
    const meta = (object.metadata ??= {});
    if (!meta.finalizers?.includes(finalizer)) meta.finalizers = [...meta.finalizers ?? [], finalizer];
  },
};

/** Claims grow only where their class lets them. */
export function claimResize(objects: StoredObjects): AdmissionPlugin {
  return {
    name: 'PersistentVolumeClaimResize',
    async validate({ operation, kind, subresource, name, object, old }) {
      if (operation !== 'update' || subresource !== undefined || qualifiedName(kind.resource) !== 'persistentvolumeclaims') return;
      const [next, before] = [object as PersistentVolumeClaim, old as PersistentVolumeClaim];
      const [wanted, had] = [next.spec?.resources?.requests?.['storage'], before.spec?.resources?.requests?.['storage']];
      if (!isQuantity(wanted) || !isQuantity(had) || compareQuantities(wanted ?? '0', had ?? '0') <= 0) return;
      if (before.status?.phase !== 'Bound') throw forbidden(persistentVolumeClaims, name, 'Only bound persistent volume claims can be expanded');
      const className = next.spec?.storageClassName ?? next.metadata?.annotations?.['volume.beta.kubernetes.io/storage-class'];
      const found = className ? await objects.get(storageClasses, undefined, className) : undefined;
      if (found?.allowVolumeExpansion !== true) throw forbidden(persistentVolumeClaims, name, 'only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize');
    },
  };
}

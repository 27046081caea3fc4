import type { Pod, Volume, VolumeProjection } from '#api/gen/types.ts';
import { referencesOf } from '../references.ts';

/** The first kind of object of the API that a pod cannot do without, as kubelet calls it; undefined where there is none. A host by itself has none of these. */
export function apiReferenceOf(pod: Pod): string | undefined {
  const { spec } = pod;
  if (spec?.serviceAccountName) return 'serviceaccounts';
  if (referencesOf(pod, 'Secret').size > 0) return 'secrets';
  if (referencesOf(pod, 'ConfigMap').size > 0) return 'configmaps';
  if ((spec?.resourceClaims ?? []).length > 0) return 'resourceclaims';
  return (spec?.volumes ?? []).map(ofVolume).find((kind) => kind !== undefined);
}

function ofVolume({ csi, glusterfs, persistentVolumeClaim, ephemeral, azureFile, projected }: Volume): string | undefined {
  if (csi) return 'csidrivers (via CSI volumes)';
  if (glusterfs) return 'endpoints (via glusterFS volumes)';
  if (persistentVolumeClaim) return 'persistentvolumeclaims';
  if (ephemeral) return 'persistentvolumeclaims (via ephemeral volumes)';
  if (azureFile) return 'secrets (via azureFile volumes)';
  return projected?.sources?.map(ofSource).find((kind) => kind !== undefined);
}

function ofSource({ serviceAccountToken, clusterTrustBundle, podCertificate }: VolumeProjection): string | undefined {
  if (serviceAccountToken) return 'serviceaccounts (via projected volumes)';
  if (clusterTrustBundle) return 'clustertrustbundles';
  return podCertificate ? 'podcertificates' : undefined;
}

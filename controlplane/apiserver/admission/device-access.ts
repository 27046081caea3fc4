import type { ResourceClaim, ResourceClaimTemplate } from '#api/gen/types.ts';
import { namespaces, qualifiedName } from '#api/kinds/resources.ts';
import { forbidden as forbiddenField } from '#api/meta/field-error.ts';
import { invalid } from '../api-errors.ts';
import type { StoredObjects } from './stored-objects.ts';
import type { AdmissionPlugin } from './types.ts';

const label = 'resource.kubernetes.io/admin-access';
const claims = 'resourceclaims.resource.k8s.io';
const templates = 'resourceclaimtemplates.resource.k8s.io';

/** Devices that others use may be reached by claims of namespaces that say so, and of no others. */
export function deviceAccess(objects: StoredObjects): AdmissionPlugin {
  return {
    name: 'DeviceAdminAccess',
    async validate({ operation, kind, subresource, namespace, name, object }) {
      const resource = qualifiedName(kind.resource);
      if (operation !== 'create' || subresource !== undefined || (resource !== claims && resource !== templates)) return;
      const isClaim = resource === claims;
      const spec = isClaim ? (object as ResourceClaim).spec : (object as ResourceClaimTemplate).spec.spec;
      const index = (spec.devices?.requests ?? []).findIndex(({ exactly }) => exactly?.adminAccess === true);
      if (index < 0) return;
      const labels = (await objects.get(namespaces, undefined, namespace ?? ''))?.metadata?.labels ?? {};
      if (labels[label] === 'true') return;
      const field = `${isClaim ? 'spec' : 'spec.spec'}.devices.requests[${String(index)}].exactly.adminAccess`;
      throw invalid(kind.resource, name, [forbiddenField(field, `admin access to devices requires the \`${label}: true\` label on the containing namespace`)]);
    },
  };
}

import { qualifiedName } from '#api/kinds/resources.ts';
import type { KindDefinition } from '#api/kinds/types.ts';

type Kind = Pick<KindDefinition, 'resource' | 'structure'>;

/** Where Kubernetes' own kinds differ in how they are written. These are facts of its API, not of what the kinds mean. */
const madeByUpdate = new Set([
  'endpoints', 'events', 'limitranges', 'services', 'leases.coordination.k8s.io',
  'roles.rbac.authorization.k8s.io', 'rolebindings.rbac.authorization.k8s.io', 'clusterroles.rbac.authorization.k8s.io', 'clusterrolebindings.rbac.authorization.k8s.io',
]);

const updatedByVersion = new Set([
  'leases.coordination.k8s.io', 'poddisruptionbudgets.policy', 'volumeattachments.storage.k8s.io', 'csinodes.storage.k8s.io', 'csidrivers.storage.k8s.io',
  'runtimeclasses.node.k8s.io', 'mutatingwebhookconfigurations.admissionregistration.k8s.io', 'validatingwebhookconfigurations.admissionregistration.k8s.io',
  'validatingadmissionpolicies.admissionregistration.k8s.io', 'validatingadmissionpolicybindings.admissionregistration.k8s.io',
  'customresourcedefinitions.apiextensions.k8s.io', 'apiservices.apiregistration.k8s.io',
]);

const answeredWhenDeleted = new Set([
  'pods', 'services', 'serviceaccounts', 'podtemplates', 'resourcequotas', 'persistentvolumes', 'persistentvolumeclaims',
  'csidrivers.storage.k8s.io', 'csinodes.storage.k8s.io', 'storageclasses.storage.k8s.io', 'volumeattachments.storage.k8s.io', 'volumeattributesclasses.storage.k8s.io',
]);

/** A PUT of an object that is not there makes it. */
export function createsOnUpdate({ resource }: Kind): boolean {
  return madeByUpdate.has(qualifiedName(resource));
}

/** A PUT must say which version it changes. */
export function needsResourceVersion({ resource, structure }: Kind): boolean {
  return structure !== undefined || updatedByVersion.has(qualifiedName(resource));
}

/** A DELETE that removes the object answers with it, not with a Status. */
export function returnsDeleted({ resource }: Kind): boolean {
  return answeredWhenDeleted.has(qualifiedName(resource));
}

const orphaningWarnings: Readonly<Record<string, string>> = {
  'jobs.batch': 'child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning',
};

/** What a client is told whose delete leaves dependents that it may not have thought of. */
export function orphaningWarning({ resource }: Kind): string | undefined {
  return orphaningWarnings[qualifiedName(resource)];
}

/** A delete that does not say what becomes of the dependents leaves them: so it was before there was a choice. */
export function orphansByDefault({ resource }: Kind): boolean {
  const name = qualifiedName(resource);
  return name === 'replicationcontrollers' || name === 'jobs.batch';
}

/** Namespaces go one by one: each takes all that is in it along. */
export function deletesCollections({ resource }: Pick<Kind, 'resource'>): boolean {
  return qualifiedName(resource) !== 'namespaces';
}

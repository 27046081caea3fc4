import { peekDefinition, schemaNamed, type Schema } from '#api/meta/schema.ts';

export interface Gvk { readonly group: string; readonly version: string; readonly kind: string }

/** Kinds outside of namespaces, by group. Kustomize knows those of Kubernetes 1.21; to it, others live in namespaces. */
const clusterKinds: Readonly<Record<string, readonly string[]>> = {
  '': ['ComponentStatus', 'Namespace', 'Node', 'PersistentVolume'],
  'admissionregistration.k8s.io': ['MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration'],
  'apiextensions.k8s.io': ['CustomResourceDefinition'],
  'apiregistration.k8s.io': ['APIService'],
  'authentication.k8s.io': ['TokenReview'],
  'authorization.k8s.io': ['SelfSubjectAccessReview', 'SelfSubjectRulesReview', 'SubjectAccessReview'],
  'certificates.k8s.io': ['CertificateSigningRequest'],
  'flowcontrol.apiserver.k8s.io': ['FlowSchema', 'PriorityLevelConfiguration'],
  'internal.apiserver.k8s.io': ['StorageVersion'],
  'networking.k8s.io': ['IngressClass'],
  'node.k8s.io': ['RuntimeClass'],
  policy: ['PodSecurityPolicy'],
  'rbac.authorization.k8s.io': ['ClusterRole', 'ClusterRoleBinding'],
  'scheduling.k8s.io': ['PriorityClass'],
  'storage.k8s.io': ['CSIDriver', 'CSINode', 'StorageClass', 'VolumeAttachment'],
};

export function isClusterScoped({ group, version, kind }: Gvk): boolean {
  // Of that group there was no first version yet.
  if (group === 'flowcontrol.apiserver.k8s.io' && version === 'v1') return false;
  return Object.hasOwn(clusterKinds, group) && clusterKinds[group]?.includes(kind) === true;
}

const builtInGroup = /^$|^(?:apps|autoscaling|batch|policy|[a-z.]+\.k8s\.io)$/;

/** How the lists of a kind merge; without one, as for custom resources, patches replace them. */
export function schemaOf({ group, version, kind }: Gvk): Schema {
  if (!builtInGroup.test(group)) return {};
  const name = kind === 'HorizontalPodAutoscaler' && version === 'v1' ? 'HorizontalPodAutoscalerV1' : group === 'events.k8s.io' && kind === 'Event' ? 'EventsEvent' : kind;
  return /^v\d+$/.test(version) && peekDefinition(name) !== undefined ? schemaNamed(name) : {};
}

/** The group of an apiVersion is empty for core kinds. */
export function parseApiVersion(apiVersion: unknown): { group: string; version: string } {
  const text = typeof apiVersion === 'string' ? apiVersion : '';
  const slash = text.indexOf('/');
  return slash < 0 ? { group: '', version: text } : { group: text.slice(0, slash), version: text.slice(slash + 1) };
}

export interface GvkSelector { readonly group?: string | undefined; readonly version?: string | undefined; readonly kind?: string | undefined }

/** What the selector does not say matches anything. */
export function gvkMatches(gvk: Gvk, { group = '', version = '', kind = '' }: GvkSelector): boolean {
  return (group === '' || gvk.group === group) && (version === '' || gvk.version === version) && (kind === '' || gvk.kind === kind);
}

export function gvkText({ group = '', version = '', kind = '' }: GvkSelector): string {
  return `${kind || '[noKind]'}.${version || '[noVer]'}.${group || '[noGrp]'}`;
}

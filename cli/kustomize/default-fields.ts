import type { FieldSpec } from './field-specs.ts';
import type { GvkSelector } from './kinds.ts';

/**
 * Where kustomize looks for what it changes. Facts of sigs.k8s.io/kustomize, api/internal/konfig/builtinpluginconsts,
 * as of the version in kubectl 1.33.
 */
const metadataLabels: FieldSpec = { path: 'metadata/labels', create: true };
const on = (path: string, kinds: string, create = true): FieldSpec[] => kinds.split(' ').map((name) => {
  const [kind = '', group] = name.split('.', 2);
  return { path, kind, create, ...(group !== undefined && { group }) };
});

const pathTo = { job: 'spec/jobTemplate/spec/template', template: 'spec/template', pod: '' };
const core = (path: string): FieldSpec => ({ path, kind: 'ReplicationController', version: 'v1', create: true });

const templates = (what: 'labels' | 'annotations', stateful: string): FieldSpec[] => [
  core(`spec/template/metadata/${what}`),
  ...on(`spec/template/metadata/${what}`, `Deployment ReplicaSet DaemonSet ${stateful} Job.batch`),
  ...on(`spec/jobTemplate/metadata/${what}`, 'CronJob.batch'),
  ...on(`${pathTo.job}/metadata/${what}`, 'CronJob.batch'),
];
const claimLabels = on('spec/volumeClaimTemplates[]/metadata/labels', 'StatefulSet.apps');

/** Labels of objects and of the pods that they make. */
export const templateLabels: readonly FieldSpec[] = [metadataLabels, ...templates('labels', 'StatefulSet.apps'), ...claimLabels];
export const plainLabels: readonly FieldSpec[] = [metadataLabels];

const affinity = ['podAffinity', 'podAntiAffinity'].flatMap((kind) => [`${kind}/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm`, `${kind}/requiredDuringSchedulingIgnoredDuringExecution`]);
const inPods = [...affinity.map((path) => `affinity/${path}`), 'topologySpreadConstraints'];

/** Labels, and all selectors that choose by them. */
export const selectorLabels: readonly FieldSpec[] = [
  { path: 'spec/selector', kind: 'Service', version: 'v1', create: true },
  core('spec/selector'),
  ...on('spec/selector/matchLabels', 'Deployment ReplicaSet DaemonSet StatefulSet.apps'),
  ...inPods.flatMap((path) => on(`spec/template/spec/${path}/labelSelector/matchLabels`, 'Deployment.apps StatefulSet.apps', false)),
  { path: 'spec/selector/matchLabels', kind: 'Job', group: 'batch' },
  { path: 'spec/jobTemplate/spec/selector/matchLabels', kind: 'CronJob', group: 'batch' },
  { path: 'spec/selector/matchLabels', kind: 'PodDisruptionBudget', group: 'policy' },
  ...['podSelector', 'ingress/from/podSelector', 'egress/to/podSelector'].map((path) => ({ path: `spec/${path}/matchLabels`, kind: 'NetworkPolicy', group: 'networking.k8s.io' })),
  ...templateLabels,
];

export const annotations: readonly FieldSpec[] = [{ path: 'metadata/annotations', create: true }, ...templates('annotations', 'StatefulSet')];

export const imageFields: readonly FieldSpec[] = ['spec', 'spec/template/spec'].flatMap((spec) => ['containers', 'initContainers'].map((list) => ({ path: `${spec}/${list}[]/image`, create: true })));

export const replicaFields: readonly FieldSpec[] = on('spec/replicas', 'Deployment ReplicationController ReplicaSet StatefulSet');

/** Namespaces of other objects, and the names of Namespaces. */
export const namespaceFields: readonly FieldSpec[] = [
  { path: 'metadata/name', kind: 'Namespace', create: true },
  { path: 'spec/service/namespace', kind: 'APIService', group: 'apiregistration.k8s.io', create: true },
  { path: 'spec/conversion/webhook/clientConfig/service/namespace', kind: 'CustomResourceDefinition', group: 'apiextensions.k8s.io' },
];

/** The kind whose name the fields hold. */
export interface NameReference { readonly target: GvkSelector; readonly fields: readonly FieldSpec[] }

const workloads = 'Deployment ReplicaSet DaemonSet StatefulSet Job';
/** A field of pods, in all kinds that hold pods. */
const podFields = (paths: readonly string[], kinds: string): FieldSpec[] => kinds.split(' ').flatMap((kind) => {
  const root = kind === 'CronJob' ? `${pathTo.job}/spec` : kind === 'Pod' ? 'spec' : kind === 'PodTemplate' ? 'template/spec' : 'spec/template/spec';
  return paths.map((path): FieldSpec => ({ path: `${root}/${path}`, kind }));
});
const fromEnv = (ref: string): string[] => ['containers', 'initContainers'].flatMap((list) => [`${list}/env/valueFrom/${ref}KeyRef/name`, `${list}/envFrom/${ref}Ref/name`]);
const holders = `Pod PodTemplate ${workloads} CronJob`;
const claimants = 'Pod StatefulSet Deployment ReplicationController CronJob Job DaemonSet';
const at = (path: string, kind: string, group?: string): FieldSpec => ({ path, kind, ...(group !== undefined && { group }) });
const rbac = 'rbac.authorization.k8s.io';
const admission = 'admissionregistration.k8s.io';

export const nameReferences: readonly NameReference[] = [
  ...['Deployment', 'ReplicationController', 'ReplicaSet', 'StatefulSet'].map((kind) => ({ target: { kind }, fields: [at('spec/scaleTargetRef/name', 'HorizontalPodAutoscaler')] })),
  {
    target: { kind: 'ConfigMap', version: 'v1' },
    fields: [
      ...podFields(['volumes/configMap/name', ...fromEnv('configMap'), 'volumes/projected/sources/configMap/name'], holders),
      at('spec/configSource/configMap', 'Node'), at('rules/resourceNames', 'Role'), at('rules/resourceNames', 'ClusterRole'),
      at('metadata/annotations/nginx.ingress.kubernetes.io\\/fastcgi-params-configmap', 'Ingress'),
    ],
  },
  {
    target: { kind: 'Secret', version: 'v1' },
    fields: [
      ...podFields(['volumes/secret/secretName', ...fromEnv('secret'), 'imagePullSecrets/name', 'volumes/projected/sources/secret/name'], holders),
      ...['ingress.kubernetes.io\\/auth-secret', 'nginx.ingress.kubernetes.io\\/auth-secret', 'nginx.ingress.kubernetes.io\\/auth-tls-secret'].map((name) => at(`metadata/annotations/${name}`, 'Ingress')),
      at('spec/tls/secretName', 'Ingress'), at('imagePullSecrets/name', 'ServiceAccount'),
      ...['secretName', 'adminSecretName', 'userSecretName', 'secretRef'].map((name) => at(`parameters/${name}`, 'StorageClass')),
      at('rules/resourceNames', 'Role'), at('rules/resourceNames', 'ClusterRole'),
      { path: 'spec/template/spec/containers/env/valueFrom/secretKeyRef/name', kind: 'Service', group: 'serving.knative.dev', version: 'v1' },
      at('spec/azureFile/secretName', 'PersistentVolume'),
    ],
  },
  {
    target: { kind: 'Service', version: 'v1' },
    fields: [
      at('spec/serviceName', 'StatefulSet', 'apps'),
      ...['rules/http/paths/backend/serviceName', 'backend/serviceName', 'rules/http/paths/backend/service/name', 'defaultBackend/service/name'].map((path) => at(`spec/${path}`, 'Ingress')),
      at('spec/service/name', 'APIService', 'apiregistration.k8s.io'),
      at('webhooks/clientConfig/service', 'ValidatingWebhookConfiguration', admission), at('webhooks/clientConfig/service', 'MutatingWebhookConfiguration', admission),
    ],
  },
  { target: { kind: 'Role', group: rbac }, fields: [at('roleRef/name', 'RoleBinding', rbac)] },
  { target: { kind: 'ClusterRole', group: rbac }, fields: [at('roleRef/name', 'RoleBinding', rbac), at('roleRef/name', 'ClusterRoleBinding', rbac)] },
  { target: { kind: 'ServiceAccount', version: 'v1' }, fields: [at('subjects', 'RoleBinding', rbac), at('subjects', 'ClusterRoleBinding', rbac), ...podFields(['serviceAccountName'], claimants)] },
  { target: { kind: 'PersistentVolumeClaim', version: 'v1' }, fields: podFields(['volumes/persistentVolumeClaim/claimName'], claimants) },
  { target: { kind: 'PersistentVolume', version: 'v1' }, fields: [at('spec/volumeName', 'PersistentVolumeClaim'), at('rules/resourceNames', 'ClusterRole')] },
  {
    target: { kind: 'StorageClass', version: 'v1', group: 'storage.k8s.io' },
    fields: [at('spec/storageClassName', 'PersistentVolume'), at('spec/storageClassName', 'PersistentVolumeClaim'), at('spec/volumeClaimTemplates/spec/storageClassName', 'StatefulSet')],
  },
  { target: { kind: 'PriorityClass', version: 'v1', group: 'scheduling.k8s.io' }, fields: podFields(['priorityClassName'], claimants) },
  { target: { kind: 'IngressClass', version: 'v1', group: 'networking.k8s.io/v1' }, fields: [at('spec/ingressClassName', 'Ingress')] },
  { target: { kind: 'ValidatingAdmissionPolicy', group: admission }, fields: [at('spec/policyName', 'ValidatingAdmissionPolicyBinding', admission)] },
];

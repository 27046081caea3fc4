import type * as k from '../gen/types.ts';
import type { KubeObject } from '../meta/object.ts';

/**
 * A typed name for a resource: what a client, an informer or the agent needs to speak of a kind, without
 * its schema. `T` is the object's type.
 */
export interface Resource<T extends KubeObject = KubeObject> {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
  /** Never set; carries `T`. */
  readonly type?: T;
}

function resource<T extends KubeObject>(group: string, plural: string, kind: string, namespaced = true, version = 'v1'): Resource<T> {
  return { group, version, plural, kind, namespaced };
}

export const namespaces = resource<k.Namespace>('', 'namespaces', 'Namespace', false);
export const nodes = resource<k.Node>('', 'nodes', 'Node', false);
export const pods = resource<k.Pod>('', 'pods', 'Pod');
export const configMaps = resource<k.ConfigMap>('', 'configmaps', 'ConfigMap');
export const secrets = resource<k.Secret>('', 'secrets', 'Secret');
export const services = resource<k.Service>('', 'services', 'Service');
export const endpoints = resource<k.Endpoints>('', 'endpoints', 'Endpoints');
export const events = resource<k.Event>('', 'events', 'Event');
/** The same objects, seen in their second group. */
export const eventsEvents = resource<k.EventsEvent>('events.k8s.io', 'events', 'Event');
export const serviceAccounts = resource<k.ServiceAccount>('', 'serviceaccounts', 'ServiceAccount');
export const endpointSlices = resource<k.EndpointSlice>('discovery.k8s.io', 'endpointslices', 'EndpointSlice');
export const leases = resource<k.Lease>('coordination.k8s.io', 'leases', 'Lease');
export const deployments = resource<k.Deployment>('apps', 'deployments', 'Deployment');
export const replicaSets = resource<k.ReplicaSet>('apps', 'replicasets', 'ReplicaSet');
export const limitRanges = resource<k.LimitRange>('', 'limitranges', 'LimitRange');
export const persistentVolumes = resource<k.PersistentVolume>('', 'persistentvolumes', 'PersistentVolume', false);
export const persistentVolumeClaims = resource<k.PersistentVolumeClaim>('', 'persistentvolumeclaims', 'PersistentVolumeClaim');
export const podTemplates = resource<k.PodTemplate>('', 'podtemplates', 'PodTemplate');
export const replicationControllers = resource<k.ReplicationController>('', 'replicationcontrollers', 'ReplicationController');
export const resourceQuotas = resource<k.ResourceQuota>('', 'resourcequotas', 'ResourceQuota');
export const controllerRevisions = resource<k.ControllerRevision>('apps', 'controllerrevisions', 'ControllerRevision');
export const daemonSets = resource<k.DaemonSet>('apps', 'daemonsets', 'DaemonSet');
export const statefulSets = resource<k.StatefulSet>('apps', 'statefulsets', 'StatefulSet');
export const cronJobs = resource<k.CronJob>('batch', 'cronjobs', 'CronJob');
export const jobs = resource<k.Job>('batch', 'jobs', 'Job');
export const horizontalPodAutoscalers = resource<k.HorizontalPodAutoscaler>('autoscaling', 'horizontalpodautoscalers', 'HorizontalPodAutoscaler', true, 'v2');
export const horizontalPodAutoscalersV1 = resource<k.HorizontalPodAutoscalerV1>('autoscaling', 'horizontalpodautoscalers', 'HorizontalPodAutoscaler');
export const podDisruptionBudgets = resource<k.PodDisruptionBudget>('policy', 'poddisruptionbudgets', 'PodDisruptionBudget');
export const ingresses = resource<k.Ingress>('networking.k8s.io', 'ingresses', 'Ingress');
export const ingressClasses = resource<k.IngressClass>('networking.k8s.io', 'ingressclasses', 'IngressClass', false);
export const networkPolicies = resource<k.NetworkPolicy>('networking.k8s.io', 'networkpolicies', 'NetworkPolicy');
export const ipAddresses = resource<k.IPAddress>('networking.k8s.io', 'ipaddresses', 'IPAddress', false);
export const serviceCidrs = resource<k.ServiceCIDR>('networking.k8s.io', 'servicecidrs', 'ServiceCIDR', false);
export const priorityClasses = resource<k.PriorityClass>('scheduling.k8s.io', 'priorityclasses', 'PriorityClass', false);
export const runtimeClasses = resource<k.RuntimeClass>('node.k8s.io', 'runtimeclasses', 'RuntimeClass', false);
export const csiDrivers = resource<k.CSIDriver>('storage.k8s.io', 'csidrivers', 'CSIDriver', false);
export const csiNodes = resource<k.CSINode>('storage.k8s.io', 'csinodes', 'CSINode', false);
export const csiStorageCapacities = resource<k.CSIStorageCapacity>('storage.k8s.io', 'csistoragecapacities', 'CSIStorageCapacity');
export const storageClasses = resource<k.StorageClass>('storage.k8s.io', 'storageclasses', 'StorageClass', false);
export const volumeAttachments = resource<k.VolumeAttachment>('storage.k8s.io', 'volumeattachments', 'VolumeAttachment', false);
export const volumeAttributesClasses = resource<k.VolumeAttributesClass>('storage.k8s.io', 'volumeattributesclasses', 'VolumeAttributesClass', false);
export const deviceClasses = resource<k.DeviceClass>('resource.k8s.io', 'deviceclasses', 'DeviceClass', false);
export const resourceClaims = resource<k.ResourceClaim>('resource.k8s.io', 'resourceclaims', 'ResourceClaim');
export const resourceClaimTemplates = resource<k.ResourceClaimTemplate>('resource.k8s.io', 'resourceclaimtemplates', 'ResourceClaimTemplate');
export const resourceSlices = resource<k.ResourceSlice>('resource.k8s.io', 'resourceslices', 'ResourceSlice', false);
export const clusterRoles = resource<k.ClusterRole>('rbac.authorization.k8s.io', 'clusterroles', 'ClusterRole', false);
export const clusterRoleBindings = resource<k.ClusterRoleBinding>('rbac.authorization.k8s.io', 'clusterrolebindings', 'ClusterRoleBinding', false);
export const roles = resource<k.Role>('rbac.authorization.k8s.io', 'roles', 'Role');
export const roleBindings = resource<k.RoleBinding>('rbac.authorization.k8s.io', 'rolebindings', 'RoleBinding');
export const certificateSigningRequests = resource<k.CertificateSigningRequest>('certificates.k8s.io', 'certificatesigningrequests', 'CertificateSigningRequest', false);
export const mutatingWebhookConfigurations = resource<k.MutatingWebhookConfiguration>('admissionregistration.k8s.io', 'mutatingwebhookconfigurations', 'MutatingWebhookConfiguration', false);
export const validatingWebhookConfigurations = resource<k.ValidatingWebhookConfiguration>('admissionregistration.k8s.io', 'validatingwebhookconfigurations', 'ValidatingWebhookConfiguration', false);
export const validatingAdmissionPolicies = resource<k.ValidatingAdmissionPolicy>('admissionregistration.k8s.io', 'validatingadmissionpolicies', 'ValidatingAdmissionPolicy', false);
export const validatingAdmissionPolicyBindings = resource<k.ValidatingAdmissionPolicyBinding>('admissionregistration.k8s.io', 'validatingadmissionpolicybindings', 'ValidatingAdmissionPolicyBinding', false);
export const customResourceDefinitions = resource<k.CustomResourceDefinition>('apiextensions.k8s.io', 'customresourcedefinitions', 'CustomResourceDefinition', false);
export const apiServices = resource<k.APIService>('apiregistration.k8s.io', 'apiservices', 'APIService', false);
export const flowSchemas = resource<k.FlowSchema>('flowcontrol.apiserver.k8s.io', 'flowschemas', 'FlowSchema', false);
export const priorityLevelConfigurations = resource<k.PriorityLevelConfiguration>('flowcontrol.apiserver.k8s.io', 'prioritylevelconfigurations', 'PriorityLevelConfiguration', false);

/** `v1`, `apps/v1`. */
export function apiVersionOf(r: Pick<Resource, 'group' | 'version'>): string {
  return r.group === '' ? r.version : `${r.group}/${r.version}`;
}

/** `pods`, `deployments.apps`: unique among resources, as Kubernetes writes them in messages. */
export function qualifiedName(r: Pick<Resource, 'group' | 'plural'>): string {
  return r.group === '' ? r.plural : `${r.plural}.${r.group}`;
}

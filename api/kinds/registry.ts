import type { KubeObject } from '../meta/object.ts';
import { apiService } from './api-service/kind.ts';
import { certificateSigningRequest } from './certificate-signing-request/kind.ts';
import { clusterRole } from './cluster-role/kind.ts';
import { clusterRoleBinding } from './cluster-role-binding/kind.ts';
import { configMap } from './config-map/kind.ts';
import { controllerRevision } from './controller-revision/kind.ts';
import { cronJob } from './cron-job/kind.ts';
import { csiDriver } from './csi-driver/kind.ts';
import { csiNode } from './csi-node/kind.ts';
import { csiStorageCapacity } from './csi-storage-capacity/kind.ts';
import { customResourceDefinition } from './custom-resource-definition/kind.ts';
import { daemonSet } from './daemon-set/kind.ts';
import { deployment } from './deployment/kind.ts';
import { deviceClass } from './device-class/kind.ts';
import { endpointSlice } from './endpoint-slice/kind.ts';
import { endpoints } from './endpoints/kind.ts';
import { eventsEvent } from './event/events-v1.ts';
import { event } from './event/kind.ts';
import { flowSchema } from './flow-schema/kind.ts';
import { horizontalPodAutoscalerV1 } from './horizontal-pod-autoscaler/autoscaling-v1.ts';
import { horizontalPodAutoscaler } from './horizontal-pod-autoscaler/kind.ts';
import { ingressClass } from './ingress-class/kind.ts';
import { ingress } from './ingress/kind.ts';
import { ipAddress } from './ip-address/kind.ts';
import { job } from './job/kind.ts';
import { lease } from './lease/kind.ts';
import { limitRange } from './limit-range/kind.ts';
import { mutatingWebhookConfiguration } from './mutating-webhook-configuration/kind.ts';
import { namespace } from './namespace/kind.ts';
import { networkPolicy } from './network-policy/kind.ts';
import { node } from './node/kind.ts';
import { persistentVolumeClaim } from './persistent-volume-claim/kind.ts';
import { persistentVolume } from './persistent-volume/kind.ts';
import { podDisruptionBudget } from './pod-disruption-budget/kind.ts';
import { podTemplate } from './pod-template/kind.ts';
import { pod } from './pod/kind.ts';
import { priorityClass } from './priority-class/kind.ts';
import { priorityLevelConfiguration } from './priority-level-configuration/kind.ts';
import { replicaSet } from './replica-set/kind.ts';
import { replicationController } from './replication-controller/kind.ts';
import { resourceClaimTemplate } from './resource-claim-template/kind.ts';
import { resourceClaim } from './resource-claim/kind.ts';
import { resourceQuota } from './resource-quota/kind.ts';
import { resourceSlice } from './resource-slice/kind.ts';
import { role } from './role/kind.ts';
import { roleBinding } from './role-binding/kind.ts';
import { runtimeClass } from './runtime-class/kind.ts';
import { secret } from './secret/kind.ts';
import { serviceAccount } from './service-account/kind.ts';
import { serviceCidr } from './service-cidr/kind.ts';
import { service } from './service/kind.ts';
import { statefulSet } from './stateful-set/kind.ts';
import { storageClass } from './storage-class/kind.ts';
import { validatingAdmissionPolicyBinding } from './validating-admission-policy-binding/kind.ts';
import { validatingAdmissionPolicy } from './validating-admission-policy/kind.ts';
import { validatingWebhookConfiguration } from './validating-webhook-configuration/kind.ts';
import { volumeAttachment } from './volume-attachment/kind.ts';
import { volumeAttributesClass } from './volume-attributes-class/kind.ts';
import type { KindDefinition } from './types.ts';

/** Forgets a kind's object type, so that kinds of all types fit one map. Sound because objects reach a kind through `decode`. */
function erase<T extends KubeObject>(kind: KindDefinition<T>): KindDefinition {
  return kind as unknown as KindDefinition;
}

/** Every built-in kind by qualified name (`pods`, `deployments.apps`). */
export const kinds: Readonly<Record<string, KindDefinition>> = {
  configmaps: erase(configMap),
  endpoints: erase(endpoints),
  events: erase(event),
  limitranges: erase(limitRange),
  namespaces: erase(namespace),
  nodes: erase(node),
  persistentvolumeclaims: erase(persistentVolumeClaim),
  persistentvolumes: erase(persistentVolume),
  pods: erase(pod),
  podtemplates: erase(podTemplate),
  replicationcontrollers: erase(replicationController),
  resourcequotas: erase(resourceQuota),
  secrets: erase(secret),
  serviceaccounts: erase(serviceAccount),
  services: erase(service),
  'deployments.apps': erase(deployment),
  'replicasets.apps': erase(replicaSet),
  'statefulsets.apps': erase(statefulSet),
  'daemonsets.apps': erase(daemonSet),
  'controllerrevisions.apps': erase(controllerRevision),
  'horizontalpodautoscalers.autoscaling': erase(horizontalPodAutoscaler),
  'horizontalpodautoscalers.v1.autoscaling': erase(horizontalPodAutoscalerV1),
  'cronjobs.batch': erase(cronJob),
  'jobs.batch': erase(job),
  'leases.coordination.k8s.io': erase(lease),
  'endpointslices.discovery.k8s.io': erase(endpointSlice),
  'poddisruptionbudgets.policy': erase(podDisruptionBudget),
  'roles.rbac.authorization.k8s.io': erase(role),
  'rolebindings.rbac.authorization.k8s.io': erase(roleBinding),
  'clusterroles.rbac.authorization.k8s.io': erase(clusterRole),
  'clusterrolebindings.rbac.authorization.k8s.io': erase(clusterRoleBinding),
  'certificatesigningrequests.certificates.k8s.io': erase(certificateSigningRequest),
  'customresourcedefinitions.apiextensions.k8s.io': erase(customResourceDefinition),
  'events.events.k8s.io': erase(eventsEvent),
  'ingresses.networking.k8s.io': erase(ingress),
  'ingressclasses.networking.k8s.io': erase(ingressClass),
  'networkpolicies.networking.k8s.io': erase(networkPolicy),
  'ipaddresses.networking.k8s.io': erase(ipAddress),
  'servicecidrs.networking.k8s.io': erase(serviceCidr),
  'priorityclasses.scheduling.k8s.io': erase(priorityClass),
  'runtimeclasses.node.k8s.io': erase(runtimeClass),
  'storageclasses.storage.k8s.io': erase(storageClass),
  'csidrivers.storage.k8s.io': erase(csiDriver),
  'csinodes.storage.k8s.io': erase(csiNode),
  'csistoragecapacities.storage.k8s.io': erase(csiStorageCapacity),
  'volumeattachments.storage.k8s.io': erase(volumeAttachment),
  'volumeattributesclasses.storage.k8s.io': erase(volumeAttributesClass),
  'mutatingwebhookconfigurations.admissionregistration.k8s.io': erase(mutatingWebhookConfiguration),
  'validatingwebhookconfigurations.admissionregistration.k8s.io': erase(validatingWebhookConfiguration),
  'validatingadmissionpolicies.admissionregistration.k8s.io': erase(validatingAdmissionPolicy),
  'validatingadmissionpolicybindings.admissionregistration.k8s.io': erase(validatingAdmissionPolicyBinding),
  'apiservices.apiregistration.k8s.io': erase(apiService),
  'deviceclasses.resource.k8s.io': erase(deviceClass),
  'resourceclaims.resource.k8s.io': erase(resourceClaim),
  'resourceclaimtemplates.resource.k8s.io': erase(resourceClaimTemplate),
  'resourceslices.resource.k8s.io': erase(resourceSlice),
  'flowschemas.flowcontrol.apiserver.k8s.io': erase(flowSchema),
  'prioritylevelconfigurations.flowcontrol.apiserver.k8s.io': erase(priorityLevelConfiguration),
};

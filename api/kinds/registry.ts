import type { KubeObject } from '../meta/object.ts';
import { certificateSigningRequest } from './certificate-signing-request/kind.ts';
import { clusterRole } from './cluster-role/kind.ts';
import { clusterRoleBinding } from './cluster-role-binding/kind.ts';
import { configMap } from './config-map/kind.ts';
import { controllerRevision } from './controller-revision/kind.ts';
import { cronJob } from './cron-job/kind.ts';
import { customResourceDefinition } from './custom-resource-definition/kind.ts';
import { daemonSet } from './daemon-set/kind.ts';
import { deployment } from './deployment/kind.ts';
import { endpointSlice } from './endpoint-slice/kind.ts';
import { endpoints } from './endpoints/kind.ts';
import { eventsEvent } from './event/events-v1.ts';
import { event } from './event/kind.ts';
import { job } from './job/kind.ts';
import { lease } from './lease/kind.ts';
import { namespace } from './namespace/kind.ts';
import { node } from './node/kind.ts';
import { podDisruptionBudget } from './pod-disruption-budget/kind.ts';
import { pod } from './pod/kind.ts';
import { replicaSet } from './replica-set/kind.ts';
import { replicationController } from './replication-controller/kind.ts';
import { role } from './role/kind.ts';
import { roleBinding } from './role-binding/kind.ts';
import { secret } from './secret/kind.ts';
import { serviceAccount } from './service-account/kind.ts';
import { service } from './service/kind.ts';
import { statefulSet } from './stateful-set/kind.ts';
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
  namespaces: erase(namespace),
  nodes: erase(node),
  pods: erase(pod),
  replicationcontrollers: erase(replicationController),
  secrets: erase(secret),
  serviceaccounts: erase(serviceAccount),
  services: erase(service),
  'deployments.apps': erase(deployment),
  'replicasets.apps': erase(replicaSet),
  'statefulsets.apps': erase(statefulSet),
  'daemonsets.apps': erase(daemonSet),
  'controllerrevisions.apps': erase(controllerRevision),
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
};

import { apiServiceAvailability } from './api-service-availability/controller.ts';
import { apiServiceRegistration } from './api-service-registration/controller.ts';
import { attachDetachController } from './attach-detach/controller.ts';
import { certificateApprover } from './certificate-approver/controller.ts';
import { certificateCleaner } from './certificate-cleaner/controller.ts';
import { certificateSigner } from './certificate-signer/controller.ts';
import { clusterRoleAggregation } from './cluster-role-aggregation/controller.ts';
import { cronJobController } from './cronjob/controller.ts';
import { customResourceDefinitionController } from './custom-resource-definition/controller.ts';
import { daemonSetController } from './daemonset/controller.ts';
import { deploymentController } from './deployment/controller.ts';
import { disruptionController } from './disruption/controller.ts';
import { endpointSliceController } from './endpoint-slice/controller.ts';
import { endpointSliceMirroring } from './endpoint-slice-mirroring/controller.ts';
import { endpointsController } from './endpoints/controller.ts';
import { ephemeralVolumeController } from './ephemeral-volume/controller.ts';
import { garbageCollector } from './garbage-collector/controller.ts';
import { horizontalPodAutoscaler } from './horizontal-pod-autoscaler/controller.ts';
import { ingressController } from './ingress/controller.ts';
import { jobController } from './job/controller.ts';
import { leaseCleaner } from './lease-cleaner/controller.ts';
import { namespaceController } from './namespace/controller.ts';
import { nodeIpamController } from './node-ipam/controller.ts';
import { nodeLifecycleController } from './node-lifecycle/controller.ts';
import { persistentVolumeBinder } from './persistent-volume-binder/controller.ts';
import { podGarbageCollector } from './pod-garbage-collector/controller.ts';
import { pvProtection } from './pv-protection/controller.ts';
import { pvcProtection } from './pvc-protection/controller.ts';
import { serviceIpAddresses } from './service-ip-addresses/controller.ts';
import { serviceLoadBalancer } from './service-load-balancer/controller.ts';
import { replicaSetController } from './replicaset/controller.ts';
import { replicationController } from './replication/controller.ts';
import { rootCaPublisher } from './root-ca-publisher/controller.ts';
import { runtimeClassController } from './runtime-class/controller.ts';
import { serviceAccountToken } from './service-account-token/controller.ts';
import { serviceAccountController } from './service-account/controller.ts';
import { statefulSetController } from './statefulset/controller.ts';
import { taintEvictionController } from './taint-eviction/controller.ts';
import { tokenCleaner } from './token-cleaner/controller.ts';
import { ttlAfterFinishedController } from './ttl-after-finished/controller.ts';
import type { ControllerFactory } from './types.ts';

/** Every controller there is, by the name of its folder. */
export const controllers: Readonly<Record<string, ControllerFactory>> = {
  'api-service-availability': apiServiceAvailability,
  'api-service-registration': apiServiceRegistration,
  'attach-detach': attachDetachController,
  'certificate-approver': certificateApprover,
  'certificate-cleaner': certificateCleaner,
  'certificate-signer': certificateSigner,
  'cluster-role-aggregation': clusterRoleAggregation,
  'cronjob': cronJobController,
  'custom-resource-definition': customResourceDefinitionController,
  'daemonset': daemonSetController,
  'deployment': deploymentController,
  'disruption': disruptionController,
  'endpoint-slice': endpointSliceController,
  'endpoint-slice-mirroring': endpointSliceMirroring,
  'endpoints': endpointsController,
  'ephemeral-volume': ephemeralVolumeController,
  'garbage-collector': garbageCollector,
  'horizontal-pod-autoscaler': horizontalPodAutoscaler,
  'ingress': ingressController,
  'job': jobController,
  'lease-cleaner': leaseCleaner,
  'namespace': namespaceController,
  'node-ipam': nodeIpamController,
  'node-lifecycle': nodeLifecycleController,
  'persistent-volume-binder': persistentVolumeBinder,
  'pod-garbage-collector': podGarbageCollector,
  'pv-protection': pvProtection,
  'pvc-protection': pvcProtection,
  'service-ip-addresses': serviceIpAddresses,
  'service-load-balancer': serviceLoadBalancer,
  'replicaset': replicaSetController,
  'replication': replicationController,
  'root-ca-publisher': rootCaPublisher,
  'runtime-class': runtimeClassController,
  'service-account': serviceAccountController,
  'service-account-token': serviceAccountToken,
  'statefulset': statefulSetController,
  'taint-eviction': taintEvictionController,
  'token-cleaner': tokenCleaner,
  'ttl-after-finished': ttlAfterFinishedController,
};

import { describeAny } from './any.ts';
import { describeAutoscaler } from './autoscaler.ts';
import { describeCronJob, describeJob } from './batch.ts';
import { describeConfigMap, describeNamespace, describeSecret, describeServiceAccount } from './config.ts';
import { describeEndpoints, describeEndpointSlice } from './endpoints.ts';
import { describeBudget, describeLimitRange, describeQuota } from './limits.ts';
import { describeNode } from './node.ts';
import { describePod } from './pod.ts';
import { describeService } from './service.ts';
import { describeDaemonSet, describeReplicationController, describeStatefulSet } from './stateful.ts';
import { describeClaim, describeVolume } from './storage.ts';
import type { Describe } from './types.ts';
import { describeDeployment, describeReplicaSet } from './workloads.ts';

const byKind = {
  Pod: describePod, Node: describeNode, Deployment: describeDeployment, ReplicaSet: describeReplicaSet, Service: describeService,
  StatefulSet: describeStatefulSet, DaemonSet: describeDaemonSet, ReplicationController: describeReplicationController, Job: describeJob, CronJob: describeCronJob,
  PersistentVolume: describeVolume, PersistentVolumeClaim: describeClaim, ResourceQuota: describeQuota, LimitRange: describeLimitRange,
  PodDisruptionBudget: describeBudget, HorizontalPodAutoscaler: describeAutoscaler,
  Namespace: describeNamespace, ConfigMap: describeConfigMap, Secret: describeSecret, ServiceAccount: describeServiceAccount, Endpoints: describeEndpoints, EndpointSlice: describeEndpointSlice,
} as const;

/** How a kind is described; one that is not known is printed field by field. */
export function describerOf(kind: string): Describe<object> {
  return (Object.hasOwn(byKind, kind) ? byKind[kind as keyof typeof byKind] : describeAny) as Describe<object>;
}

/** Kinds about which kubectl shows no Events. */
export const kindsWithoutEvents: ReadonlySet<string> = new Set(['LimitRange', 'Namespace', 'ResourceQuota', 'Secret']);

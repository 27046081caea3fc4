import type { CronJob, DaemonSet, Deployment, HorizontalPodAutoscaler, HorizontalPodAutoscalerBehavior, Job, MetricSpec, Namespace, PodDisruptionBudget, PodDisruptionBudgetSpec, PodTemplateSpec, PriorityClass, ReplicaSet, ReplicationController, ResourceQuota, StatefulSet } from '#api/gen/types.ts';
import { cronJobs, daemonSets, deployments, horizontalPodAutoscalers, jobs, namespaces, podDisruptionBudgets, priorityClasses, replicaSets, replicationControllers, resourceQuotas, statefulSets, type Resource } from '#api/kinds/resources.ts';
import type { KubeObject } from '#api/meta/object.ts';

export interface Wish { readonly resource: Resource; readonly object: KubeObject }

/** Chances that are taken once for a history: how things are to be updated, and so on. */
export interface Draw { int(limit: number): number; one<T>(of: readonly T[]): T }

export function imageOf(version: number): string {
  return `v${String(version)}`;
}

export function templateOf(app: string, version: number, spec: Partial<PodTemplateSpec['spec']> = {}): PodTemplateSpec {
  return {
    metadata: { labels: { app } },
    spec: { terminationGracePeriodSeconds: 5, automountServiceAccountToken: false, containers: [{ name: 'c', image: imageOf(version), resources: { requests: { cpu: '100m' } } }], ...spec },
  };
}

/** What has a place of its own, on one host or two, needs the right to it where there is little room. */
const rank = { first: 'placed', second: 'served' } as const;
const arm = { priorityClassName: rank.first, nodeSelector: { 'kubernetes.io/arch': 'arm64' }, affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app: 'arm' } } }] } } };

/** How `calc` and `queue` are measured; see `Demand`. */
const share: MetricSpec = { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 50 } } };
const length: MetricSpec = { type: 'External', external: { metric: { name: 'queue_length' }, target: { type: 'AverageValue', averageValue: '10' } } };

function behaviorOf(draw: Draw): HorizontalPodAutoscalerBehavior | undefined {
  if (draw.int(4) === 0) return undefined;
  const policies = (limit: number) => (draw.int(2) === 0 ? {} : { policies: [{ type: 'Pods', value: 1 + draw.int(limit), periodSeconds: draw.one([15, 60]) }] });
  return { scaleUp: { stabilizationWindowSeconds: draw.one([0, 30]), ...policies(3) }, scaleDown: { stabilizationWindowSeconds: draw.one([0, 60]), ...policies(2) } };
}

/** Of pods that users leave alone, but for evicting them. Each of these leaves room for one at least. */
export const guarded: readonly string[] = ['guarded', 'quorum'];
function budgetOf(draw: Draw): PodDisruptionBudgetSpec {
  const policy = draw.one<object>([{}, { unhealthyPodEvictionPolicy: 'AlwaysAllow' }]);
  return { ...draw.one<object>([{ maxUnavailable: 1 }, { maxUnavailable: '50%' }, { minAvailable: 2 }, { minAvailable: '60%' }]), ...policy };
}

/** What the users of the cluster want: every kind of workload, in a namespace without a quota, in one with, and in one that is to go. */
export function wishes(draw: Draw): Wish[] {
  const rolling = { type: 'RollingUpdate', rollingUpdate: draw.one([{ maxSurge: 1, maxUnavailable: 0 }, { maxSurge: 0, maxUnavailable: 1 }, { maxSurge: '25%', maxUnavailable: '25%' }, { maxSurge: 2, maxUnavailable: 1 }]) };
  const selector = (app: string) => ({ matchLabels: { app } });
  const deployment = (namespace: string, name: string, replicas: number, rest: Partial<Deployment['spec']> = {}): Wish => ({ resource: deployments, object: { metadata: { namespace, name }, spec: { replicas, selector: selector(name), strategy: rolling, revisionHistoryLimit: 2, template: templateOf(name, 0), ...rest } } as Deployment });
  const claim = { metadata: { name: 'data' }, spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } } };
  const set = (namespace: string, replicas: number): Wish => ({ resource: statefulSets, object: { metadata: { namespace, name: 'db' }, spec: { replicas, serviceName: 'db', podManagementPolicy: draw.one(['OrderedReady', 'OrderedReady', 'Parallel']), selector: selector('db'), template: templateOf('db', 0, { priorityClassName: rank.first }), volumeClaimTemplates: [claim] } } as StatefulSet });
  const small = { containers: [{ name: 'c', image: imageOf(0), resources: { requests: { cpu: '50m' } } }] };
  const ordered = (name: string, podManagementPolicy: string): Wish => ({ resource: statefulSets, object: { metadata: { namespace: 'default', name }, spec: { replicas: 3, serviceName: name, podManagementPolicy, selector: selector(name), template: templateOf(name, 0, small) } } as StatefulSet });
  const autoscaler = (name: string, kind: string, metric: MetricSpec): Wish => {
    const minReplicas = 1 + draw.int(2);
    const behavior = behaviorOf(draw);
    return { resource: horizontalPodAutoscalers, object: { metadata: { namespace: 'default', name }, spec: { scaleTargetRef: { apiVersion: 'apps/v1', kind, name }, minReplicas, maxReplicas: minReplicas + 1 + draw.int(3), metrics: [metric], ...(behavior && { behavior }) } } as HorizontalPodAutoscaler };
  };
  const budget = (name: string, spec: PodDisruptionBudgetSpec): Wish => ({ resource: podDisruptionBudgets, object: { metadata: { namespace: 'default', name }, spec: { ...spec, selector: selector(name) } } as PodDisruptionBudget });
  const job = { completions: 4 + draw.int(3), parallelism: 1 + draw.int(3), completionMode: draw.one(['Indexed', 'NonIndexed']), backoffLimit: 1000, podReplacementPolicy: draw.one(['Failed', 'TerminatingOrFailed']) };
  return [
    ...Object.values(rank).map((name, i): Wish => ({ resource: priorityClasses, object: { metadata: { name }, value: 1000 - i } as PriorityClass })),
    { resource: namespaces, object: { metadata: { name: 'limited' } } as Namespace },
    { resource: namespaces, object: { metadata: { name: 'doomed' } } as Namespace },
    { resource: resourceQuotas, object: { metadata: { namespace: 'limited', name: 'few' }, spec: { hard: { pods: '5' } } } as ResourceQuota },
    deployment('default', 'web', 4, { template: templateOf('web', 0, { priorityClassName: rank.second }) }), deployment('default', 'arm', 2, { strategy: { type: 'Recreate' }, template: templateOf('arm', 0, arm) }), deployment('limited', 'greedy', 3), deployment('doomed', 'web', 2),
    set('default', 3), set('doomed', 2),
    { resource: daemonSets, object: { metadata: { namespace: 'default', name: 'log' }, spec: { selector: selector('log'), template: templateOf('log', 0, { priorityClassName: rank.first, tolerations: [{ operator: 'Exists' }] }) } } as DaemonSet },
    { resource: replicaSets, object: { metadata: { namespace: 'default', name: 'bare' }, spec: { replicas: 2, selector: selector('bare'), template: templateOf('bare', 0) } } as ReplicaSet },
    { resource: replicationControllers, object: { metadata: { namespace: 'default', name: 'old' }, spec: { replicas: 2, selector: { app: 'old' }, template: templateOf('old', 0) } } as ReplicationController },
    { resource: jobs, object: { metadata: { namespace: 'limited', name: 'work' }, spec: { ...job, template: templateOf('work', 0, { restartPolicy: 'Never' }) } } as Job },
    { resource: cronJobs, object: { metadata: { namespace: 'default', name: 'tick' }, spec: { schedule: '* * * * *', concurrencyPolicy: 'Forbid', successfulJobsHistoryLimit: 1, failedJobsHistoryLimit: 1, jobTemplate: { spec: { backoffLimit: 1, template: templateOf('tick', 0, { restartPolicy: 'Never' }) } } } } as CronJob },
    budget('web', { maxUnavailable: 1 }),
    deployment('default', 'calc', 2, { template: templateOf('calc', 0, small) }), autoscaler('calc', 'Deployment', share),
    ordered('queue', 'Parallel'), autoscaler('queue', 'StatefulSet', length),
    { resource: replicaSets, object: { metadata: { namespace: 'default', name: 'guarded' }, spec: { replicas: 4, selector: selector('guarded'), template: templateOf('guarded', 0, small) } } as ReplicaSet }, budget('guarded', budgetOf(draw)),
    ordered('quorum', draw.one(['OrderedReady', 'Parallel'])), budget('quorum', budgetOf(draw)),
  ];
}

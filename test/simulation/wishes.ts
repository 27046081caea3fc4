import type { CronJob, DaemonSet, Deployment, Job, Namespace, PodDisruptionBudget, PodTemplateSpec, PriorityClass, ReplicaSet, ReplicationController, ResourceQuota, StatefulSet } from '#api/gen/types.ts';
import { cronJobs, daemonSets, deployments, jobs, namespaces, podDisruptionBudgets, priorityClasses, replicaSets, replicationControllers, resourceQuotas, statefulSets, type Resource } from '#api/kinds/resources.ts';
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

/** What the users of the cluster want: every kind of workload, in a namespace without a quota, in one with, and in one that is to go. */
export function wishes(draw: Draw): Wish[] {
  const rolling = { type: 'RollingUpdate', rollingUpdate: draw.one([{ maxSurge: 1, maxUnavailable: 0 }, { maxSurge: 0, maxUnavailable: 1 }, { maxSurge: '25%', maxUnavailable: '25%' }, { maxSurge: 2, maxUnavailable: 1 }]) };
  const selector = (app: string) => ({ matchLabels: { app } });
  const deployment = (namespace: string, name: string, replicas: number, rest: Partial<Deployment['spec']> = {}): Wish => ({ resource: deployments, object: { metadata: { namespace, name }, spec: { replicas, selector: selector(name), strategy: rolling, revisionHistoryLimit: 2, template: templateOf(name, 0), ...rest } } as Deployment });
  const claim = { metadata: { name: 'data' }, spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } } };
  const set = (namespace: string, replicas: number): Wish => ({ resource: statefulSets, object: { metadata: { namespace, name: 'db' }, spec: { replicas, serviceName: 'db', podManagementPolicy: draw.one(['OrderedReady', 'OrderedReady', 'Parallel']), selector: selector('db'), template: templateOf('db', 0, { priorityClassName: rank.first }), volumeClaimTemplates: [claim] } } as StatefulSet });
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
    { resource: podDisruptionBudgets, object: { metadata: { namespace: 'default', name: 'web' }, spec: { maxUnavailable: 1, selector: selector('web') } } as PodDisruptionBudget },
  ];
}

import type { FlowSchema, FlowSubject, PolicyRulesWithSubjects, PriorityLevelConfiguration, ResourcePolicyRule } from '#api/gen/types.ts';

/** Says that the server keeps the object's spec as it wants it. */
export const autoUpdate = 'apf.kubernetes.io/autoupdate-spec';

const groups = (...names: string[]): FlowSubject[] => names.map((name) => ({ kind: 'Group', group: { name } }));
const users = (...names: string[]): FlowSubject[] => names.map((name) => ({ kind: 'User', user: { name } }));
const systemAccounts = (...names: string[]): FlowSubject[] => names.map((name) => ({ kind: 'ServiceAccount', serviceAccount: { name, namespace: 'kube-system' } }));
const everybody = groups('system:unauthenticated', 'system:authenticated');
const nodes = groups('system:nodes');

const resources = (verbs: string[], group: string, plurals: string[], clusterScope = false, namespaces = ['*']): ResourcePolicyRule => ({ verbs, apiGroups: [group], resources: plurals, namespaces, ...(clusterScope && { clusterScope }) });
const locking = ['get', 'create', 'update'];
const leases = resources(locking, 'coordination.k8s.io', ['leases']);

function everything(subjects: FlowSubject[]): PolicyRulesWithSubjects {
  return { subjects, resourceRules: [resources(['*'], '*', ['*'], true)], nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }] };
}

function schema(name: string, level: string, matchingPrecedence: number, by: 'ByUser' | 'ByNamespace' | undefined, rule: PolicyRulesWithSubjects): FlowSchema {
  return {
    metadata: { name, annotations: { [autoUpdate]: 'true' } },
    spec: { priorityLevelConfiguration: { name: level }, matchingPrecedence, ...(by && { distinguisherMethod: { type: by } }), rules: [rule] },
  };
}

function level(name: string, nominalConcurrencyShares: number, lendablePercent: number, queues: number, handSize: number): PriorityLevelConfiguration {
  const queuing = { queues, handSize, queueLengthLimit: 50 };
  return { metadata: { name, annotations: { [autoUpdate]: 'true' } }, spec: { type: 'Limited', limited: { nominalConcurrencyShares, lendablePercent, limitResponse: { type: 'Queue', queuing } } } };
}

/** Every cluster has them, and nobody can change or remove them for long. */
export const mandatory: ReadonlySet<string> = new Set(['exempt', 'catch-all']);

/** The priority levels of every cluster, as Kubernetes makes them. */
export const defaultLevels: readonly PriorityLevelConfiguration[] = [
  { metadata: { name: 'exempt', annotations: { [autoUpdate]: 'true' } }, spec: { type: 'Exempt', exempt: { nominalConcurrencyShares: 0, lendablePercent: 0 } } },
  { metadata: { name: 'catch-all', annotations: { [autoUpdate]: 'true' } }, spec: { type: 'Limited', limited: { nominalConcurrencyShares: 5, lendablePercent: 0, limitResponse: { type: 'Reject' } } } },
  level('system', 30, 33, 64, 6), level('node-high', 40, 25, 64, 6), level('leader-election', 10, 0, 16, 4),
  level('workload-high', 40, 50, 128, 6), level('workload-low', 100, 90, 128, 6), level('global-default', 20, 50, 128, 6),
];

/** Which requests belong to which level, as Kubernetes makes them. */
export const defaultSchemas: readonly FlowSchema[] = [
  schema('exempt', 'exempt', 1, undefined, everything(groups('system:masters'))),
  schema('probes', 'exempt', 2, undefined, { subjects: everybody, nonResourceRules: [{ verbs: ['get'], nonResourceURLs: ['/healthz', '/readyz', '/livez'] }] }),
  schema('system-leader-election', 'leader-election', 100, 'ByUser', { subjects: [...users('system:kube-controller-manager', 'system:kube-scheduler'), ...systemAccounts('*')], resourceRules: [leases] }),
  schema('endpoint-controller', 'workload-high', 150, 'ByUser', {
    subjects: [...users('system:kube-controller-manager'), ...systemAccounts('endpoint-controller', 'endpointslicemirroring-controller')],
    resourceRules: [resources(locking, '', ['endpoints'])],
  }),
  schema('workload-leader-election', 'leader-election', 200, 'ByUser', { subjects: systemAccounts('*'), resourceRules: [leases] }),
  schema('system-node-high', 'node-high', 400, 'ByUser', { subjects: nodes, resourceRules: [resources(['*'], '', ['nodes', 'nodes/status'], true), resources(['*'], 'coordination.k8s.io', ['leases'])] }),
  schema('system-nodes', 'system', 500, 'ByUser', everything(nodes)),
  schema('kube-controller-manager', 'workload-high', 800, 'ByNamespace', everything(users('system:kube-controller-manager'))),
  schema('kube-scheduler', 'workload-high', 800, 'ByNamespace', everything(users('system:kube-scheduler'))),
  schema('kube-system-service-accounts', 'workload-high', 900, 'ByNamespace', everything(systemAccounts('*'))),
  schema('service-accounts', 'workload-low', 9000, 'ByUser', everything(groups('system:serviceaccounts'))),
  schema('global-default', 'global-default', 9900, 'ByUser', everything(everybody)),
  schema('catch-all', 'catch-all', 10_000, 'ByUser', everything(everybody)),
];

import type { ClusterRole } from '#api/gen/types.ts';
import { clusterRole, core, read, readWrite, rule, urls, write } from './policy-rules.ts';

const toAdmin = 'rbac.authorization.k8s.io/aggregate-to-admin';
const toEdit = 'rbac.authorization.k8s.io/aggregate-to-edit';
const toView = 'rbac.authorization.k8s.io/aggregate-to-view';

/** Roles for people and their programs. */
export const userRoles: readonly ClusterRole[] = [
  clusterRole('cluster-admin', [rule(['*'], '*', '*'), { verbs: ['*'], nonResourceURLs: ['*'] }]),
  clusterRole('system:discovery', [urls('/api', '/api/*', '/apis', '/apis/*', '/healthz', '/livez', '/openapi', '/openapi/*', '/readyz', '/version', '/version/')]),
  clusterRole('system:monitoring', [urls('/healthz', '/healthz/*', '/livez', '/livez/*', '/metrics', '/metrics/slis', '/readyz', '/readyz/*')]),
  clusterRole('system:basic-user', [
    rule(['create'], 'authorization.k8s.io', 'selfsubjectaccessreviews', 'selfsubjectrulesreviews'),
    rule(['create'], 'authentication.k8s.io', 'selfsubjectreviews'),
  ]),
  clusterRole('system:public-info-viewer', [urls('/healthz', '/livez', '/readyz', '/version', '/version/')]),
  clusterRole('system:service-account-issuer-discovery', [urls('/.well-known/openid-configuration', '/.well-known/openid-configuration/', '/openid/v1/jwks', '/openid/v1/jwks/')]),
  clusterRole('admin', [], { aggregates: toAdmin }),
  clusterRole('edit', [], { aggregates: toEdit, labels: { [toAdmin]: 'true' } }),
  clusterRole('view', [], { aggregates: toView, labels: { [toEdit]: 'true' } }),
  clusterRole('system:aggregate-to-admin', [
    rule(['create'], 'authorization.k8s.io', 'localsubjectaccessreviews'),
    rule(readWrite, 'rbac.authorization.k8s.io', 'rolebindings', 'roles'),
  ], { labels: { [toAdmin]: 'true' } }),
  clusterRole('system:aggregate-to-edit', [
    rule(read, core, 'pods/attach', 'pods/exec', 'pods/portforward', 'pods/proxy', 'secrets', 'services/proxy'),
    rule(['impersonate'], core, 'serviceaccounts'),
    rule(write, core, 'pods', 'pods/attach', 'pods/exec', 'pods/portforward', 'pods/proxy'),
    rule(['create'], core, 'pods/eviction', 'serviceaccounts/token'),
    rule(write, core, 'configmaps', 'events', 'persistentvolumeclaims', 'replicationcontrollers', 'replicationcontrollers/scale', 'secrets', 'serviceaccounts', 'services', 'services/proxy'),
    rule(write, 'apps', 'daemonsets', 'deployments', 'deployments/rollback', 'deployments/scale', 'replicasets', 'replicasets/scale', 'statefulsets', 'statefulsets/scale'),
    rule(write, 'autoscaling', 'horizontalpodautoscalers'),
    rule(write, 'batch', 'cronjobs', 'jobs'),
    rule(write, 'policy', 'poddisruptionbudgets'),
    rule(write, 'networking.k8s.io', 'ingresses', 'networkpolicies'),
    rule(readWrite, 'coordination.k8s.io', 'leases'),
    rule(write, 'resource.k8s.io', 'resourceclaims', 'resourceclaimtemplates'),
  ], { labels: { [toEdit]: 'true' } }),
  clusterRole('system:aggregate-to-view', [
    rule(read, core, 'configmaps', 'endpoints', 'persistentvolumeclaims', 'persistentvolumeclaims/status', 'pods', 'replicationcontrollers', 'replicationcontrollers/scale', 'serviceaccounts', 'services', 'services/status'),
    rule(read, core, 'bindings', 'events', 'limitranges', 'namespaces/status', 'pods/log', 'pods/status', 'replicationcontrollers/status', 'resourcequotas', 'resourcequotas/status'),
    rule(read, core, 'namespaces'),
    rule(read, 'discovery.k8s.io', 'endpointslices'),
    rule(read, 'apps', 'controllerrevisions', 'daemonsets', 'daemonsets/status', 'deployments', 'deployments/scale', 'deployments/status', 'replicasets', 'replicasets/scale', 'replicasets/status', 'statefulsets', 'statefulsets/scale', 'statefulsets/status'),
    rule(read, 'autoscaling', 'horizontalpodautoscalers', 'horizontalpodautoscalers/status'),
    rule(read, 'batch', 'cronjobs', 'cronjobs/status', 'jobs', 'jobs/status'),
    rule(read, 'policy', 'poddisruptionbudgets', 'poddisruptionbudgets/status'),
    rule(read, 'networking.k8s.io', 'ingresses', 'ingresses/status', 'networkpolicies'),
    rule(read, 'resource.k8s.io', 'resourceclaims', 'resourceclaims/status', 'resourceclaimtemplates'),
  ], { labels: { [toView]: 'true' } }),
  // Usage is served without an add-on, so this comes with the cluster too.
  clusterRole('system:aggregated-metrics-reader', [rule(read, 'metrics.k8s.io', 'nodes', 'pods')], { labels: { [toAdmin]: 'true', [toEdit]: 'true', [toView]: 'true' } }),
];

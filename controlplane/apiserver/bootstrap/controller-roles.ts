import type { ClusterRole, PolicyRule } from '#api/gen/types.ts';
import { clusterRole, core, eventsRule, read, rule } from './policy-rules.ts';

const pods = rule(['create', 'delete', 'list', 'patch', 'watch'], core, 'pods');
const apps = 'apps';
const discovery = 'discovery.k8s.io';

/** What Kubernetes' controllers need when they run outside of the control plane, each as a service account of kube-system. */
const rules: Readonly<Record<string, readonly PolicyRule[]>> = {
  'certificate-controller': [
    rule(['delete', ...read], 'certificates.k8s.io', 'certificatesigningrequests'),
    rule(['update'], 'certificates.k8s.io', 'certificatesigningrequests/approval', 'certificatesigningrequests/status'),
    { ...rule(['approve'], 'certificates.k8s.io', 'signers'), resourceNames: ['kubernetes.io/kube-apiserver-client-kubelet'] },
    { ...rule(['sign'], 'certificates.k8s.io', 'signers'), resourceNames: ['kubernetes.io/kube-apiserver-client', 'kubernetes.io/kube-apiserver-client-kubelet', 'kubernetes.io/kubelet-serving', 'kubernetes.io/legacy-unknown'] },
    rule(['create'], 'authorization.k8s.io', 'subjectaccessreviews'), eventsRule,
  ],
  'clusterrole-aggregation-controller': [rule(['escalate', 'get', 'list', 'patch', 'update', 'watch'], 'rbac.authorization.k8s.io', 'clusterroles')],
  'cronjob-controller': [
    rule(['get', 'list', 'update', 'watch'], 'batch', 'cronjobs'), rule(['create', 'delete', 'get', 'list', 'patch', 'update', 'watch'], 'batch', 'jobs'),
    rule(['update'], 'batch', 'cronjobs/finalizers', 'cronjobs/status'), rule(['delete', 'list'], core, 'pods'), eventsRule,
  ],
  'daemon-set-controller': [
    rule(read, apps, 'daemonsets'), rule(['update'], apps, 'daemonsets/finalizers', 'daemonsets/status'), rule(['list', 'watch'], core, 'nodes'),
    pods, rule(['create'], core, 'pods/binding'), rule(['create', 'delete', 'get', 'list', 'patch', 'update', 'watch'], apps, 'controllerrevisions'), eventsRule,
  ],
  'deployment-controller': [
    rule(['get', 'list', 'update', 'watch'], apps, 'deployments'), rule(['update'], apps, 'deployments/finalizers', 'deployments/status'),
    rule(['create', 'delete', 'get', 'list', 'patch', 'update', 'watch'], apps, 'replicasets'), rule(['get', 'list', 'update', 'watch'], core, 'pods'), eventsRule,
  ],
  'disruption-controller': [
    rule(read, apps, 'deployments', 'replicasets', 'statefulsets'), rule(read, core, 'replicationcontrollers'), rule(read, 'policy', 'poddisruptionbudgets'),
    rule(['update'], 'policy', 'poddisruptionbudgets/status'), rule(['patch', 'update'], core, 'pods/status'), rule(['get'], '*', '*/scale'), eventsRule,
  ],
  'endpoint-controller': [rule(read, core, 'pods', 'services'), rule(['create', 'delete', 'get', 'list', 'update'], core, 'endpoints'), rule(['create'], core, 'endpoints/restricted'), eventsRule],
  'endpointslice-controller': [
    rule(read, core, 'nodes', 'pods', 'services'), rule(['update'], core, 'services/finalizers'), rule(['create', 'delete', 'get', 'list', 'update'], discovery, 'endpointslices'),
    rule(['create'], discovery, 'endpointslices/restricted'), eventsRule,
  ],
  'endpointslicemirroring-controller': [
    rule(read, core, 'endpoints', 'services'), rule(['update'], core, 'endpoints/finalizers', 'services/finalizers'), rule(['create', 'delete', 'get', 'list', 'update'], discovery, 'endpointslices'),
    rule(['create'], discovery, 'endpointslices/restricted'), eventsRule,
  ],
  'ephemeral-volume-controller': [rule(read, core, 'pods'), rule(['update'], core, 'pods/finalizers'), rule(['create', ...read], core, 'persistentvolumeclaims'), eventsRule],
  'expand-controller': [rule(['get', 'list', 'patch', 'update', 'watch'], core, 'persistentvolumes'), rule(['patch', 'update'], core, 'persistentvolumeclaims/status'), rule(read, core, 'persistentvolumeclaims'), eventsRule],
  'generic-garbage-collector': [rule(['delete', 'get', 'list', 'patch', 'update', 'watch'], '*', '*'), eventsRule],
  'horizontal-pod-autoscaler': [
    rule(read, 'autoscaling', 'horizontalpodautoscalers'), rule(['update'], 'autoscaling', 'horizontalpodautoscalers/status'), rule(['get', 'update'], '*', '*/scale'), rule(['list'], core, 'pods'),
    rule(['list'], 'metrics.k8s.io', 'pods'), rule(['get', 'list'], ['custom.metrics.k8s.io', 'external.metrics.k8s.io'], '*'), eventsRule,
  ],
  'job-controller': [rule(['get', 'list', 'patch', 'update', 'watch'], 'batch', 'jobs'), rule(['update'], 'batch', 'jobs/finalizers', 'jobs/status'), pods, eventsRule],
  'namespace-controller': [rule(['delete', ...read], core, 'namespaces'), rule(['update'], core, 'namespaces/finalize', 'namespaces/status'), rule(['delete', 'deletecollection', 'get', 'list'], '*', '*')],
  'node-controller': [
    rule(['delete', 'get', 'list', 'patch', 'update'], core, 'nodes'), rule(['patch', 'update'], core, 'nodes/status'), rule(['patch', 'update'], core, 'pods/status'),
    rule(['delete', 'list'], core, 'pods'), eventsRule,
  ],
  'persistent-volume-binder': [
    rule(['create', 'delete', 'get', 'list', 'update', 'watch'], core, 'persistentvolumes'), rule(['update'], core, 'persistentvolumeclaims/status', 'persistentvolumes/status'),
    rule(['get', 'list', 'update', 'watch'], core, 'persistentvolumeclaims'), rule(['create', 'delete', 'get', 'list', 'watch'], core, 'pods'), rule(read, 'storage.k8s.io', 'storageclasses'), eventsRule,
  ],
  'pod-garbage-collector': [rule(['delete', 'list', 'watch'], core, 'pods'), rule(['get', 'list'], core, 'nodes'), rule(['patch', 'update'], core, 'pods/status')],
  'pv-protection-controller': [rule(['get', 'list', 'update', 'watch'], core, 'persistentvolumes'), eventsRule],
  'pvc-protection-controller': [rule(['get', 'list', 'update', 'watch'], core, 'persistentvolumeclaims'), rule(read, core, 'pods'), eventsRule],
  'replicaset-controller': [rule(['get', 'list', 'update', 'watch'], apps, 'replicasets'), rule(['update'], apps, 'replicasets/finalizers', 'replicasets/status'), pods, eventsRule],
  'replication-controller': [rule(['get', 'list', 'update', 'watch'], core, 'replicationcontrollers'), rule(['update'], core, 'replicationcontrollers/finalizers', 'replicationcontrollers/status'), pods, eventsRule],
  'resourcequota-controller': [rule(['list', 'watch'], '*', '*'), rule(['update'], core, 'resourcequotas/status'), eventsRule],
  'root-ca-cert-publisher': [rule(['create', 'update'], core, 'configmaps'), eventsRule],
  'service-account-controller': [rule(['create'], core, 'serviceaccounts'), eventsRule],
  'statefulset-controller': [
    rule(read, core, 'pods'), rule(read, apps, 'statefulsets'), rule(['update'], apps, 'statefulsets/finalizers', 'statefulsets/status'), rule(['create', 'delete', 'patch', 'update'], core, 'pods'),
    rule(['create', 'delete', 'get', 'list', 'patch', 'update', 'watch'], apps, 'controllerrevisions'), rule(['create', 'get', 'list', 'watch'], core, 'persistentvolumeclaims'), eventsRule,
  ],
  'ttl-after-finished-controller': [rule(['delete', ...read], 'batch', 'jobs'), eventsRule],
};

export const controllerNames: readonly string[] = Object.keys(rules);

export const controllerRoles: readonly ClusterRole[] = Object.entries(rules).map(([name, list]) => clusterRole(`system:controller:${name}`, list));

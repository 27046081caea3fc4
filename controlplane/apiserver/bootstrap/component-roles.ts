import type { ClusterRole } from '#api/gen/types.ts';
import { nodeRules } from '../auth/node/node-rules.ts';
import { clusterRole, core, eventsRule, named, read, rule } from './policy-rules.ts';

const certificates = 'certificates.k8s.io';
const storage = 'storage.k8s.io';

/** Who may approve requests to one of Kubernetes' own signers. */
function approver(signer: string): ClusterRole {
  return clusterRole(`system:certificates.k8s.io:${signer}-approver`, [named(['approve'], certificates, 'signers', `kubernetes.io/${signer}`)]);
}

/** Roles of the parts of a cluster. */
export const componentRoles: readonly ClusterRole[] = [
  clusterRole('system:node', nodeRules),
  clusterRole('system:node-bootstrapper', [rule(['create', 'get', 'list', 'watch'], certificates, 'certificatesigningrequests')]),
  clusterRole('system:node-problem-detector', [rule(['get'], core, 'nodes'), rule(['patch'], core, 'nodes/status'), eventsRule]),
  clusterRole('system:node-proxier', [rule(['list', 'watch'], core, 'services', 'endpoints'), rule(read, core, 'nodes'), eventsRule, rule(['list', 'watch'], 'discovery.k8s.io', 'endpointslices')]),
  clusterRole('system:kubelet-api-admin', [rule(read, core, 'nodes'), rule(['proxy'], core, 'nodes'), rule(['*'], core, 'nodes/log', 'nodes/metrics', 'nodes/proxy', 'nodes/stats')]),
  clusterRole('system:auth-delegator', [rule(['create'], 'authentication.k8s.io', 'tokenreviews'), rule(['create'], 'authorization.k8s.io', 'subjectaccessreviews')]),
  clusterRole('system:kube-aggregator', [rule(read, core, 'endpoints', 'services')]),
  clusterRole('system:kube-controller-manager', [
    eventsRule,
    rule(['create'], 'coordination.k8s.io', 'leases'),
    named(['get', 'update'], 'coordination.k8s.io', 'leases', 'kube-controller-manager'),
    rule(['create'], core, 'secrets', 'serviceaccounts'),
    rule(['delete'], core, 'secrets'),
    rule(['get'], core, 'configmaps', 'namespaces', 'secrets', 'serviceaccounts'),
    rule(['update'], core, 'secrets', 'serviceaccounts'),
    rule(['create'], 'authentication.k8s.io', 'tokenreviews'),
    rule(['create'], 'authorization.k8s.io', 'subjectaccessreviews'),
    rule(['list', 'watch'], '*', '*'),
    rule(['create'], core, 'serviceaccounts/token'),
  ]),
  clusterRole('system:kube-dns', [rule(['list', 'watch'], core, 'endpoints', 'services')]),
  clusterRole('system:kube-scheduler', [
    eventsRule,
    rule(['create'], 'coordination.k8s.io', 'leases'),
    named(['get', 'update'], 'coordination.k8s.io', 'leases', 'kube-scheduler'),
    rule(read, core, 'nodes'),
    rule(['delete', ...read], core, 'pods'),
    rule(['create'], core, 'bindings', 'pods/binding'),
    rule(['patch', 'update'], core, 'pods/status'),
    rule(read, core, 'namespaces', 'persistentvolumeclaims', 'persistentvolumes', 'replicationcontrollers', 'services'),
    rule(read, 'apps', 'replicasets', 'statefulsets'),
    rule(read, 'policy', 'poddisruptionbudgets'),
    rule(['create'], 'authentication.k8s.io', 'tokenreviews'),
    rule(['create'], 'authorization.k8s.io', 'subjectaccessreviews'),
    rule(read, storage, 'csidrivers', 'csinodes', 'csistoragecapacities', 'storageclasses', 'volumeattachments'),
  ]),
  clusterRole('system:volume-scheduler', [
    rule(['patch', 'update', ...read], core, 'persistentvolumes'),
    rule(read, storage, 'storageclasses'),
    rule(['patch', 'update', ...read], core, 'persistentvolumeclaims'),
  ]),
  clusterRole('system:persistent-volume-provisioner', [
    rule(['create', 'delete', ...read], core, 'persistentvolumes'),
    rule(['update', ...read], core, 'persistentvolumeclaims'),
    rule(read, storage, 'storageclasses'),
    rule(['watch'], core, 'events'),
    eventsRule,
  ]),
  clusterRole('system:certificates.k8s.io:certificatesigningrequests:nodeclient', [rule(['create'], certificates, 'certificatesigningrequests/nodeclient')]),
  clusterRole('system:certificates.k8s.io:certificatesigningrequests:selfnodeclient', [rule(['create'], certificates, 'certificatesigningrequests/selfnodeclient')]),
  approver('kube-apiserver-client'), approver('kube-apiserver-client-kubelet'), approver('kubelet-serving'), approver('legacy-unknown'),
];

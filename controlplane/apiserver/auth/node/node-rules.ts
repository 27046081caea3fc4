import type { PolicyRule } from '#api/gen/types.ts';
import { core, eventsRule, read, rule } from '../../bootstrap/policy-rules.ts';

/** What nodes need; for what is a node's own, the authorizer of nodes draws the line. */
export const nodeRules: readonly PolicyRule[] = [
  rule(['create'], 'authentication.k8s.io', 'tokenreviews'),
  rule(['create'], 'authorization.k8s.io', 'localsubjectaccessreviews', 'subjectaccessreviews'),
  rule(read, core, 'services'),
  rule(['create', 'get', 'list', 'watch'], core, 'nodes'),
  rule(['patch', 'update'], core, 'nodes', 'nodes/status'),
  eventsRule,
  rule(read, core, 'pods'),
  rule(['create', 'delete'], core, 'pods'),
  rule(['patch', 'update'], core, 'pods/status'),
  rule(['create'], core, 'pods/eviction'),
  rule(read, core, 'configmaps', 'secrets'),
  rule(['get'], core, 'persistentvolumeclaims', 'persistentvolumes'),
  rule(['get', 'patch', 'update'], core, 'persistentvolumeclaims/status'),
  rule(['create', 'get', 'list', 'watch'], 'certificates.k8s.io', 'certificatesigningrequests'),
  rule(['create', 'delete', 'get', 'patch', 'update'], 'coordination.k8s.io', 'leases'),
  rule(['get'], 'storage.k8s.io', 'volumeattachments'),
  rule(['create'], core, 'serviceaccounts/token'),
  rule(['create', 'delete', 'get', 'patch', 'update'], 'storage.k8s.io', 'csinodes'),
  rule(read, 'storage.k8s.io', 'csidrivers'),
  rule(read, 'node.k8s.io', 'runtimeclasses'),
];

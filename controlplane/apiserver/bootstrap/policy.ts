import type { ClusterRole, ClusterRoleBinding, Role, RoleBinding, Subject } from '#api/gen/types.ts';
import { componentRoles } from './component-roles.ts';
import { controllerNames, controllerRoles } from './controller-roles.ts';
import { core, named, read, rule } from './policy-rules.ts';
import { userRoles } from './user-roles.ts';

const apiGroup = 'rbac.authorization.k8s.io';
const groups = (...names: string[]): Subject[] => names.map((name) => ({ kind: 'Group', name, apiGroup }));
const user = (name: string): Subject => ({ kind: 'User', name, apiGroup });
const systemAccount = (name: string): Subject => ({ kind: 'ServiceAccount', name, namespace: 'kube-system' });
const binding = (name: string, subjects: Subject[], role = name): ClusterRoleBinding => ({ metadata: { name }, roleRef: { apiGroup, kind: 'ClusterRole', name: role }, subjects });

function locking(component: string): { role: Role; binding: RoleBinding } {
  const metadata = { name: `system::leader-locking-${component}`, namespace: 'kube-system' };
  return {
    role: { metadata, rules: [rule(['watch'], core, 'configmaps'), named(['get', 'update'], core, 'configmaps', component)] },
    binding: { metadata, roleRef: { apiGroup, kind: 'Role', name: metadata.name }, subjects: [user(`system:${component}`), systemAccount(component)] },
  };
}

const locks = ['kube-controller-manager', 'kube-scheduler'].map(locking);
const authenticationReader = { name: 'extension-apiserver-authentication-reader', namespace: 'kube-system' };

export interface Policy {
  readonly clusterRoles: readonly ClusterRole[];
  readonly clusterRoleBindings: readonly ClusterRoleBinding[];
  readonly roles: readonly Role[];
  readonly roleBindings: readonly RoleBinding[];
}

/** The roles and bindings that every cluster has. */
export const defaultPolicy: Policy = {
  clusterRoles: [...userRoles, ...componentRoles, ...controllerRoles],
  clusterRoleBindings: [
    binding('cluster-admin', groups('system:masters')),
    binding('system:monitoring', groups('system:monitoring')),
    binding('system:discovery', groups('system:authenticated')),
    binding('system:basic-user', groups('system:authenticated')),
    binding('system:public-info-viewer', groups('system:authenticated', 'system:unauthenticated')),
    binding('system:service-account-issuer-discovery', groups('system:serviceaccounts')),
    binding('system:node-proxier', [user('system:kube-proxy')]),
    binding('system:kube-controller-manager', [user('system:kube-controller-manager')]),
    binding('system:kube-dns', [systemAccount('kube-dns')]),
    binding('system:kube-scheduler', [user('system:kube-scheduler')]),
    binding('system:volume-scheduler', [user('system:kube-scheduler')]),
    // Nodes have their own authorizer; nobody has all of this.
    binding('system:node', []),
    ...controllerNames.map((name) => binding(`system:controller:${name}`, [systemAccount(name)])),
  ],
  roles: [
    { metadata: authenticationReader, rules: [named(read, core, 'configmaps', 'extension-apiserver-authentication')] },
    ...locks.map(({ role }) => role),
  ],
  roleBindings: [
    { metadata: authenticationReader, roleRef: { apiGroup, kind: 'Role', name: authenticationReader.name }, subjects: [user('system:kube-controller-manager'), user('system:kube-scheduler')] },
    ...locks.map((lock) => lock.binding),
  ],
};

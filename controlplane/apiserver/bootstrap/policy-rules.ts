import type { ClusterRole, PolicyRule } from '#api/gen/types.ts';

/** Short forms for the roles that every cluster has. Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#default-roles-and-role-bindings */
export const read = ['get', 'list', 'watch'];
export const write = ['create', 'delete', 'deletecollection', 'patch', 'update'];
export const readWrite = [...read, ...write];

/** The core group's name is empty. */
export const core = '';

export function rule(verbs: readonly string[], group: string | readonly string[], ...resources: readonly string[]): PolicyRule {
  return { verbs: [...verbs], apiGroups: typeof group === 'string' ? [group] : [...group], resources: [...resources] };
}

export function named(verbs: readonly string[], group: string, resource: string, ...resourceNames: readonly string[]): PolicyRule {
  return { ...rule(verbs, group, resource), resourceNames: [...resourceNames] };
}

export function urls(...nonResourceURLs: readonly string[]): PolicyRule {
  return { verbs: ['get'], nonResourceURLs: [...nonResourceURLs] };
}

/** Events of both groups. */
export const eventsRule = rule(['create', 'patch', 'update'], [core, 'events.k8s.io'], 'events');

export function clusterRole(name: string, rules: readonly PolicyRule[], extra: { readonly labels?: Record<string, string>; readonly aggregates?: string } = {}): ClusterRole {
  const { labels, aggregates } = extra;
  return {
    metadata: { name, ...(labels && { labels }) },
    rules: [...rules],
    ...(aggregates !== undefined && { aggregationRule: { clusterRoleSelectors: [{ matchLabels: { [aggregates]: 'true' } }] } }),
  };
}

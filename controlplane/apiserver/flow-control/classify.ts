import type { FlowSchema, FlowSubject, NonResourcePolicyRule, ResourcePolicyRule } from '#api/gen/types.ts';
import { accountUser } from '../auth/service-accounts/claims.ts';
import type { Attributes } from '../auth/types.ts';
import type { User } from '../types.ts';

/** In the order in which they are asked: by precedence, then by name. */
export function inOrder(schemas: readonly FlowSchema[]): FlowSchema[] {
  const name = ({ metadata }: FlowSchema): string => metadata?.name ?? '';
  return [...schemas].sort((a, b) => (a.spec?.matchingPrecedence ?? 0) - (b.spec?.matchingPrecedence ?? 0) || (name(a) < name(b) ? -1 : 1));
}

/** The first that the request belongs to. */
export function classify(ordered: readonly FlowSchema[], attributes: Attributes): FlowSchema | undefined {
  return ordered.find(({ spec }) => spec?.rules?.some(({ subjects, resourceRules, nonResourceRules }) => {
    const wanted = attributes.resource ? resourceRules?.some((rule) => matchesResource(rule, attributes)) : nonResourceRules?.some((rule) => matchesPath(rule, attributes));
    return wanted === true && subjects.some((subject) => isMeant(subject, attributes.user));
  }));
}

function isMeant({ kind, user: byName, group, serviceAccount }: FlowSubject, user: User): boolean {
  switch (kind) {
    case 'User': return byName !== undefined && (byName.name === '*' || byName.name === user.name);
    case 'Group': return group !== undefined && (group.name === '*' || user.groups.includes(group.name));
    case 'ServiceAccount': {
      const { namespace = '', name = '' } = serviceAccount ?? {};
      return name === '*' ? user.name.startsWith(accountUser(namespace, '')) : user.name === accountUser(namespace, name);
    }
    default: return false;
  }
}

function has(list: readonly string[] | undefined, value: string): boolean {
  return list !== undefined && (list.includes(value) || list.includes('*'));
}

function matchesResource({ verbs, apiGroups, resources, namespaces, clusterScope }: ResourcePolicyRule, { verb, resource }: Attributes): boolean {
  if (!resource || !has(verbs, verb) || !has(apiGroups, resource.group)) return false;
  if (!has(resources, resource.subresource === undefined ? resource.plural : `${resource.plural}/${resource.subresource}`)) return false;
  return resource.namespace === undefined ? clusterScope === true : has(namespaces, resource.namespace);
}

function matchesPath({ verbs, nonResourceURLs }: NonResourcePolicyRule, { verb, path = '' }: Attributes): boolean {
  return has(verbs, verb) && (nonResourceURLs ?? []).some((url) => url === '*' || url === path || (url.endsWith('/*') && path.startsWith(url.slice(0, -1))));
}

import type { PolicyRule, Subject } from '#api/gen/types.ts';
import type { User } from '../../types.ts';
import type { Attributes } from '../types.ts';

/** What RBAC's rules mean. Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/ */

/** Whether one rule allows what is asked. */
export function ruleAllows(rule: PolicyRule, { verb, resource, path }: Attributes): boolean {
  if (!holds(rule.verbs, verb)) return false;
  if (!resource) return (rule.nonResourceURLs ?? []).some((pattern) => urlMatches(pattern, path ?? ''));
  const { group, plural, subresource, name } = resource;
  return holds(rule.apiGroups, group) && (rule.resources ?? []).some((pattern) => resourceMatches(pattern, plural, subresource)) && nameMatches(rule, name);
}

function holds(list: readonly string[] | undefined, value: string): boolean {
  return list !== undefined && (list.includes('*') || list.includes(value));
}

/** `pods`, `pods/log`, `*` for all and their subresources, and a star before a slash for one subresource of all. */
function resourceMatches(pattern: string, plural: string, subresource: string | undefined): boolean {
  if (pattern === '*') return true;
  return subresource === undefined ? pattern === plural : pattern === `${plural}/${subresource}` || pattern === `*/${subresource}`;
}

function nameMatches({ resourceNames }: PolicyRule, name: string | undefined): boolean {
  return resourceNames === undefined || resourceNames.length === 0 || (name !== undefined && resourceNames.includes(name));
}

function urlMatches(pattern: string, path: string): boolean {
  return pattern === '*' || pattern === path || (pattern.endsWith('*') && path.startsWith(pattern.replace(/\*+$/, '')));
}

/** `namespace` is that of the binding: a service account without one lives there. */
export function subjectApplies(subject: Subject, user: User, namespace: string): boolean {
  switch (subject.kind) {
    case 'User': return subject.name === user.name;
    case 'Group': return user.groups.includes(subject.name);
    case 'ServiceAccount': {
      const home = subject.namespace || namespace;
      return home !== '' && user.name === `system:serviceaccount:${home}:${subject.name}`;
    }
    default: return false;
  }
}

/** What of `wanted` the `held` rules do not grant, as rules of one verb on one thing each; empty when all is held. */
export function missingRights(held: readonly PolicyRule[], wanted: readonly PolicyRule[]): PolicyRule[] {
  return wanted.flatMap(singleRights).filter((right) => !held.some((rule) => covers(rule, right)));
}

/** A rule as rules that each say one thing, so that several rules together can grant what none does alone. */
function singleRights({ apiGroups = [], resources = [], resourceNames = [], nonResourceURLs = [], verbs }: PolicyRule): PolicyRule[] {
  const names = resourceNames.length > 0 ? resourceNames.map((name) => ({ resourceNames: [name] })) : [{}];
  const rights = apiGroups.flatMap((group) => resources.flatMap((resource) => verbs.flatMap((verb) => names.map((name) => ({ apiGroups: [group], resources: [resource], verbs: [verb], ...name })))));
  return [...rights, ...nonResourceURLs.flatMap((url) => verbs.map((verb) => ({ nonResourceURLs: [url], verbs: [verb] })))];
}

function covers(rule: PolicyRule, right: PolicyRule): boolean {
  const all = (having: readonly string[] | undefined, wanted: readonly string[] | undefined): boolean => (wanted ?? []).every((value) => holds(having, value));
  const names = right.resourceNames ?? [];
  return all(rule.verbs, right.verbs) && all(rule.apiGroups, right.apiGroups)
    && (right.resources ?? []).every((resource) => holds(rule.resources, resource) || (resource.includes('/') && holds(rule.resources, `*/${resource.slice(resource.indexOf('/') + 1)}`)))
    && (right.nonResourceURLs ?? []).every((url) => (rule.nonResourceURLs ?? []).some((pattern) => urlMatches(pattern, url)))
    && (rule.resourceNames === undefined || rule.resourceNames.length === 0 || (names.length > 0 && names.every((name) => rule.resourceNames?.includes(name))));
}

/** Rights one line each in Kubernetes' notation, those on one resource together, in order. */
export function describeRights(rights: readonly PolicyRule[]): string[] {
  const together = new Map<string, PolicyRule>();
  for (const right of rights) {
    const { verbs, ...thing } = right;
    const key = JSON.stringify(thing.nonResourceURLs ? right : thing);
    const known = together.get(key);
    together.set(key, known ? { ...known, verbs: [...known.verbs, ...verbs] } : right);
  }
  return [...new Set([...together.values()].map(describe))].sort();
}

function describe({ apiGroups, resources, nonResourceURLs, resourceNames, verbs }: PolicyRule): string {
  const parts: [string, readonly string[] | undefined][] = [['APIGroups', apiGroups], ['Resources', resources], ['NonResourceURLs', nonResourceURLs], ['ResourceNames', resourceNames], ['Verbs', verbs]];
  return `{${parts.flatMap(([label, values]) => (values && values.length > 0 ? [`${label}:${quoted(values)}`] : [])).join(', ')}}`;
}

/** `["a" "b"]`. */
export function quoted(values: readonly string[]): string {
  return `[${values.map((value) => JSON.stringify(value)).join(' ')}]`;
}

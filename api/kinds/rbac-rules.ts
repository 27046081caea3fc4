import type { PolicyRule, RoleRef, Subject } from '../gen/types.ts';
import { ageColumn, column, nameColumn, wideColumn } from '../meta/columns.ts';
import { invalid, notSupported, required, type FieldError } from '../meta/field-error.ts';
import { dns1123Subdomain, pathSegment } from '../meta/names.ts';
import type { KubeObject } from '../meta/object.ts';
import type { TableColumn } from './types.ts';

/** What roles and bindings of both scopes share. */
export const rbacGroup = 'rbac.authorization.k8s.io';

export function validateRules(rules: readonly PolicyRule[] | undefined, namespaced: boolean): FieldError[] {
  return (rules ?? []).flatMap((rule, i) => validateRule(rule, namespaced, `rules[${String(i)}]`));
}

function validateRule({ verbs, nonResourceURLs = [], apiGroups = [], resources = [], resourceNames = [] }: PolicyRule, namespaced: boolean, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!((verbs as string[] | undefined)?.length)) errors.push(required(`${path}.verbs`, 'verbs must contain at least one value'));
  if (nonResourceURLs.length > 0) {
    if (namespaced) errors.push(invalid(`${path}.nonResourceURLs`, nonResourceURLs, 'namespaced rules cannot apply to non-resource URLs'));
    if (apiGroups.length + resources.length + resourceNames.length > 0) errors.push(invalid(`${path}.nonResourceURLs`, nonResourceURLs, 'rules cannot apply to both regular resources and non-resource URLs'));
    return errors;
  }
  if (apiGroups.length === 0) errors.push(required(`${path}.apiGroups`, 'resource rules must supply at least one api group'));
  if (resources.length === 0) errors.push(required(`${path}.resources`, 'resource rules must supply at least one resource'));
  return errors;
}

interface Binding extends KubeObject { roleRef: RoleRef; subjects?: Subject[] | undefined }

export function defaultBinding({ roleRef, subjects }: Binding): void {
  if (roleRef !== undefined && !roleRef.apiGroup) roleRef.apiGroup = rbacGroup;
  for (const subject of subjects ?? []) if (!subject.apiGroup && (subject.kind === 'User' || subject.kind === 'Group')) subject.apiGroup = rbacGroup;
}

export function validateBinding({ roleRef, subjects }: Binding, old: Binding | undefined, namespaced: boolean): FieldError[] {
  if (roleRef === undefined) return [required('roleRef')];
  const errors: FieldError[] = [];
  if (roleRef.apiGroup !== rbacGroup) errors.push(notSupported('roleRef.apiGroup', roleRef.apiGroup, [rbacGroup]));
  const allowed = namespaced ? ['Role', 'ClusterRole'] : ['ClusterRole'];
  if (!allowed.includes(roleRef.kind)) errors.push(notSupported('roleRef.kind', roleRef.kind, allowed));
  if (!roleRef.name) errors.push(required('roleRef.name'));
  else {
    const problem = pathSegment(roleRef.name);
    if (problem !== undefined) errors.push(invalid('roleRef.name', roleRef.name, problem));
  }
  for (const [i, subject] of (subjects ?? []).entries()) errors.push(...validateSubject(subject, namespaced, `subjects[${String(i)}]`));
  const before = old?.roleRef;
  if (before && (before.kind !== roleRef.kind || before.name !== roleRef.name || before.apiGroup !== roleRef.apiGroup)) errors.push(invalid('roleRef', roleRef, 'cannot change roleRef'));
  return errors;
}

function validateSubject({ kind, name, apiGroup = '', namespace = '' }: Subject, namespaced: boolean, path: string): FieldError[] {
  const errors: FieldError[] = name ? [] : [required(`${path}.name`)];
  switch (kind) {
    case 'ServiceAccount': {
      const problem = name ? dns1123Subdomain(name) : undefined;
      if (problem !== undefined) errors.push(invalid(`${path}.name`, name, problem));
      if (apiGroup !== '') errors.push(notSupported(`${path}.apiGroup`, apiGroup, ['']));
      if (!namespaced && namespace === '') errors.push(required(`${path}.namespace`));
      return errors;
    }
    case 'User':
    case 'Group':
      if (apiGroup !== rbacGroup) errors.push(notSupported(`${path}.apiGroup`, apiGroup, [rbacGroup]));
      return errors;
    default: return [...errors, notSupported(`${path}.kind`, kind, ['ServiceAccount', 'User', 'Group'])];
  }
}

export function roleColumns<T extends KubeObject>(): TableColumn<T>[] {
  return [nameColumn(), column('Created At', 'When it was made', ({ metadata }) => metadata?.creationTimestamp ?? '<unknown>')];
}

export function bindingColumns<T extends Binding>(): TableColumn<T>[] {
  const names = (kind: string) => ({ subjects }: Binding): string => (subjects ?? []).filter((subject) => subject.kind === kind).map(({ namespace, name }) => (kind === 'ServiceAccount' ? `${namespace ?? ''}/${name}` : name)).join(', ');
  return [
    nameColumn(),
    column('Role', 'What is granted', ({ roleRef }: Partial<Binding>) => (roleRef ? `${roleRef.kind}/${roleRef.name}` : '')),
    ageColumn(),
    wideColumn('Users', 'Users it is granted to', names('User')),
    wideColumn('Groups', 'Groups it is granted to', names('Group')),
    wideColumn('ServiceAccounts', 'Service accounts it is granted to', names('ServiceAccount')),
  ];
}

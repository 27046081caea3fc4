import { isRecord, own } from '#api/meta/json.ts';
import { namespaceFields } from './default-fields.ts';
import { changeField } from './field-specs.ts';
import { gvkMatches, isClusterScoped } from './kinds.ts';
import { contentHash } from './generators.ts';
import { refuse } from './refuse.ts';
import type { ResourceList } from './resource-list.ts';
import { idText, sameId } from './resource.ts';

/** Kinds whose names mean something by themselves. */
const unnamed = [{ kind: 'CustomResourceDefinition' }, { kind: 'APIService', group: 'apiregistration.k8s.io' }, { kind: 'Namespace' }];

/** Puts text before or behind all names. */
export function affixNames(list: ResourceList, text: string, where: 'prefixes' | 'suffixes'): void {
  if (text === '') return;
  for (const resource of list.all) {
    if (unnamed.some((selector) => gvkMatches(resource.originalId, selector))) continue;
    resource.noteId();
    resource[where].push(text);
    resource.name = where === 'prefixes' ? text + resource.name : resource.name + text;
  }
}

export function hashNames(list: ResourceList): void {
  for (const resource of list.all.filter(({ hashed }) => hashed)) {
    const hash = contentHash(resource);
    resource.noteId();
    resource.name = `${resource.name}-${hash}`;
  }
}

/** Moves all objects to a namespace: Namespaces are named so, bindings of the default ServiceAccount mean the one there. */
export function setNamespace(list: ResourceList, namespace: string): void {
  if (namespace === '') return;
  for (const resource of list.all) {
    resource.noteId();
    const { kind } = resource.gvk;
    if (!isClusterScoped(resource.gvk)) resource.namespace = namespace;
    for (const spec of namespaceFields) changeField(resource, spec, () => namespace, 'scalar');
    const subjects = own(resource.fields, 'subjects');
    if ((kind === 'RoleBinding' || kind === 'ClusterRoleBinding') && Array.isArray(subjects)) {
      for (const subject of subjects) if (isRecord(subject) && own(subject, 'name') === 'default') subject['namespace'] = namespace;
    }
    const { id } = resource;
    const matches = list.all.filter((other) => sameId(other.id, id));
    if (matches.length !== 1) throw refuse(`namespace transformation produces ID conflict: ${matches.map((match) => idText(match.originalId)).join(', ')} would all be ${idText(id)}`);
  }
}

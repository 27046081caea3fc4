import type { Namespace } from '#api/gen/types.ts';
import { namespaces, qualifiedName } from '#api/kinds/resources.ts';
import type { KindDefinition } from '#api/kinds/types.ts';
import { matchesLabels, requirementsOf } from '#api/meta/selectors.ts';
import type { LabelSelector } from '#api/gen/types.ts';
import type { StoredObjects } from './stored-objects.ts';
import type { AdmissionRequest } from './types.ts';

/** Rules of webhooks and of policies: which requests they are about. */
export interface Rule {
  readonly operations?: readonly string[] | undefined;
  readonly apiGroups?: readonly string[] | undefined;
  readonly apiVersions?: readonly string[] | undefined;
  readonly resources?: readonly string[] | undefined;
  readonly resourceNames?: readonly string[] | undefined;
  readonly scope?: string | undefined;
}

export function operationOf({ operation }: Pick<AdmissionRequest, 'operation'>): string {
  return operation.toUpperCase();
}

function includes(values: readonly string[] | undefined, value: string): boolean {
  return values !== undefined && (values.includes('*') || values.includes(value));
}

/** `resources` may name a subresource (`pods/scale`), all of them (`pods/*`), or one of all resources. */
function matchesResource(resources: readonly string[], plural: string, subresource: string | undefined): boolean {
  return resources.some((text) => {
    const [main = '', sub] = text.split('/');
    if (main !== '*' && main !== plural) return false;
    return sub === undefined ? subresource === undefined : sub === '*' || sub === subresource;
  });
}

export function matchesRule(rule: Rule, { kind: { resource } }: { readonly kind: Pick<KindDefinition, 'resource'> }, request: Pick<AdmissionRequest, 'operation' | 'subresource' | 'namespace' | 'name'>): boolean {
  if (!includes(rule.operations, operationOf(request)) || !includes(rule.apiGroups, resource.group) || !includes(rule.apiVersions, resource.version)) return false;
  if (!matchesResource(rule.resources ?? [], resource.plural, request.subresource)) return false;
  if (rule.resourceNames?.length && !rule.resourceNames.includes(request.name)) return false;
  // A Namespace is no part of itself.
  const namespaced = resource.namespaced && request.namespace !== undefined;
  return (rule.scope ?? '*') === '*' || (rule.scope === 'Namespaced') === namespaced;
}

export function matchesSelector(selector: LabelSelector | undefined, labels: Readonly<Record<string, string>> | undefined): boolean {
  return selector === undefined || matchesLabels(requirementsOf(selector), labels);
}

function isEmpty(selector: LabelSelector | undefined): boolean {
  return selector === undefined || (Object.keys(selector.matchLabels ?? {}).length === 0 && (selector.matchExpressions ?? []).length === 0);
}

/** Selects by the labels of the object, before or after. */
export function matchesObjects(selector: LabelSelector | undefined, { object, old }: AdmissionRequest): boolean {
  return isEmpty(selector) || (object !== undefined && matchesSelector(selector, object.metadata?.labels)) || (old !== undefined && matchesSelector(selector, old.metadata?.labels));
}

/** Selects by the labels of the object's namespace, or of the Namespace that is written; what is in none is always selected. */
export async function matchesNamespace(selector: LabelSelector | undefined, request: AdmissionRequest, objects: StoredObjects): Promise<boolean> {
  if (isEmpty(selector)) return true;
  const isNamespace = qualifiedName(request.kind.resource) === 'namespaces';
  if (!isNamespace && request.namespace === undefined) return true;
  if (isNamespace) return matchesSelector(selector, (request.object ?? request.old)?.metadata?.labels);
  return matchesSelector(selector, (await namespaceOf(objects, request))?.metadata?.labels);
}

export async function namespaceOf(objects: StoredObjects, { namespace }: AdmissionRequest): Promise<Namespace | undefined> {
  return namespace === undefined ? undefined : objects.get(namespaces, undefined, namespace);
}

import type { LabelSelector, ManagedFieldsEntry, Scale } from '#api/gen/types.ts';
import { apiVersionOf } from '#api/kinds/resources.ts';
import type { KindDefinition, ScalePaths, TableColumn } from '#api/kinds/types.ts';
import { ageColumn, column, nameColumn } from '#api/meta/columns.ts';
import { invalid as invalidField } from '#api/meta/field-error.ts';
import { copyJson, isRecord, own, type JsonRecord } from '#api/meta/json.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { schemaNamed } from '#api/meta/schema.ts';
import { formatLabelSelector, requirementsOf, requirementsOfMap } from '#api/meta/selectors.ts';
import { badRequest, invalid } from './api-errors.ts';

/** What `kubectl get --subresource=scale` prints. */
export const scaleColumns: readonly TableColumn<Scale>[] = [
  nameColumn(),
  column('Desired', 'How many pods are wanted', ({ spec }) => spec?.replicas ?? 0, 'integer'),
  column('Available', 'How many pods there are', ({ status }) => status?.replicas ?? 0, 'integer'),
  ageColumn(),
];

/** What a Scale is read and checked by. */
export const scaleKind: Pick<KindDefinition<Scale>, 'resource' | 'schema'> = {
  resource: { group: 'autoscaling', version: 'v1', plural: 'scales', kind: 'Scale', namespaced: true },
  schema: () => schemaNamed('Scale'),
};

/** The `scale` view of an object. */
export function scaleOf(paths: ScalePaths, object: KubeObject): Scale {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata ?? {};
  const selector = selectorText(paths.selector.length > 0 ? at(object, paths.selector) : undefined);
  const managedFields = ownersOf(paths, object);
  return {
    kind: 'Scale', apiVersion: 'autoscaling/v1',
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp, ...(managedFields.length > 0 && { managedFields }) },
    spec: { replicas: Number(at(object, paths.specReplicas) ?? 0) },
    status: { replicas: Number(at(object, paths.statusReplicas) ?? 0), ...(selector && { selector }) },
  };
}

/** A LabelSelector, a map of labels or the text itself, as text. */
function selectorText(selector: unknown): string {
  if (typeof selector === 'string') return selector;
  if (!isRecord(selector)) return '';
  const isSelector = Object.keys(selector).every((key) => key === 'matchLabels' || key === 'matchExpressions');
  return formatLabelSelector(isSelector ? requirementsOf(selector as LabelSelector) : requirementsOfMap(selector as Record<string, string>));
}

/** Who owns the replicas, as their Scale says it. */
function ownersOf({ specReplicas }: ScalePaths, { metadata }: KubeObject): ManagedFieldsEntry[] {
  return (metadata?.managedFields ?? [])
    .filter(({ fieldsV1 }) => at(fieldsV1, specReplicas.map((field) => `f:${field}`)) !== undefined)
    .map((entry) => ({ ...entry, apiVersion: 'autoscaling/v1', fieldsV1: { 'f:spec': { 'f:replicas': {} } } }));
}

function replicasIn(scale: Scale, name: string): number {
  const replicas = scale.spec?.replicas ?? 0;
  if (scale.metadata?.name && scale.metadata.name !== name) throw badRequest(`the name of the object (${scale.metadata.name}) does not match the name on the URL (${name})`);
  if (replicas < 0) throw invalid(scaleKind.resource, name, [invalidField('spec.replicas', replicas, 'must be greater than or equal to 0')]);
  return replicas;
}

/** The object with the replicas that `scale` asks for; its resourceVersion is what the write is checked against. */
export function withScale(paths: ScalePaths, object: KubeObject, scale: Scale): KubeObject {
  const next = copyJson(object);
  setAt(next, paths.specReplicas, replicasIn(scale, object.metadata?.name ?? ''));
  if (next.metadata && scale.metadata?.resourceVersion) next.metadata.resourceVersion = scale.metadata.resourceVersion;
  return next;
}

/** What applying `scale` says of the object that it scales. */
export function scaleConfig({ resource }: Pick<KindDefinition, 'resource'>, paths: ScalePaths, name: string, scale: Scale): KubeObject {
  const { resourceVersion, uid } = scale.metadata ?? {};
  const config: KubeObject = { apiVersion: apiVersionOf(resource), kind: resource.kind, metadata: { name, ...(resourceVersion && { resourceVersion }), ...(uid && { uid }) } };
  if (scale.spec?.replicas !== undefined) setAt(config, paths.specReplicas, replicasIn(scale, name));
  return config;
}

function at(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((here, key) => (isRecord(here) ? own(here, key) : undefined), value);
}

function setAt(value: unknown, path: readonly string[], leaf: unknown): void {
  let here = value;
  for (const key of path.slice(0, -1)) {
    if (!isRecord(here)) return;
    here = (here as JsonRecord)[key] ??= {};
  }
  const last = path.at(-1);
  if (isRecord(here) && last !== undefined) here[last] = leaf;
}

import type { LabelSelector, Scale } from '#api/gen/types.ts';
import type { KindDefinition, ScalePaths, TableColumn } from '#api/kinds/types.ts';
import { ageColumn, column, nameColumn } from '#api/meta/columns.ts';
import { copyJson, isRecord, own } from '#api/meta/json.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { formatLabelSelector, requirementsOf } from '#api/meta/selectors.ts';
import { badRequest, invalid } from './api-errors.ts';

/** What `kubectl get --subresource=scale` prints. */
export const scaleColumns: readonly TableColumn<Scale>[] = [
  nameColumn(),
  column('Desired', 'How many pods are wanted', ({ spec }) => spec?.replicas ?? 0, 'integer'),
  column('Available', 'How many pods there are', ({ status }) => status?.replicas ?? 0, 'integer'),
  ageColumn(),
];

/** The `scale` view of an object. */
export function scaleOf(paths: ScalePaths, object: KubeObject): Scale {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata ?? {};
  const selector = at(object, paths.selector) as LabelSelector | undefined;
  return {
    kind: 'Scale', apiVersion: 'autoscaling/v1',
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: { replicas: Number(at(object, paths.specReplicas) ?? 0) },
    status: { replicas: Number(at(object, paths.statusReplicas) ?? 0), ...(selector && { selector: formatLabelSelector(requirementsOf(selector)) }) },
  };
}

/** The object with the replicas that `scale` asks for; its resourceVersion is what the write is checked against. */
export function applyScale(kind: KindDefinition, paths: ScalePaths, object: KubeObject, scale: unknown): KubeObject {
  if (!isRecord(scale) || !isRecord(scale['spec'] ?? {})) throw badRequest('the object provided is not a Scale');
  const { apiVersion, kind: scaleKind } = scale;
  if ((apiVersion !== undefined && apiVersion !== 'autoscaling/v1') || (scaleKind !== undefined && scaleKind !== 'Scale')) {
    throw badRequest(`the object provided is a ${String(apiVersion)}, Kind=${String(scaleKind)}; an autoscaling/v1 Scale is needed`);
  }
  const replicas = own((scale['spec'] ?? {}) as Record<string, unknown>, 'replicas') ?? 0;
  const metadata = isRecord(scale['metadata']) ? scale['metadata'] : {};
  if (typeof replicas !== 'number' || !Number.isInteger(replicas) || replicas < 0 || replicas > 2 ** 31 - 1) {
    throw invalid({ group: 'autoscaling', kind: 'Scale' }, object.metadata?.name ?? '', [{ type: 'FieldValueInvalid', field: 'spec.replicas', message: `Invalid value: ${JSON.stringify(replicas)}: must be greater than or equal to 0` }]);
  }
  if (metadata['name'] !== undefined && metadata['name'] !== object.metadata?.name) throw badRequest(`the name of the object (${String(metadata['name'])}) does not match the name on the URL (${object.metadata?.name ?? ''})`);
  const next = copyJson(object);
  setAt(next, paths.specReplicas, replicas);
  if (next.metadata && typeof metadata['resourceVersion'] === 'string' && metadata['resourceVersion'] !== '') next.metadata.resourceVersion = metadata['resourceVersion'];
  return next;
}

function at(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((here, key) => (isRecord(here) ? own(here, key) : undefined), value);
}

function setAt(value: unknown, path: readonly string[], leaf: unknown): void {
  let here = value;
  for (const key of path.slice(0, -1)) {
    if (!isRecord(here)) return;
    here = here[key] ??= {};
  }
  const last = path.at(-1);
  if (isRecord(here) && last !== undefined) here[last] = leaf;
}

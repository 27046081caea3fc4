import { isStatus, StatusError } from '#common/errors.ts';
import type { RestClient } from './client.ts';
import type { Manifest } from './manifests.ts';
import { displayName, pathOf, resolveKind, type ResourceType } from './resources.ts';

/** The annotation in which kubectl keeps what was applied last; sharing it lets kubectl and cleat take turns. */
const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';
const attempts = 5;

export interface Applied {
  readonly type: ResourceType;
  readonly name: string;
  readonly namespace: string | undefined;
  /** `deployment.apps/web`. */
  readonly display: string;
  readonly outcome: 'created' | 'configured' | 'unchanged';
  readonly warnings: readonly string[];
}

export interface ApplyOptions {
  readonly namespace: string;
  /** True when the user named the namespace: then a manifest must not name another. */
  readonly enforceNamespace: boolean;
  readonly dryRun: boolean;
  /** True: an object that was last applied from this very manifest is left alone, whatever was done to it since. */
  readonly onlyNew?: boolean;
}

type Json = Record<string, unknown>;

/**
 * Makes the server's object match `manifest`: a three-way merge of what was applied last, what the server has and
 * what is wanted. What others set (defaults, status, scale) stays; what the manifest no longer has goes.
 * Source: https://kubernetes.io/docs/tasks/manage-kubernetes-objects/declarative-config/
 */
export async function applyManifest(client: RestClient, manifest: Manifest, options: ApplyOptions): Promise<Applied> {
  const type = await resolveKind(client, manifest.apiVersion, manifest.kind);
  const name = manifest.metadata.name;
  if (name === undefined || name === '') throw new StatusError('BadRequest', `error: a ${manifest.kind} without metadata.name cannot be applied; give it a name`);
  const own = manifest.metadata.namespace;
  if (type.namespaced && options.enforceNamespace && own !== undefined && own !== options.namespace) {
    throw new StatusError('BadRequest', `the namespace from the provided object "${own}" does not match the namespace "${options.namespace}". You must pass '--namespace=${own}' to perform this operation.`);
  }
  const namespace = type.namespaced ? (own ?? options.namespace) : undefined;
  const wanted = annotate(manifest, namespace);
  const suffix = `?fieldValidation=Strict&fieldManager=kubectl-client-side-apply${options.dryRun ? '&dryRun=All' : ''}`;
  const done = (outcome: Applied['outcome'], warnings: readonly string[] = []): Applied => ({ type, name, namespace, display: displayName(type, name), outcome, warnings });

  for (let attempt = 1; ; attempt++) {
    const current = await client.find<Json>(pathOf(type, namespace, name));
    try {
      if (!current) {
        const { warnings } = await client.request('POST', pathOf(type, namespace) + suffix, { body: JSON.stringify(wanted) });
        return done('created', warnings);
      }
      const annotations = ((current['metadata'] as Json | undefined)?.['annotations'] ?? {}) as Record<string, string>;
      if (options.onlyNew === true && annotations[lastApplied] === (wanted['metadata'] as { annotations: Record<string, string> }).annotations[lastApplied]) return done('unchanged');
      const previous = JSON.parse(annotations[lastApplied] ?? '{}') as Json;
      const patch = threeWayPatch(previous, current, wanted);
      if (patch === undefined) return done('unchanged');
      const { body, warnings } = await client.request('PATCH', pathOf(type, namespace, name) + suffix, { body: JSON.stringify(patch), contentType: 'application/strategic-merge-patch+json' });
      const after = JSON.parse(body) as { metadata?: { resourceVersion?: string } };
      return done(after.metadata?.resourceVersion === (current['metadata'] as Json | undefined)?.['resourceVersion'] ? 'unchanged' : 'configured', warnings);
    } catch (error) {
      if (!isStatus(error, 'Conflict', 'AlreadyExists', 'NotFound') || attempt >= attempts) throw error;
    }
  }
}

function annotate(manifest: Manifest, namespace: string | undefined): Json {
  const { [lastApplied]: _dropped, ...annotations } = manifest.metadata.annotations ?? {};
  const bare = { ...manifest, metadata: { ...manifest.metadata, annotations, ...(namespace !== undefined && { namespace }) } };
  return { ...bare, metadata: { ...bare.metadata, annotations: { ...annotations, [lastApplied]: `${JSON.stringify(bare)}\n` } } };
}

/** Keys by which lists of objects are merged; Kubernetes' patch merge keys for the lists of everyday kinds. */
const mergeKeys: Readonly<Record<string, readonly string[]>> = {
  containers: ['name'], initContainers: ['name'], ephemeralContainers: ['name'], env: ['name'], volumes: ['name'], volumeMounts: ['mountPath'], volumeDevices: ['devicePath'],
  imagePullSecrets: ['name'], hostAliases: ['ip'], topologySpreadConstraints: ['topologyKey'], ownerReferences: ['uid'], conditions: ['type'], taints: ['key'], secrets: ['name'],
};
/** `ports` is keyed by `port` in a Service and by `containerPort` in a container. */
function keyOfList(field: string, items: readonly unknown[]): string | undefined {
  if (field === 'ports') return items.some((item) => isObject(item) && 'containerPort' in item) ? 'containerPort' : 'port';
  return mergeKeys[field]?.[0];
}

/**
 * A strategic merge patch that brings `current` to `wanted`, removing what `previous` had and `wanted` has not;
 * undefined when nothing differs. Lists without a merge key are replaced whole.
 */
export function threeWayPatch(previous: Json, current: Json, wanted: Json): Json | undefined {
  const patch: Json = {};
  for (const [field, value] of Object.entries(wanted)) {
    const before = previous[field];
    const now = current[field];
    if (isObject(value) && isObject(now)) {
      const nested = threeWayPatch(isObject(before) ? before : {}, now, value);
      if (nested !== undefined) patch[field] = nested;
    } else if (Array.isArray(value) && Array.isArray(now)) {
      Object.assign(patch, listPatch(field, Array.isArray(before) ? before : [], now, value));
    } else if (!sameJson(value, now) && !(value === null && now === undefined)) {
      patch[field] = value;
    }
  }
  for (const field of Object.keys(previous)) {
    if (!(field in wanted) && field in current) patch[field] = null;
  }
  return Object.keys(patch).length === 0 ? undefined : patch;
}

function listPatch(field: string, previous: readonly unknown[], current: readonly unknown[], wanted: readonly unknown[]): Json {
  const key = [...wanted, ...current].every(isObject) ? keyOfList(field, [...wanted, ...current]) : undefined;
  if (key === undefined) return sameJson(current, wanted) ? {} : { [field]: wanted };
  const find = (list: readonly unknown[], value: unknown): Json | undefined => list.find((item): item is Json => isObject(item) && item[key] === value);
  const changes: Json[] = [];
  for (const item of wanted as Json[]) {
    const now = find(current, item[key]);
    const nested = now ? threeWayPatch(find(previous, item[key]) ?? {}, now, item) : item;
    if (nested !== undefined) changes.push({ ...nested, [key]: item[key] });
  }
  for (const item of previous as Json[]) {
    if (isObject(item) && !find(wanted, item[key]) && find(current, item[key])) changes.push({ $patch: 'delete', [key]: item[key] });
  }
  const order = (wanted as Json[]).map((item) => ({ [key]: item[key] }));
  const ordered = sameJson(order.map((item) => item[key]), (current as Json[]).map((item) => item[key]).filter((value) => find(wanted, value)));
  if (changes.length === 0 && ordered) return {};
  return { [`$setElementOrder/${field}`]: order, ...(changes.length > 0 && { [field]: changes }) };
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function sameJson(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((item, i) => sameJson(item, b[i]));
  if (isObject(a) && isObject(b)) return Object.keys(a).length === Object.keys(b).length && Object.entries(a).every(([key, value]) => sameJson(value, b[key]));
  return a === b;
}

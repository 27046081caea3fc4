import { isStatus, StatusError } from '#common/errors.ts';
import type { Answer, RestClient } from './client.ts';
import type { Manifest } from './manifests.ts';
import { displayName, namespaceOf, pathOf, resolveKind, type ResourceType } from './resources.ts';

/** The annotation in which kubectl keeps what was applied last; sharing it lets kubectl and cleat take turns. */
const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';
const attempts = 5;

export interface Applied {
  readonly type: ResourceType;
  readonly name: string;
  readonly namespace: string | undefined;
  /** `deployment.apps/web`. */
  readonly display: string;
  readonly outcome: 'created' | 'configured' | 'unchanged' | 'serverside-applied';
  /** As the server has it now, or would have it. */
  readonly object: object;
  readonly warnings: readonly string[];
}

export interface ApplyOptions {
  /** Where the manifest is from, for errors. */
  readonly source: string;
  readonly namespace: string;
  /** True when the user named the namespace: then a manifest must not name another. */
  readonly enforceNamespace: boolean;
  /** `client` asks the server for nothing but the object as it is. */
  readonly dryRun: 'none' | 'client' | 'server';
  /** What the server does about fields that it does not know. */
  readonly validate?: 'Strict' | 'Warn' | 'Ignore';
  /** Lets the server merge, by who owns which field. */
  readonly serverSide?: { readonly manager: string; readonly force: boolean };
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
  const { source } = options;
  const type = await resolveKind(client, manifest, source);
  const { name, generateName } = manifest.metadata;
  if (generateName !== undefined && (name === undefined || name === '')) throw new StatusError('BadRequest', `from ${generateName}: cannot use generate name with apply`);
  if (name === undefined || name === '') throw new StatusError('BadRequest', `error when applying ${JSON.stringify(source)}: a ${manifest.kind} without metadata.name cannot be applied; give it a name`);
  const own = manifest.metadata.namespace;
  const namespace = namespaceOf(type, own, { namespace: options.namespace, enforced: options.enforceNamespace });
  const { serverSide, dryRun } = options;
  const suffix = `?fieldValidation=${options.validate ?? 'Strict'}&fieldManager=${encodeURIComponent(serverSide?.manager ?? 'kubectl-client-side-apply')}${dryRun === 'server' ? '&dryRun=All' : ''}`;
  const done = (outcome: Applied['outcome'], object: object, warnings: readonly string[] = []): Applied => ({ type, name, namespace, display: displayName(type, name), outcome, object, warnings });
  if (serverSide) {
    const body = JSON.stringify({ ...manifest, metadata: { ...manifest.metadata, ...(namespace !== undefined && { namespace }) } });
    const answer = await client.request('PATCH', `${pathOf(type, namespace, name)}${suffix}&force=${String(serverSide.force)}`, { body, contentType: 'application/apply-patch+yaml' })
      .catch((error: unknown) => { throw withSource('applying', source, error); });
    return done('serverside-applied', JSON.parse(answer.body) as object, answer.warnings);
  }
  const wanted = annotate(manifest, namespace);

  for (let attempt = 1; ; attempt++) {
    let doing = `retrieving current configuration of ${displayName(type, name)} from server for:`;
    try {
      const current = await client.find<Json>(pathOf(type, namespace, name));
      if (!current) {
        if (dryRun === 'client') return done('created', wanted);
        doing = 'creating';
        const { body, warnings } = await client.request('POST', pathOf(type, namespace) + suffix, { body: JSON.stringify(wanted) });
        return done('created', JSON.parse(body) as object, warnings);
      }
      const annotations = ((current['metadata'] as Json | undefined)?.['annotations'] ?? {}) as Record<string, string>;
      if (options.onlyNew === true && annotations[lastApplied] === (wanted['metadata'] as { annotations: Record<string, string> }).annotations[lastApplied]) return done('unchanged', current);
      const previous = JSON.parse(annotations[lastApplied] ?? '{}') as Json;
      const patch = threeWayPatch(previous, current, wanted);
      if (patch === undefined) return done('unchanged', current);
      if (dryRun === 'client') return done('configured', wanted);
      doing = 'patching';
      const send = (value: Json, format: string): Promise<Answer> => client.request('PATCH', pathOf(type, namespace, name) + suffix, { body: JSON.stringify(value), contentType: `application/${format}+json` });
      // Custom resources have no strategic merge: there lists are replaced whole.
      const { body, warnings } = await send(patch, 'strategic-merge-patch').catch((error: unknown) => {
        if (!isStatus(error, 'UnsupportedMediaType')) throw error;
        return send(threeWayPatch(previous, current, wanted, 'whole lists') ?? {}, 'merge-patch');
      });
      const after = JSON.parse(body) as { metadata?: { resourceVersion?: string } };
      return done(after.metadata?.resourceVersion === (current['metadata'] as Json | undefined)?.['resourceVersion'] ? 'unchanged' : 'configured', after, warnings);
    } catch (error) {
      if (!isStatus(error, 'Conflict', 'AlreadyExists', 'NotFound') || attempt >= attempts) throw withSource(doing, source, aboutObject(error, type, name));
    }
  }
}

/** Says what was being done with which file. */
function withSource(doing: string, source: string, error: unknown): unknown {
  if (!isStatus(error) || error.details === undefined) return error;
  return new StatusError(error.code, `error when ${doing} ${JSON.stringify(source)}: ${error.message}`, { cause: error, details: error.details });
}

/** What the server says against a patch as a whole, it says with the patch, and of no object: who applied a file knows no patch. */
export function aboutObject(error: unknown, { kind, group }: ResourceType, name: string): unknown {
  if (!isStatus(error, 'Invalid') || error.details?.causes?.[0]?.field !== 'patch') return error;
  const causes = error.details.causes.map(({ reason, message }) => ({ reason, message: message.replace(/^Invalid value: "(?:[^"\\]|\\.)*": /s, '') }));
  return new StatusError(error.code, `${kind}${group === '' ? '' : `.${group}`} "${name}" is invalid: ${causes.map(({ message }) => message).join(', ')}`, { cause: error, details: { ...error.details, kind, name, causes } });
}

function annotate(manifest: Manifest, namespace: string | undefined): Json {
  const { [lastApplied]: _dropped, ...annotations } = manifest.metadata.annotations ?? {};
  const bare = { ...manifest, metadata: { ...manifest.metadata, annotations, ...(namespace !== undefined && { namespace }) } };
  return { ...bare, metadata: { ...bare.metadata, annotations: { ...annotations, [lastApplied]: `${JSON.stringify(bare)}\n` } } };
}

/** Keys by which lists of objects are merged; Kubernetes' patch merge keys for the lists of everyday kinds. */
const mergeKeys: Readonly<Record<string, readonly string[]>> = {
  containers: ['name'], initContainers: ['name'], ephemeralContainers: ['name'], env: ['name'], volumes: ['name'], volumeMounts: ['mountPath'], volumeDevices: ['devicePath'],
  imagePullSecrets: ['name'], hostAliases: ['ip'], topologySpreadConstraints: ['topologyKey'], ownerReferences: ['uid'], conditions: ['type'], secrets: ['name'],
  resourceClaims: ['name'], schedulingGates: ['name'], webhooks: ['name'], matchConditions: ['name'], variables: ['name'],
};
/** Kinds whose lists are replaced whole although they are named as those above. */
const kindsOfWholeLists: ReadonlySet<unknown> = new Set(['EndpointSlice', 'ServiceAccount']);
/** `ports` is keyed by `port` in a Service and by `containerPort` in a container. */
function keyOfList(field: string, items: readonly unknown[]): string | undefined {
  if (field === 'ports') return items.some((item) => isObject(item) && 'containerPort' in item) ? 'containerPort' : 'port';
  return mergeKeys[field]?.[0];
}

/**
 * A strategic merge patch that brings `current` to `wanted`, removing what `previous` had and `wanted` has not;
 * undefined when nothing differs. Lists without a merge key are replaced whole; with `whole lists` all are, which makes
 * it a JSON merge patch.
 */
export function threeWayPatch(previous: Json, current: Json, wanted: Json, lists: 'merged lists' | 'whole lists' = kindsOfWholeLists.has(wanted['kind']) ? 'whole lists' : 'merged lists'): Json | undefined {
  const patch: Json = {};
  for (const [field, value] of Object.entries(wanted)) {
    const before = previous[field];
    const now = current[field];
    if (isObject(value) && isObject(now)) {
      const nested = threeWayPatch(isObject(before) ? before : {}, now, value, lists);
      if (nested !== undefined) patch[field] = nested;
    } else if (lists === 'merged lists' && Array.isArray(value) && Array.isArray(now)) {
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

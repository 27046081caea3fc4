import { StatusError } from '#common/errors.ts';
import type { ManagedFieldsEntry } from '../../gen/types.ts';
import { copyJson, deeperThan, isRecord, maxDepth, type JsonRecord } from '../json.ts';
import type { KubeObject } from '../object.ts';
import type { Schema } from '../schema.ts';
import { difference, emptySet, intersection, isEmptySet, pathsOf, sameSet, union, withoutTrees, type FieldSet } from './field-set.ts';
import { areReadable, encodeManagers, isSameManager, managersOf, ownable, withFewUpdaters, type Manager } from './managers.ts';
import { withoutNulls } from './nulls.ts';
import { compare, fieldsOf, merge, removeFields, unchanged, withStructs, type Comparison } from './typed.ts';

/** Who writes, when and through what. */
export interface Writer {
  readonly manager: string;
  /** Empty for the main resource. */
  readonly subresource: string;
  readonly apiVersion: string;
  /** RFC 3339. */
  readonly now: string;
}

/** An object in other versions: who owns fields in one of those is asked there whether they changed. */
export interface Versions {
  /** Undefined: nobody serves that version any more; who owned fields in it owns nothing. */
  readonly schemaOf: (apiVersion: string) => Schema | undefined;
  /** Never changes what it is given. */
  readonly convert: (object: KubeObject, apiVersion: string) => KubeObject;
}

/** Owner of what was there before an object was first applied. */
export const beforeFirstApply = 'before-first-apply';
const clientSideApply = 'kubectl-client-side-apply';
const lastAppliedAnnotation = 'kubectl.kubernetes.io/last-applied-configuration';

/**
 * Server-side apply: `live` with all that `config` says, without what this manager said before and says no more
 * (unless others own it), and with the ownership of fields brought up to date. `live` is undefined on create.
 * Fields that others own with another value are a Conflict, one cause each, unless `force` takes them over.
 * The result is not defaulted; nothing given is changed.
 * Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/
 */
export function serverSideApply(schema: Schema, live: KubeObject | undefined, config: KubeObject, writer: Writer, force: boolean, versions?: Versions): KubeObject {
  if (config.metadata?.managedFields !== undefined) throw new StatusError('BadRequest', 'metadata.managedFields must be nil');
  const before = live ?? {};
  const known = served(knownManagers(schema, live, writer), writer, versions);
  const self: Manager = { name: writer.manager, operation: 'Apply', subresource: writer.subresource, apiVersion: writer.apiVersion, time: writer.now, fields: ownable(fieldsOf(schema, config)) };
  const last = known.find((manager) => isSameManager(manager, self));
  const others = known.filter((manager) => manager !== last);
  const merged = merge(schema, before, config) as KubeObject;
  // Merged again for what is said to be empty: nobody owns that, and pruning takes it along.
  const pruned = last && versions && [last, ...others].some(({ apiVersion }) => apiVersion !== writer.apiVersion)
    ? pruneAcross(schema, merged, self, last, others, versions)
    : prune(schema, merged, self.fields, last?.fields, others);
  const whole = merge(schema, pruned, config) as KubeObject;
  const changes = new Changes(schema, withoutManagers(before), withoutManagers(whole), writer.apiVersion, versions);
  const object = copyJson(withoutNulls(schema, whole) as KubeObject);
  // kubectl that changes from one way of applying to the other is no stranger to what it has said before.
  const own = writer.manager === 'kubectl' && live !== undefined ? lastApplied(schema, live) : undefined;
  const settled = yieldFields(others, changes, (lost) => (force ? emptySet : difference(lost, own ?? emptySet)));
  const same = last !== undefined && sameSet(last.fields, self.fields) && isNothing(changes.in(writer.apiVersion));
  if (own && !isEmptySet(own) && object.metadata?.annotations) object.metadata.annotations[lastAppliedAnnotation] = `${JSON.stringify(config)}\n`;
  return withManagers(object, [...settled, same ? { ...last, apiVersion: self.apiVersion } : self]);
}

/**
 * The ownership of fields after a write that is no apply: who changed a field owns it, alone. `before` is undefined on
 * create. Objects without owners, as from before there were any, get none by an update. Changes `after` in place and returns it.
 */
export function trackUpdate<T extends KubeObject>(schema: Schema, before: KubeObject | undefined, after: T, writer: Writer, versions?: Versions): T {
  // A client may say who owns what, but not through a subresource.
  const sent = writer.subresource === '' ? after.metadata?.managedFields : undefined;
  // One empty entry asks for a reset.
  const reset = sent?.length === 1 && Object.keys(sent[0] ?? {}).length === 0;
  const given = sent !== undefined && sent.length > 0 && !reset && areReadable(sent);
  const known = served(reset ? [] : given ? managersOf(after, false) : managersOf(before ?? {}), writer, versions);
  if (before !== undefined && known.length === 0) return withManagers(after, []);
  const all = new Changes(schema, { ...skeletonOf(after), ...withoutManagers(before ?? {}) }, withoutManagers(after), writer.apiVersion, versions);
  const changes = all.in(writer.apiVersion);
  if (before !== undefined && !given && isNothing(changes)) return withEntries(after, before.metadata?.managedFields ?? []);
  const taken = ownable(union(changes.added, changes.modified));
  const self: Manager = { name: writer.manager, operation: 'Update', subresource: writer.subresource, apiVersion: writer.apiVersion, time: writer.now, fields: taken };
  const last = known.find((manager) => isSameManager(manager, self));
  const settled = yieldFields(known.filter((manager) => manager !== last), all, () => emptySet);
  const kept = last && (isEmptySet(changes.removed) ? last : { ...last, fields: withoutTrees(last.fields, changes.removed), encoded: undefined });
  const mine = isEmptySet(taken) ? kept : { ...self, fields: union(kept?.fields ?? emptySet, taken) };
  return withManagers(after, mine ? [...settled, mine] : settled);
}

/** What differs between two states of an object, in each version in which somebody owns a part of it. */
class Changes {
  readonly #known = new Map<string, Comparison>();
  readonly #before: KubeObject;
  readonly #after: KubeObject;
  readonly #versions: Versions | undefined;
  readonly #own: string;

  constructor(schema: Schema, before: KubeObject, after: KubeObject, apiVersion: string, versions: Versions | undefined) {
    this.#own = apiVersion;
    this.#before = before;
    this.#after = after;
    this.#versions = versions;
    this.#known.set(apiVersion, compare(schema, before, after));
  }

  /** Without other versions all speak of the one that there is. */
  in(asked: string): Comparison {
    const apiVersion = this.#versions ? asked : this.#own;
    const known = this.#known.get(apiVersion);
    if (known) return known;
    const schema = this.#versions?.schemaOf(apiVersion);
    const changes = schema && this.#versions ? compare(schema, this.#versions.convert(this.#before, apiVersion), this.#versions.convert(this.#after, apiVersion)) : unchanged;
    this.#known.set(apiVersion, changes);
    return changes;
  }
}

/** Managers of versions that are gone are gone with them. */
function served(managers: Manager[], { apiVersion: own }: Writer, versions: Versions | undefined): Manager[] {
  return versions ? managers.filter(({ apiVersion }) => apiVersion === own || versions.schemaOf(apiVersion) !== undefined) : managers;
}

const always = new Set(['metadata', 'spec', 'status', 'template', 'jobTemplate', 'strategy', 'updateStrategy']);

/** What an object has before anybody says anything: parts that Kubernetes cannot think of as absent, so that nobody adds them. */
function skeletonOf(value: KubeObject): KubeObject {
  const parts = (record: JsonRecord): JsonRecord => Object.fromEntries(Object.entries(record).flatMap(([key, part]): [string, unknown][] => {
    if (key === 'containers' && Array.isArray(part)) return [[key, []]];
    return always.has(key) && isRecord(part) ? [[key, parts(part)]] : [];
  }));
  return parts(value as JsonRecord) as KubeObject;
}

function isNothing({ added, modified, removed }: Comparison): boolean {
  return isEmptySet(added) && isEmptySet(modified) && isEmptySet(removed);
}

function knownManagers(schema: Schema, live: KubeObject | undefined, { apiVersion, now }: Writer): Manager[] {
  if (live === undefined) return [];
  const known = managersOf(live);
  if (known.length > 0) return known;
  const entry = (name: string, fields: FieldSet): Manager => ({ name, operation: 'Update', subresource: '', apiVersion, time: live.metadata?.creationTimestamp ?? now, fields });
  const all = ownable(fieldsOf(schema, live));
  const byKubectl = intersection(lastApplied(schema, live), all);
  return [entry(clientSideApply, byKubectl), entry(beforeFirstApply, difference(all, byKubectl))];
}

/** What `kubectl apply` without `--server-side` said last, by its annotation, which is its own too. */
function lastApplied(schema: Schema, live: KubeObject): FieldSet {
  const text = live.metadata?.annotations?.[lastAppliedAnnotation];
  if (text === undefined) return emptySet;
  try {
    const said: unknown = JSON.parse(text);
    const annotation = fieldsOf(schema, { metadata: { annotations: { [lastAppliedAnnotation]: '' } } });
    return isRecord(said) && !deeperThan(said, maxDepth) ? union(ownable(fieldsOf(schema, said)), annotation) : emptySet;
  } catch {
    // Somebody wrote something else there; then it says nothing.
    return emptySet;
  }
}

/** `merged` without what `last` had and `now` has not, as far as nobody else owns it. */
function prune(schema: Schema, merged: KubeObject, now: FieldSet, last: FieldSet | undefined, others: readonly Manager[]): KubeObject {
  if (last === undefined) return merged;
  const structs = (set: FieldSet): FieldSet => withStructs(schema, merged, set);
  const kept = others.reduce((all, { fields }) => union(all, fields), now);
  return removeFields(schema, merged, difference(structs(last), structs(kept)), kept) as KubeObject;
}

/** As `prune`, where those concerned speak of the object in several versions: each is heard in its own. */
function pruneAcross(schema: Schema, merged: KubeObject, self: Manager, last: Manager, others: readonly Manager[], { schemaOf, convert }: Versions): KubeObject {
  const inVersion = (apiVersion: string): Schema => (apiVersion === self.apiVersion ? schema : schemaOf(apiVersion) ?? schema);
  const at = (object: KubeObject, apiVersion: string, from: string): KubeObject => (apiVersion === from ? object : convert(object, apiVersion));
  const byVersion = Map.groupBy(others, ({ apiVersion }) => apiVersion);
  const first = last.apiVersion;
  const now = first === self.apiVersion ? self.fields : emptySet;
  let current = first;
  let pruned = prune(inVersion(first), at(merged, first, self.apiVersion), now, last.fields, byVersion.get(first) ?? []);
  for (const [apiVersion, owners] of byVersion) {
    if (apiVersion === first) continue;
    // What has gone and is theirs comes back.
    const [target, whole] = [inVersion(apiVersion), at(merged, apiVersion, self.apiVersion)];
    const owned = owners.reduce((all, { fields }) => union(all, fields), emptySet);
    const gone = difference(fieldsOf(target, whole), fieldsOf(target, at(pruned, apiVersion, current)));
    pruned = removeFields(target, whole, difference(gone, owned), owned) as KubeObject;
    current = apiVersion;
  }
  return at(pruned, self.apiVersion, current);
}

/** Who owned a changed field loses it; what `refused` leaves of that is a Conflict. Fields that are gone belong to nobody. */
function yieldFields(managers: readonly Manager[], all: Changes, refused: (lost: FieldSet) => FieldSet): Manager[] {
  const conflicts: Conflict[] = [];
  const settled = managers.map((manager) => {
    const changes = all.in(manager.apiVersion);
    const changed = union(changes.added, changes.modified);
    const lost = intersection(manager.fields, changed);
    conflicts.push(...pathsOf(refused(lost)).map((field) => ({ owner: describe(manager), field })));
    if (isEmptySet(lost) && isEmptySet(changes.removed)) return manager;
    return { ...manager, fields: withoutTrees(difference(manager.fields, lost), changes.removed), encoded: undefined };
  });
  if (conflicts.length > 0) throw conflict(conflicts);
  return settled;
}

function describe({ name, operation, apiVersion, subresource }: Manager): string {
  const through = subresource === '' ? '' : ` with subresource ${JSON.stringify(subresource)}`;
  return operation === 'Update' ? `${JSON.stringify(name)}${through} using ${apiVersion}` : `${JSON.stringify(name)}${through}`;
}

interface Conflict { readonly owner: string; readonly field: string }

function conflict(conflicts: readonly Conflict[]): StatusError {
  const [only] = conflicts;
  const byOwner = Object.entries(Object.groupBy(conflicts, ({ owner }) => owner)).sort(([a], [b]) => (a < b ? -1 : 1));
  const many = byOwner.map(([owner, list = []]) => [`conflicts with ${owner}:`, ...list.map(({ field }) => `- ${field}`)].join('\n')).join('\n');
  const message = conflicts.length === 1 ? `1 conflict: conflict with ${only?.owner ?? ''}: ${only?.field ?? ''}` : `${String(conflicts.length)} conflicts: ${many}`;
  const causes = conflicts.map(({ owner, field }) => ({ reason: 'FieldManagerConflict', message: `conflict with ${owner}`, field }));
  return new StatusError('Conflict', `Apply failed with ${message}`, { details: { causes } });
}

function withoutManagers(object: KubeObject): KubeObject {
  if (object.metadata?.managedFields === undefined) return object;
  const { managedFields: _, ...metadata } = object.metadata;
  return { ...object, metadata };
}

function withManagers<T extends KubeObject>(object: T, managers: readonly Manager[]): T {
  return withEntries(object, encodeManagers(withFewUpdaters(managers)));
}

function withEntries<T extends KubeObject>(object: T, entries: ManagedFieldsEntry[]): T {
  const metadata = (object.metadata ??= {});
  if (entries.length > 0) metadata.managedFields = entries;
  else delete metadata.managedFields;
  return object;
}

import { StatusError } from '#common/errors.ts';
import { copyJson, deeperThan, isRecord, maxDepth } from '../json.ts';
import type { KubeObject } from '../object.ts';
import type { Schema } from '../schema.ts';
import { difference, emptySet, intersection, isEmptySet, pathsOf, sameSet, union, withoutTrees, type FieldSet } from './field-set.ts';
import { encodeManagers, isSameManager, managersOf, ownable, type Manager } from './managers.ts';
import { compare, fieldsOf, merge, removeFields, withStructs } from './typed.ts';

/** Who writes, when and through what. */
export interface Writer {
  readonly manager: string;
  /** Empty for the main resource. */
  readonly subresource: string;
  readonly apiVersion: string;
  /** RFC 3339. */
  readonly now: string;
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
export function serverSideApply(schema: Schema, live: KubeObject | undefined, config: KubeObject, writer: Writer, force: boolean): KubeObject {
  if (config.metadata?.managedFields !== undefined) throw new StatusError('BadRequest', 'metadata.managedFields must be nil');
  const before = live ?? {};
  const known = knownManagers(schema, live, writer);
  const self: Manager = { name: writer.manager, operation: 'Apply', subresource: writer.subresource, apiVersion: writer.apiVersion, time: writer.now, fields: ownable(fieldsOf(schema, config)) };
  const last = known.find((manager) => isSameManager(manager, self));
  const others = known.filter((manager) => manager !== last);
  const merged = merge(schema, before, config) as KubeObject;
  // Merged again for what is said to be empty: nobody owns that, and pruning takes it along.
  const object = copyJson(merge(schema, prune(schema, merged, self.fields, last?.fields, others), config) as KubeObject);
  const changes = compare(schema, withoutManagers(before), withoutManagers(object));
  // kubectl that changes from one way of applying to the other is no stranger to itself.
  const settled = yieldFields(others, changes, (other) => force || (writer.manager === 'kubectl' && other.name === clientSideApply));
  const same = last !== undefined && sameSet(last.fields, self.fields);
  return withManagers(object, [...settled, same ? last : self]);
}

/**
 * The ownership of fields after a write that is no apply: who changed a field owns it, alone. Objects that were never
 * applied are not tracked: it would more than double their size. Changes `after` in place and returns it.
 */
export function trackUpdate<T extends KubeObject>(schema: Schema, before: KubeObject, after: T, writer: Writer): T {
  const sent = after.metadata?.managedFields;
  // One empty entry asks for a reset.
  const reset = sent?.length === 1 && Object.keys(sent[0] ?? {}).length === 0;
  if (reset && after.metadata) delete after.metadata.managedFields;
  const known = managersOf(sent?.length ? after : before);
  if (reset || known.length === 0) return after;
  const changes = compare(schema, withoutManagers(before), withoutManagers(after));
  const taken = ownable(union(changes.added, changes.modified));
  const self: Manager = { name: writer.manager, operation: 'Update', subresource: writer.subresource, apiVersion: writer.apiVersion, time: writer.now, fields: taken };
  const last = known.find((manager) => isSameManager(manager, self));
  const settled = yieldFields(known.filter((manager) => manager !== last), changes, () => true);
  const kept = last && { ...last, fields: withoutTrees(last.fields, changes.removed) };
  const mine = isEmptySet(taken) ? kept : { ...self, fields: union(kept?.fields ?? emptySet, taken) };
  return withManagers(after, mine ? [...settled, mine] : settled);
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

/** Who owned a changed field loses it; where that may not be forced it is a Conflict. Fields that are gone belong to nobody. */
function yieldFields(managers: readonly Manager[], changes: ReturnType<typeof compare>, force: (manager: Manager) => boolean): Manager[] {
  const changed = union(changes.added, changes.modified);
  const conflicts: Conflict[] = [];
  const settled = managers.map((manager) => {
    const lost = intersection(manager.fields, changed);
    if (!force(manager)) conflicts.push(...pathsOf(lost).map((field) => ({ owner: describe(manager), field })));
    return { ...manager, fields: withoutTrees(difference(manager.fields, lost), changes.removed) };
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
  const byOwner = Object.entries(Object.groupBy(conflicts, ({ owner }) => owner));
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
  const entries = encodeManagers(managers);
  const metadata = (object.metadata ??= {});
  if (entries.length > 0) metadata.managedFields = entries;
  else delete metadata.managedFields;
  return object;
}

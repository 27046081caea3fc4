import type { ManagedFieldsEntry } from '../../gen/types.ts';
import type { KubeObject } from '../object.ts';
import { decodeFields, emptySet, encodeFields, isEmptySet, setOf, union, type FieldSet } from './field-set.ts';

/** One entry of `metadata.managedFields`. */
export interface Manager {
  readonly name: string;
  readonly operation: 'Apply' | 'Update';
  /** Empty for the main resource. */
  readonly subresource: string;
  readonly apiVersion: string;
  readonly time: string | undefined;
  readonly fields: FieldSet;
  /** `fields` as they were read, while they are the same. */
  readonly encoded?: unknown;
}

/** Who applies is one manager in every version; who updates, one in each. */
export function isSameManager(a: Manager, b: Manager): boolean {
  return a.name === b.name && a.operation === b.operation && a.subresource === b.subresource && (a.operation === 'Apply' || a.apiVersion === b.apiVersion);
}

/** False for entries that say nothing which can be understood; then none of them counts. */
export function areReadable(entries: readonly ManagedFieldsEntry[]): boolean {
  return entries.every(({ operation, apiVersion, fieldsType }) => (operation === 'Apply' || operation === 'Update') && !!apiVersion && fieldsType === 'FieldsV1');
}

/** `ours`: the entries are as we wrote them. */
export function managersOf(object: KubeObject, ours = true): Manager[] {
  return (object.metadata?.managedFields ?? []).map((entry) => ({
    name: entry.manager ?? '', operation: entry.operation === 'Apply' ? 'Apply' : 'Update', subresource: entry.subresource ?? '',
    apiVersion: entry.apiVersion ?? '', time: entry.time, fields: decodeFields(entry.fieldsV1), ...(ours && { encoded: entry.fieldsV1 }),
  }));
}

/** The entries in Kubernetes' order: those that apply first, then by age and name. Who owns nothing is not listed. */
export function encodeManagers(managers: readonly Manager[]): ManagedFieldsEntry[] {
  const order = ({ operation, time = '', name, apiVersion, subresource }: Manager): string => [operation, time, name, apiVersion, subresource].join('\0');
  const listed = managers.filter(({ fields }) => !isEmptySet(fields)).map((manager) => ({ manager, order: order(manager) }));
  return listed.sort((a, b) => (a.order < b.order ? -1 : 1)).map(({ manager: { name, operation, subresource, apiVersion, time, fields, encoded } }) => ({
    manager: name, operation, apiVersion, ...(time !== undefined && { time }), fieldsType: 'FieldsV1', fieldsV1: encoded ?? encodeFields(fields), ...(subresource !== '' && { subresource }),
  }));
}

const maxUpdaters = 10;

/** So that an object does not grow with everybody who ever changed it, the oldest of many that update become one. */
export function withFewUpdaters(managers: readonly Manager[]): readonly Manager[] {
  const updaters = managers.filter(({ operation }) => operation === 'Update').sort((a, b) => ((a.time ?? '') < (b.time ?? '') ? -1 : 1));
  let over = updaters.length - maxUpdaters;
  if (over <= 0) return managers;
  const gone = new Set<Manager>();
  /** By version: who stands for the others, and all of them once there are two. */
  const buckets = new Map<string, Manager>();
  for (const manager of updaters) {
    const bucket = buckets.get(manager.apiVersion);
    buckets.set(manager.apiVersion, bucket ? { ...bucket, name: 'ancient-changes', subresource: '', time: manager.time, fields: union(bucket.fields, manager.fields), encoded: undefined } : manager);
    gone.add(manager);
    if (bucket && --over === 0) break;
  }
  return [...managers.filter((manager) => !gone.has(manager)), ...buckets.values()];
}

const unowned: Readonly<Record<string, readonly string[]>> = {
  '': ['f:apiVersion', 'f:kind'],
  'f:metadata': ['f:name', 'f:namespace', 'f:creationTimestamp', 'f:selfLink', 'f:uid', 'f:generation', 'f:managedFields', 'f:resourceVersion', 'f:deletionTimestamp', 'f:deletionGracePeriodSeconds'],
};

/** `set` without the fields that say which object it is and that the server keeps: nobody owns those. */
export function ownable(set: FieldSet): FieldSet {
  const metadata = set.children.get('f:metadata') ?? emptySet;
  const without = ({ children }: FieldSet, names: readonly string[] = []): [string, FieldSet][] => [...children].filter(([element]) => !names.includes(element));
  return setOf(false, [...without(set, unowned['']).filter(([element]) => element !== 'f:metadata'), ['f:metadata', setOf(false, without(metadata, unowned['f:metadata']))]]);
}

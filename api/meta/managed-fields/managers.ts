import type { ManagedFieldsEntry } from '../../gen/types.ts';
import type { KubeObject } from '../object.ts';
import { decodeFields, emptySet, encodeFields, isEmptySet, setOf, type FieldSet } from './field-set.ts';

/** One entry of `metadata.managedFields`. */
export interface Manager {
  readonly name: string;
  readonly operation: 'Apply' | 'Update';
  /** Empty for the main resource. */
  readonly subresource: string;
  readonly apiVersion: string;
  readonly time: string | undefined;
  readonly fields: FieldSet;
}

export function isSameManager(a: Pick<Manager, 'name' | 'operation' | 'subresource'>, b: Pick<Manager, 'name' | 'operation' | 'subresource'>): boolean {
  return a.name === b.name && a.operation === b.operation && a.subresource === b.subresource;
}

export function managersOf(object: KubeObject): Manager[] {
  return (object.metadata?.managedFields ?? []).map((entry) => ({
    name: entry.manager ?? '', operation: entry.operation === 'Apply' ? 'Apply' : 'Update', subresource: entry.subresource ?? '',
    apiVersion: entry.apiVersion ?? '', time: entry.time, fields: decodeFields(entry.fieldsV1),
  }));
}

/** The entries in Kubernetes' order: those that apply first, then by age and name. Who owns nothing is not listed. */
export function encodeManagers(managers: readonly Manager[]): ManagedFieldsEntry[] {
  const order = ({ operation, time, name, subresource }: Manager): string => [operation, operation === 'Apply' ? '' : time ?? '', name, subresource].join('\0');
  return managers.filter(({ fields }) => !isEmptySet(fields)).sort((a, b) => (order(a) < order(b) ? -1 : 1)).map(({ name, operation, subresource, apiVersion, time, fields }) => ({
    manager: name, operation, apiVersion, ...(time !== undefined && { time }), fieldsType: 'FieldsV1', fieldsV1: encodeFields(fields), ...(subresource !== '' && { subresource }),
  }));
}

const unowned: Readonly<Record<string, readonly string[]>> = {
  '': ['f:apiVersion', 'f:kind'],
  'f:metadata': ['f:name', 'f:namespace', 'f:creationTimestamp', 'f:selfLink', 'f:uid', 'f:generation', 'f:managedFields', 'f:resourceVersion', 'f:deletionTimestamp', 'f:deletionGracePeriodSeconds', 'f:generateName'],
};

/** `set` without the fields that say which object it is and that the server keeps: nobody owns those. */
export function ownable(set: FieldSet): FieldSet {
  const metadata = set.children.get('f:metadata') ?? emptySet;
  const without = ({ children }: FieldSet, names: readonly string[] = []): [string, FieldSet][] => [...children].filter(([element]) => !names.includes(element));
  return setOf(false, [...without(set, unowned['']).filter(([element]) => element !== 'f:metadata'), ['f:metadata', setOf(false, without(metadata, unowned['f:metadata']))]]);
}

import type { KubeObject } from '#api/meta/object.ts';
import { isRecord } from '#api/meta/json.ts';
import { qualifiedName } from '#api/kinds/resources.ts';
import { stateResources, type ObjectSet } from './objects.ts';
import type { StateChange } from './types.ts';

/** One record of the checkpoint file: all of the state, or a change to it. JSON, so that a person can read it. */
export interface CheckpointRecord {
  readonly type: 'snapshot' | 'change';
  readonly revision: number;
  readonly changes: readonly StateChange[];
}

export function encodeSnapshot(objects: ObjectSet, revision: number): Buffer {
  return encode('snapshot', revision, [...objects.entries()].map((entry) => ({ type: 'set', ...entry })));
}

export function encodeChange(changes: readonly StateChange[], revision: number): Buffer {
  return encode('change', revision, changes);
}

function encode(type: CheckpointRecord['type'], revision: number, changes: readonly StateChange[]): Buffer {
  return Buffer.from(JSON.stringify({
    type,
    revision,
    changes: changes.map((change) => (change.type === 'set'
      ? { set: qualifiedName(change.resource), object: change.object }
      : { remove: qualifiedName(change.resource), namespace: change.namespace, name: change.name })),
  }));
}

/** Throws on anything that `encode` did not write. Resources unknown to this version are left out. */
export function decodeRecord(bytes: Buffer): CheckpointRecord {
  const record: unknown = JSON.parse(bytes.toString());
  if (!isRecord(record) || (record['type'] !== 'snapshot' && record['type'] !== 'change') || typeof record['revision'] !== 'number' || !Array.isArray(record['changes'])) {
    throw new TypeError('not a checkpoint record');
  }
  return { type: record['type'], revision: record['revision'], changes: record['changes'].flatMap((change: unknown) => decodeChange(change)) };
}

function decodeChange(change: unknown): StateChange[] {
  if (!isRecord(change)) throw new TypeError('not a change');
  const resource = stateResources.get(String(change['set'] ?? change['remove']));
  if (!resource) return [];
  if (change['set'] !== undefined) {
    if (!isRecord(change['object'])) throw new TypeError('not an object');
    return [{ type: 'set', resource, object: change['object'] satisfies KubeObject }];
  }
  const { namespace, name } = change;
  return [{ type: 'remove', resource, namespace: typeof namespace === 'string' ? namespace : undefined, name: String(name) }];
}

import type { KubeObject } from '#api/meta/object.ts';
import { isRecord } from '#api/meta/json.ts';
import { ingressCertificates } from '#api/ingress/ingress.ts';
import { qualifiedName, secrets } from '#api/kinds/resources.ts';
import { stateResources, type ObjectSet } from './objects.ts';
import type { ObjectSeal } from './seal.ts';
import type { StateChange } from './types.ts';

/** One record of the checkpoint file: all of the state, or a change to it. JSON, so that a person can read it; Secrets are sealed. */
export interface CheckpointRecord {
  readonly type: 'snapshot' | 'change';
  readonly revision: number;
  readonly changes: readonly StateChange[];
  /** How many objects could not be unsealed, and are missing. */
  readonly lost: number;
  /** How many Secrets are not sealed: written by a version that did not. */
  readonly plain: number;
}

const sealedResources: ReadonlySet<string> = new Set([qualifiedName(secrets), qualifiedName(ingressCertificates)]);

export function encodeSnapshot(objects: ObjectSet, revision: number, seal: ObjectSeal): Buffer {
  return encode('snapshot', revision, [...objects.entries()].map((entry) => ({ type: 'set', ...entry })), seal);
}

export function encodeChange(changes: readonly StateChange[], revision: number, seal: ObjectSeal): Buffer {
  return encode('change', revision, changes, seal);
}

function encode(type: CheckpointRecord['type'], revision: number, changes: readonly StateChange[], seal: ObjectSeal): Buffer {
  return Buffer.from(JSON.stringify({
    type,
    revision,
    changes: changes.map((change) => {
      const name = qualifiedName(change.resource);
      if (change.type === 'remove') return { remove: name, namespace: change.namespace, name: change.name };
      return sealedResources.has(name) ? { set: name, sealed: seal.seal(change.object, name) } : { set: name, object: change.object };
    }),
  }));
}

/** Throws on anything that `encode` did not write. Resources unknown to this version are left out. */
export function decodeRecord(bytes: Buffer, seal: ObjectSeal): CheckpointRecord {
  const record: unknown = JSON.parse(bytes.toString());
  if (!isRecord(record) || (record['type'] !== 'snapshot' && record['type'] !== 'change') || typeof record['revision'] !== 'number' || !Array.isArray(record['changes'])) {
    throw new TypeError('not a checkpoint record');
  }
  let lost = 0;
  let plain = 0;
  const changes = record['changes'].flatMap((change: unknown) => {
    if (!isRecord(change)) throw new TypeError('not a change');
    const { set, sealed, object } = change;
    if (typeof set === 'string' && sealedResources.has(set) && object !== undefined) plain++;
    if (typeof set !== 'string' || typeof sealed !== 'string') return decodeChange(change);
    const unsealed = seal.unseal(sealed, set);
    if (unsealed) return decodeChange({ set, object: unsealed });
    lost++;
    return [];
  });
  return { type: record['type'], revision: record['revision'], changes, lost, plain };
}

function decodeChange(change: Readonly<Record<string, unknown>>): StateChange[] {
  const resource = stateResources.get(String(change['set'] ?? change['remove']));
  if (!resource) return [];
  if (change['set'] !== undefined) {
    if (!isRecord(change['object'])) throw new TypeError('not an object');
    return [{ type: 'set', resource, object: change['object'] satisfies KubeObject }];
  }
  const { namespace, name } = change;
  return [{ type: 'remove', resource, namespace: typeof namespace === 'string' ? namespace : undefined, name: String(name) }];
}

import type { KubeObject } from '../meta/object.ts';
import { renderTable } from '../meta/table.ts';
import { applyDefaults, decode, prepareCreate, prepareUpdate, validate, type Subresource } from './engine.ts';
import type { KindDefinition } from './types.ts';

/** What the tests of kinds have in common. Objects are called `web`, in `default`, unless they say otherwise. */

export const metadata = { name: 'web', namespace: 'default' };
export const template = { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'a', image: 'a' }] } };
export const selector = { matchLabels: { app: 'web' } };
const now = Date.parse('2026-01-01T00:01:00Z');

function meta(kind: { readonly resource: { readonly namespaced: boolean } }): object {
  return kind.resource.namespaced ? metadata : { name: 'web' };
}

/** As a client's create leaves it. */
export function make<T extends KubeObject>(kind: KindDefinition<T>, value: object): T {
  return prepareCreate(kind, applyDefaults(kind, decode(kind, { metadata: meta(kind), ...value }).object), 'uid-1');
}

/** What a create of `value` is refused for; with `old` an update. */
export function problems<T extends KubeObject>(kind: KindDefinition<T>, value: object, old?: T, subresource?: Subresource): string[] {
  const object = old === undefined ? make(kind, value)
    : prepareUpdate(kind, applyDefaults(kind, decode(kind, { metadata: meta(kind), ...value }).object), old, subresource);
  return validate(kind, object, old, subresource).map(({ field, message }) => `${field}: ${message}`);
}

/** What `kubectl get -o wide` prints at a minute past midnight. */
export function cells<T extends KubeObject>(kind: KindDefinition<T>, object: object): unknown[] {
  return renderTable(kind, [{ metadata: meta(kind), ...object } as T], now).rows[0]?.cells ?? [];
}

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { kinds } from '#api/kinds/registry.ts';
import type { KindDefinition } from '#api/kinds/types.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { renderRow } from '#api/meta/table.ts';
import type { Entry } from '#controlplane/store/types.ts';
import { metadataItems, tableRows } from './list-items.ts';
import { bytesOf, type Item } from './resource-lists.ts';

const pod = Object.values(kinds).find(({ resource }) => resource.plural === 'pods') as KindDefinition;
const text = (item: Item): string => Buffer.from(bytesOf(item)).toString();
const entryOf = (object: unknown): Entry => ({ key: 'core/pods/default/x', value: Buffer.from(JSON.stringify(object)), createRevision: 1, modRevision: 7 });
const read = (item: Item): unknown => JSON.parse(text(item));

// Names and texts that look like the end of the metadata, and objects whose next part is of any sort.
const odd = fc.constantFrom('spec', 'status', 'data', '},"spec":', '"},"status":{', 'é', '__proto__', 'f:spec');
const labels = fc.dictionary(odd, odd, { maxKeys: 3 });
const metadata = fc.record({ name: odd, labels, annotations: labels, managedFields: fc.array(fc.record({ manager: odd, fieldsV1: fc.dictionary(fc.constantFrom('f:spec', 'f:status', '.'), fc.constant({}), { maxKeys: 2 }), subresource: odd }), { maxLength: 2 }) }, { requiredKeys: ['name'] });
const rest = fc.constantFrom({}, { spec: {} }, { spec: { a: 1 }, status: {} }, { status: {}, spec: {} }, { other: {}, spec: {} }, { data: { spec: 'x' }, spec: {} });
const object = fc.tuple(metadata, rest).map(([metadata_, more]) => ({ apiVersion: 'v1', kind: 'Pod', metadata: metadata_, ...more }));

it('shows exactly the metadata, parsed before or not', () => {
  fc.assert(fc.property(object, fc.boolean(), (one, known) => {
    const entry = entryOf(one);
    const stored = JSON.parse(Buffer.from(entry.value).toString()) as KubeObject;
    const items = metadataItems(pod, 'meta.k8s.io/v1', known ? () => stored : undefined);
    expect(text(items(entry))).toBe(JSON.stringify({ kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: stored.metadata }));
  }), { numRuns: 500 });
});

it('makes rows with as much of the object as is asked for', () => {
  const stored = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'x', creationTimestamp: '2026-01-01T00:00:00Z' }, spec: { containers: [{ name: 'c' }] }, status: { phase: 'Running' } };
  const entry = entryOf(stored);
  const row = (includeObject: 'None' | 'Metadata' | 'Object'): { cells: unknown[]; object?: unknown } => read(tableRows(pod, Date.parse('2026-01-02T00:00:00Z'), { includeObject }, undefined)(entry)) as { cells: unknown[] };
  expect(row('None')).toEqual({ cells: ['x', '0/1', 'Running', '0', '24h', '<none>', '<none>', '<none>', '<none>'] });
  expect(row('Object').object).toEqual(stored);
  expect(row('Metadata').object).toEqual({ kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: stored.metadata });
});

it('makes the same rows of an object that is known as of its bytes, at any time', () => {
  const stored = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'é"x', creationTimestamp: '2026-01-01T00:00:00Z' }, spec: { containers: [{ name: 'c' }], nodeName: 'n' }, status: { phase: 'Running', containerStatuses: [{ name: 'c', restartCount: 2, lastState: { terminated: { finishedAt: '2026-01-01T01:00:00Z' } } }] } };
  const entry = entryOf(stored);
  for (const [kind, day] of [[pod, 2], [pod, 3], [{ ...pod, columns: pod.columns.slice(0, 3) }, 4], [pod, 9]] as const) {
    const now = Date.parse(`2026-01-0${String(day)}T00:00:00Z`);
    for (const includeObject of ['None', 'Metadata', 'Object'] as const) {
      expect(text(tableRows(kind, now, { includeObject }, () => stored as KubeObject)(entry))).toBe(JSON.stringify(renderRow(kind, stored, now, { includeObject })));
    }
  }
});

it('keeps what is stored in another order whole', () => {
  const entry = entryOf({ metadata: { name: 'x' }, apiVersion: 'v1', kind: 'Pod', spec: {} });
  expect(read(metadataItems(pod)(entry))).toEqual({ kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: { name: 'x' } });
});

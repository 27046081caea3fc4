import { existsSync, readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isStatus } from '#common/errors.ts';
import { customKinds } from '../custom/kind.ts';
import type { CustomResourceDefinition } from '../gen/types.ts';
import { freeze } from '../meta/equal.ts';
import { copyJson, isRecord, type JsonRecord } from '../meta/json.ts';
import type { KubeObject } from '../meta/object.ts';
import { jsonPatch, mergePatch, strategicMergePatch } from '../meta/patch.ts';
import { resolve, type Schema } from '../meta/schema.ts';
import { renderTable } from '../meta/table.ts';
import { checkStructure, prune } from '../meta/validate.ts';
import { applyDefaults, decode, prepareCreate, prepareUpdate, validate } from './engine.ts';
import { kinds } from './registry.ts';
import { qualifiedName } from './resources.ts';
import type { KindDefinition } from './types.ts';

/** What every kind must do, whatever it is. A kind's folder brings `sample.json`: a valid object with its main parts. */
const folders = readdirSync(new URL('.', import.meta.url), { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => name);
const now = Date.parse('2026-01-01T00:01:00Z');

function kebab(kind: string): string {
  return kind.replaceAll(/(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])/g, '-').toLowerCase();
}

function sampleOf(kind: KindDefinition): JsonRecord {
  const { kind: name, group, version } = kind.resource;
  const read = (file: string): JsonRecord => JSON.parse(readFileSync(new URL(`${kebab(name)}/${file}`, import.meta.url), 'utf8')) as JsonRecord;
  if (!kind.stored) return read('sample.json');
  // A further version of a kind brings its own, or shows what is stored.
  const own = `sample-${group}-${version}.json`;
  return existsSync(new URL(`${kebab(name)}/${own}`, import.meta.url)) ? read(own) : copyJson((kind.stored.load([read('sample.json')]) as JsonRecord[])[0] ?? {});
}

function make(kind: KindDefinition, value: unknown): KubeObject {
  return applyDefaults(kind, prepareCreate(kind, decode(kind, value).object));
}

describe('the registry', () => {
  it('has every folder, under the qualified name of its resource', () => {
    expect(Object.values(kinds).filter(({ stored }) => !stored).map(({ resource }) => kebab(resource.kind)).sort()).toEqual(folders.sort());
    for (const [name, { resource, stored }] of Object.entries(kinds)) expect(name).toBe(stored && !stored.resource ? `${resource.plural}.${resource.version}.${resource.group}` : qualifiedName(resource));
  });

  it('gives no name, short or long, to two kinds of a group', () => {
    const names = Object.values(kinds).filter(({ stored }) => !stored).flatMap(({ resource, singular, shortNames }) => [...new Set([resource.plural, singular, ...shortNames])]);
    expect(new Set(names).size).toBe(names.length);
  });
});

/** A custom resource is held to the same: the one that the sample of CustomResourceDefinition defines. */
function customKind(): KindDefinition {
  const definition = JSON.parse(readFileSync(new URL('custom-resource-definition/sample.json', import.meta.url), 'utf8')) as CustomResourceDefinition;
  const { storage: kind } = customKinds(definition, { since: 0, retired: new AbortController().signal, convert: (objects) => objects, rules: () => () => [] });
  if (!kind) throw new Error('the sample defines no kind');
  return kind;
}
const crontab = { apiVersion: 'stable.example.com/v1', kind: 'CronTab', metadata: { name: 'one', namespace: 'default' }, spec: { cronSpec: '* * * * */5', image: 'a', replicas: 2, port: 'http' } };

describe.each([...Object.entries(kinds).map(([name, kind]) => [name, kind, sampleOf(kind)] as const), ['crontabs.stable.example.com', customKind(), crontab] as const])('%s', (_, kind, given: JsonRecord) => {
  const sample = freeze(given);

  it('accepts its sample, and says the same of it after a round trip', () => {
    const { object, unknown } = decode(kind, sample);
    expect(unknown).toEqual([]);
    const made = make(kind, object);
    expect(validate(kind, made)).toEqual([]);
    expect(decode(kind, JSON.parse(JSON.stringify(made)))).toEqual({ object: made, unknown: [] });
    expect(checkStructure(kind.schema(), made)).toEqual({ errors: [], unknown: [] });
  });

  it('sets defaults once', () => {
    const made = make(kind, sample);
    expect(applyDefaults(kind, copyJson(made))).toEqual(made);
  });

  it('finds and drops unknown fields', () => {
    const noisy = { ...copyJson(sample), bogus: 1, metadata: { ...sample['metadata'] as object, alsoBogus: {} } };
    const { object, unknown } = decode(kind, noisy);
    expect(unknown.sort()).toEqual(['bogus', 'metadata.alsoBogus']);
    expect(object).toEqual(decode(kind, sample).object);
    prune(kind.schema(), noisy);
    expect(noisy).toEqual(sample);
  });

  it('refuses another kind, another version and what is not an object', () => {
    for (const value of [{ ...sample, kind: 'Other' }, { ...sample, apiVersion: 'v2' }, [], 'x', null]) {
      expect(() => decode(kind, value)).toThrow(expect.objectContaining({ code: 'BadRequest' }));
    }
  });

  it('keeps an update that changes nothing', () => {
    const old = freeze(make(kind, sample));
    const same = prepareUpdate(kind, applyDefaults(kind, decode(kind, old).object), old);
    expect(same).toEqual(old);
    expect(validate(kind, same, old)).toEqual([]);
    if (kind.status) expect(validate(kind, prepareUpdate(kind, copyJson(old), old, 'status'), old, 'status')).toEqual([]);
  });

  it('lets no client move what the server keeps', () => {
    const old = freeze({ ...make(kind, sample), metadata: { ...make(kind, sample).metadata, uid: 'u', creationTimestamp: '2026-01-01T00:00:00Z', deletionTimestamp: '2026-01-01T00:00:30Z' } });
    const quiet = decode(kind, old).object;
    delete quiet.metadata?.uid;
    delete quiet.metadata?.creationTimestamp;
    delete quiet.metadata?.deletionTimestamp;
    expect(prepareUpdate(kind, quiet, old).metadata).toEqual(old.metadata);
    const loud = decode(kind, old).object;
    loud.metadata = { ...loud.metadata, uid: 'other' };
    expect(validate(kind, prepareUpdate(kind, loud, old), old).map(({ field }) => field)).toContain('metadata.uid');
  });

  it('renders a table', () => {
    const table = renderTable(kind, [make(kind, sample)], now);
    expect(table.columnDefinitions.filter(({ format }) => format === 'name').map(({ name }) => name)).toEqual(['Name']);
    expect(table.rows[0]?.cells).toHaveLength(table.columnDefinitions.length);
    for (const [index, { type }] of table.columnDefinitions.entries()) {
      const cell = table.rows[0]?.cells[index];
      if (type === 'integer') expect(typeof cell).toBe('number');
    }
    expect(renderTable(kind, [{}], now).rows).toHaveLength(1);
  });

  it('reads its selectable fields', () => {
    for (const read of Object.values(kind.selectableFields)) for (const object of [make(kind, sample), {}]) expect(typeof read(object)).toBe('string');
  });

  it('is patched alike by all three kinds of patch', () => {
    const object = freeze(make(kind, sample));
    const change = { metadata: { labels: { patched: 'yes' }, annotations: null } };
    const merged = mergePatch(object, change);
    expect(strategicMergePatch(kind.schema(), object, change)).toEqual(merged);
    const labels = { ...object.metadata?.labels, patched: 'yes' };
    const dropped = object.metadata?.annotations === undefined ? [] : [{ op: 'remove', path: '/metadata/annotations' }];
    expect(jsonPatch(object, [{ op: 'add', path: '/metadata/labels', value: labels }, ...dropped])).toEqual(merged);
    expect(strategicMergePatch(kind.schema(), object, object)).toEqual(object);
  });

  it('answers any JSON with an object or a StatusError', { timeout: 30_000 }, () => {
    fc.assert(fc.property(fc.oneof(fc.jsonValue(), likely(kind.schema(), 0)), likely(kind.schema(), 0), (value, patch) => {
      const attempt = (work: () => unknown): unknown => {
        try {
          return work();
        } catch (error) {
          if (!isStatus(error)) throw error;
          return undefined;
        }
      };
      const body = (v: unknown): unknown => (isRecord(v) ? { ...v, apiVersion: sample['apiVersion'], kind: sample['kind'] } : v);
      attempt(() => checkStructure(kind.schema(), value));
      const made = attempt(() => make(kind, body(value))) as KubeObject | undefined;
      for (const changed of [attempt(() => mergePatch(sample, patch)), attempt(() => strategicMergePatch(kind.schema(), sample, patch)), attempt(() => jsonPatch(value, patch))]) {
        const other = attempt(() => applyDefaults(kind, decode(kind, body(changed)).object)) as KubeObject | undefined;
        if (other === undefined) continue;
        renderTable(kind, [other], now);
        const old = made ?? make(kind, sample);
        attempt(() => validate(kind, prepareUpdate(kind, other, old), old));
        attempt(() => validate(kind, prepareUpdate(kind, copyJson(other), old, 'status'), old, 'status'));
      }
      if (made !== undefined) {
        attempt(() => validate(kind, made));
        renderTable(kind, [made], now);
        expect(applyDefaults(kind, copyJson(made))).toEqual(made);
      }
      expect(Object.keys(Object.prototype)).toEqual([]);
      expect(({} as JsonRecord)['polluted']).toBeUndefined();
    }), { numRuns: 200, seed: 20_260_101 });
  });
});

/** JSON that looks like what `schema` asks for, with a wrong value here and there. */
function likely(schema: Schema, depth: number): fc.Arbitrary<unknown> {
  const target = resolve(schema);
  const junk = fc.oneof(fc.jsonValue({ maxDepth: 1 }), fc.constant(JSON.parse('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}')));
  return fc.oneof({ weight: 1, arbitrary: junk }, { weight: 40, arbitrary: fitting(target, depth) });
}

function fitting(schema: Schema, depth: number): fc.Arbitrary<unknown> {
  const words = fc.constantFrom('', 'a', 'web', 'Always', 'In', 'TCP', 'ClusterIP', '1', '5Gi', '10.0.0.1', '2026-01-01T00:00:00Z', 'AAEC', '__proto__', 'a/b');
  if (schema['x-kubernetes-int-or-string'] === true) return fc.oneof(fc.integer({ min: -1, max: 100 }), fc.constantFrom('25%', 'http', 'x%'));
  if (schema.properties !== undefined) {
    if (depth > 6) return fc.constant({});
    const entries = Object.entries(schema.properties).map(([name, property]) => [name, fc.option(fc.constant(null).chain(() => likely(property, depth + 1)), { nil: undefined, freq: depth < 3 ? 2 : 1 })] as const);
    return fc.subarray(entries, { maxLength: Math.min(entries.length, 6) }).chain((chosen) => fc.record(Object.fromEntries(chosen)));
  }
  if (schema.items !== undefined) return depth > 6 ? fc.constant([]) : fc.array(likely(schema.items, depth + 1), { maxLength: 2 });
  if (typeof schema.additionalProperties === 'object') return fc.dictionary(words, likely(schema.additionalProperties, depth + 1), { maxKeys: 2 });
  switch (schema.type) {
    case 'boolean': return fc.boolean();
    case 'integer': return fc.integer({ min: -2, max: 70_000 });
    case 'string': return words;
    default: return fc.jsonValue({ maxDepth: 2 });
  }
}

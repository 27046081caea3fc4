import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isStatus } from '#common/errors.ts';
import { customKinds } from '../../custom/kind.ts';
import type { CustomResourceDefinition } from '../../gen/types.ts';
import { printFieldError } from '../../meta/field-error.ts';
import { copyJson } from '../../meta/json.ts';
import { renderTable } from '../../meta/table.ts';
import { applyDefaults, decode, prepareCreate, prepareUpdate, validate } from '../engine.ts';
import { customResourceDefinition as kind } from './kind.ts';

type Json = Record<string, unknown>;
const sample = (): CustomResourceDefinition => JSON.parse(readFileSync(new URL('sample.json', import.meta.url), 'utf8')) as CustomResourceDefinition;
const make = (change: (definition: CustomResourceDefinition) => void = () => undefined): CustomResourceDefinition => {
  const definition = sample();
  change(definition);
  return applyDefaults(kind, prepareCreate(kind, decode(kind, definition).object));
};
const errors = (change: (definition: CustomResourceDefinition) => void): string[] => validate(kind, make(change)).map(printFieldError);
const root = 'spec.versions[0].schema.openAPIV3Schema';
const first = ({ versions }: CustomResourceDefinition['spec']): Json => versions[0] as unknown as Json;
/** Errors of a field `f` with this schema. */
const ofField = (f: Json): string[] => errors(({ spec }) => { (spec.versions[0]?.schema ?? {}).openAPIV3Schema = { type: 'object', properties: { spec: { type: 'object', properties: { image: { type: 'string' } } }, f } }; });
const at = `${root}.properties[f]`;

describe('a CustomResourceDefinition', () => {
  it('names itself in full and notes what it stores', () => {
    const made = make(({ spec }) => { spec.names = { plural: 'crontabs', kind: 'CronTab' }; });
    expect(made.spec.names).toEqual({ plural: 'crontabs', kind: 'CronTab', singular: 'crontab', listKind: 'CronTabList' });
    expect(made.status).toEqual({ storedVersions: ['v1'] });
    const next = sample();
    next.spec.versions = [...next.spec.versions.map((version) => ({ ...version, storage: false })), { ...next.spec.versions[0] as (typeof next.spec.versions)[0], name: 'v2' }];
    expect(prepareUpdate(kind, applyDefaults(kind, next), made).status?.storedVersions).toEqual(['v1', 'v2']);
  });

  it.each<[string, (definition: CustomResourceDefinition) => void, unknown[]]>([
    ['another name', ({ metadata }) => { (metadata ?? {}).name = 'other'; }, ['metadata.name: Invalid value: "other": must be spec.names.plural+"."+spec.group']],
    ['an odd scope', ({ spec }) => { spec.scope = 'Odd'; }, ['spec.scope: Unsupported value: "Odd": supported values: "Cluster", "Namespaced"']],
    ['two storage versions', ({ spec }) => { spec.versions.push({ ...spec.versions[0] as (typeof spec.versions)[0], name: 'v2' }); }, [expect.stringContaining('must have exactly one version marked as storage version')]],
    ['a version twice', ({ spec }) => { spec.versions.push({ ...spec.versions[0] as (typeof spec.versions)[0], storage: false }); }, [expect.stringContaining('must contain unique version names')]],
    ['no schema', ({ spec }) => { delete spec.versions[0]?.schema; }, [expect.stringContaining(`${root}: Required value: schemas are required`), expect.stringContaining('selectableFields')]],
    ['kind and listKind alike', ({ spec }) => { spec.names.listKind = 'CronTab'; }, ['spec.names.listKind: Invalid value: "CronTab": kind and listKind may not be the same']],
    ['preserveUnknownFields', ({ spec }) => { spec.preserveUnknownFields = true; }, ['spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead']],
    ['a protected group', ({ metadata, spec }) => { spec.group = 'x.k8s.io'; (metadata ?? {}).name = 'crontabs.x.k8s.io'; }, [expect.stringContaining('metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation')]],
    ['a webhook without configuration', ({ spec }) => { spec.conversion = { strategy: 'Webhook' }; }, ['spec.conversion.webhook.clientConfig: Required value: required when strategy is set to Webhook', 'spec.conversion.webhook.conversionReviewVersions: Required value']],
    ['a webhook over http', ({ spec }) => { spec.conversion = { strategy: 'Webhook', webhook: { conversionReviewVersions: ['v9'], clientConfig: { url: 'http://a/' } } }; }, [expect.stringContaining("'https' is the only allowed URL scheme"), 'spec.conversion.webhook.conversionReviewVersions: Invalid value: ["v9"]: must include at least one of v1, v1beta1']],
    ['a column of an odd type', ({ spec }) => { first(spec)['additionalPrinterColumns'] = [{ name: 'A', type: 'odd', jsonPath: 'spec' }]; }, [expect.stringContaining('type: Invalid value: "odd": must be one of boolean,date,integer,number,string'), expect.stringContaining('must be a simple json path starting with .')]],
    ['replicas outside of spec', ({ spec }) => { first(spec)['subresources'] = { scale: { specReplicasPath: '.status.x', statusReplicasPath: '.status.y' } }; }, ['spec.versions[0].subresources.scale.specReplicasPath: Invalid value: ".status.x": should be a json path under .spec']],
    ['a selectable field that is none', ({ spec }) => { first(spec)['selectableFields'] = [{ jsonPath: '.spec.nope' }, { jsonPath: '.spec' }]; }, [expect.stringContaining('does not refer to a valid field'), expect.stringContaining('must point to a field of type string, boolean or integer')]],
    ['a warning of a version that is not deprecated', ({ spec }) => { first(spec)['deprecationWarning'] = 'old'; }, ['spec.versions[0].deprecationWarning: Invalid value: "old": can only be set for deprecated versions']],
  ])('is refused for %s', (_, change, expected) => { expect(errors(change)).toEqual(expected); });

  it.each<[Json, unknown[]]>([
    [{ type: 'string' }, []],
    [{}, [`${at}.type: Required value: must not be empty for specified object fields`]],
    [{ type: 'odd' }, [`${at}.type: Unsupported value: "odd": supported values: "array", "boolean", "integer", "number", "object", "string"`]],
    [{ type: 'array' }, [`${at}.items: Required value: must be specified`]],
    [{ type: 'array', items: [{ type: 'string' }] }, [`${at}.items: Forbidden: items must be a schema object and not an array`]],
    [{ type: 'array', items: { properties: 5 } }, [expect.stringContaining(`${at}.items.properties`)]],
    [{ type: 'array', items: {} }, [`${at}.items.type: Required value: must not be empty for specified array items`]],
    [{ type: 'object', properties: { a: { type: 'string' } }, additionalProperties: { type: 'string' } }, [`${at}.additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive`]],
    [{ type: 'string', $ref: '#/x' }, [`${at}.$ref: Forbidden: $ref is not supported`]],
    [{ type: 'array', items: { type: 'string' }, uniqueItems: true }, [`${at}.uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic`]],
    [{ type: 'string', pattern: '(' }, [expect.stringContaining('must be a valid regular expression, but isn\'t: error parsing regexp: missing closing )')]],
    [{ type: 'object', 'x-kubernetes-preserve-unknown-fields': false }, [`${at}.x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined`]],
    [{ 'x-kubernetes-int-or-string': true, type: 'string' }, [`${at}.type: Forbidden: must be empty if x-kubernetes-int-or-string is true`]],
    [{ 'x-kubernetes-int-or-string': true, anyOf: [{ type: 'integer' }, { type: 'string' }] }, []],
    [{ type: 'string', anyOf: [{ type: 'string', description: 'x' }] }, [`${at}.anyOf[0].type: Forbidden: must be empty to be structural`, `${at}.anyOf[0].description: Forbidden: must be empty to be structural`]],
    [{ type: 'object', anyOf: [{ properties: { a: { minLength: 1 } } }] }, [`${at}.properties[a]: Required value: because it is defined in ${at}.anyOf[0].properties[a]`]],
    [{ type: 'object', 'x-kubernetes-embedded-resource': true }, [`${at}.properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields`]],
    [{ type: 'array', items: { type: 'object' }, 'x-kubernetes-list-type': 'map' }, [`${at}.x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map`]],
    [{ type: 'array', items: { type: 'object', properties: { k: { type: 'string' } } }, 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['k', 'no'] }, [`${at}.items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property`, `${at}.x-kubernetes-list-map-keys[1]: Invalid value: "no": entries must all be names of item properties`]],
    [{ type: 'string', 'x-kubernetes-list-type': 'set' }, [`${at}.type: Invalid value: "string": must be array if x-kubernetes-list-type is true`, `${at}.items: Required value: must have a schema if x-kubernetes-list-type is set`]],
    [{ type: 'integer', default: 'x' }, [`${at}.default: Invalid value: "string": ${at}.default in body must be of type integer: "string"`]],
    [{ type: 'object', properties: { a: { type: 'integer' } }, default: { a: 1, b: 2 } }, [`${at}.default: Invalid value: {"a":1,"b":2}: must not have unknown fields`]],
    [{ type: 'string', default: null }, []],
  ])('has a structural schema: %j', (schema, expected) => { expect(ofField(schema)).toEqual(expected); });

  it('keeps what its objects depend on', () => {
    const old = make();
    old.status = { ...old.status, storedVersions: ['v1', 'v0'], conditions: [{ type: 'Established', status: 'True' }] };
    const next = prepareUpdate(kind, make(({ spec }) => { spec.scope = 'Cluster'; spec.names.kind = 'Other'; }), old);
    expect(validate(kind, next, old).map(printFieldError)).toEqual([
      'spec.scope: Invalid value: "Cluster": field is immutable', 'spec.names.kind: Invalid value: "Other": field is immutable', expect.stringContaining('status.storedVersions[1]: Invalid value: "v0": missing from spec.versions; v0 was previously a storage version'),
    ]);
  });
});

describe('any schema', () => {
  const name = fc.constantFrom('a', 'b', 'metadata', 'kind', 'apiVersion', '__proto__', 'constructor', 'x-y');
  const scalar = fc.oneof(fc.constantFrom('string', 'integer', 'object', 'array', 'number', 'boolean', 'set', 'map', 'atomic', '', '^a*$', '(', 'date-time'), fc.boolean(), fc.integer({ min: -2, max: 5 }), fc.constant(null), fc.jsonValue({ maxDepth: 1 }));
  const rule = fc.record({ rule: fc.constantFrom('self.a == oldSelf.a', 'has(self.b)', 'self > 1', 'self.all(x, x == 1)', 'true', 'self.size() > 0', '1/0 == 1', 'self ==', '') }, { requiredKeys: ['rule'] });
  const schema = fc.letrec((again) => ({
    schema: fc.oneof({ maxDepth: 4 }, scalar, fc.record({
      type: fc.oneof({ weight: 8, arbitrary: fc.constantFrom('string', 'integer', 'object', 'array', 'number', 'boolean') }, { weight: 1, arbitrary: scalar }),
      properties: fc.dictionary(name, again('schema'), { maxKeys: 3 }), items: again('schema'), additionalProperties: again('schema'), default: fc.jsonValue({ maxDepth: 2 }), nullable: scalar, enum: fc.array(scalar, { maxLength: 2 }), required: fc.array(name, { maxLength: 2 }),
      anyOf: fc.array(again('schema'), { maxLength: 2 }), not: again('schema'), pattern: scalar, maxLength: scalar, maxItems: scalar, format: scalar, 'x-kubernetes-validations': fc.array(rule, { maxLength: 2 }),
      'x-kubernetes-preserve-unknown-fields': scalar, 'x-kubernetes-int-or-string': scalar, 'x-kubernetes-embedded-resource': scalar, 'x-kubernetes-list-type': scalar, 'x-kubernetes-list-map-keys': fc.array(name, { maxLength: 2 }), 'x-kubernetes-map-type': scalar,
    }, { requiredKeys: [] })),
  })).schema;

  it('is refused in words, or makes a kind that answers any object in words', { timeout: 30_000 }, async () => {
    const { ruleChecker } = await import('../../custom/rules.ts');
    let accepted = 0;
    await fc.assert(fc.asyncProperty(fc.dictionary(name, schema, { maxKeys: 3 }), fc.dictionary(name, fc.jsonValue({ maxDepth: 3 }), { maxKeys: 3 }), async (properties, value) => {
      try {
        const definition = make(({ spec }) => { spec.versions = [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object', properties: properties as never } } }]; });
        await kind.prepareToValidate?.(definition);
        if (validate(kind, definition).length > 0) return;
        accepted++;
        const { storage } = customKinds(definition, { since: 0, retired: new AbortController().signal, convert: (objects) => objects, rules: ruleChecker });
        if (!storage) throw new Error('no kind');
        const object = applyDefaults(storage, prepareCreate(storage, decode(storage, { ...value, apiVersion: 'stable.example.com/v1', kind: 'CronTab', metadata: { name: 'x', namespace: 'y' } }).object));
        validate(storage, object);
        validate(storage, prepareUpdate(storage, applyDefaults(storage, copyJson(object)), object), object);
        renderTable(storage, [object], 0);
      } catch (error) {
        if (!isStatus(error)) throw error;
      }
    }), { numRuns: 1500, seed: 20_260_101 });
    expect(accepted).toBeGreaterThan(100);
    expect(Object.keys(Object.prototype)).toEqual([]);
  });
});

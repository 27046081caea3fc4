import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { freeze } from '../equal.ts';
import type { KubeObject } from '../object.ts';
import { schemaNamed } from '../schema.ts';
import { beforeFirstApply, serverSideApply, trackUpdate, type Writer } from './apply.ts';
import { decodeFields, encodeFields, pathsOf } from './field-set.ts';

const schema = schemaNamed('Deployment');
const writer = (manager: string, now = '2026-01-01T00:00:00Z'): Writer => ({ manager, subresource: '', apiVersion: 'apps/v1', now });
type Container = { name: string } & Record<string, unknown>;
const deployment = (containers: readonly Container[], spec: object = {}, metadata: object = {}): KubeObject => freeze({
  apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web', ...metadata }, spec: { ...spec, template: { spec: { containers } } },
}) as KubeObject;
const apply = (live: KubeObject | undefined, config: KubeObject, manager = 'me', force = false): KubeObject => serverSideApply(schema, live && freeze(live), config, writer(manager), force);
const specOf = (object: KubeObject): { replicas?: number; paused?: boolean; template: { spec: { containers: Container[] } } } => (object as unknown as { spec: never }).spec;
const owned = (object: KubeObject, manager: string): string[] => object.metadata?.managedFields?.filter((entry) => entry.manager === manager).flatMap(({ fieldsV1 }) => pathsOf(decodeFields(fieldsV1))).sort() ?? [];

describe('server-side apply', () => {
  const first = deployment([{ name: 'web', image: 'one', env: [{ name: 'A', value: '1' }], ports: [{ containerPort: 80 }] }], { replicas: 1 });

  it('makes an object whose applier owns what it said, and no more', () => {
    const made = apply(undefined, first);
    expect(made.metadata?.managedFields).toEqual([{
      manager: 'me', operation: 'Apply', apiVersion: 'apps/v1', time: '2026-01-01T00:00:00Z', fieldsType: 'FieldsV1',
      fieldsV1: { 'f:spec': { 'f:replicas': {}, 'f:template': { 'f:spec': { 'f:containers': { 'k:{"name":"web"}': {
        '.': {}, 'f:name': {}, 'f:image': {}, 'f:env': { 'k:{"name":"A"}': { '.': {}, 'f:name': {}, 'f:value': {} } },
        'f:ports': { 'k:{"containerPort":80,"protocol":"TCP"}': { '.': {}, 'f:containerPort': {} } },
      } } } } } },
    }]);
    const later = writer('me', '2027-01-01T00:00:00Z');
    expect(serverSideApply(schema, made, first, later, false)).toEqual(made);
    // Who says the same fields with another value has spoken anew.
    const changed = deployment([{ name: 'web', image: 'two', env: [{ name: 'A', value: '1' }], ports: [{ containerPort: 80 }] }], { replicas: 1 });
    expect(serverSideApply(schema, made, changed, later, false).metadata?.managedFields).toMatchObject([{ time: '2027-01-01T00:00:00Z' }]);
  });

  it('takes away what its applier no longer says, with everything in it, and leaves the rest', () => {
    const both = apply(undefined, deployment([{ name: 'web', image: 'one' }, { name: 'side', image: 'two' }], { replicas: 1, paused: true }));
    // As the server would have filled in.
    for (const container of specOf(both).template.spec.containers) container['imagePullPolicy'] = 'Always';
    const less = apply(both, deployment([{ name: 'web', image: 'one' }], { replicas: 1 }));
    expect(specOf(less)).toEqual({ replicas: 1, template: { spec: { containers: [{ name: 'web', image: 'one', imagePullPolicy: 'Always' }] } } });
  });

  it('refuses to change what others own, in Kubernetes\' words, takes it over when forced, and shares what is the same', () => {
    const made = apply(undefined, first);
    expect(() => apply(made, deployment([{ name: 'web', image: 'two' }], { replicas: 2 }), 'other')).toThrow(expect.objectContaining({
      code: 'Conflict',
      message: 'Apply failed with 2 conflicts: conflicts with "me":\n- .spec.replicas\n- .spec.template.spec.containers[name="web"].image',
      details: { causes: [{ reason: 'FieldManagerConflict', message: 'conflict with "me"', field: '.spec.replicas' }, expect.anything()] },
    }));
    const shared = apply(made, deployment([{ name: 'web', image: 'one' }]), 'other');
    expect(owned(shared, 'other')).toContain('.spec.template.spec.containers[name="web"].image');
    expect(owned(shared, 'me')).toContain('.spec.template.spec.containers[name="web"].image');
    const forced = apply(shared, deployment([{ name: 'web', image: 'two' }], { replicas: 2 }), 'other', true);
    expect(specOf(forced)).toMatchObject({ replicas: 2, template: { spec: { containers: [{ image: 'two', env: [{ name: 'A' }] }] } } });
    expect(owned(forced, 'me')).not.toContain('.spec.replicas');
    // What two own stays until both have let go.
    const one = apply(shared, deployment([]), 'other');
    expect(specOf(one).template.spec.containers).toMatchObject([{ name: 'web', image: 'one' }]);
  });

  it('merges lists by their keys, order kept, and owns atomic ones as a whole', () => {
    const made = apply(undefined, deployment([{ name: 'a', image: 'a' }, { name: 'c', image: 'c' }], { selector: { matchLabels: { app: 'x' } } }));
    const merged = apply(made, deployment([{ name: 'b', image: 'b' }, { name: 'c', image: 'c', command: ['x', 'y'] }]), 'other');
    expect(specOf(merged).template.spec.containers.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
    expect(owned(merged, 'other')).toContain('.spec.template.spec.containers[name="c"].command');
    expect(owned(merged, 'me')).toContain('.spec.selector');
    expect(() => apply(made, { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web' }, spec: { template: { spec: { containers: [{ image: 'x' }] } } } } as KubeObject)).toThrow(/associative list with keys has an element that omits key field "name"/);
  });

  it('says of an object that was never applied whose it was', () => {
    const live = deployment([{ name: 'web', image: 'one' }], { replicas: 1 }, { creationTimestamp: '2025-01-01T00:00:00Z' });
    expect(() => apply(live, deployment([{ name: 'web', image: 'two' }]))).toThrow(`Apply failed with 1 conflict: conflict with "${beforeFirstApply}" using apps/v1: .spec.template.spec.containers[name="web"].image`);
    const applied = apply(live, deployment([{ name: 'web', image: 'one' }]));
    expect(applied.metadata?.managedFields?.map(({ manager, operation, time }) => [manager, operation, time])).toEqual([['me', 'Apply', '2026-01-01T00:00:00Z'], [beforeFirstApply, 'Update', '2025-01-01T00:00:00Z']]);
  });

  it('takes over from kubectl\'s older way of applying without a quarrel', () => {
    const said = deployment([{ name: 'web', image: 'one' }], { replicas: 1 });
    const live = deployment([{ name: 'web', image: 'one', imagePullPolicy: 'Always' }], { replicas: 1 }, { annotations: { 'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify(said) } });
    const config = deployment([{ name: 'web', image: 'two' }], { replicas: 1 });
    expect(() => apply(live, config, 'other')).toThrow('conflict with "kubectl-client-side-apply" using apps/v1: .spec.template.spec.containers[name="web"].image');
    const applied = apply(live, config, 'kubectl');
    expect(specOf(applied).template.spec.containers).toEqual([{ name: 'web', image: 'two', imagePullPolicy: 'Always' }]);
    expect(owned(applied, beforeFirstApply)).toEqual(['.spec.template.spec.containers[name="web"].imagePullPolicy']);
    const broken = deployment([], { replicas: 1 }, { annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '{' } });
    expect(owned(apply(broken, deployment([]), 'kubectl'), beforeFirstApply)).toContain('.spec.replicas');
  });

  it('is not for who sends managedFields', () => {
    expect(() => apply(undefined, deployment([], {}, { managedFields: [] }))).toThrow('metadata.managedFields must be nil');
  });
});

describe('other writes', () => {
  const made = apply(undefined, deployment([{ name: 'web', image: 'one' }], { replicas: 1 }));
  const update = (change: (object: KubeObject) => void, manager = 'editor'): KubeObject => {
    const next = structuredClone(made);
    change(next);
    return trackUpdate(schema, freeze(made), next, writer(manager, '2026-02-02T00:00:00Z'));
  };

  it('own what they change, alone', () => {
    const next = update((object) => { specOf(object).replicas = 5; });
    expect(owned(next, 'editor')).toEqual(['.spec.replicas']);
    expect(owned(next, 'me')).not.toContain('.spec.replicas');
    expect(() => apply(next, deployment([{ name: 'web', image: 'one' }], { replicas: 1 }))).toThrow('Apply failed with 1 conflict: conflict with "editor" using apps/v1: .spec.replicas');
    // Saying no more of what another has taken leaves it as it is.
    expect(specOf(apply(next, deployment([{ name: 'web', image: 'one' }]))).replicas).toBe(5);
  });

  it('leave no owner of what they remove', () => {
    const next = update((object) => { delete specOf(object).replicas; });
    expect(owned(next, 'me')).not.toContain('.spec.replicas');
    expect(next.metadata?.managedFields).toHaveLength(1);
  });

  it('that change nothing change no owner, and a single empty entry forgets them all', () => {
    expect(update(() => undefined)).toEqual(made);
    expect(update((object) => { delete object.metadata?.managedFields; })).toEqual(made);
    expect(update((object) => { if (object.metadata) object.metadata.managedFields = [{}]; }).metadata?.managedFields).toBeUndefined();
  });

  it('to objects that were never applied are not tracked', () => {
    const plain = deployment([], { replicas: 1 });
    expect(trackUpdate(schema, plain, structuredClone(deployment([], { replicas: 2 })), writer('x')).metadata?.managedFields).toBeUndefined();
  });
});

describe('laws', () => {
  const names = fc.constantFrom('a', 'b', 'c');
  const container = fc.record({ name: names, image: fc.constantFrom('1', '2'), env: fc.uniqueArray(fc.record({ name: names, value: fc.constantFrom('x', 'y') }), { selector: ({ name }) => name, maxLength: 2 }) }, { requiredKeys: ['name'] });
  const config = fc.tuple(fc.uniqueArray(container, { selector: ({ name }) => name, maxLength: 3 }), fc.record({ replicas: fc.integer({ min: 0, max: 2 }), paused: fc.boolean() }, { requiredKeys: [] }), fc.dictionary(names, names, { maxKeys: 2 }))
    .map(([containers, spec, labels]) => deployment(containers, spec, { labels }));

  it('a forced apply is what it says, applying twice is applying once, and letting go of everything leaves the others\' alone', () => {
    fc.assert(fc.property(config, config, config, (one, two, three) => {
      const shared = apply(apply(apply(undefined, one, 'one'), two, 'two', true), three, 'one', true);
      for (const path of owned(apply(undefined, three, 'one'), 'one')) expect(owned(shared, 'one')).toContain(path);
      expect(apply(shared, three, 'one', true)).toEqual(shared);
      expect(apply(shared, three, 'one')).toEqual(shared);
      const released = apply(shared, { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web' } }, 'one');
      expect(owned(released, 'one')).toEqual([]);
      expect(owned(released, 'two')).toEqual(owned(shared, 'two'));
    }), { numRuns: 300 });
  });

  it('fieldsV1 survives being written and read', () => {
    fc.assert(fc.property(config, (one) => {
      const fields = apply(undefined, one).metadata?.managedFields?.[0]?.fieldsV1;
      expect(encodeFields(decodeFields(fields))).toEqual(fields ?? {});
    }), { numRuns: 100 });
    for (const odd of [null, 7, [], { 'k:{': {} }, { x: {} }, { 'f:a': 7 }]) expect(pathsOf(decodeFields(odd)).length).toBeLessThan(2);
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { strategicMergePatch } from '#api/meta/patch.ts';
import { schemaNamed } from '#api/meta/schema.ts';
import { threeWayPatch } from './apply.ts';

type Json = Record<string, unknown>;
const deployment = (containers: Json[], extra: Json = {}): Json => ({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web' }, spec: { selector: {}, template: { spec: { containers } }, ...extra } });
/** What the server makes of the patch. */
const applied = (previous: Json, current: Json, wanted: Json): Json => {
  const patch = threeWayPatch(previous, current, wanted);
  return patch === undefined ? current : (strategicMergePatch(schemaNamed('Deployment'), current, patch) as Json);
};

describe('threeWayPatch', () => {
  it('is undefined when nothing that the manifest names differs', () => {
    const wanted = deployment([{ name: 'a', image: 'a:1' }]);
    const current = deployment([{ name: 'a', image: 'a:1', imagePullPolicy: 'IfNotPresent' }], { replicas: 3 });
    expect(threeWayPatch(wanted, current, wanted)).toBeUndefined();
  });
  it('changes one container, keeps what others set in it, and removes what the manifest no longer has', () => {
    const previous = deployment([{ name: 'a', image: 'a:1', env: [{ name: 'X', value: '1' }] }, { name: 'b', image: 'b:1' }], { replicas: 2 });
    const current = deployment([{ name: 'a', image: 'a:1', env: [{ name: 'X', value: '1' }], imagePullPolicy: 'Always' }, { name: 'b', image: 'b:1' }, { name: 'injected', image: 'i:1' }], { replicas: 5 });
    const wanted = deployment([{ name: 'a', image: 'a:2' }]);
    expect(applied(previous, current, wanted)).toEqual(deployment([{ name: 'a', image: 'a:2', imagePullPolicy: 'Always' }, { name: 'injected', image: 'i:1' }]));
  });
  it('keys ports by what they are ports of', () => {
    const port = (containerPort: number): Json => ({ containerPort, protocol: 'TCP' });
    const previous = deployment([{ name: 'a', image: 'a:1', ports: [port(80), port(81)] }]);
    expect(applied(previous, previous, deployment([{ name: 'a', image: 'a:1', ports: [port(81)] }]))).toEqual(deployment([{ name: 'a', image: 'a:1', ports: [port(81)] }]));
  });
  it('replaces lists whole where their kind does, and where it is asked to', () => {
    const account = (...names: string[]): Json => ({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'a' }, imagePullSecrets: names.map((name) => ({ name })) });
    const patch = threeWayPatch(account('x', 'y'), account('x', 'y'), account('y')) ?? {};
    expect(strategicMergePatch(schemaNamed('ServiceAccount'), account('x', 'y'), patch)).toEqual(account('y'));
    expect(threeWayPatch({}, deployment([{ name: 'a' }, { name: 'b' }]), deployment([{ name: 'b' }]), 'whole lists')).toEqual({ spec: { template: { spec: { containers: [{ name: 'b' }] } } } });
  });
  it('applied to its own result changes nothing, whatever came before', () => {
    const names = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd'), { maxLength: 4 });
    const object = fc.record({ names, image: fc.constantFrom('x:1', 'x:2'), replicas: fc.option(fc.integer({ min: 0, max: 5 }), { nil: undefined }) })
      .map(({ names: list, image, replicas }) => deployment(list.map((name) => ({ name, image })), replicas === undefined ? {} : { replicas }));
    fc.assert(fc.property(object, object, object, (previous, current, wanted) => {
      const once = applied(previous, current, wanted);
      expect(threeWayPatch(wanted, once, wanted)).toBeUndefined();
      expect(once).toMatchObject({ spec: { template: { spec: { containers: expect.arrayContaining((wanted['spec'] as { template: { spec: { containers: Json[] } } }).template.spec.containers) as Json[] } } } });
    }));
  });
});

import { describe, expect, it } from 'vitest';
import { setCondition } from './conditions.ts';
import { equal } from './equal.ts';
import { invalid, invalidStatus, notSupported, required } from './field-error.ts';
import { scaledValue } from './int-or-percent.ts';
import { isCIDR, isIP } from './ip.ts';
import { validateMetadata, validateMetadataUpdate } from './metadata.ts';
import { configMapKey, dns1035Label, dns1123Label, dns1123Subdomain, envVarName, labelValue, pathSegment, portName, qualifiedName } from './names.ts';
import type { PodCondition } from '../gen/types.ts';
import { definitionsFor } from './openapi.ts';
import { age } from './table.ts';
import { kinds } from '../kinds/registry.ts';

describe('names', () => {
  it.each([
    [dns1123Label, ['a', 'a-1', '1a', 'x'.repeat(63)], ['', 'A', '-a', 'a-', 'a.b', 'a\n', 'x'.repeat(64)]],
    [dns1123Subdomain, ['a.b-c.d'], ['a..b', '.a', 'a_b']],
    [dns1035Label, ['a1'], ['1a']],
    [qualifiedName, ['a', 'A_b.c', 'example.com/x'], ['', '/x', 'a/', 'a/b/c', 'Upper.com/x', '_a', 'x'.repeat(64)]],
    [labelValue, ['', 'A_b.c'], ['-a', 'a b', 'x'.repeat(64)]],
    [pathSegment, ['a:b', 'A'], ['.', '..', 'a/b', 'a%b']],
    [configMapKey, ['a.B_c-', '.x'], ['', '.', '..', '..a', 'a b']],
    [envVarName, ['A', 'a.b-c d'], ['', 'a=b', 'ü']],
    [portName, ['http', 'a-1'], ['', '123', 'a--b', '-a', 'Http', 'sixteen-letters-']],
  ] as const)('%o', (problem, good, bad) => {
    for (const name of good) expect([name, problem(name)]).toEqual([name, undefined]);
    for (const name of bad) expect([name, typeof problem(name)]).toEqual([name, 'string']);
  });

  it('says it as Kubernetes does', () => {
    expect(dns1123Label('My_Name')).toBe("a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')");
  });
});

it('addresses', () => {
  for (const text of ['10.0.0.1', '0.0.0.0', '::', '::1', 'fe80::1', '2001:db8:0:0:0:0:0:1', '::ffff:10.0.0.1']) expect([text, isIP(text)]).toEqual([text, true]);
  for (const text of ['', '10.0.0', '10.0.0.256', '010.0.0.1', '10.0.0.1.', ':::', '1::2::3', '1:2:3:4:5:6:7', '12345::', 'fe80::1%eth0']) expect([text, isIP(text)]).toEqual([text, false]);
  expect([isCIDR('10.0.0.0/8'), isCIDR('2001:db8::/64'), isCIDR('10.0.0.0/33'), isCIDR('10.0.0.0')]).toEqual([true, true, false, false]);
});

describe('metadata', () => {
  const rules = { namespaced: true, nameRule: 'dns-subdomain' } as const;
  const texts = (meta: Parameters<typeof validateMetadata>[0]): string[] => validateMetadata(meta, rules).map(({ field, message }) => `${field}: ${message}`);

  it('asks for a name and a namespace', () => {
    expect(texts(undefined)).toEqual(['metadata.name: Required value: name or generateName is required', 'metadata.namespace: Required value']);
    expect(validateMetadata({ name: 'x', namespace: 'y' }, { ...rules, namespaced: false })[0]?.message).toBe('Forbidden: not allowed on this type');
    expect(texts({ generateName: 'web-', name: 'web-1', namespace: 'default' })).toEqual([]);
  });

  it('limits annotations, owners and finalizers', () => {
    const base = { name: 'a', namespace: 'b' };
    expect(texts({ ...base, annotations: { 'Example.com/a': 'x'.repeat(262_144) } })).toEqual(['metadata.annotations: Too long: may not be more than 262144 bytes']);
    expect(texts({ ...base, finalizers: ['orphan', 'foregroundDeletion'] })).toHaveLength(1);
    const owner = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'x', uid: 'u', controller: true };
    expect(texts({ ...base, ownerReferences: [owner] })).toEqual([]);
    expect(texts({ ...base, ownerReferences: [owner, { ...owner, name: 'y' }] })[0]).toContain('Only one reference can have Controller set to true. Found "true" in references for x and y');
    expect(texts({ ...base, ownerReferences: [{ apiVersion: '', kind: '', name: '', uid: '' }] })).toHaveLength(4);
  });

  it('lets nobody add a finalizer to what is being deleted', () => {
    const old = { name: 'a', deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: ['a/b'] };
    expect(validateMetadataUpdate({ ...old, finalizers: [] }, old)).toEqual([]);
    expect(validateMetadataUpdate({ ...old, finalizers: ['a/b', 'c/d'] }, old)[0]?.message).toContain('found new finalizers []string{"c/d"}');
  });
});

it('invalid objects read as in Kubernetes', () => {
  const one = invalidStatus({ group: 'apps', kind: 'Deployment' }, 'web', [required('spec.selector')]);
  expect(one.message).toBe('Deployment.apps "web" is invalid: spec.selector: Required value');
  expect(one.details).toEqual({ name: 'web', group: 'apps', kind: 'Deployment', causes: [{ reason: 'FieldValueRequired', message: 'Required value', field: 'spec.selector' }] });
  const two = invalidStatus({ group: '', kind: 'Pod' }, 'x', [invalid('a', 'b', 'no'), notSupported('c', 'd', ['e', 'f'])]);
  expect(two.message).toBe('Pod "x" is invalid: [a: Invalid value: "b": no, c: Unsupported value: "d": supported values: "e", "f"]');
});

it('ages are human', () => {
  const second = 1000, minute = 60 * second, hour = 60 * minute, day = 24 * hour;
  expect([-5 * second, -500, 0, 119 * second, 2 * minute, 9 * minute + 59 * second, 10 * minute + 5 * second, 3 * hour, 7 * hour + 59 * minute, 8 * hour + minute, 47 * hour, 2 * day, 7 * day + hour, 8 * day + hour, 729 * day, 730 * day, 740 * day, 3000 * day].map(age))
    .toEqual(['<invalid>', '0s', '0s', '119s', '2m', '9m59s', '10m', '3h', '7h59m', '8h', '47h', '2d', '7d1h', '8d', '729d', '2y', '2y10d', '8y']);
});

it('a condition moves in time only when its status changes', () => {
  const old: PodCondition[] = [{ type: 'Ready', status: 'True', lastTransitionTime: 't0' }];
  expect(setCondition(old, { type: 'Ready', status: 'True', reason: 'Still' }, 't1')).toEqual([{ type: 'Ready', status: 'True', reason: 'Still', lastTransitionTime: 't0' }]);
  expect(setCondition(old, { type: 'Ready', status: 'False' }, 't1')).toEqual([{ type: 'Ready', status: 'False', lastTransitionTime: 't1' }]);
  expect(setCondition(undefined, { type: 'New', status: 'True' }, 't1')).toHaveLength(1);
});

it('shares of a total are rounded as asked', () => {
  expect([scaledValue('25%', 3, 'up'), scaledValue('25%', 3, 'down'), scaledValue(2, 3, 'up'), scaledValue('0%', 3, 'up')]).toEqual([1, 0, 2, 0]);
  expect(() => scaledValue('a', 3, 'up')).toThrow(expect.objectContaining({ code: 'Invalid' }));
});

it('equality knows JSON', () => {
  expect(equal({ a: 1, b: undefined }, { a: 1 })).toBe(true);
  expect(equal({ a: 1 }, { a: 1, b: undefined })).toBe(true);
  expect(equal({ a: [1, { b: 2 }] }, { a: [1, { b: 3 }] })).toBe(false);
  expect(equal([1], { 0: 1 })).toBe(false);
  expect(equal(JSON.parse('{"__proto__":1}'), {})).toBe(false);
});

it('OpenAPI holds every schema that it refers to', () => {
  const definitions = definitionsFor(Object.values(kinds));
  const text = JSON.stringify(definitions);
  const references = new Set([...text.matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)].map((match) => match[1] ?? ''));
  expect([...references].filter((name) => !Object.hasOwn(definitions, name))).toEqual([]);
  expect(definitions['io.k8s.api.apps.v1.Deployment']?.['x-kubernetes-group-version-kind']).toEqual([{ group: 'apps', version: 'v1', kind: 'Deployment' }]);
  expect(definitions['io.k8s.api.core.v1.PodSpec']?.properties?.['containers']?.['x-kubernetes-patch-merge-key']).toBe('name');
  expect(definitions['io.k8s.api.discovery.v1.EndpointPort']).toBeDefined();
});

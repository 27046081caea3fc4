import { expect, it } from 'vitest';
import { containerOf, podSelectorOf } from './pod-target.ts';

it.each([
  [undefined, ''],
  [{}, ''],
  [{ app: 'web' }, 'app=web'],
  [{ matchLabels: { app: 'web', tier: 'a' } }, 'app=web,tier=a'],
  [{ matchExpressions: [{ key: 'a', operator: 'In', values: ['x', 'y'] }, { key: 'b', operator: 'NotIn', values: ['z'] }, { key: 'c', operator: 'Exists' }, { key: 'd', operator: 'DoesNotExist' }] }, 'a in (x,y),b notin (z),c,!d'],
])('selects the pods behind %j', (selector, text) => {
  expect(podSelectorOf(selector)).toBe(text);
});

it.each<[object, string | undefined, string, string]>([
  [{ containers: [{ name: 'a' }] }, undefined, 'a', ''],
  [{ containers: [{ name: 'a' }, { name: 'b' }] }, 'b', 'b', ''],
  [{ containers: [{ name: 'a' }, { name: 'b' }], initContainers: [{ name: 'i' }], ephemeralContainers: [{ name: 'e' }] }, undefined, 'a', 'Defaulted container "a" out of: a, b, e (ephem), i (init)\n'],
])('chooses a container of %j and %s', (spec, named, chosen, said) => {
  let err = '';
  const pod = { metadata: { name: 'web' }, spec } as Parameters<typeof containerOf>[0];
  expect([containerOf(pod, named, { err: (text) => { err += text; } }), err]).toEqual([chosen, said]);
  err = '';
  expect([containerOf({ ...pod, metadata: { name: 'web', annotations: { 'kubectl.kubernetes.io/default-container': 'z' } } }, undefined, { err: (text) => { err += text; } }), err]).toEqual(['z', '']);
});

import { expect, it } from 'vitest';
import { podSelectorOf } from './pod-target.ts';

it.each([
  [undefined, ''],
  [{}, ''],
  [{ app: 'web' }, 'app=web'],
  [{ matchLabels: { app: 'web', tier: 'a' } }, 'app=web,tier=a'],
  [{ matchExpressions: [{ key: 'a', operator: 'In', values: ['x', 'y'] }, { key: 'b', operator: 'NotIn', values: ['z'] }, { key: 'c', operator: 'Exists' }, { key: 'd', operator: 'DoesNotExist' }] }, 'a in (x,y),b notin (z),c,!d'],
])('selects the pods behind %j', (selector, text) => {
  expect(podSelectorOf(selector)).toBe(text);
});

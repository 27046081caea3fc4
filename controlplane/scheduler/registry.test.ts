import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { schedulerPlugins } from './registry.ts';

test('every plugin folder is registered', () => {
  const folders = readdirSync(new URL('plugins', import.meta.url));
  expect(Object.keys(schedulerPlugins).toSorted()).toEqual(folders.toSorted());
});

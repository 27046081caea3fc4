import { readdirSync } from 'node:fs';
import { expect, it } from 'vitest';
import { controllers } from './registry.ts';

it('lists every folder', () => {
  const folders = readdirSync(import.meta.dirname, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  expect(Object.keys(controllers).sort()).toEqual(folders.sort());
});

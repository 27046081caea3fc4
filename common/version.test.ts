import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { kubernetesVersion, version } from './version.ts';

it('is the version of package.json, and a form that clients parse', () => {
  const { version: packaged } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string };
  expect(version).toBe(packaged);
  expect(kubernetesVersion(version)).toMatch(/^v\d+\.\d+\.\d+\+cleat\.\d+\.\d+\.\d+$/);
});

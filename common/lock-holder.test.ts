import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { controlPlaneOn, showInUse } from './lock-holder.ts';

let dir: string;
beforeEach(() => { dir = mkdtempSync(join(tmpdir(), 'cleat-in-use-')); });
afterEach(() => { rmSync(dir, { recursive: true, force: true }); });

it('knows the process that runs on a state directory without locking a store there, for as long as it does', async () => {
  expect(await controlPlaneOn(dir)).toBeUndefined();
  const end = await showInUse(dir);
  expect(await controlPlaneOn(dir)).toBe(String(process.pid));
  await end();
  // The file stays, and says nothing.
  expect(await controlPlaneOn(dir)).toBeUndefined();
});

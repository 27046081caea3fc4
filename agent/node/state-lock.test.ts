import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { lockState } from './state-lock.ts';

let dir: string;
beforeEach(async () => { dir = await mkdtemp(join(tmpdir(), 'cleat-lock-')); });
afterEach(async () => { await rm(dir, { recursive: true, force: true }); });

it('lets one agent at a time use a state directory, and ends with its process', async () => {
  const script = `const { lockState } = await import(${JSON.stringify(join(import.meta.dirname, 'state-lock.ts'))}); await lockState(${JSON.stringify(dir)}); console.log('locked'); setInterval(() => {}, 1e6);`;
  const other = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(other.stdout, 'data');
  await expect(lockState(dir)).rejects.toThrow(`another agent (process ${String(other.pid)}) uses the state directory ${dir}; stop it first`);
  const ended = once(other, 'exit');
  other.kill('SIGKILL');
  await ended;
  const unlock = await lockState(dir);
  expect(await readdir(join(dir, 'agent'))).toHaveLength(1);
  await unlock();
  expect(await readdir(join(dir, 'agent'))).toEqual([]);
});

it('says what is wrong with a directory that cannot be used', async () => {
  await writeFile(join(dir, 'agent'), '');
  await expect(lockState(dir)).rejects.toThrow(/cannot use the state directory .*--state-dir/);
});

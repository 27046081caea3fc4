import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { childrenOf } from './process.ts';

it('finds the children of a process', async () => {
  const child = spawn('sleep', ['1000']);
  try {
    await once(child, 'spawn');
    expect(await childrenOf(process.pid)).toContain(child.pid);
    expect(await childrenOf(child.pid ?? 0)).toEqual([]);
  } finally {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  // Of one that is gone the kernel has no list, and nobody names it as a parent.
  expect(await childrenOf(child.pid ?? 0)).toEqual([]);
});

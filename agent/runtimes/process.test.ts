import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { childrenOf, signalNumber } from './process.ts';

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

it('knows signals by their names, those without a meaning too', () => {
  expect(['SIGTERM', 'SIGUSR1', 'SIGRTMIN', 'SIGRTMIN+3', 'SIGRTMAX', 'SIGRTMAX-1'].map(signalNumber)).toEqual([15, 10, 34, 37, 64, 63]);
  expect(['', 'TERM', 'toString', 'SIGRTMIN-1', 'SIGRTMAX+1', 'SIGRTMIN+31', 'SIGRTMAX-99', 'SIGRTMIN+'].map(signalNumber)).toEqual(Array.from({ length: 8 }, () => undefined));
});

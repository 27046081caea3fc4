import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { killProcesses, limitCgroup, limitProcesses, processCount, removeCgroup } from './cgroups.ts';

const tree = ['/sys/fs/cgroup/pids', '/sys/fs/cgroup'].find((dir) => existsSync(join(dir, 'cgroup.procs'))) ?? '';
const limits = { cpuShares: 2, cpuQuotaMicros: 0, cpuPeriodMicros: 100_000, memoryLimitBytes: 0 };

it.each([
  ['as they are named', (name: string) => [name, join(name, 'pod1-2')]],
  ["by systemd's slices", (name: string) => [`${name}.slice`, join(`${name}.slice`, `${name}-pod1_2.slice`)]],
])('limits the processes of all pods together %s', async (_how, foldersOf) => {
  const name = `cleattest${String(process.pid)}`;
  const folders = foldersOf(name);
  if (existsSync(join(tree, 'cgroup.subtree_control'))) writeFileSync(join(tree, 'cgroup.subtree_control'), '+pids');
  for (const folder of folders) mkdirSync(join(tree, folder), { recursive: true });
  const maxOf = (folder = ''): string => readFileSync(join(tree, folder, 'pids.max'), 'utf8').trim();
  try {
    await limitCgroup(`/${name}`, { ...limits, pids: 77 });
    expect([maxOf(folders[0]), await processCount(`/${name}`)]).toEqual(['77', 0]);
    await limitProcesses(`/${name}`, 66);
    expect(maxOf(folders[0])).toBe('66');
    // What nobody else ends any more.
    const orphan = spawn('sleep', ['100'], { stdio: 'ignore' });
    const ended = once(orphan, 'exit');
    writeFileSync(join(tree, folders[1] ?? '', 'cgroup.procs'), String(orphan.pid));
    expect([await removeCgroup(`/${name}`), await killProcesses(`/${name}`)]).toEqual([false, 1]);
    expect(await ended).toEqual([null, 'SIGKILL']);
  } finally {
    expect([await removeCgroup(`/${name}/pod1-2`), await removeCgroup(`/${name}`), ...folders.map((folder) => existsSync(join(tree, folder)))]).toEqual([true, true, false, false]);
  }
  await limitProcesses(`/${name}`, 5);
  expect(existsSync(join(tree, foldersOf(name)[0] ?? ''))).toBe(false);
});

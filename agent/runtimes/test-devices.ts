import { existsSync } from 'node:fs';
import { mkdir, readdir, rm, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cdiFolders } from './sandbox/cdi.ts';

/** For tests: CDI devices of this host until `remove`. The specification of a test run that was killed is removed by the next. */
export async function addCdiDevices(dir: string): Promise<{ readonly kind: string; readonly hookRan: () => boolean; readonly remove: () => Promise<void> }> {
  const [, folder] = cdiFolders;
  const prefix = 'cleat-contract-';
  const had = existsSync(folder);
  await mkdir(folder, { recursive: true });
  for (const name of await readdir(folder)) if (name.startsWith(prefix) && !existsSync(`/proc/${/\d+/.exec(name)?.[0] ?? ''}`)) await rm(join(folder, name));
  const path = join(folder, `${prefix}${String(process.pid)}-${String(performance.now())}.json`);
  const kind = `cleat.dev/contract${String(process.pid)}`;
  const trace = join(dir, 'hook-ran');
  const gift = join(dir, 'gift');
  await mkdir(dir, { recursive: true });
  await writeFile(gift, 'for you\n');
  await writeFile(path, JSON.stringify({
    cdiVersion: '0.5.0', kind, containerEdits: { env: ['CDI_COMMON=yes'] },
    devices: [
      { name: 'fuse', containerEdits: { env: ['CDI_DEVICE=fuse'], deviceNodes: [{ path: '/dev/fuse' }], mounts: [{ hostPath: gift, containerPath: '/gift', options: ['ro', 'nosuid', 'bind'] }] } },
      { name: 'hooked', containerEdits: { hooks: [{ hookName: 'createRuntime', path: '/bin/sh', args: ['sh', '-c', `echo "$MARK" > ${trace}`], env: ['MARK=ran'] }] } },
    ],
  }));
  return {
    kind, hookRan: () => existsSync(trace),
    remove: async () => {
      await rm(path, { force: true });
      if (!had) await rmdir(folder).catch(() => undefined);
    },
  };
}

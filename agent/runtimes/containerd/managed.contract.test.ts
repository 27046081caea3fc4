import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { openContainerdLab, type ContainerdLab } from './test-lab.ts';
import { ManagedContainerd } from './managed.ts';
import { dial, readPidFile } from './process.ts';

let lab: ContainerdLab;
beforeAll(async () => { lab = await openContainerdLab('10.77.4.0/24'); });
afterAll(async () => { await lab.close(); });

const pid = async (): Promise<number | undefined> => (await readPidFile(lab.containerd.paths.pidFile))?.pid;
async function until(condition: () => Promise<boolean>): Promise<void> {
  const signal = AbortSignal.timeout(30_000);
  while (!await condition()) await systemClock.sleep(20, signal);
}

describe('a containerd of our own', () => {
  it('is adopted, not started twice', async () => {
    const before = await pid();
    expect(before).toBeGreaterThan(0);
    await lab.containerd.ensure(AbortSignal.timeout(10_000));
    expect(await pid()).toBe(before);
  });

  it('is found when a start was killed before it noted what it had started', async () => {
    const before = await pid();
    await rm(lab.containerd.paths.pidFile);
    await lab.containerd.ensure(AbortSignal.timeout(10_000));
    expect(await pid()).toBe(before);
  });

  it('is started again when it dies, and left running at the end', async () => {
    const stop = new AbortController();
    const running = lab.containerd.start(stop.signal);
    const before = await pid() ?? 0;
    process.kill(before, 'SIGKILL');
    await until(async () => {
      const now = await pid();
      const socket = now === undefined || now === before ? undefined : await dial(lab.containerd.paths.socket);
      socket?.destroy();
      return socket !== undefined;
    });
    stop.abort();
    await running;
    expect(await pid()).toBeGreaterThan(0);
  });

  it('ends shims that were left behind', async () => {
    const { paths } = lab.containerd;
    const bundle = join(paths.state, 'io.containerd.runtime.v2.task/k8s.io/stray');
    await mkdir(bundle, { recursive: true });
    const shim = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e6)', '--', '-namespace', 'k8s.io', '-id', 'stray', '-address', paths.socket], { argv0: 'containerd-shim-test', cwd: bundle, stdio: 'ignore' });
    const ended = once(shim, 'exit');
    const stop = new AbortController();
    const running = lab.containerd.start(stop.signal);
    expect(await ended).toEqual([null, 'SIGKILL']);
    await until(() => Promise.resolve(!existsSync(bundle)));
    stop.abort();
    await running;
  });

  it('says what to install when it is not there', async () => {
    const elsewhere = new ManagedContainerd({ clock: systemClock, log: silentLog }, { stateDir: lab.stateDir, sandboxImage: 'x', searchPath: '', cniBinDirs: ['/none'], runRoot: `${lab.stateDir}/run2` });
    await expect(elsewhere.ensure(AbortSignal.timeout(5000))).rejects.toThrow(/no CNI plugins in \/none.*apt-get install containernetworking-plugins/);
  });
});

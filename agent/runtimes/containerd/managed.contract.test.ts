import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { execOk } from '#common/exec.ts';
import { silentLog } from '#common/log.ts';
import { sandboxConfig } from '../test-configs.ts';
import { openContainerdLab, type ContainerdLab } from './test-lab.ts';
import { staleLeases } from './half-made.ts';
import { ManagedContainerd } from './managed.ts';
import { dial, readPidFile } from '../process.ts';

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

  it('ends shims that were left behind, but not what somebody runs in another namespace', async () => {
    const { paths } = lab.containerd;
    const bundle = join(paths.state, 'io.containerd.runtime.v2.task/k8s.io/stray');
    await mkdir(bundle, { recursive: true });
    const shimIn = (namespace: string): ReturnType<typeof spawn> => spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e6)', '--', '-namespace', namespace, '-id', 'stray', '-address', paths.socket], { argv0: 'containerd-shim-test', cwd: bundle, stdio: 'ignore' });
    const [shim, other] = [shimIn('k8s.io'), shimIn('theirs')];
    const ended = once(shim, 'exit');
    const stop = new AbortController();
    const running = lab.containerd.start(stop.signal);
    expect(await ended).toEqual([null, 'SIGKILL']);
    await until(() => Promise.resolve(!existsSync(bundle)));
    stop.abort();
    await running;
    expect([other.exitCode, other.signalCode]).toEqual([null, null]);
    other.kill('SIGKILL');
  });

  it('takes back what a killed one had half made, and nothing that is in use', async () => {
    const { paths } = lab.containerd;
    const signal = AbortSignal.timeout(30_000);
    const sandbox = sandboxConfig(join(lab.stateDir, 'logs'));
    await mkdir(sandbox.logDirectory, { recursive: true });
    const id = await lab.driver.runSandbox(sandbox, signal);
    const addresses = join(paths.cniDataDir, 'lab');
    const taken = async (): Promise<string[]> => (await readdir(addresses)).filter((name) => name.startsWith('10.'));
    const before = [await readdir(paths.netnsDir), await taken()];
    expect(before.map((list) => list.length)).toEqual([1, 1]);

    await execOk('unshare', ['--net', 'sh', '-c', `touch ${paths.netnsDir}/cni-lost && mount --bind /proc/self/ns/net ${paths.netnsDir}/cni-lost`]);
    await writeFile(join(addresses, '10.77.4.99'), 'lost\r\neth0');
    const ctr = (...args: string[]): Promise<string> => execOk('ctr', ['-a', paths.socket, '-n', 'k8s.io', ...args]);
    const lost = (await ctr('leases', 'create')).trim();
    expect(staleLeases(await ctr('leases', 'ls'), Date.now() + 3000)).toEqual([lost]);
    expect(staleLeases(await ctr('leases', 'ls'), Date.now() - 60_000)).toEqual([]);
    process.kill(await pid() ?? 0, 'SIGKILL');
    await until(async () => await dial(paths.socket).then((socket) => socket?.destroy() === undefined && socket === undefined));
    // The agent that starts it is killed before it has looked through what there was: the next one does.
    await lab.containerd.ensure(signal);
    const stop = new AbortController();
    const running = lab.containerd.start(stop.signal);
    await until(async () => !existsSync(join(addresses, '10.77.4.99')) && !staleLeases(await ctr('leases', 'ls'), Date.now() + 3000).includes(lost));
    expect([await readdir(paths.netnsDir), await taken()]).toEqual(before);
    stop.abort();
    await running;
    expect((await lab.driver.list(signal)).sandboxes).toMatchObject([{ id, state: 'ready' }]);
    await lab.driver.stopSandbox(id, signal);
    await lab.driver.removeSandbox(id, signal);
    expect(await taken()).toEqual([]);
  });

  it('says what to install when it is not there', async () => {
    const elsewhere = new ManagedContainerd({ clock: systemClock, log: silentLog }, { stateDir: lab.stateDir, sandboxImage: 'x', searchPath: '', cniBinDirs: ['/none'], runRoot: `${lab.stateDir}/run2` });
    await expect(elsewhere.ensure(AbortSignal.timeout(5000))).rejects.toThrow(/no CNI plugins in \/none.*apt-get install containernetworking-plugins/);
  });
});

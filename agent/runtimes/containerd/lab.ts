import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '#common/clock.ts';
import { exec, execOk } from '#common/exec.ts';
import { silentLog } from '#common/log.ts';
import { ensureHelloImage, ensurePauseImage, pauseImage } from '#install/images.ts';
import { CriDriver } from '../cri/driver.ts';
import { ManagedContainerd } from './managed.ts';

/** For tests: a containerd in a network namespace and directories of its own, with our images and a pod network. */
export interface ContainerdLab {
  readonly stateDir: string;
  readonly netns: string;
  readonly containerd: ManagedContainerd;
  readonly driver: CriDriver;
  /** Another driver on the same runtime, as after a restart of the agent. */
  connect(): CriDriver;
  close(): Promise<void>;
}

export async function openContainerdLab(subnet = '10.77.0.0/24'): Promise<ContainerdLab> {
  const signal = AbortSignal.timeout(60_000);
  const stateDir = await mkdtemp(join(tmpdir(), 'cleat-lab-'));
  const netns = stateDir.slice(stateDir.lastIndexOf('/') + 1);
  await execOk('ip', ['netns', 'add', netns]);
  await execOk('ip', ['-n', netns, 'link', 'set', 'lo', 'up']);
  await writeNetwork(stateDir, subnet);
  const containerd = new ManagedContainerd({ clock: systemClock, log: silentLog }, {
    stateDir, sandboxImage: pauseImage, searchPath: process.env['PATH'] ?? '', runRoot: join(stateDir, 'run'),
    launcher: ['nsenter', `--net=/run/netns/${netns}`],
  });
  const drivers: CriDriver[] = [];
  const connect = (): CriDriver => {
    const driver = new CriDriver({ clock: systemClock, log: silentLog }, { endpoint: containerd.endpoint, owner: netns, snapshotter: containerd.snapshotter });
    drivers.push(driver);
    return driver;
  };
  const close = async (): Promise<void> => {
    const stop = AbortSignal.timeout(60_000);
    const { sandboxes } = await connect().list(stop);
    await Promise.all(sandboxes.map(async ({ id }) => {
      await connect().stopSandbox(id, stop);
      await connect().removeSandbox(id, stop);
    }));
    for (const driver of drivers) driver.close();
    await containerd.stop(stop);
    await unmountBelow(stateDir);
    await execOk('ip', ['netns', 'del', netns]);
    await rm(stateDir, { recursive: true, force: true });
  };
  try {
    await containerd.ensure(signal);
    const driver = connect();
    await ensurePauseImage(driver, stateDir, signal);
    await ensureHelloImage(driver, stateDir, signal);
    return { stateDir, netns, containerd, driver, connect, close };
  } catch (error) {
    await close().catch(() => undefined);
    throw error;
  }
}

async function writeNetwork(stateDir: string, subnet: string): Promise<void> {
  await mkdir(join(stateDir, 'cni', 'net.d'), { recursive: true });
  await writeFile(join(stateDir, 'cni', 'net.d', '10-lab.conflist'), JSON.stringify({
    cniVersion: '0.4.0', name: 'lab', plugins: [{
      type: 'bridge', bridge: 'cni0', isGateway: true, hairpinMode: true,
      ipam: { type: 'host-local', dataDir: join(stateDir, 'cni', 'networks'), ranges: [[{ subnet }]], routes: [{ dst: '0.0.0.0/0' }] },
    }],
  }));
}

async function unmountBelow(dir: string): Promise<void> {
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').map((line) => line.split(' ')[4] ?? '').filter((path) => path.startsWith(`${dir}/`));
  for (const path of mounts.reverse()) await exec('umount', ['-l', path]);
}

import { spawn } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { systemClock } from '#common/clock.ts';
import { exec, execOk, spawnDaemon } from '#common/exec.ts';
import { silentLog } from '#common/log.ts';
import { ensureHelloImage, ensurePauseImage, pauseImage } from '#install/images.ts';
import { CriDriver } from '../cri/driver.ts';
import { removeCgroup } from '../cgroups.ts';
import { ManagedContainerd } from './managed.ts';
import { containerdPaths } from './paths.ts';
import { processRef, readPidFile } from '../process.ts';

const prefix = 'cleat-containerd-';

/** For tests: a containerd in a network namespace and directories of its own, with our images and a pod network. */
export interface ContainerdLab {
  readonly stateDir: string;
  readonly netns: string;
  readonly containerd: ManagedContainerd;
  readonly driver: CriDriver;
  /** Starts a program in the lab's network, which ends with the lab. */
  readonly launch: (name: string, ...args: string[]) => Promise<void>;
  /** Runs a program there to its end. */
  readonly execute: (name: string, ...args: string[]) => Promise<string>;
  /** Another driver on the same runtime, as after a restart of the agent. */
  connect(): CriDriver;
  close(): Promise<void>;
}

export async function openContainerdLab(subnet = '10.77.0.0/24'): Promise<ContainerdLab> {
  const signal = AbortSignal.timeout(60_000);
  await removeCrashedLabs();
  const stateDir = await mkdtemp(join(tmpdir(), `${prefix}${String(process.pid)}-`));
  // As /run is: who is root in a pod alone, and nobody here, must reach the pod's root directory.
  await chmod(stateDir, 0o711);
  const netns = stateDir.slice(stateDir.lastIndexOf('/') + 1);
  await execOk('ip', ['netns', 'add', netns]);
  await execOk('ip', ['-n', netns, 'link', 'set', 'lo', 'up']);
  await writeNetwork(stateDir, subnet);
  const containerd = new ManagedContainerd({ clock: systemClock, log: silentLog }, {
    stateDir, sandboxImage: pauseImage, searchPath: process.env['PATH'] ?? '', runRoot: join(stateDir, 'run'), sweepAfterMs: 50,
    launcher: ['nsenter', `--net=/run/netns/${netns}`],
  });
  const drivers: CriDriver[] = [];
  const launched: number[] = [];
  const connect = (): CriDriver => {
    const driver = new CriDriver({ clock: systemClock, log: silentLog }, { endpoint: containerd.endpoint, owner: netns, snapshotter: containerd.snapshotter, connectStream: (host, port) => connectIn(netns, host, port) });
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
    for (const pid of launched) if (await processRef(pid)) process.kill(pid, 'SIGKILL');
    await containerd.stop(stop);
    await endOrphans(process.pid);
    await removeLab(netns, stateDir);
  };
  try {
    await containerd.ensure(signal);
    const driver = connect();
    await ensurePauseImage(driver, signal);
    await ensureHelloImage(driver, signal);
    const launch = async (name: string, ...args: string[]): Promise<void> => { launched.push((await spawnDaemon('nsenter', [`--net=/run/netns/${netns}`, name, ...args], 'ignore')).pid); };
    const execute = (name: string, ...args: string[]): Promise<string> => execOk('nsenter', [`--net=/run/netns/${netns}`, name, ...args]);
    return { stateDir, netns, containerd, driver, launch, execute, connect, close };
  } catch (error) {
    await close().catch(() => undefined);
    throw error;
  }
}

/** A TCP connection made inside of a network namespace. */
function connectIn(netns: string, host: string, port: number): Duplex {
  const child = spawn('nsenter', [`--net=/run/netns/${netns}`, 'busybox', 'nc', host, String(port)], { stdio: ['pipe', 'pipe', 'ignore'] });
  const duplex = Duplex.from({ readable: child.stdout, writable: child.stdin });
  duplex.once('close', () => { child.kill(); });
  return duplex;
}

/** What a killed test run left: its name says whose it was. */
async function removeCrashedLabs(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const owner = name.startsWith(prefix) ? Number(name.slice(prefix.length).split('-')[0]) : undefined;
    if (owner === undefined || await processRef(owner)) continue;
    const stateDir = join(tmpdir(), name);
    const inNetns = (await exec('ip', ['netns', 'pids', name])).stdout.trim().split('\n').map(Number);
    const containerd = await readPidFile(containerdPaths(stateDir, join(stateDir, 'run')).pidFile);
    for (const pid of new Set([...containerd ? [containerd.pid] : [], ...inNetns, ...await pidsInCgroup(name)])) {
      if (pid > 1 && await processRef(pid)) process.kill(pid, 'SIGKILL');
    }
    await endOrphans(owner);
    await removeLab(name, stateDir);
  }
}

/** Pods that `sandboxConfig` names after a test's process, and whose shim was killed, belong to nobody. */
async function endOrphans(owner: number): Promise<void> {
  for (const pid of await pidsInCgroup(`cleat-contract/uid-${String(owner)}-`)) if (await processRef(pid)) process.kill(pid, 'SIGKILL');
}

/** `name`: how the cgroup's path goes on after a slash. */
async function pidsInCgroup(name: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry));
  const member = await Promise.all(pids.map(async (pid) => (await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => '')).includes(`/${name}`)));
  return pids.filter((_pid, i) => member[i]).map(Number);
}

async function removeLab(netns: string, stateDir: string): Promise<void> {
  await unmountBelow(stateDir);
  await exec('ip', ['netns', 'del', netns]);
  await Promise.all([`/${netns}`, '/cleat-contract'].map(removeCgroup));
  await rm(stateDir, { recursive: true, force: true });
}

async function writeNetwork(stateDir: string, subnet: string): Promise<void> {
  await mkdir(join(stateDir, 'cni', 'net.d'), { recursive: true });
  await writeFile(join(stateDir, 'cni', 'net.d', '10-lab.conflist'), JSON.stringify({
    cniVersion: '0.4.0', name: 'lab', plugins: [{
      type: 'bridge', bridge: 'cni0', isGateway: true, hairpinMode: true,
      ipam: { type: 'host-local', dataDir: join(stateDir, 'cni', 'data'), ranges: [[{ subnet }]], routes: [{ dst: '0.0.0.0/0' }] },
    }],
  }));
}

async function unmountBelow(dir: string): Promise<void> {
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').map((line) => line.split(' ')[4] ?? '').filter((path) => path.startsWith(`${dir}/`));
  for (const path of mounts.reverse()) await exec('umount', ['-l', path]);
}

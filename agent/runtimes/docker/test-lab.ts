import { closeSync, openSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '#common/clock.ts';
import { exec, execOk, spawnDaemon } from '#common/exec.ts';
import { silentLog } from '#common/log.ts';
import { ensureHelloImage, ensurePauseImage, pauseImage } from '#install/images.ts';
import { removeCgroup } from '../cgroups.ts';
import { DockerDriver } from './driver.ts';
import { DockerEngine } from './engine.ts';

const prefix = 'cleat-docker-';

/** For tests: a Docker in a network namespace and directories of its own, with our images and a pod network. */
export interface DockerLab {
  readonly stateDir: string;
  readonly netns: string;
  readonly engine: DockerEngine;
  readonly driver: DockerDriver;
  /** Another driver on the same Docker, as after a restart of the agent. */
  connect(): DockerDriver;
  /** SIGKILL of the daemon alone. */
  kill(): Promise<void>;
  start(): Promise<void>;
  close(): Promise<void>;
}

export async function openDockerLab(subnet = '10.78.0.0/24'): Promise<DockerLab> {
  const signal = AbortSignal.timeout(90_000);
  await removeCrashedLabs();
  const stateDir = await mkdtemp(join(tmpdir(), `${prefix}${String(process.pid)}-`));
  const netns = stateDir.slice(stateDir.lastIndexOf('/') + 1);
  await execOk('ip', ['netns', 'add', netns]);
  await execOk('ip', ['-n', netns, 'link', 'set', 'lo', 'up']);
  await writeFiles(stateDir, subnet);
  const socket = join(stateDir, 'docker.sock');
  const engine = new DockerEngine(socket);
  const launch = async (name: string, ...args: string[]): Promise<void> => {
    const log = openSync(join(stateDir, `${name}.log`), 'a');
    await spawnDaemon('nsenter', [`--net=/run/netns/${netns}`, name, ...args], log);
    closeSync(log);
  };
  const start = async (): Promise<void> => {
    await rm(join(stateDir, 'docker.pid'), { force: true });
    await launch('dockerd', '--data-root', join(stateDir, 'data'), '--exec-root', join(stateDir, 'exec'), '-H', `unix://${socket}`, '--containerd', join(stateDir, 'c.sock'),
      '--pidfile', join(stateDir, 'docker.pid'), '--oom-score-adjust', '0', '--cgroup-parent', `/${netns}`, '--config-file', join(stateDir, 'daemon.json'));
    await until(signal, async () => { await engine.call('GET', '/version', { timeoutMs: 1000 }, signal); });
  };
  const connect = (): DockerDriver => new DockerDriver({ clock: systemClock, log: silentLog }, {
    endpoint: `unix://${socket}`, owner: netns, stateDir, sandboxImage: pauseImage, cni: { confDir: join(stateDir, 'net.d'), binDirs: ['/opt/cni/bin', '/usr/lib/cni'] },
    cniLauncher: ['nsenter', `--net=/run/netns/${netns}`],
  });
  const kill = async (): Promise<void> => {
    const pid = Number(await readFile(join(stateDir, 'docker.pid'), 'utf8'));
    process.kill(pid, 'SIGKILL');
    await until(signal, async () => { if ((await readFile(`/proc/${String(pid)}/stat`, 'utf8').catch(() => 'Z')).split(') ')[1]?.startsWith('Z') === false) throw new Error('it still runs'); });
  };
  try {
    await launch('containerd', '-c', join(stateDir, 'containerd.toml'));
    await until(signal, async () => { await execOk('ctr', ['-a', join(stateDir, 'c.sock'), 'version']); });
    await start();
    const driver = connect();
    await ensurePauseImage(driver, stateDir, signal);
    await ensureHelloImage(driver, stateDir, signal);
    return { stateDir, netns, engine, driver, connect, kill, start, close: () => removeLab(netns, stateDir) };
  } catch (error) {
    const log = await readFile(join(stateDir, 'dockerd.log'), 'utf8').catch(() => '');
    await removeLab(netns, stateDir).catch(() => undefined);
    throw new Error(`the lab's Docker does not start: ${log.slice(-2000)}`, { cause: error });
  }
}

async function until(signal: AbortSignal, attempt: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      await attempt();
      return;
    } catch (error) {
      if (signal.aborted) throw error;
      await systemClock.sleep(50, signal);
    }
  }
}

/** What a killed test run left: its name says whose it was. */
async function removeCrashedLabs(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const owner = name.startsWith(prefix) ? name.slice(prefix.length).split('-')[0] ?? '' : undefined;
    if (owner !== undefined && await readFile(`/proc/${owner}/stat`).catch(() => undefined) === undefined) await removeLab(name, join(tmpdir(), name));
  }
}

/** Everything that is in the network namespace or names the folder: daemons, shims, and through them the containers. */
async function removeLab(netns: string, stateDir: string): Promise<void> {
  for (let tries = 0; tries < 50; tries++) {
    const pids = await processesOf(netns, stateDir);
    if (pids.length === 0) break;
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It is gone already.
      }
    }
    await systemClock.sleep(50, new AbortController().signal);
  }
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').map((line) => line.split(' ')[4] ?? '').filter((path) => path.startsWith(`${stateDir}/`));
  for (const path of mounts.reverse()) await exec('umount', ['-l', path]);
  await exec('ip', ['netns', 'del', netns]);
  await Promise.all([`/${netns}`, '/cleat-contract'].map(removeCgroup));
  await rm(stateDir, { recursive: true, force: true });
}

async function processesOf(netns: string, stateDir: string): Promise<number[]> {
  const inside = (await exec('ip', ['netns', 'pids', netns])).stdout.trim().split('\n').map(Number);
  const all = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => pid !== process.pid);
  const named = await Promise.all(all.map(async (pid) => {
    const [command, cgroup] = await Promise.all(['cmdline', 'cgroup'].map((file) => readFile(`/proc/${String(pid)}/${file}`, 'utf8').catch(() => '')));
    return command?.includes(`${stateDir}/`) || cgroup?.includes(`/${netns}/`) ? pid : 0;
  }));
  return [...new Set([...inside, ...named])].filter((pid) => pid > 1);
}

async function writeFiles(stateDir: string, subnet: string): Promise<void> {
  await mkdir(join(stateDir, 'net.d'), { recursive: true });
  await writeFile(join(stateDir, 'net.d', '10-lab.conflist'), JSON.stringify({
    cniVersion: '0.4.0', name: 'lab', plugins: [{ type: 'ptp', ipMasq: false, ipam: { type: 'host-local', dataDir: join(stateDir, 'cni'), ranges: [[{ subnet }]], routes: [{ dst: '0.0.0.0/0' }] } }],
  }));
  await writeFile(join(stateDir, 'daemon.json'), '{}');
  await writeFile(join(stateDir, 'containerd.toml'), `version = 2
root = "${stateDir}/croot"
state = "${stateDir}/crun"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "${stateDir}/c.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "${stateDir}/opt"
`);
}

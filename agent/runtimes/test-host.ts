import { closeSync, openSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { systemClock } from '#common/clock.ts';
import { exec, execOk, spawnDaemon } from '#common/exec.ts';
import { removeCgroup } from './cgroups.ts';
import type { DriverConfig } from './types.ts';

/** For tests: a network namespace and directories of its own, a containerd in it whose CRI is switched off, and a pod network. */
export interface TestHost {
  readonly stateDir: string;
  readonly netns: string;
  /** containerd's socket. */
  readonly containerd: string;
  readonly cni: DriverConfig['cni'];
  readonly cniLauncher: readonly string[];
  /** Starts a program in the host; its output goes to `NAME.log`. Resolves with its pid. */
  readonly launch: (name: string, ...args: string[]) => Promise<number>;
  /** Runs a program in the host to its end. */
  readonly execute: (name: string, ...args: string[]) => Promise<string>;
  /** Kills the containerd that runs, and starts another. */
  killContainerd(): Promise<void>;
  close(): Promise<void>;
}

export async function openTestHost(prefix: string, subnet: string): Promise<TestHost> {
  await removeCrashedHosts(prefix);
  const stateDir = await mkdtemp(join(tmpdir(), `${prefix}${String(process.pid)}-`));
  const netns = stateDir.slice(stateDir.lastIndexOf('/') + 1);
  const close = (): Promise<void> => removeHost(netns, stateDir);
  const launch = async (name: string, ...args: string[]): Promise<number> => {
    const log = openSync(join(stateDir, `${basename(name)}.log`), 'a');
    const { pid } = await spawnDaemon('nsenter', [`--net=/run/netns/${netns}`, name, ...args], log);
    closeSync(log);
    return pid;
  };
  const execute = (name: string, ...args: string[]): Promise<string> => execOk('nsenter', [`--net=/run/netns/${netns}`, name, ...args]);
  const containerd = join(stateDir, 'c.sock');
  const startContainerd = async (): Promise<number> => {
    const pid = await launch('containerd', '-c', join(stateDir, 'containerd.toml'));
    await until(AbortSignal.timeout(60_000), async () => { await execOk('ctr', ['-a', containerd, '--connect-timeout', '1s', 'version']); });
    return pid;
  };
  try {
    await execOk('ip', ['netns', 'add', netns]);
    await execOk('ip', ['-n', netns, 'link', 'set', 'lo', 'up']);
    await writeFiles(stateDir, subnet);
    let running = await startContainerd();
    const killContainerd = async (): Promise<void> => {
      process.kill(running, 'SIGKILL');
      running = await startContainerd();
    };
    return { stateDir, netns, containerd, cni: { confDir: join(stateDir, 'net.d'), binDirs: ['/opt/cni/bin', '/usr/lib/cni'] }, cniLauncher: ['nsenter', `--net=/run/netns/${netns}`], launch, execute, killContainerd, close };
  } catch (error) {
    const log = await readFile(join(stateDir, 'containerd.log'), 'utf8').catch(() => '');
    await close().catch(() => undefined);
    throw new Error(`the test host does not start: ${log.slice(-2000)}`, { cause: error });
  }
}

export async function until(signal: AbortSignal, attempt: () => Promise<void>): Promise<void> {
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
async function removeCrashedHosts(prefix: string): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const owner = name.startsWith(prefix) ? name.slice(prefix.length).split('-')[0] ?? '' : undefined;
    if (owner !== undefined && await readFile(`/proc/${owner}/stat`).catch(() => undefined) === undefined) await removeHost(name, join(tmpdir(), name));
  }
}

/** Everything that is in the network namespace or names the folder: daemons, shims, and through them the containers. */
async function removeHost(netns: string, stateDir: string): Promise<void> {
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

/** Where `sandboxConfig` puts the pods of the test whose process the name has. Those whose shim was killed belong to nobody. */
function podsOf(netns: string): string {
  return `/cleat-contract/uid-${netns.split('-').at(-2) ?? ''}-`;
}

async function processesOf(netns: string, stateDir: string): Promise<number[]> {
  const inside = (await exec('ip', ['netns', 'pids', netns])).stdout.trim().split('\n').map(Number);
  const all = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => pid !== process.pid);
  const named = await Promise.all(all.map(async (pid) => {
    const [command, cgroup] = await Promise.all(['cmdline', 'cgroup'].map((file) => readFile(`/proc/${String(pid)}/${file}`, 'utf8').catch(() => '')));
    return command?.includes(`${stateDir}/`) || cgroup?.includes(`/${netns}/`) || cgroup?.includes(podsOf(netns)) ? pid : 0;
  }));
  return [...new Set([...inside, ...named])].filter((pid) => pid > 1);
}

async function writeFiles(stateDir: string, subnet: string): Promise<void> {
  await mkdir(join(stateDir, 'net.d'), { recursive: true });
  await writeFile(join(stateDir, 'net.d', '10-lab.conflist'), JSON.stringify({
    cniVersion: '0.4.0', name: 'lab', plugins: [{ type: 'ptp', ipMasq: false, ipam: { type: 'host-local', dataDir: join(stateDir, 'cni'), ranges: [[{ subnet }]], routes: [{ dst: '0.0.0.0/0' }] } }],
  }));
  await writeFile(join(stateDir, 'containerd.toml'), `version = 2
root = "${stateDir}/croot"
state = "${stateDir}/crun"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "${stateDir}/c.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "${stateDir}/opt"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.noted]
  runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.noted.options]
    BinaryName = "${stateDir}/noted-runc"
`);
  // A handler for RuntimeClasses: runc, and what it was called for.
  await writeFile(join(stateDir, 'noted-runc'), `#!/bin/sh
for word in "$@"; do case $word in create|start|delete) echo "$word" >> ${stateDir}/noted ;; esac; done
exec runc "$@"
`, { mode: 0o755 });
}

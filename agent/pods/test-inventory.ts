import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execOk } from '#common/exec.ts';
import type { ContainerdLab } from '#agent/runtimes/containerd/test-lab.ts';

/** For tests: all that pods have of the lab's host, a line for each thing. Images stay, and so do the bridge that came with the first pod and the state that is meant to. */
export async function podInventory(lab: ContainerdLab): Promise<string[]> {
  const { paths, endpoint, snapshotter } = lab.containerd;
  const ctr = (...args: string[]): Promise<string> => execOk('ctr', ['-a', endpoint, '-n', 'k8s.io', ...args]);
  const names = (folder: string): Promise<string[]> => readdir(folder).catch(() => []);
  const cri = [join(paths.root, 'io.containerd.grpc.v1.cri'), join(paths.state, 'io.containerd.grpc.v1.cri')].flatMap((folder) => ['sandboxes', 'containers'].map((kind) => join(folder, kind)));
  const kinds: Record<string, readonly string[] | Promise<readonly string[]>> = {
    container: lines(ctr('containers', 'ls', '-q')),
    task: lines(ctr('tasks', 'ls', '-q')),
    snapshot: lines(ctr('snapshots', '--snapshotter', snapshotter, 'ls')).then((all) => all.filter((line) => line.includes('Active'))),
    lease: lines(ctr('leases', 'ls', '-q')),
    download: lines(ctr('content', 'active')).then((all) => all.slice(1)),
    'folder of CRI': Promise.all([...cri, join(paths.state, 'io.containerd.runtime.v2.task', 'k8s.io')].map(names)).then((all) => all.flat()),
    mount: readFile('/proc/self/mountinfo', 'utf8').then((text) => text.split('\n').map((line) => line.split(' ')[4] ?? '').filter((path) => path.startsWith(`${lab.stateDir}/`))),
    'network namespace': names(paths.netnsDir),
    link: lines(execOk('ip', ['-n', lab.netns, '-o', 'link'])).then((all) => all.map((line) => line.replace(/^\d+: ([^:@]+).*$/, '$1')).filter((name) => name !== 'cni0')),
    address: names(join(lab.stateDir, 'cni', 'data', 'lab')).then((all) => all.filter((name) => /^\d/.test(name))),
    'result of CNI': resultsOf(lab),
    cgroup: cgroupsOf(lab),
    files: names(join(lab.stateDir, 'pods')),
    process: processesOf(lab),
  };
  const all = await Promise.all(Object.entries(kinds).map(async ([kind, found]) => (await found).map((line) => `${kind}: ${line}`)));
  return all.flat().sort();
}

/** The plugins keep these in one folder for the whole machine. */
async function resultsOf({ stateDir }: ContainerdLab): Promise<string[]> {
  const folder = '/var/lib/cni/results';
  const all = await readdir(folder).catch(() => []);
  const own = await Promise.all(all.map(async (name) => (await readFile(join(folder, name), 'utf8').catch(() => '')).includes(`${stateDir}/`)));
  return all.filter((_name, i) => own[i]);
}

/** In each hierarchy, or in the one. */
async function cgroupsOf({ netns }: ContainerdLab): Promise<string[]> {
  const roots = ['', ...await readdir('/sys/fs/cgroup')].map((name) => join('/sys/fs/cgroup', name, netns));
  const found = await Promise.all(roots.map((root) => readdir(root, { recursive: true, withFileTypes: true }).catch(() => [])));
  return found.flat().filter((entry) => entry.isDirectory() && !['burstable', 'besteffort'].includes(entry.name)).map(({ parentPath, name }) => join(parentPath, name));
}

/** Shims, and what runs in the lab's cgroups. */
async function processesOf(lab: ContainerdLab): Promise<string[]> {
  const found = await Promise.all((await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(async (pid) => {
    const read = async (file: string): Promise<string> => readFile(`/proc/${pid}/${file}`, 'utf8').then((text) => text.replaceAll('\0', ' ').trim(), () => '');
    const command = await read('cmdline');
    const ours = command.includes('containerd-shim') ? command.includes(lab.stateDir) : (await read('cgroup')).includes(`/${lab.netns}/`);
    return ours ? [command.replace(/ -id .*/, '')] : [];
  }));
  return found.flat();
}

async function lines(text: Promise<string>): Promise<string[]> {
  return (await text).split('\n').filter(Boolean);
}

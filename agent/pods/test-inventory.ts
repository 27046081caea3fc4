import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execOk } from '#common/exec.ts';
import type { ContainerdLab } from '#agent/runtimes/containerd/test-lab.ts';
import type { CtrLab } from '#agent/runtimes/ctr/test-lab.ts';
import type { DockerLab } from '#agent/runtimes/docker/test-lab.ts';

/** For tests: where the pods of a lab are. */
export interface PodPlace {
  readonly stateDir: string;
  readonly netns: string;
  /** Of containerd: its socket, Cleat's namespace there, what it unpacks images with. */
  readonly containerd: { readonly endpoint: string; readonly namespace: string; readonly snapshotter: string };
  /** Where host-local notes the addresses that are taken. */
  readonly addresses: string;
  /** What is in them is of a pod each. */
  readonly folders: readonly string[];
}

/** Of a containerd that serves CRI. */
export function placeOfCri({ stateDir, netns, containerd }: ContainerdLab): PodPlace {
  const { paths, endpoint, snapshotter } = containerd;
  const cri = [paths.root, paths.state].flatMap((folder) => ['sandboxes', 'containers'].map((kind) => join(folder, 'io.containerd.grpc.v1.cri', kind)));
  return {
    stateDir, netns, containerd: { endpoint, namespace: 'k8s.io', snapshotter }, addresses: join(stateDir, 'cni/data/lab'),
    folders: [...cri, join(paths.state, 'io.containerd.runtime.v2.task/k8s.io'), paths.netnsDir],
  };
}

/** Of one that does not. */
export function placeOfCtr({ host: { stateDir, netns, containerd } }: CtrLab): PodPlace {
  return {
    stateDir, netns, containerd: { endpoint: containerd, namespace: 'cleat', snapshotter: 'overlayfs' }, addresses: join(stateDir, 'cni/lab'),
    folders: ['ctr/sandboxes', 'ctr/containers', 'run/ctr', 'run/ctr/exec', 'crun/io.containerd.runtime.v2.task/cleat'].map((name) => join(stateDir, name)),
  };
}

/** Of a Docker, which keeps layers itself. */
export function placeOfDocker({ host: { stateDir, netns, containerd } }: DockerLab): PodPlace {
  return {
    stateDir, netns, containerd: { endpoint: containerd, namespace: 'moby', snapshotter: 'overlayfs' }, addresses: join(stateDir, 'cni/lab'),
    folders: ['docker/sandboxes', 'data/containers', 'data/overlay2', 'data/image/overlay2/layerdb/mounts', 'data/volumes', 'exec/containers', 'crun/io.containerd.runtime.v2.task/moby'].map((name) => join(stateDir, name)),
  };
}

/** For tests: all that pods have of the lab's host, a line for each thing. Images stay, and so do the bridge that came with the first pod and the state that is meant to. */
export async function podInventory(lab: PodPlace): Promise<string[]> {
  const { endpoint, namespace, snapshotter } = lab.containerd;
  const ctr = (...args: string[]): Promise<string> => execOk('ctr', ['-a', endpoint, '-n', namespace, ...args]);
  const names = (folder: string): Promise<string[]> => readdir(folder).catch(() => []);
  const kinds: Record<string, readonly string[] | Promise<readonly string[]>> = {
    container: lines(ctr('containers', 'ls', '-q')),
    task: lines(ctr('tasks', 'ls', '-q')),
    snapshot: lines(ctr('snapshots', '--snapshotter', snapshotter, 'ls')).then((all) => all.filter((line) => /Active|View/.test(line) && !line.startsWith('layers-'))),
    // One that expires is what a containerd that was killed could not give back: its successor collects it when its time, a day, is over.
    lease: lines(ctr('leases', 'ls')).then((all) => all.slice(1).filter((line) => !line.includes('containerd.io/gc.expire='))),
    download: lines(ctr('content', 'active')).then((all) => all.slice(1)),
    folder: Promise.all(lab.folders.map(async (folder) => (await names(folder)).map((name) => join(folder, name)))).then((all) => all.flat().filter((path) => !lab.folders.includes(path))),
    mount: readFile('/proc/self/mountinfo', 'utf8').then((text) => text.split('\n').map((line) => line.split(' ')[4] ?? '').filter((path) => path.startsWith(`${lab.stateDir}/`))),
    link: lines(execOk('ip', ['-n', lab.netns, '-o', 'link'])).then((all) => all.map((line) => line.replace(/^\d+: ([^:@]+).*$/, '$1')).filter((name) => name !== 'cni0')),
    address: names(lab.addresses).then((all) => all.filter((name) => /^\d/.test(name))),
    'result of CNI': resultsOf(lab),
    cgroup: cgroupsOf(lab),
    files: names(join(lab.stateDir, 'pods')),
    logs: names(join(lab.stateDir, 'log/pods')),
    'links to logs': names(join(lab.stateDir, 'log/containers')),
    process: processesOf(lab).then((all) => all.map(({ command }) => command)),
  };
  const all = await Promise.all(Object.entries(kinds).map(async ([kind, found]) => (await found).map((line) => `${kind}: ${line}`)));
  return all.flat().sort();
}

/** The plugins keep these in one folder for the whole machine. */
async function resultsOf({ stateDir }: PodPlace): Promise<string[]> {
  const folder = '/var/lib/cni/results';
  const all = await readdir(folder).catch(() => []);
  const own = await Promise.all(all.map(async (name) => (await readFile(join(folder, name), 'utf8').catch(() => '')).includes(`${stateDir}/`)));
  return all.filter((_name, i) => own[i]);
}

/** In each hierarchy, or in the one. */
async function cgroupsOf({ netns }: PodPlace): Promise<string[]> {
  const roots = ['', ...await readdir('/sys/fs/cgroup')].map((name) => join('/sys/fs/cgroup', name, netns));
  const found = await Promise.all(roots.map((root) => readdir(root, { recursive: true, withFileTypes: true }).catch(() => [])));
  return found.flat().filter((entry) => entry.isDirectory() && !['burstable', 'besteffort'].includes(entry.name)).map(({ parentPath, name }) => join(parentPath, name));
}

/** For tests: who runs for pods, by their process ids. */
export async function podProcesses(lab: PodPlace): Promise<string[]> {
  return (await processesOf(lab)).map(({ pid, command }) => `${pid} ${command}`).sort();
}

/** Shims, and what runs in the lab's cgroups. */
async function processesOf(lab: PodPlace): Promise<{ readonly pid: string; readonly command: string }[]> {
  const found = await Promise.all((await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(async (pid) => {
    const read = async (file: string): Promise<string> => readFile(`/proc/${pid}/${file}`, 'utf8').then((text) => text.replaceAll('\0', ' ').trim(), () => '');
    const command = await read('cmdline');
    const ours = command.includes('containerd-shim') ? command.includes(lab.stateDir) : (await read('cgroup')).includes(`/${lab.netns}/`);
    return ours ? [{ pid, command: command.replace(/ -id .*/, '') }] : [];
  }));
  return found.flat();
}

async function lines(text: Promise<string>): Promise<string[]> {
  return (await text).split('\n').filter(Boolean);
}

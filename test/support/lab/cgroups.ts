import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from './eventually.ts';

/** Where the machine's cgroups are: one v2 tree, or one v1 tree per controller. */
export interface CgroupLayout {
  readonly version: 1 | 2;
  /** v1: controller names (`systemd` for the named hierarchy). v2: empty. */
  readonly controllers: readonly string[];
  readonly roots: readonly string[];
}

const v1Controllers = ['cpu', 'cpuacct', 'cpuset', 'memory', 'devices', 'freezer', 'blkio', 'pids', 'systemd'];

/** Reads the layout from the machine's mounts. */
export function cgroupLayout(): CgroupLayout {
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n').map((line) => line.split(' '));
  // A group of `cpu` takes no process of a real-time class, as measurements beside other work are (`chrt -r 10`).
  const controllers = v1Controllers.filter((c) => c !== 'cpu' || !isRealTime());
  const v1 = mounts.flatMap(([, path = '', type = '', options = '']) => {
    if (type !== 'cgroup') return [];
    const name = controllers.find((c) => options.split(',').includes(c) || options.split(',').includes(`name=${c}`));
    return name === undefined ? [] : [{ name, path }];
  });
  if (v1.length > 0) return { version: 1, controllers: v1.map((c) => c.name), roots: v1.map((c) => c.path) };
  const unified = mounts.find(([, , type]) => type === 'cgroup2')?.[1] ?? '/sys/fs/cgroup';
  return { version: 2, controllers: [], roots: [unified] };
}

/** Source: proc(5), /proc/pid/stat: field 41 is the policy, 1 SCHED_FIFO, 2 SCHED_RR. */
function isRealTime(): boolean {
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ').at(-1)?.split(' ') ?? [];
  return ['1', '2'].includes(fields[38] ?? '');
}

/** Makes the cgroup in every hierarchy, with a memory limit. Returns the `cgroup.procs` files to write `0` to in order to join. */
export function makeCgroup(layout: CgroupLayout, name: string, memoryBytes: number): string[] {
  for (const [i, root] of layout.roots.entries()) {
    const controller = layout.controllers[i];
    let path = root;
    for (const part of name.split('/')) {
      if (layout.version === 2) for (const c of ['cpu', 'cpuset', 'memory', 'pids', 'io']) tryWrite(join(path, 'cgroup.subtree_control'), `+${c}`);
      const parent = path;
      path = join(path, part);
      mkdirSync(path, { recursive: true });
      if (controller === 'cpuset') for (const file of ['cpuset.cpus', 'cpuset.mems']) writeFileSync(join(path, file), readFileSync(join(parent, file)));
    }
    if (layout.version === 2) writeFileSync(join(path, 'memory.max'), String(memoryBytes));
    if (controller === 'memory') writeFileSync(join(path, 'memory.limit_in_bytes'), String(memoryBytes));
  }
  return joinFiles(layout, name);
}

/** Files by which a process that is not in the host joins it; on v2 a leaf, because the host delegates to its children. */
export function joinFiles(layout: CgroupLayout, name: string): string[] {
  return layout.roots.map((root) => join(root, name, 'cgroup.procs'));
}

/** Kills what is left in the cgroup and removes it. Idempotent. */
export async function removeCgroup(layout: CgroupLayout, name: string): Promise<void> {
  await eventually(() => {
    const left = layout.roots.flatMap((root) => removeTree(join(root, name)));
    for (const pid of left) tryKill(pid);
    return left.length === 0 && layout.roots.every((root) => !exists(join(root, name)));
  }, { what: `cgroup ${name} to be empty`, timeoutMs: 10_000 });
}

function removeTree(path: string): number[] {
  let entries;
  try {
    entries = readdirSync(path, { withFileTypes: true });
  } catch {
    return [];
  }
  const pids = entries.filter((e) => e.isDirectory()).flatMap((e) => removeTree(join(path, e.name)));
  try {
    rmdirSync(path);
    return pids;
  } catch {
    return [...pids, ...readPids(join(path, 'cgroup.procs'))];
  }
}

function readPids(file: string): number[] {
  try {
    return readFileSync(file, 'utf8').split('\n').filter(Boolean).map(Number).filter((pid) => pid > 0);
  } catch {
    return [];
  }
}

function exists(path: string): boolean {
  try {
    readdirSync(path);
    return true;
  } catch {
    return false;
  }
}

function tryWrite(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch {
    // This kernel lacks the controller, or an ancestor does not delegate it.
  }
}

function tryKill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It is gone already.
  }
}

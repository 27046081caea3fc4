import { access, constants, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { StatusError } from '#common/errors.ts';
import { exec } from '#common/exec.ts';

const systemDirs = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** The absolute path of a program; rejects with what to install. */
export async function findProgram(name: string, searchPath: string): Promise<string> {
  for (const dir of [...searchPath.split(delimiter), ...systemDirs]) {
    if (dir !== '' && await exists(join(dir, name), constants.X_OK)) return join(dir, name);
  }
  throw new StatusError('ServiceUnavailable', `${name} is not installed, so no container can run; install it (Debian and Ubuntu: apt-get install containerd runc containernetworking-plugins), or name a running runtime with --runtime-endpoint`);
}

/** What the pod network is made with. */
const cniPlugins = ['ptp', 'host-local'];

/** The directory with the CNI plugins. Debian has another one than everybody else. */
export async function findCniBinDir(candidates: readonly string[]): Promise<string> {
  for (const dir of candidates) {
    const found = await Promise.all(cniPlugins.map((name) => exists(join(dir, name), constants.X_OK)));
    if (found.every(Boolean)) return dir;
  }
  throw new StatusError('ServiceUnavailable', `no CNI plugins in ${candidates.join(' or ')} (needed: ${cniPlugins.join(', ')}), so pods would have no network; install them (Debian and Ubuntu: apt-get install containernetworking-plugins)`);
}

/** Whether overlayfs works on the file system of `dir`, by trying. */
export async function overlayWorks(dir: string): Promise<boolean> {
  const base = await mkdtemp(join(dir, 'overlay-check-'));
  try {
    for (const part of ['lower', 'upper', 'work', 'merged']) await mkdir(join(base, part));
    const options = `lowerdir=${base}/lower,upperdir=${base}/upper,workdir=${base}/work`;
    const mounted = await exec('mount', ['-t', 'overlay', 'overlay', '-o', options, join(base, 'merged')]);
    if (mounted.exitCode !== 0) return false;
    await exec('umount', [join(base, 'merged')]);
    return true;
  } finally {
    await rm(base, { recursive: true, force: true });
  }
}

async function exists(path: string, mode: number): Promise<boolean> {
  try {
    await access(path, mode);
    return true;
  } catch {
    return false;
  }
}

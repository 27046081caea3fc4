import { readdir, readFile, readlink, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isIP } from 'node:net';
import { writeFileAtomic } from '#common/atomic-file.ts';
import { exec, execOk } from '#common/exec.ts';
import type { Log } from '#common/log.ts';
import { pullLeasePrefix } from './pull-leases.ts';
import type { ContainerdPaths } from './paths.ts';

/** What there was before a containerd was started: of an earlier one, which may have been killed in the middle of something. */
interface Inherited {
  readonly atMs: number;
  /** Names of network namespaces. */
  readonly netns: readonly string[];
  /** Files of addresses that are taken, and the sandbox that has each. */
  readonly addresses: Readonly<Record<string, string>>;
}

const cniResults = '/var/lib/cni/results';
/** Files are called after the network, the sandbox and the interface. */
const ourNetwork = 'cleat-';

/** Writes down what there is, before a containerd is started. The agent that starts it may be gone when it is time to look that through. */
export async function noteInherited({ netnsDir, cniDataDir, inheritedFile }: ContainerdPaths, nowMs: number): Promise<void> {
  const inherited: Inherited = { atMs: nowMs, netns: await readdir(netnsDir).catch(() => []), addresses: Object.fromEntries(await takenAddresses(cniDataDir)) };
  await writeFileAtomic(inheritedFile, JSON.stringify(inherited), 0o600);
}

/**
 * Removes what is left of what was noted before `beforeMs`, once: unless another containerd is started meanwhile, the
 * note goes. What is younger may have been under way when its containerd was killed, and still be ending.
 */
export async function removeInherited(paths: ContainerdPaths, beforeMs: number, log: Log): Promise<void> {
  const noted = async (): Promise<string> => readFile(paths.inheritedFile, 'utf8').catch(() => '');
  const text = await noted();
  if (text === '') return;
  const inherited = JSON.parse(text) as Inherited;
  if (inherited.atMs > beforeMs) return;
  await removeHalfMade(paths, inherited, log);
  if (await noted() === text) await rm(paths.inheritedFile, { force: true });
}

/**
 * Removes what a power cut has left of CNI's notes about pods of ours: they are written without being synced, and a pod whose note
 * cannot be read could never be stopped. Before containerd is started, for it reads them.
 */
export async function removeTornResults(log: Log, dir = cniResults): Promise<void> {
  for (const name of await readdir(dir).catch(() => [])) {
    if (!name.startsWith(ourNetwork)) continue;
    try {
      JSON.parse(await readFile(join(dir, name), 'utf8'));
    } catch (error) {
      if (!(error instanceof SyntaxError)) continue;
      log.warn({ file: name }, 'removing a torn note about the network of a pod');
      await rm(join(dir, name), { force: true });
    }
  }
}

/**
 * Takes back what a containerd that was killed had half made for a pod, and of which the present one knows nothing: it
 * would stay for ever, and a node has but some 250 addresses. Leases keep content from being collected; each belongs to
 * one operation, and operations do not outlive the program that does them.
 */
async function removeHalfMade(paths: ContainerdPaths, inherited: Inherited, log: Log): Promise<void> {
  const ctr = (...args: string[]): Promise<string> => execOk('ctr', ['-a', paths.socket, '-n', 'k8s.io', ...args]);
  for (const lease of staleLeases(await ctr('leases', 'ls'), inherited.atMs)) await ctr('leases', 'rm', lease);
  const containers = new Set((await ctr('containers', 'ls', '-q')).split('\n'));
  for (const name of await unusedNetns(paths, inherited.netns, ctr)) {
    log.info({ netns: name }, 'removing a network namespace that a killed containerd left behind');
    await exec('umount', ['-l', join(paths.netnsDir, name)]);
    await rm(join(paths.netnsDir, name), { force: true });
  }
  for (const [file, sandbox] of await takenAddresses(paths.cniDataDir)) {
    if (inherited.addresses[file] !== sandbox || containers.has(sandbox)) continue;
    log.info({ file, sandbox }, 'freeing an address that a killed containerd left behind');
    for (const name of await readdir(cniResults).catch(() => [])) if (name.includes(sandbox)) await rm(join(cniResults, name), { force: true });
    await rm(file, { force: true });
  }
}

/**
 * Of `ctr leases ls`: an id and a time in whole seconds in each line, after a title. An id that containerd made up begins
 * with the nanoseconds of its time.
 */
export function staleLeases(listed: string, beforeMs: number): string[] {
  return listed.split('\n').slice(1).flatMap((line) => {
    const [id = '', created = ''] = line.split(/\s+/);
    // What a pull has brought so far is for the next one, and expires by itself.
    if (id.startsWith(pullLeasePrefix)) return [];
    const nanos = /^(\d{1,9})-/.exec(id)?.[1] ?? 1e9;
    return Date.parse(created) + Number(nanos) / 1e6 < beforeMs ? [id] : [];
  });
}

async function takenAddresses(cniDataDir: string): Promise<Map<string, string>> {
  const taken = new Map<string, string>();
  for (const network of await readdir(cniDataDir).catch(() => [])) {
    for (const address of await readdir(join(cniDataDir, network)).catch(() => [])) {
      if (isIP(address) === 0) continue;
      const [sandbox = ''] = (await readFile(join(cniDataDir, network, address), 'utf8').catch(() => '')).split(/\s/);
      if (sandbox !== '') taken.set(join(cniDataDir, network, address), sandbox);
    }
  }
  return taken;
}

/** Those that no process is in and no sandbox names; one that has ended is in none, and still gives its own back. */
async function unusedNetns({ netnsDir }: ContainerdPaths, names: readonly string[], ctr: (...args: string[]) => Promise<string>): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lived = new Set(await Promise.all(pids.map((pid) => readlink(`/proc/${pid}/ns/net`).catch(() => ''))));
  const inodes = await Promise.all(names.map(async (name) => (await stat(join(netnsDir, name)).catch(() => undefined))?.ino));
  const empty = names.filter((_name, i) => inodes[i] !== undefined && !lived.has(`net:[${String(inodes[i])}]`));
  if (empty.length === 0) return [];
  const sandboxes = (await ctr('containers', 'ls', '-q', 'labels."io.cri-containerd.kind"==sandbox')).split('\n').filter(Boolean);
  let known = '';
  for (const id of sandboxes) known += await ctr('containers', 'info', id).catch(() => '');
  return empty.filter((name) => !known.includes(name));
}

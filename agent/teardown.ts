import { readdir, realpath, readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { messageOf, StatusError } from '#common/errors.ts';
import { exec } from '#common/exec.ts';
import { controlPlaneOn } from '#common/lock-holder.ts';
import { isState } from '#common/state-directory.ts';
import type { Ledger, LedgerRecord } from './node/ledger.ts';
import { Limit } from '#common/limit.ts';
import { removeAllLogFolders } from './pods/logs/folder.ts';
import { podsDir } from './pods/paths.ts';
import { mountsBelow } from './pods/volumes/mounts.ts';
import { removeChains } from './proxy/iptables/commands.ts';
import { removeCgroup } from './runtimes/cgroups.ts';
import type { Container, RuntimeDriver } from './runtimes/types.ts';

const parallelStops = 16;

/** Ends and removes every pod of this host that the runtime knows; resolves with how many there were. Rejects when one stays. */
export async function removePods(driver: RuntimeDriver, signal: AbortSignal): Promise<number> {
  const { sandboxes, containers } = await driver.list(signal);
  const limit = new Limit(parallelStops);
  const ends = await Promise.allSettled(sandboxes.map((sandbox) => limit.run(async () => {
    const own = containers.filter(({ sandboxId }) => sandboxId === sandbox.id);
    await Promise.all(own.map((container) => removeContainer(driver, container, signal)));
    await driver.removeSandbox(sandbox.id, signal);
  })));
  const failed = ends.find((end) => end.status === 'rejected');
  if (failed) throw new StatusError('InternalError', `not every pod could be stopped, so nothing else was undone: ${messageOf(failed.reason)}; run this again`, { cause: failed.reason });
  return new Set(sandboxes.map(({ podUid }) => podUid)).size;
}

async function removeContainer(driver: RuntimeDriver, { id, state, graceSeconds }: Container, signal: AbortSignal): Promise<void> {
  if (state === 'running') await driver.stopContainer(id, graceSeconds, signal);
  await driver.removeContainer(id, signal);
}

/** What pods leave in the kernel when they are gone: memory volumes, and the cgroups above them. */
export async function removeKernelLeftovers(stateDir: string, cgroupRoot: string): Promise<void> {
  await unmountBelow(podsDir(resolve(stateDir)));
  await removeCgroup(cgroupRoot);
}

/** What containerd's shims make outside of any configured directory, the innermost first. */
const shimDirs = ['/run/containerd/runc/k8s.io', '/run/containerd/runc', '/run/containerd/s', '/run/containerd'];

/** Removes a run directory of ours; those around it only when nobody else has anything there. */
export async function removeRunDir(runDir: string): Promise<void> {
  await unmountBelow(runDir);
  await rm(runDir, { recursive: true, force: true });
  for (const dir of [dirname(runDir), ...shimDirs]) await rmdir(dir).catch(() => undefined);
}

async function unmountBelow(dir: string): Promise<void> {
  for (const mount of await mountsBelow(dir)) await exec('umount', ['-l', mount]);
}

/** Puts back what the ledger says was changed, the newest first, and forgets it. Resolves with what was done. */
export async function undo(ledger: Ledger): Promise<string[]> {
  const done: string[] = [];
  for (const record of ledger.records.toReversed()) {
    const what = await undoOne(record);
    if (what !== undefined) done.push(what);
  }
  await ledger.clear();
  return done;
}

async function undoOne({ kind, target, before, after }: LedgerRecord): Promise<string | undefined> {
  switch (kind) {
    case 'sysctl': {
      const path = `/proc/sys/${target.replaceAll('.', '/')}`;
      // Somebody else's change since then is not ours to undo.
      if (before === null || (await readFile(path, 'utf8').catch(() => '')).trim() !== after) return undefined;
      await writeFile(path, before);
      return `sysctl ${target} is ${before} again`;
    }
    case 'routes':
      for (const family of ['-4', '-6']) await exec('ip', [family, 'route', 'flush', 'proto', target]);
      return 'routes to other hosts removed';
    case 'nftables-table':
      return (await exec('nft', ['delete', 'table', ...target.split(' ')])).exitCode === 0 ? `nftables table ${target} removed` : undefined;
    case 'ipvs-services': {
      const [tableName = '', serviceCidrs = ''] = target.split(' ');
      const { removeIpvs } = await import('./proxy/backends/ipvs/host.ts');
      return (await removeIpvs(exec, { tableName, serviceCidrs: serviceCidrs.split(',') })) ? 'virtual servers of IPVS, and what belongs to them, removed' : undefined;
    }
    case 'iptables-chains': {
      const [command = '', prefix = ''] = target.split(' ');
      return (await removeChains(exec, command, prefix)) ? `${command} chains ${prefix}-* removed` : undefined;
    }
    case 'policy-chains': {
      const { removePolicies } = await import('./policy/iptables.ts');
      return (await removePolicies(exec, target)) ? `chains and sets ${target}-* of network policies removed` : undefined;
    }
    case 'firewall-hook': {
      const { closeHook } = await import('./firewall/hooks.ts');
      return (await closeHook(exec, target)) ? `what let pods through ${target.split(' ')[0] ?? ''} removed` : undefined;
    }
    case 'address': {
      const [address = '', device = ''] = target.split(' ');
      return (await exec('ip', ['address', 'del', address, 'dev', device])).exitCode === 0 ? `address ${address} removed` : undefined;
    }
    case 'link':
      return (await exec('ip', ['link', 'del', target])).exitCode === 0 ? `link ${target} removed` : undefined;
    case 'csi-volumes': {
      const { removeCsiVolumes } = await import('./csi/teardown.ts');
      const count = await removeCsiVolumes(target);
      return count > 0 ? `${String(count)} volumes of CSI drivers unmounted` : undefined;
    }
    case 'file':
      if (before !== null) return undefined;
      await rm(target, { force: true });
      return `${target} removed`;
    case 'directory':
      if (before === null) await rmdir(target).catch(() => undefined);
      return undefined;
  }
}

/** Removes all that Cleat kept, and the directory when nothing else is in it. Rejects before it touches anything when something is mounted below, or a control plane runs on it. */
export async function purgeState(stateDir: string): Promise<void> {
  // Mounts are known by where they are, whatever links lead there.
  const dir = await realpath(stateDir).catch(() => resolve(stateDir));
  const mount = (await mountsBelow(dir)).find((path) => path !== dir);
  if (mount !== undefined) throw new StatusError('Conflict', `${mount} is mounted below ${dir}, so nothing there was removed; unmount it, then run this again`);
  const holder = await controlPlaneOn(dir);
  if (holder !== undefined) throw new StatusError('Conflict', `a control plane (process ${holder}) uses ${dir}; stop it first`);
  await removeAllLogFolders(dir);
  for (const name of await readdir(dir)) if (isState(name)) await rm(join(dir, name), { recursive: true, force: true });
  await rmdir(dir).catch(() => undefined);
}

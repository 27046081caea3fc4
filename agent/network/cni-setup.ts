import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { writeFileAtomic } from '#common/atomic-file.ts';
import { isOwnLink } from '#common/host-address.ts';
import type { Log } from '#common/log.ts';
import type { Ledger } from '#agent/node/ledger.ts';
import { cniConflist } from './cni-config.ts';
import type { PodNetworkConfig } from './types.ts';

/** Sorts before what installers usually write: a runtime uses the first file of its folder. */
const conflistName = '10-cleat.conflist';

/** Where runtimes keep what CNI answered, until the pod is gone. */
const resultsDir = '/var/lib/cni/results';

/** Pods of these ranges pass through this host: its kernel must hand packets on. */
export async function enableForwarding(podCidrs: readonly string[], ledger: Pick<Ledger, 'record'>): Promise<void> {
  if (podCidrs.some((c) => c.includes(':'))) await keepAdvertisedRoutes(ledger);
  const names = [
    ...(podCidrs.some((c) => !c.includes(':')) ? ['net.ipv4.ip_forward'] : []),
    ...(podCidrs.some((c) => c.includes(':')) ? ['net.ipv6.conf.all.forwarding'] : []),
  ];
  for (const name of names) await setSysctl(name, '1', ledger);
}

/**
 * A host that forwards IPv6 takes no router's word any more, and would lose its way out. Unless it is told that it may:
 * 2 (https://docs.kernel.org/networking/ip-sysctl.html, accept_ra).
 */
async function keepAdvertisedRoutes(ledger: Pick<Ledger, 'record'>): Promise<void> {
  const links = await readdir('/proc/sys/net/ipv6/conf').catch(() => []);
  // A dot in a name is a separator in a sysctl's.
  for (const link of links.filter((name) => isOwnLink(name) && !['all', 'lo'].includes(name) && !name.includes('.'))) {
    const name = `net.ipv6.conf.${link}.accept_ra`;
    if ((await readFile(pathOf(name), 'utf8').catch(() => '')).trim() === '1') await setSysctl(name, '2', ledger);
  }
}

async function setSysctl(name: string, value: string, ledger: Pick<Ledger, 'record'>): Promise<void> {
  const before = (await readFile(pathOf(name), 'utf8')).trim();
  if (before === value) return;
  await ledger.record({ kind: 'sysctl', target: name, before, after: value });
  await writeFile(pathOf(name), value);
}

function pathOf(sysctl: string): string {
  return `/proc/sys/${sysctl.replaceAll('.', '/')}`;
}

/** The CNI configuration of somebody else in the folder that the runtime reads, which is then the pods' network; undefined for none. */
export async function foreignConfig({ stateDirectory, cniConfDir }: PodNetworkConfig): Promise<string | undefined> {
  const directory = cniConfDir ?? join(stateDirectory, 'cni', 'net.d');
  const names = await readdir(directory).catch(() => []);
  const first = names.filter((name) => /\.(conf|conflist|json)$/.test(name) && name !== conflistName).sort()[0];
  return first === undefined ? undefined : join(directory, first);
}

/** Takes ours away: another configuration counts. */
export async function removeConflist({ stateDirectory, cniConfDir }: PodNetworkConfig): Promise<void> {
  await rm(join(cniConfDir ?? join(stateDirectory, 'cni', 'net.d'), conflistName), { force: true });
}

/** Writes our configuration where the runtime reads it. */
export async function writeConflist(podCidrs: readonly string[], { stateDirectory, cniConfDir }: PodNetworkConfig, deps: { readonly ledger: Pick<Ledger, 'record'>; readonly log: Log }): Promise<void> {
  const directory = cniConfDir ?? join(stateDirectory, 'cni', 'net.d');
  const path = join(directory, conflistName);
  const text = cniConflist(podCidrs, join(stateDirectory, 'cni', 'data'), await uplinkMtu());
  await recordMissing(resultsDir, deps.ledger);
  if (cniConfDir !== undefined) await recordMissing(directory, deps.ledger);
  await mkdir(directory, { recursive: true });
  if (cniConfDir !== undefined) await deps.ledger.record({ kind: 'file', target: path, before: null, after: 'created' });
  const present = await readFile(path, 'utf8').catch(() => undefined);
  if (present === text) return;
  await writeFileAtomic(path, text, 0o644);
  deps.log.info({ podCidrs, path }, 'cni configuration written');
}

/** That the folder, and those around it, were not there: they go with Cleat, when they are empty. */
async function recordMissing(folder: string, ledger: Pick<Ledger, 'record'>): Promise<void> {
  if (await stat(folder).then(() => true, () => false)) return;
  await recordMissing(dirname(folder), ledger);
  await ledger.record({ kind: 'directory', target: folder, before: null, after: null });
}

/** The smallest packet size of the links that carry a default route, so that pods never send what the host cannot. */
async function uplinkMtu(): Promise<number> {
  const routes = await readFile('/proc/net/route', 'utf8').catch(() => '');
  const devices = routes.split('\n').map((line) => line.split('\t')).filter(([, destination]) => destination === '00000000').map(([device]) => device ?? '');
  const sizes = await Promise.all(devices.map(async (device) => Number(await readFile(`/sys/class/net/${device}/mtu`, 'utf8').catch(() => '1500'))));
  const usable = sizes.filter((mtu) => mtu >= 576);
  return usable.length > 0 ? Math.min(...usable) : 1500;
}

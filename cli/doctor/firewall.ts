import { readFile, stat } from 'node:fs/promises';
import { exec } from '#common/exec.ts';
import type { HostReadings } from './types.ts';

/** Other firewalls of this host, as far as they can be seen. */
export async function readFirewall(root: boolean, nft: string | undefined): Promise<HostReadings['firewall']> {
  const ufw = /^ENABLED=yes/m.test(await text('/etc/ufw/ufw.conf') ?? '');
  const firewalld = await stat('/run/firewalld.pid').then(() => true, () => false);
  const chains = root && nft !== undefined ? await exec(nft, ['-j', 'list', 'chains'], { timeoutMs: 10_000 }).catch(() => undefined) : undefined;
  return { ufw, firewalld, dropping: chains?.exitCode === 0 ? droppingChains(chains.stdout) : undefined, apiAllowed: await apiAllowed(ufw, firewalld) };
}

interface Chain { readonly family: string; readonly table: string; readonly name: string; readonly hook?: string; readonly policy?: string }

/** Base chains whose policy is to drop, of `nft -j list chains`; not our own. */
export function droppingChains(json: string): { chain: string; hook: string }[] {
  let items: readonly { readonly chain?: Chain }[];
  try {
    items = (JSON.parse(json) as { nftables?: readonly { readonly chain?: Chain }[] }).nftables ?? [];
  } catch {
    return [];
  }
  return items.flatMap(({ chain }) => (chain?.policy === 'drop' && chain.hook !== undefined && !chain.table.startsWith('cleat')
    ? [{ chain: `${chain.family} ${chain.table} ${chain.name}`, hook: chain.hook }] : []));
}

/** Whether the firewall's own files let others in to the API; undefined where they cannot be read. */
async function apiAllowed(ufw: boolean, firewalld: boolean): Promise<boolean | undefined> {
  if (ufw) {
    const rules = await text('/etc/ufw/user.rules');
    return rules === undefined ? undefined : /^### tuple ### allow (tcp|any) (6443|any) /m.test(rules);
  }
  if (firewalld) {
    const zones = await Promise.all(['public', 'internal', 'home', 'trusted'].map((zone) => text(`/etc/firewalld/zones/${zone}.xml`)));
    return zones.every((zone) => zone === undefined) ? undefined : zones.some((zone) => /port="6443"/.test(zone ?? ''));
  }
  return undefined;
}

async function text(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(() => undefined);
}

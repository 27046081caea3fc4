import { isIPv6 } from 'node:net';
import { exec } from '#common/exec.ts';
import type { Log } from '#common/log.ts';
import type { Ledger } from '#agent/node/ledger.ts';
import { addressLines, batch, mtuOf, shown } from './links.ts';
import { baseOf, vxlanMac } from './plan.ts';
import { tunnelDevices } from './routes.ts';
import type { PeerPlan } from './types.ts';

/** The port is the kernel's own default for VXLAN: Docker's Swarm uses the other usual one, 4789. */
const port = 8472;
const id = 1042;
/** Outer IP and UDP headers, VXLAN's own and the inner Ethernet header. */
const overhead = { vxlan: 50, vxlan6: 70 } as const;

export interface VxlanConfig {
  readonly nodeName: string;
  /** This host's own address, by family of the outer packets. */
  readonly address: string;
  /** Largest packet of the link that carries the tunnel. */
  readonly uplinkMtu: number;
  /** This host's ends on the pods' network. */
  readonly bases: readonly string[];
}

/**
 * Brings the VXLAN device and its entries to what the plans need: for each peer the Ethernet address of its end, and the
 * address of the host that has it. No broadcast, nothing learned. `kind` is the family of the outer packets. The device
 * goes when the last peer does.
 */
export async function syncVxlan(kind: 'vxlan' | 'vxlan6', plans: readonly PeerPlan[], config: VxlanConfig, deps: { readonly ledger: Pick<Ledger, 'record'>; readonly log: Log }, signal: AbortSignal): Promise<void> {
  const device = tunnelDevices[kind];
  const own = plans.filter((plan) => plan.how === 'vxlan' && isIPv6(plan.via[0] ?? '') === (kind === 'vxlan6'));
  const present = await mtuOf(device);
  if (own.length === 0) {
    if (present !== undefined) await exec('ip', ['link', 'del', device], { signal });
    return;
  }
  const mtu = config.uplinkMtu - overhead[kind];
  if (present === undefined) await create(kind, config, mtu, deps, signal);
  else if (present !== mtu) await batch('ip', [`link set ${device} mtu ${String(mtu)}`], signal);
  await batch('ip', [...addressLines(await missingAddresses(device, config.bases, signal), device), `link set ${device} up`], signal);
  await syncNeighbours(device, own, signal);
  await syncForwarding(device, own, signal);
}

async function create(kind: 'vxlan' | 'vxlan6', { nodeName, address }: VxlanConfig, mtu: number, { ledger, log }: { readonly ledger: Pick<Ledger, 'record'>; readonly log: Log }, signal: AbortSignal): Promise<void> {
  const device = tunnelDevices[kind];
  await ledger.record({ kind: 'link', target: device, before: null, after: null });
  // Without a local address the kernel chooses by the route, and follows a host whose address changes. Outer packets
  // are never cut up: what is too large comes back as an error that names the size.
  const local = kind === 'vxlan6' ? ` local ${address}` : '';
  await batch('ip', [`link add ${device} address ${vxlanMac(nodeName)} mtu ${String(mtu)} type vxlan id ${String(id)} dstport ${String(port)}${local} nolearning df set`], signal);
  // Network cards and virtual machines' drivers that count the inner checksum wrongly lose packets without a trace.
  const { exitCode, stderr } = await exec('ethtool', ['-K', device, 'tx-checksum-ip-generic', 'off'], { signal }).catch((error: unknown) => ({ exitCode: 1, stderr: String(error) }));
  if (exitCode !== 0) log.info({ device, why: stderr.trim().slice(0, 200), remedy: 'install ethtool' }, 'checksum offload of the vxlan device cannot be switched off: with some network cards packets get lost');
  log.info({ device, mtu }, 'vxlan device made');
}

/** Which of the addresses the device does not have yet. */
export async function missingAddresses(device: string, wanted: readonly string[], signal: AbortSignal): Promise<string[]> {
  const [link] = await shown('ip', ['address', 'show', 'dev', device], signal);
  const info = Array.isArray(link?.['addr_info']) ? link['addr_info'] as { local?: unknown }[] : [];
  return wanted.filter((address) => !info.some(({ local }) => local === address));
}

async function syncNeighbours(device: string, plans: readonly PeerPlan[], signal: AbortSignal): Promise<void> {
  const wanted = new Map(plans.flatMap((plan) => plan.podCidrs.map((cidr) => [baseOf(cidr), vxlanMac(plan.nodeName)] as const)));
  const lines: string[] = [];
  const seen = new Set<string>();
  for (const entry of await shown('ip', ['neigh', 'show', 'dev', device, 'nud', 'permanent'], signal)) {
    const [address, mac] = [String(entry['dst']), entry['lladdr']];
    if (wanted.get(address) === mac) seen.add(address);
    else if (!wanted.has(address)) lines.push(`neigh del ${address} dev ${device}`);
  }
  for (const [address, mac] of wanted) if (!seen.has(address)) lines.push(`neigh replace ${address} lladdr ${mac} dev ${device} nud permanent`);
  await batch('ip', lines, signal);
}

async function syncForwarding(device: string, plans: readonly PeerPlan[], signal: AbortSignal): Promise<void> {
  const wanted = new Map(plans.map((plan) => [vxlanMac(plan.nodeName), plan.via[0] ?? '']));
  const lines: string[] = [];
  const seen = new Set<string>();
  for (const entry of await shown('bridge', ['fdb', 'show', 'dev', device], signal)) {
    const [mac, remote] = [String(entry['mac']), entry['dst']];
    if (remote === undefined) continue;
    if (wanted.get(mac) === remote) seen.add(mac);
    else if (!wanted.has(mac)) lines.push(`fdb del ${mac} dev ${device} dst ${String(remote)}`);
  }
  for (const [mac, remote] of wanted) if (!seen.has(mac)) lines.push(`fdb replace ${mac} dev ${device} dst ${remote}`);
  await batch('bridge', lines, signal);
}

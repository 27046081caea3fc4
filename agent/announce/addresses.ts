import { createSocket } from 'node:dgram';
import { networkInterfaces } from 'node:os';
import { readFile, writeFile } from 'node:fs/promises';
import { ipToBigInt, isIPv4 } from '#api/meta/ip.ts';
import { StatusError } from '#common/errors.ts';
import type { Exec, ExecResult } from '#common/exec.ts';
import { isOwnLink } from '#common/host-address.ts';

export interface HeldAddressesDeps {
  readonly exec: Exec;
  /** Notes an address (`PREFIX DEVICE`) for uninstalling, before it is first given. */
  readonly record: (target: string) => Promise<void>;
  /** Notes a setting of the kernel likewise. */
  readonly recordSysctl: (name: string, before: string, after: string) => Promise<void>;
  readonly random: () => number;
}

/**
 * The addresses that this host answers for, given to the kernel, which answers ARP and NDP. IPv4 ones are on the loopback
 * device, where nothing takes them for the host's own; IPv6 ones must be on the link itself, and are never sent from. Where
 * others could take over the kernel forgets an address soon after its agent has died, so that two do not answer for long.
 */
export class HeldAddresses {
  readonly #deps: HeldAddressesDeps;

  constructor(deps: HeldAddressesDeps) {
    this.#deps = deps;
  }

  /** Those of `ips` that the kernel has. */
  async present(ips: ReadonlySet<string>, signal: AbortSignal): Promise<string[]> {
    const { stdout } = await this.#ip(['-j', 'address', 'show'], signal);
    const links = JSON.parse(stdout === '' ? '[]' : stdout) as { addr_info?: { local?: string; prefixlen?: number }[] }[];
    const single = links.flatMap(({ addr_info: list = [] }) => list).filter(({ local = '', prefixlen }) => prefixlen === (isIPv4(local) ? 32 : 128));
    return [...new Set(single.flatMap(({ local }) => (local !== undefined && ips.has(local) ? [local] : [])))];
  }

  /** Gives the kernel addresses, or lets it keep them on: for so long, if somebody else could take them. */
  async hold(ips: readonly string[], { lasting, seconds }: { readonly lasting: boolean; readonly seconds: number }, signal: AbortSignal): Promise<void> {
    const valid = lasting ? 'forever' : String(seconds);
    const lines: string[] = [];
    for (const ip of ips) {
      const [target, device] = [plain(ip), deviceOf(ip)];
      await this.#deps.record(`${target} ${device}`);
      if (isIPv4(ip)) lines.push(`address replace ${target} dev ${device} valid_lft ${valid} preferred_lft ${valid}`);
      else {
        await this.#tellNeighbours(device);
        lines.push(`address replace ${target} dev ${device} nodad valid_lft ${valid} preferred_lft 0`);
      }
    }
    await this.#batch(lines, signal);
  }

  async release(ips: readonly string[], signal: AbortSignal): Promise<void> {
    const present = new Set(await this.present(new Set(ips), signal));
    await this.#batch(ips.filter((ip) => present.has(ip)).map((ip) => `address del ${plain(ip)} dev ${deviceOf(ip)}`), signal);
  }

  /**
   * Tells the link where an IPv4 address is now. The kernel asks for a neighbour that nobody is with a broadcast that
   * names the address and this host: everybody who knew it elsewhere learns of it. IPv6's own word is the kernel's.
   */
  async announce(ips: readonly string[]): Promise<void> {
    await Promise.all(ips.filter(isIPv4).map((ip) => this.#send(ip)));
  }

  async #send(ip: string): Promise<void> {
    const target = neighbourOf(linkOf(ip)?.cidr, this.#deps.random);
    if (target === undefined) return;
    await new Promise<void>((resolve) => {
      const socket = createSocket('udp4');
      const end = (): void => { try { socket.close(); } catch { /* it is */ } resolve(); };
      socket.once('error', end);
      socket.bind({ address: ip, port: 0, exclusive: true }, () => { socket.send('', discardPort, target, end); });
    });
  }

  /** Whether somebody else on the link answers for the address; `known` are hosts whose answer counts for nothing. */
  async isTaken(ip: string, known: readonly string[], wait: () => Promise<void>, signal: AbortSignal): Promise<boolean> {
    const probe = createSocket(isIPv4(ip) ? 'udp4' : 'udp6');
    try {
      probe.on('error', () => undefined);
      await new Promise<void>((resolve) => { probe.send('', discardPort, ip, () => { resolve(); }); });
      await wait();
    } finally {
      probe.close();
    }
    const { stdout } = await this.#ip(['-j', 'neighbour', 'show'], signal);
    const seen = JSON.parse(stdout === '' ? '[]' : stdout) as { dst?: string; lladdr?: string; state?: string[] }[];
    const macs = new Set(seen.filter(({ dst = '' }) => known.includes(dst)).map(({ lladdr }) => lladdr));
    return seen.some(({ dst, lladdr, state }) => dst === ip && lladdr !== undefined && !macs.has(lladdr) && state?.includes('FAILED') !== true);
  }

  /** The kernel then says by itself where an address is that it was given. */
  async #tellNeighbours(device: string): Promise<void> {
    if (device.includes('.')) return;
    const target = `net.ipv6.conf.${device}.ndisc_notify`;
    const path = `/proc/sys/${target.replaceAll('.', '/')}`;
    const before = (await readFile(path, 'utf8').catch(() => '1')).trim();
    if (before === '1') return;
    await this.#deps.recordSysctl(target, before, '1');
    await writeFile(path, '1');
  }

  async #batch(lines: readonly string[], signal: AbortSignal): Promise<void> {
    if (lines.length === 0) return;
    const { exitCode, stderr } = await this.#deps.exec('ip', ['-force', '-batch', '-'], { input: lines.map((line) => `${line}\n`).join(''), signal });
    if (exitCode !== 0) throw new StatusError('InternalError', `ip refused addresses of load balancers: ${stderr.trim().slice(0, 500)}`);
  }

  async #ip(args: readonly string[], signal: AbortSignal): Promise<ExecResult> {
    return this.#deps.exec('ip', args, { signal, maxBytes: 16 << 20 });
  }
}

/** RFC 863: whoever gets it throws it away. */
const discardPort = 9;

function plain(ip: string): string {
  return `${ip}/${isIPv4(ip) ? '32' : '128'}`;
}

function deviceOf(ip: string): string {
  const link = isIPv4(ip) ? 'lo' : linkOf(ip)?.name;
  if (link === undefined) throw new StatusError('ServiceUnavailable', `no link of this host has addresses like ${ip}; choose --load-balancer-pool from the network that the hosts share`);
  return link;
}

/** The link whose network the address is of, or else the first of the host's. */
function linkOf(ip: string): { readonly name: string; readonly cidr: string } | undefined {
  const links = Object.entries(networkInterfaces()).filter(([name]) => isOwnLink(name)).flatMap(([name, list]) => (list ?? [])
    .flatMap(({ cidr, internal, scopeid }) => (cidr !== null && !internal && !scopeid && isIPv4(cidr.split('/')[0] ?? '') === isIPv4(ip) ? [{ name, cidr }] : [])));
  return links.find(({ cidr }) => networkOf(cidr)?.has(ip) === true) ?? links[0];
}

function networkOf(cidr: string): { readonly first: bigint; readonly size: bigint; readonly has: (ip: string) => boolean } | undefined {
  const [address = '', bits = ''] = cidr.split('/');
  const free = BigInt((isIPv4(address) ? 32 : 128) - Number(bits));
  const first = (ipToBigInt(address) >> free) << free;
  const size = 1n << free;
  return { first, size, has: (ip) => ipToBigInt(ip) >= first && ipToBigInt(ip) < first + size };
}

/** Any address of the network but its first and last. */
function neighbourOf(cidr: string | undefined, random: () => number): string | undefined {
  const network = cidr === undefined ? undefined : networkOf(cidr);
  if (!network || network.size < 4n) return undefined;
  const value = network.first + 1n + BigInt(Math.floor(random() * Number(network.size - 2n)));
  return [24n, 16n, 8n, 0n].map((shift) => String((value >> shift) & 255n)).join('.');
}

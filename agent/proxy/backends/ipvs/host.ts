import { StatusError } from '#common/errors.ts';
import type { Exec } from '#common/exec.ts';
import { removeChains } from '../../iptables/commands.ts';
import { commandOf } from '../../iptables/own-chains.ts';
import type { ProxyConfig } from '../../types.ts';
import { inRanges } from './portals.ts';
import { addressOfKey, parseServers, type PresentServer } from './servers.ts';
import { setPrefix } from './sets.ts';

const transactionTimeoutMs = 60_000;
/** So many take the slowest of hosts a fraction of the time that a command has. */
const maxBatchLines = 5000;
const maxListBytes = 64 << 20;

/** What IPVS must do differently from the kernel's defaults, in this network namespace. Source: Documentation/networking/ipvs-sysctl.rst. */
export const sysctls: Readonly<Record<string, string>> = {
  // Without it nothing behind IPVS can be masqueraded, and no rule sees its connections.
  'net.ipv4.vs.conntrack': '1',
  // A flow whose endpoint has gone is led to another one instead of being dropped until it times out.
  'net.ipv4.vs.expire_nodest_conn': '1',
  // The same for session affinity.
  'net.ipv4.vs.expire_quiescent_template': '1',
};

/** Names are at most 15 letters. */
export function deviceName(tableName: string): string {
  return `${tableName.slice(0, 10)}-ipvs`;
}

/** What IPVS has of ours: only these have addresses of the service ranges. */
export async function presentServers(exec: Exec, config: Pick<ProxyConfig, 'serviceCidrs'>, signal?: AbortSignal): Promise<Map<string, PresentServer>> {
  const { exitCode, stdout } = await exec('ipvsadm', ['-S', '-n'], { ...(signal && { signal }), maxBytes: maxListBytes });
  const servers = parseServers(exitCode === 0 ? stdout : '');
  const ours = inRanges(config.serviceCidrs);
  for (const key of servers.keys()) if (!ours(addressOfKey(key).ip)) servers.delete(key);
  return servers;
}

/** The addresses on the device; undefined when there is no such device. */
export async function presentAddresses(exec: Exec, device: string, signal?: AbortSignal): Promise<Set<string> | undefined> {
  const { exitCode, stdout } = await exec('ip', ['-br', 'address', 'show', 'dev', device], { ...(signal && { signal }), maxBytes: maxListBytes });
  if (exitCode !== 0) return undefined;
  return new Set(stdout.trim().split(/\s+/).slice(2).map((address) => address.replace(/\/\d+$/, '')).filter((address) => !address.startsWith('fe80:')));
}

/** Has a command carry out lines in their order, each by itself and many at a time; does nothing for none. */
export async function batch(exec: Exec, command: 'ip' | 'ipvsadm' | 'ipset', text: string, signal?: AbortSignal): Promise<void> {
  const args = { ip: ['-batch', '-'], ipvsadm: ['-R'], ipset: ['restore'] }[command];
  const lines = text === '' ? [] : text.split(/(?<=\n)/);
  for (let start = 0; start < lines.length; start += maxBatchLines) {
    const { exitCode, stderr } = await exec(command, args, { input: lines.slice(start, start + maxBatchLines).join(''), ...(signal && { signal }), timeoutMs: transactionTimeoutMs });
    // ipvsadm ends with 0 whatever became of a line, but says so.
    if (exitCode !== 0 || (command === 'ipvsadm' && stderr.trim() !== '')) throw new StatusError('InternalError', `${command} refused the Service rules: ${stderr.trim().slice(0, 1000)}`);
  }
}

export function addressLines(verb: 'add' | 'del', addresses: Iterable<string>, device: string): string {
  return [...addresses].map((ip) => `address ${verb} ${ip}/${ip.includes(':') ? `128 dev ${device}${verb === 'add' ? ' nodad' : ''}` : `32 dev ${device}`}\n`).join('');
}

/** Tries everything in a network namespace that goes at once: the feature test is the real thing somewhere else. Resolves with what is wrong, and what to do about it. */
export async function probe(exec: Exec, scheduler: string, signal: AbortSignal): Promise<string | undefined> {
  for (const [command, name] of [['ipvsadm', 'ipvsadm'], ['ipset', 'ipset'], ['iptables', 'iptables']] as const) {
    const { exitCode } = await exec('sh', ['-c', `PATH=$PATH:/usr/sbin:/sbin command -v ${command}`], { signal });
    if (exitCode !== 0) return `${command} is not there; install the ${name} package (Debian: apt-get install ${name})`;
  }
  const steps: readonly (readonly [string, string])[] = [
    [`ip link set lo up && ipvsadm -A -t 192.0.2.1:1 -s ${scheduler} -p 1 && ipvsadm -a -t 192.0.2.1:1 -r 192.0.2.2:1 -m && test -e /proc/sys/net/ipv4/vs/conntrack`, `IPVS with the scheduler ${scheduler} and connection tracking (modules ip_vs and ip_vs_${scheduler}; CONFIG_IP_VS, CONFIG_IP_VS_NFCT)`],
    ['ip link add probe type dummy && ip address add 192.0.2.1/32 dev probe', 'dummy devices (module dummy)'],
    ['ipset create a hash:ip && ipset create b hash:ip,port && ipset create c hash:ip,port,ip && ipset create d bitmap:port range 0-65535', 'sets of addresses and ports (modules ip_set, ip_set_hash_ip, ip_set_hash_ipport, ip_set_hash_ipportip, ip_set_bitmap_port)'],
    ['iptables -t nat -A POSTROUTING -m set --match-set c src,dst,dst -j MASQUERADE --random-fully && iptables -A INPUT -m addrtype --dst-type LOCAL -m conntrack ! --ctstate DNAT -j REJECT', 'iptables with set, addrtype, conntrack, MASQUERADE and REJECT (module xt_set and others)'],
  ];
  const script = steps.map(([test], i) => `{ ${test}; } >/dev/null || exit ${String(10 + i)}`).join('\n');
  const { exitCode, stderr } = await exec('unshare', ['-n', 'sh', '-c', script], { signal });
  if (exitCode === 0) return undefined;
  const words = stderr.trim().split('\n')[0] ?? '';
  if (/not permitted|denied|you must be root/i.test(words)) return `IPVS may not be set up (${words}); run as root or with CAP_NET_ADMIN and CAP_SYS_ADMIN`;
  return `this kernel lacks ${steps[exitCode - 10]?.[1] ?? 'something'} (${words}); load it with modprobe, or choose another --proxy-mode`;
}

/** Tries SCTP like that. */
export async function probeSctp(exec: Exec, signal: AbortSignal): Promise<string | undefined> {
  const script = 'ip link set lo up && ipvsadm -A --sctp-service 192.0.2.1:1 -s rr && iptables -t nat -A OUTPUT -p sctp -m sctp --dport 1 -j RETURN';
  const { exitCode, stderr } = await exec('unshare', ['-n', 'sh', '-c', script], { signal });
  return exitCode === 0 ? undefined : `this kernel lacks SCTP for IPVS or the match sctp of iptables (${stderr.trim().split('\n')[0] ?? ''}; CONFIG_IP_VS_PROTO_SCTP, module xt_sctp)`;
}

/** Removes all of ours in both families, whatever of it is there. Resolves with whether there was anything. */
export async function removeIpvs(exec: Exec, config: Pick<ProxyConfig, 'tableName' | 'serviceCidrs'>, signal?: AbortSignal): Promise<boolean> {
  const given = signal && { signal };
  let any = false;
  for (const family of ['ip', 'ip6'] as const) any = await removeChains(exec, commandOf(family), chainPrefix(config.tableName), signal) || any;
  if (await isThere(exec, 'ipset')) {
    const { stdout } = await exec('ipset', ['list', '-n'], { ...given });
    const prefixes = (['ip', 'ip6'] as const).map((family) => setPrefix(config.tableName, family));
    const sets = stdout.split('\n').filter((name) => prefixes.some((prefix) => name.startsWith(prefix)));
    await batch(exec, 'ipset', sets.map((name) => `destroy ${name}\n`).join(''), signal);
    any ||= sets.length > 0;
  }
  if (await isThere(exec, 'ipvsadm')) {
    const servers = [...(await presentServers(exec, config, signal)).keys()];
    await batch(exec, 'ipvsadm', servers.map((key) => `-D ${key}\n`).join(''), signal);
    any ||= servers.length > 0;
  }
  return (await exec('ip', ['link', 'delete', deviceName(config.tableName)], { ...given })).exitCode === 0 || any;
}

/** Begins our chains' names. Unlike any that the iptables backend gives. */
export function chainPrefix(tableName: string): string {
  return `IPVS-${tableName.toUpperCase()}`;
}

async function isThere(exec: Exec, command: string): Promise<boolean> {
  return (await exec('sh', ['-c', `PATH=$PATH:/usr/sbin:/sbin command -v ${command}`])).exitCode === 0;
}

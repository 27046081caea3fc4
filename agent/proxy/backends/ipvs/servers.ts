import type { IpvsScheduler } from '../../types.ts';

/** Where clients come to. */
export interface ServerAddress {
  /** In small letters. */
  readonly protocol: string;
  readonly ip: string;
  readonly port: number;
}

/** A virtual server: what is behind an address. */
export interface VirtualServer {
  readonly scheduler: IpvsScheduler;
  /** 0 for none. */
  readonly affinitySeconds: number;
  readonly backends: readonly { readonly ip: string; readonly port: number }[];
}

/** The kernel's side of one, as `ipvsadm -S -n` prints it. */
export interface PresentServer {
  readonly scheduler: string;
  readonly affinitySeconds: number;
  /** `IP:PORT` → weight; 0 gets no new connections. */
  readonly backends: ReadonlyMap<string, number>;
}

const options: Readonly<Record<string, string>> = { tcp: '-t', udp: '-u', sctp: '--sctp-service' };
const protocols: Readonly<Record<string, string>> = { '-t': 'tcp', '-u': 'udp', '--sctp-service': 'sctp' };

/** Names a virtual server as ipvsadm does. */
export function serverKey({ protocol, ip, port }: ServerAddress): string {
  return `${options[protocol] ?? '-t'} ${socket(ip, port)}`;
}

export function addressOfKey(key: string): ServerAddress {
  const [option = '', at = ''] = key.split(' ');
  const cut = at.lastIndexOf(':');
  return { protocol: protocols[option] ?? '', ip: at.slice(0, cut).replace(/^\[|\]$/g, ''), port: Number(at.slice(cut + 1)) };
}

export function serverValue({ scheduler, affinitySeconds, backends }: VirtualServer): string {
  return [`-s ${scheduler}${affinitySeconds > 0 ? ` -p ${String(affinitySeconds)}` : ''}`, ...new Set(backends.map(({ ip, port }) => socket(ip, port)))].join('\n');
}

function parseValue(value: string): { readonly head: string; readonly backends: readonly string[] } {
  const [head = '', ...backends] = value.split('\n');
  return { head, backends };
}

/** Reads `ipvsadm -S -n`; what uses other options than ours (firewall marks, say) is left out. */
export function parseServers(text: string): Map<string, PresentServer> {
  const servers = new Map<string, { scheduler: string; affinitySeconds: number; backends: Map<string, number> }>();
  for (const line of text.split('\n')) {
    const [verb, option = '', at = '', ...rest] = line.trim().split(/\s+/);
    if (protocols[option] === undefined) continue;
    const after = (name: string): string | undefined => (rest.includes(name) ? rest[rest.indexOf(name) + 1] : undefined);
    const key = `${option} ${at}`;
    if (verb === '-A') servers.set(key, { scheduler: after('-s') ?? '', affinitySeconds: rest.includes('-p') ? Number(after('-p') ?? 300) : 0, backends: new Map() });
    else if (verb === '-a') servers.get(key)?.backends.set(after('-r') ?? '', Number(after('-w') ?? 1));
  }
  return servers;
}

/** Lines for `ipvsadm -R`, in the order in which they keep traffic going, and the endpoints that are let go gently. */
export interface ServerLines {
  readonly lines: readonly string[];
  readonly draining: readonly string[];
}

/**
 * Leads a virtual server from what the kernel has to `after` (undefined: away). An endpoint that has gone keeps its open connections, as
 * with the other backends: it gets weight 0 and goes when they are over; for UDP it goes at once.
 */
export function serverLines(key: string, before: PresentServer | undefined, after: string | undefined): ServerLines {
  if (after === undefined) return { lines: before ? [`-D ${key}`] : [], draining: [] };
  const { head, backends } = parseValue(after);
  const lines: string[] = [];
  const draining: string[] = [];
  if (!before) lines.push(`-A ${key} ${head}`);
  else if (headOf(before) !== head) lines.push(`-E ${key} ${head}`);
  for (const backend of backends) {
    const weight = before?.backends.get(backend);
    if (weight === undefined) lines.push(`-a ${key} -r ${backend} -m -w 1`);
    else if (weight !== 1) lines.push(`-e ${key} -r ${backend} -m -w 1`);
  }
  const kept = new Set(backends);
  for (const [backend, weight] of before?.backends ?? []) {
    if (kept.has(backend)) continue;
    if (key.startsWith('-u ')) {
      lines.push(`-d ${key} -r ${backend}`);
      continue;
    }
    draining.push(backend);
    if (weight !== 0) lines.push(`-e ${key} -r ${backend} -m -w 0`);
  }
  return { lines, draining };
}

/** What the kernel has when it was given `value`, and these besides. */
export function presentOf(value: string, draining: Iterable<string>): PresentServer {
  const { head, backends } = parseValue(value);
  const [, scheduler = '', , affinity = '0'] = head.split(' ');
  return { scheduler, affinitySeconds: Number(affinity), backends: new Map([...[...draining].map((backend) => [backend, 0] as const), ...backends.map((backend) => [backend, 1] as const)]) };
}

function headOf({ scheduler, affinitySeconds }: PresentServer): string {
  return `-s ${scheduler}${affinitySeconds > 0 ? ` -p ${String(affinitySeconds)}` : ''}`;
}

/** Endpoints that `ipvsadm -L -n` shows with weight 0 and no connection left. */
export function idleBackends(text: string): string[] {
  return text.split('\n').flatMap((line) => {
    const [arrow, backend = '', , weight, active, inactive] = line.trim().split(/\s+/);
    return arrow === '->' && weight === '0' && active === '0' && inactive === '0' ? [backend] : [];
  });
}

function socket(ip: string, port: number): string {
  return `${ip.includes(':') ? `[${ip}]` : ip}:${String(port)}`;
}

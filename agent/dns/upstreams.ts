import { isIP } from 'node:net';
import type { ConfigMap } from '#api/gen/types.ts';
import type { Upstreams } from './types.ts';

const dnsPort = 53;
/** As many as the C library asks. */
const maxServers = 3;

/** `address`, `address:port` or `[address]:port`. */
export function splitServer(server: string): { readonly address: string; readonly port: number } {
  if (isIP(server) > 0) return { address: server, port: dnsPort };
  const at = server.lastIndexOf(':');
  return { address: server.slice(0, at).replace(/^\[(.*)\]$/, '$1'), port: Number(server.slice(at + 1)) };
}

function isServer(server: string): boolean {
  const { address, port } = splitServer(server);
  return isIP(address) > 0 && Number.isInteger(port) && port > 0 && port < 65_536;
}

/**
 * Who is asked for names outside the cluster: the host's own servers, or those of the ConfigMap kube-system/kube-dns
 * (`upstreamNameservers`, `stubDomains`; https://kubernetes.io/docs/tasks/administer-cluster/dns-custom-nameservers/).
 * `own` is never among them: asking oneself ends nowhere. `problems` says what was left out.
 */
export function upstreamsOf(hostServers: readonly string[], settings: ConfigMap | undefined, own: ReadonlySet<string>): Upstreams & { readonly problems: readonly string[] } {
  const problems: string[] = [];
  const usable = (servers: readonly string[], where: string): string[] => servers.filter((server) => {
    const valid = isServer(server);
    if (!valid) problems.push(`${where}: "${server}" is not an address`);
    else if (own.has(splitServer(server).address)) problems.push(`${where}: ${server} is this resolver itself`);
    return valid && !own.has(splitServer(server).address);
  }).slice(0, maxServers);
  const configured = parsed(settings?.data?.['upstreamNameservers'], isStrings, 'upstreamNameservers', problems);
  const stubs = parsed(settings?.data?.['stubDomains'], isStringLists, 'stubDomains', problems) ?? {};
  const stubDomains = new Map(Object.entries(stubs).map(([domain, servers]) => [domain.toLowerCase().replace(/\.$/, ''), usable(servers, `stubDomains ${domain}`)] as const));
  return { servers: configured ? usable(configured, 'upstreamNameservers') : usable(hostServers, 'resolv.conf'), stubDomains, problems };
}

function parsed<T>(json: string | undefined, is: (value: unknown) => value is T, key: string, problems: string[]): T | undefined {
  if (json === undefined || json.trim() === '') return undefined;
  try {
    const value: unknown = JSON.parse(json);
    if (is(value)) return value;
  } catch {
    // said below
  }
  problems.push(`ConfigMap kube-system/kube-dns: ${key} is not what it should be, e.g. ${key === 'stubDomains' ? '{"example.com": ["10.0.0.53"]}' : '["10.0.0.53"]'}`);
  return undefined;
}

function isStrings(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

function isStringLists(value: unknown): value is Readonly<Record<string, readonly string[]>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && Object.values(value).every(isStrings);
}

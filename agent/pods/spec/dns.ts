import type { Pod } from '#api/gen/types.ts';
import type { SandboxConfig } from '#agent/runtimes/types.ts';

type Dns = SandboxConfig['dns'];

const maxServers = 3;
const maxSearches = 32;
const maxSearchLength = 2048;

/** Reads resolv.conf(5). */
export function parseResolvConf(text: string): Dns {
  const servers: string[] = [];
  let searches: string[] = [];
  let options: string[] = [];
  for (const line of text.split('\n')) {
    const [keyword, ...words] = line.replace(/[#;].*$/, '').trim().split(/\s+/);
    if (keyword === 'nameserver' && words[0] !== undefined) servers.push(words[0]);
    else if (keyword === 'search' || keyword === 'domain') searches = words;
    else if (keyword === 'options') options = words;
  }
  return { servers, searches, options };
}

export interface DnsFacts {
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  readonly host: Dns;
}

/**
 * The pod's resolver configuration by its dnsPolicy. Without a cluster DNS, ClusterFirst is what the host has. `problems`: what
 * was left out because resolvers take no more, in kubelet's words.
 */
export function podDns(pod: Pod, facts: DnsFacts): { readonly dns: Dns; readonly problems: readonly string[] } {
  const custom = pod.spec?.dnsConfig;
  const base = policyDns(pod, facts);
  const options = new Map([...base.options.map(splitOption), ...(custom?.options ?? []).map((o) => [o.name ?? '', o.value] as const)]);
  const [allServers, allSearches] = [unique([...base.servers, ...(custom?.nameservers ?? [])]), unique([...base.searches, ...(custom?.searches ?? [])])];
  const dns = {
    servers: allServers.slice(0, maxServers),
    searches: searchesThatFit(allSearches),
    options: [...options].map(([name, value]) => (value === undefined || value === '' ? name : `${name}:${value}`)),
  };
  return {
    dns,
    problems: [
      ...(dns.servers.length < allServers.length ? [`Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: ${dns.servers.join(' ')}`] : []),
      ...(dns.searches.length < allSearches.length ? [`Search Line limits were exceeded, some search paths have been omitted, the applied search line is: ${dns.searches.join(' ')}`] : []),
    ],
  };
}

function searchesThatFit(searches: readonly string[]): string[] {
  const fitting = searches.slice(0, maxSearches);
  while (fitting.join(' ').length > maxSearchLength) fitting.pop();
  return fitting;
}

function policyDns(pod: Pod, { clusterDns, clusterDomain, host }: DnsFacts): Dns {
  const policy = pod.spec?.dnsPolicy ?? 'ClusterFirst';
  if (policy === 'None') return { servers: [], searches: [], options: [] };
  const wantsCluster = policy === 'ClusterFirstWithHostNet' || (policy === 'ClusterFirst' && !pod.spec?.hostNetwork);
  if (!wantsCluster || clusterDns.length === 0) return host;
  const namespace = pod.metadata?.namespace ?? 'default';
  return {
    servers: clusterDns,
    searches: [`${namespace}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain, ...host.searches.filter((s) => s !== '.')],
    options: ['ndots:5'],
  };
}

function splitOption(option: string): readonly [string, string | undefined] {
  const colon = option.indexOf(':');
  return colon < 0 ? [option, undefined] : [option.slice(0, colon), option.slice(colon + 1)];
}

function unique(values: readonly string[]): string[] {
  return [...new Set(values)];
}

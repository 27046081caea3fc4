import { isIPv4, isIPv6 } from 'node:net';
import type { Service } from '#api/gen/types.ts';
import { clusterIpsOf, isHeadless, type NamedEndpoint, type ServiceIndex } from './service-index.ts';
import { rcodes, type DnsRecord, type Question, type Reply } from './types.ts';

/** The version of the specification that is followed: https://github.com/kubernetes/dns/blob/master/docs/specification.md */
const specification = '1.1.0';
const ttlSeconds = 5;

export interface ZoneConfig {
  /** Without dots at its ends: `cluster.local`. */
  readonly domain: string;
  /** The resolver's own address. */
  readonly address: string;
  /** True for addresses that only this cluster can name: pods' and Services'. */
  readonly ownsAddress: (ip: string) => boolean;
}

/** An ExternalName: the answer goes on at `target`. */
export interface Alias {
  readonly alias: DnsRecord;
  readonly target: string;
}

/** What a name inside the zone is: its records by type, or an alias; undefined for a name that does not exist. */
type Found = readonly DnsRecord[] | Alias | undefined;

/**
 * The cluster's own names. Pure look-ups in the index; `undefined` means that the name is somebody else's.
 * A name that exists without a record of the wanted type is answered with none (NOERROR), any other with NXDOMAIN.
 */
export class Zone {
  readonly #index: ServiceIndex;
  readonly #config: ZoneConfig;
  readonly #suffix: string;

  constructor(index: ServiceIndex, config: ZoneConfig) {
    this.#index = index;
    this.#config = config;
    this.#suffix = `.${config.domain}`;
  }

  answer({ name, type }: Question): Reply | Alias | undefined {
    const lower = name.toLowerCase();
    const ip = addressOf(lower);
    if (ip !== undefined) return this.#pointer(name, ip, type);
    if (lower !== this.#config.domain && !lower.endsWith(this.#suffix)) return undefined;
    const labels = lower === this.#config.domain ? [] : lower.slice(0, -this.#suffix.length).split('.');
    const found = this.#find(name, labels);
    if (found === undefined) return this.#reply(rcodes.nameError, []);
    if ('alias' in found) return type === 'CNAME' ? this.#reply(rcodes.noError, [found.alias]) : found;
    return this.#reply(rcodes.noError, found.filter((record) => record.type === type));
  }

  #reply(rcode: number, answers: readonly DnsRecord[]): Reply {
    return { rcode, authoritative: true, answers, authorities: answers.length > 0 ? [] : [this.#soa()] };
  }

  #find(name: string, labels: readonly string[]): Found {
    if (labels.length === 0) return [this.#soa(), { type: 'NS', name, ttl: ttlSeconds, data: `ns.dns.${this.#config.domain}` }];
    const path = labels.join('.');
    if (path === 'dns-version') return [{ type: 'TXT', name, ttl: ttlSeconds, data: specification }];
    if (path === 'ns.dns') return addresses(name, [this.#config.address]);
    const kind = labels.at(-1);
    const namespace = labels.at(-2);
    if (kind === 'dns' || kind === 'svc' || kind === 'pod') {
      if (namespace === undefined) return [];
      if (kind === 'pod') return podName(name, labels.slice(0, -2));
      if (kind === 'svc') return labels.length === 2 ? (this.#index.hasNamespace(namespace) ? [] : undefined) : this.#service(name, namespace, labels.slice(0, -2));
    }
    return undefined;
  }

  /** `labels`: what stands before the namespace, ending with the Service's name. */
  #service(name: string, namespace: string, labels: readonly string[]): Found {
    const service = this.#index.service(namespace, labels.at(-1) ?? '');
    if (!service) return undefined;
    const external = service.spec?.type === 'ExternalName' ? service.spec.externalName : undefined;
    if (external !== undefined) {
      const target = external.replace(/\.$/, '');
      return labels.length === 1 ? { alias: { type: 'CNAME', name, ttl: ttlSeconds, data: target }, target } : undefined;
    }
    const endpoints = isHeadless(service) ? this.#index.endpoints(service) : [];
    if (labels.length === 1) return addresses(name, isHeadless(service) ? endpoints.map(({ ip }) => ip) : clusterIpsOf(service));
    if (labels.length === 2 && !/^_(tcp|udp|sctp)$/.test(labels[0] ?? '')) {
      const named = endpoints.filter(({ hostname }) => hostname.toLowerCase() === labels[0]);
      return named.length > 0 ? addresses(name, named.map(({ ip }) => ip)) : undefined;
    }
    return this.#servicePort(name, service, endpoints, labels.slice(0, -1));
  }

  /** `labels`: `_port`, `_protocol`; the protocol alone exists, too, as a name with others below. */
  #servicePort(name: string, service: Service, endpoints: readonly NamedEndpoint[], labels: readonly string[]): Found {
    const protocol = (labels.at(-1) ?? '').slice(1).toUpperCase();
    const ports = (service.spec?.ports ?? []).filter((port) => (port.protocol ?? 'TCP') === protocol);
    if (labels.length === 1) return ports.length > 0 ? [] : undefined;
    const wanted = labels.length === 2 ? ports.find((port) => port.name !== undefined && port.name !== '' && `_${port.name}` === labels[0]) : undefined;
    if (!wanted) return undefined;
    const base = `${service.metadata?.name ?? ''}.${service.metadata?.namespace ?? ''}.svc${this.#suffix}`;
    if (!isHeadless(service)) return serviceRecords(name, [{ port: wanted.port, target: base }]);
    const targets = endpoints.flatMap(({ hostname, ports: own }) => {
      const port = own?.find((p) => p.name === wanted.name && (p.protocol ?? 'TCP') === protocol)?.port;
      return port === undefined ? [] : [{ port, target: `${hostname}.${base}` }];
    });
    return serviceRecords(name, targets);
  }

  #pointer(name: string, ip: string, type: string): Reply | undefined {
    const names = this.#index.namesOf(ip);
    if (names.length === 0) return this.#config.ownsAddress(ip) ? this.#reply(rcodes.nameError, []) : undefined;
    return this.#reply(rcodes.noError, type === 'PTR' ? names.map((data): DnsRecord => ({ type: 'PTR', name, ttl: ttlSeconds, data: data + this.#suffix })) : []);
  }

  #soa(): DnsRecord {
    const { domain } = this.#config;
    return {
      type: 'SOA', name: domain, ttl: ttlSeconds,
      data: { mname: `ns.dns.${domain}`, rname: `hostmaster.${domain}`, serial: this.#index.generation % 2 ** 32, refresh: 7200, retry: 1800, expire: 86_400, minimum: ttlSeconds },
    };
  }
}

/** A pod is called by its address: `10-42-0-5.NAMESPACE.pod`. Whether there is such a pod is not looked at, as in Kubernetes' default. */
function podName(name: string, labels: readonly string[]): Found {
  if (labels.length === 0) return [];
  const [host = ''] = labels;
  const ip = [host.replaceAll('-', '.'), host.replaceAll('-', ':')].find((address) => isIPv4(address) || isIPv6(address));
  return labels.length === 1 && ip !== undefined ? addresses(name, [ip]) : undefined;
}

function addresses(name: string, ips: readonly string[]): DnsRecord[] {
  return ips.map((data) => ({ type: isIPv6(data) ? 'AAAA' : 'A', name, ttl: ttlSeconds, data }));
}

function serviceRecords(name: string, targets: readonly { readonly port: number; readonly target: string }[]): DnsRecord[] {
  const weight = Math.max(1, Math.floor(100 / Math.max(1, targets.length)));
  return targets.map(({ port, target }) => ({ type: 'SRV', name, ttl: ttlSeconds, data: { priority: 0, weight, port, target } }));
}

/** The address that a name under in-addr.arpa or ip6.arpa stands for. */
export function addressOf(name: string): string | undefined {
  if (name.endsWith('.in-addr.arpa')) {
    const ip = name.slice(0, -'.in-addr.arpa'.length).split('.').reverse().join('.');
    return isIPv4(ip) ? ip : undefined;
  }
  if (!name.endsWith('.ip6.arpa')) return undefined;
  const digits = name.slice(0, -'.ip6.arpa'.length).split('.').reverse();
  if (digits.length !== 32 || digits.some((digit) => !/^[0-9a-f]$/.test(digit))) return undefined;
  const groups = Array.from({ length: 8 }, (_, i) => digits.slice(4 * i, 4 * i + 4).join(''));
  return shortIpv6(groups.join(':'));
}

/** An IPv6 address as Kubernetes writes it (RFC 5952). */
export function shortIpv6(ip: string): string {
  return new URL(`http://[${ip}]/`).hostname.slice(1, -1);
}

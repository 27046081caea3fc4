export interface ServerNameConfig {
  /** What users and agents may dial: host names and addresses, `--advertise-address` and `--tls-san` included. */
  readonly hosts: readonly string[];
  /** `10.43.0.0/16`, or one of each family; the first address of the first is the `kubernetes` Service. */
  readonly serviceCidr: string;
  readonly clusterDomain: string;
}

/** The TLS server name by which agents ask the shared port for gRPC. */
const agentsServerName = 'agents.cleat.internal';

/** All names and addresses of the API server's certificate, each once. */
export function serverNames(config: ServerNameConfig): string[] {
  const service = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc', `kubernetes.default.svc.${config.clusterDomain}`];
  return [...new Set(['localhost', '127.0.0.1', '::1', ...service, firstAddress(config.serviceCidr), agentsServerName, ...config.hosts])];
}

/** First usable address of the first range: the network's plus one. */
export function firstAddress(cidrs: string): string {
  const [cidr = ''] = cidrs.split(',');
  if (cidr.includes(':')) return (cidr.split('/')[0] ?? '').replace(/::$/, '::1');
  const octets = (cidr.split('/')[0] ?? '').split('.').map(Number);
  const value = octets.reduce((sum, octet) => sum * 256 + octet, 0) + 1;
  return [24, 16, 8, 0].map((bits) => Math.floor(value / 2 ** bits) % 256).join('.');
}

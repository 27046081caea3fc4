import type { Pod } from '#api/gen/types.ts';
import { fqdnOf, hostnameOf } from './sandbox-config.ts';

const localNames = `127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
`;

/** The pod's /etc/hosts. `hostFile` is the node's, which pods in the host's network start from. */
export function hostsFile(pod: Pod, podIps: readonly string[], clusterDomain: string, hostFile: string): string {
  const { spec } = pod;
  const hostname = hostnameOf(pod);
  const fqdn = fqdnOf(pod, clusterDomain);
  const qualified = fqdn === undefined ? hostname : `${fqdn}\t${hostname}`;
  const own = podIps.map((ip) => `${ip}\t${qualified}\n`).join('');
  const start = spec?.hostNetwork
    ? `# Kubernetes-managed hosts file (host network).\n${hostFile.endsWith('\n') || hostFile === '' ? hostFile : `${hostFile}\n`}`
    : `# Kubernetes-managed hosts file.\n${localNames}${own}`;
  const aliases = (spec?.hostAliases ?? []).map((alias) => `${alias.ip}\t${(alias.hostnames ?? []).join('\t')}\n`).join('');
  return aliases === '' ? start : `${start}\n# Entries added by HostAliases.\n${aliases}`;
}

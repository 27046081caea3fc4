/**
 * The CNI configuration list of this host's pods: a routed pair of links for each pod (`ptp`), so that every packet
 * between pods passes the host's network stack. That gives Service translation and hairpin without a bridge and
 * without br_netfilter. Addresses leave the host unchanged; masquerading and host ports are the proxy's.
 */
export function cniConflist(podCidrs: readonly string[], dataDirectory: string, mtu: number): string {
  const ipv6 = podCidrs.some((cidr) => cidr.includes(':'));
  const ipv4 = podCidrs.some((cidr) => !cidr.includes(':'));
  const routes = [...(ipv4 ? [{ dst: '0.0.0.0/0' }] : []), ...(ipv6 ? [{ dst: '::/0' }] : [])];
  const conflist = {
    cniVersion: '1.0.0',
    name: 'cleat',
    plugins: [
      {
        type: 'ptp', ipMasq: false, mtu,
        ipam: { type: 'host-local', dataDir: dataDirectory, ranges: podCidrs.map((subnet) => [{ subnet }]), routes },
      },
    ],
  };
  return `${JSON.stringify(conflist, null, 2)}\n`;
}

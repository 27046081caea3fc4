/** One address of one network interface, as node:os has it. */
export interface InterfaceAddress {
  readonly address: string;
  readonly family: string;
  readonly internal: boolean;
}

/**
 * The address that other hosts reach this one by: the first IPv4 address of the interface with the preferred default
 * route, else the first IPv4 address that is not loopback, link-local or a container engine's, else a global IPv6 one. Undefined when there is none.
 * `routes` is the text of /proc/net/route.
 */
export function detectNodeIp(routes: string, interfaces: Readonly<Record<string, readonly InterfaceAddress[] | undefined>>): string | undefined {
  const usable = (name: string | undefined, family: string): string | undefined => (name === undefined ? [] : interfaces[name] ?? [])
    .find((a) => a.family === family && !a.internal && !isLinkLocal(a.address))?.address;
  const byDefaultRoute = usable(defaultInterface(routes), 'IPv4');
  if (byDefaultRoute !== undefined) return byDefaultRoute;
  for (const family of ['IPv4', 'IPv6']) {
    for (const name of Object.keys(interfaces).filter(isOwnLink).sort()) {
      const address = usable(name, family);
      if (address !== undefined) return address;
    }
  }
  return undefined;
}

/** False for links that container engines and we ourselves make and remove: their addresses lead to pods, not to this host. */
export function isOwnLink(name: string): boolean {
  return !/^(cni|docker|veth|br-|virbr|lxcbr|podman|cleat-)/.test(name);
}

/** The interface of the default route with the lowest metric; undefined without one. */
export function defaultInterface(routes: string): string | undefined {
  const defaults = routes.split('\n').slice(1).map((line) => line.split('\t'))
    .filter(([, destination, , , , , , mask]) => destination === '00000000' && mask === '00000000')
    .sort((a, b) => Number(a[6]) - Number(b[6]));
  return defaults[0]?.[0];
}

function isLinkLocal(address: string): boolean {
  return address.startsWith('169.254.') || /^fe[89ab]/i.test(address);
}

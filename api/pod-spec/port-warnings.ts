import type { Container, ContainerPort, PodSpec } from '../gen/types.ts';

interface Place { readonly path: string; readonly port: ContainerPort }

/** Containers of a pod share its addresses, so that two cannot both have a port; in Kubernetes' words. Init containers that end are gone by then. */
export function portWarnings(spec: PodSpec, field: string): string[] {
  const lists = (['initContainers', 'containers'] as const).flatMap((list) => (spec[list] ?? []).map((container, i) => ({ container, path: `${field}.${list}[${i}]`, lasts: list === 'containers' || container.restartPolicy === 'Always' })));
  const others = new Map<string, Place[]>();
  return lists.flatMap(({ container, path, lasts }) => placesOf(container, path).flatMap((place) => {
    const key = `${String(place.port.containerPort)}/${place.port.protocol ?? ''}`;
    const warnings = [...hostWarning(place), ...(others.get(key) ?? []).flatMap((other) => clash(place, other))];
    if (lasts) others.set(key, [...others.get(key) ?? [], place]);
    return warnings;
  }));
}

function placesOf({ ports }: Container, path: string): Place[] {
  return (ports ?? []).map((port, i) => ({ port, path: `${path}.ports[${i}]` }));
}

function hostWarning({ path, port: { name = '', hostPort = 0, containerPort, protocol = '', hostIP = '' } }: Place): string[] {
  return hostIP !== '' && hostPort === 0 ? [`${path}: hostIP set without hostPort: {Name:${name} HostPort:0 ContainerPort:${containerPort} Protocol:${protocol} HostIP:${hostIP}}`] : [];
}

function clash({ path, port }: Place, other: Place): string[] {
  const [ip = '', otherIp = ''] = [port.hostIP, other.port.hostIP];
  const [hostPort = 0, otherPort = 0] = [port.hostPort, other.port.hostPort];
  if (ip === otherIp && hostPort === otherPort) return [`${path}: duplicate port definition with ${other.path}`];
  if (hostPort === 0 || otherPort === 0) return [`${path}: overlapping port definition with ${other.path}`];
  return hostPort === otherPort && (ip === '') !== (otherIp === '') ? [`${path}: dangerously ambiguous port definition with ${other.path}`] : [];
}

import type { Container, ObjectReference, Pod, Service, ServicePort } from '#api/gen/types.ts';
import { keyOf } from '#api/meta/object.ts';
import { equal } from '#api/meta/equal.ts';
import type { Pace } from './pace.ts';
import type { Change } from './types.ts';
import { isReady, isTerminal, isTerminating } from './pod-state.ts';

/** What Endpoints and EndpointSlices of a Service have in common: which pods, at which addresses and ports. */
export interface ServiceEndpoint {
  readonly pod: Pod;
  readonly addresses: readonly string[];
  readonly ports: readonly EndpointPortNumber[];
  readonly serving: boolean;
  readonly terminating: boolean;
  /** Set for a pod that has a DNS name of its own below a headless Service. */
  readonly hostname: string | undefined;
  readonly nodeName: string | undefined;
  readonly targetRef: ObjectReference;
}

export interface EndpointPortNumber {
  readonly name: string;
  readonly port: number;
  readonly protocol: string;
  readonly appProtocol: string | undefined;
}

export type IpFamily = 'IPv4' | 'IPv6';

/** True when the control plane keeps the Service's endpoints; without a selector the user does. */
export function hasManagedEndpoints(service: Service): boolean {
  return service.spec?.type !== 'ExternalName' && Object.keys(service.spec?.selector ?? {}).length > 0;
}

export function isHeadless(service: Service): boolean {
  return service.spec?.clusterIP === 'None';
}

export function ipFamilies(service: Service): IpFamily[] {
  const families = (service.spec?.ipFamilies ?? []).filter((family) => family === 'IPv4' || family === 'IPv6');
  return families.length > 0 ? families : [service.spec?.clusterIP?.includes(':') ? 'IPv6' : 'IPv4'];
}

/** Labels of the Service that its endpoints carry too, `service.kubernetes.io/headless` in step with the Service. */
export function inheritedLabels(service: Service): Record<string, string> {
  const { 'service.kubernetes.io/headless': _, ...labels } = service.metadata?.labels ?? {};
  return isHeadless(service) ? { ...labels, 'service.kubernetes.io/headless': '' } : labels;
}

/** `pods` are those of the Service's namespace. Pods without an address or that have ended are left out. */
export function endpointsOf(service: Service, pods: readonly Pod[], family: IpFamily): ServiceEndpoint[] {
  if (!hasManagedEndpoints(service)) return [];
  return pods.flatMap((pod): ServiceEndpoint[] => {
    if (!selects(service, pod) || isTerminal(pod)) return [];
    const addresses = podAddresses(pod).filter((ip) => ip.includes(':') === (family === 'IPv6')).slice(0, 1);
    if (addresses.length === 0) return [];
    const { name, namespace, uid } = pod.metadata ?? {};
    const named = pod.spec?.hostname !== undefined && pod.spec.hostname !== '' && pod.spec.subdomain === service.metadata?.name;
    return [{
      pod, addresses, ports: portsOf(service, pod), serving: isReady(pod), terminating: isTerminating(pod),
      hostname: named ? pod.spec?.hostname : undefined, nodeName: pod.spec?.nodeName, targetRef: { kind: 'Pod', namespace, name, uid },
    }];
  });
}

export function selects(service: Service, pod: Pod): boolean {
  const selector = Object.entries(service.spec?.selector ?? {});
  return selector.length > 0 && selector.every(([key, value]) => pod.metadata?.labels?.[key] === value);
}

function podAddresses(pod: Pod): string[] {
  const { podIPs, podIP } = pod.status ?? {};
  return podIPs && podIPs.length > 0 ? podIPs.map(({ ip }) => ip) : podIP ? [podIP] : [];
}

/** The Service's ports as this pod serves them; a named port that the pod lacks is left out. */
function portsOf(service: Service, pod: Pod): EndpointPortNumber[] {
  return (service.spec?.ports ?? []).flatMap((port) => {
    const number = targetPort(port, pod);
    return number === undefined ? [] : [{ name: port.name ?? '', port: number, protocol: port.protocol ?? 'TCP', appProtocol: port.appProtocol }];
  });
}

function targetPort(port: ServicePort, pod: Pod): number | undefined {
  const target = port.targetPort ?? port.port;
  if (typeof target === 'number') return target === 0 ? port.port : target;
  const sidecars = (pod.spec?.initContainers ?? []).filter((container) => container.restartPolicy === 'Always');
  const containers: Container[] = [...pod.spec?.containers ?? [], ...sidecars];
  return containers.flatMap((container) => container.ports ?? [])
    .find((p) => p.name === target && (p.protocol ?? 'TCP') === (port.protocol ?? 'TCP'))?.containerPort;
}

/** Keys of the Services whose endpoints a change of a pod may alter. */
export function* servicesOfPod(services: readonly Service[], { object, old }: Change<Pod>): Iterable<string> {
  if (object && old && equal(trace(object), trace(old))) return;
  for (const service of services) {
    if ((object && selects(service, object)) || (old && selects(service, old))) yield keyOf(service);
  }
}

/** All that an endpoint is made from, as far as it can change while a pod lives. */
function trace(pod: Pod): unknown {
  return [pod.metadata?.uid, pod.metadata?.labels, pod.spec?.nodeName, podAddresses(pod), isReady(pod), isTerminal(pod), isTerminating(pod)];
}

/** Up to so many nodes a change of endpoints costs little to tell. */
const fewNodes = 100;
const longestGapMs = 3000;

/**
 * Milliseconds until a Service's endpoints are looked at again. What changes of them is sent to every node: with many of
 * both, changes are gathered, as Kubernetes does with its batch period.
 */
export function endpointsPace(pace: Pace, key: string, endpoints: number, nodes: number): number {
  return pace.waitMs(key, endpoints * Math.max(1, nodes / fewNodes), longestGapMs);
}

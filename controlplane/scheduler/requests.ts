import type { Container, ContainerStatus, Pod, PodSpec } from '#api/gen/types.ts';
import { getCondition } from '#api/meta/conditions.ts';
import { cpuMillis, quantityValue } from '#api/meta/quantity.ts';
import type { HostPort, Resources } from './types.ts';

/** Resources while they are being summed. */
export interface MutableResources {
  cpuMillis: number;
  memoryBytes: number;
  ephemeralBytes: number;
  readonly scalars: Map<string, number>;
}

type Quantities = Readonly<Record<string, string>>;
type Combine = (a: number, b: number) => number;

const sum: Combine = (a, b) => a + b;
const max: Combine = (a, b) => Math.max(a, b);

export function emptyResources(): MutableResources {
  return { cpuMillis: 0, memoryBytes: 0, ephemeralBytes: 0, scalars: new Map() };
}

/** Of one resource by its name: thousandths of a core, bytes, or whole ones. */
export function amountOf(name: string, { cpuMillis: cpu, memoryBytes, ephemeralBytes, scalars }: Resources): number {
  switch (name) {
    case 'cpu': return cpu;
    case 'memory': return memoryBytes;
    case 'ephemeral-storage': return ephemeralBytes;
    default: return scalars.get(name) ?? 0;
  }
}

/** Reads a resource list; `pods` is left out, it is counted, not requested. */
export function parseResources(quantities: Quantities | undefined): MutableResources {
  const result = emptyResources();
  for (const [name, quantity] of Object.entries(quantities ?? {})) {
    if (name === 'cpu') result.cpuMillis = cpuMillis(quantity);
    else if (name === 'memory') result.memoryBytes = quantityValue(quantity);
    else if (name === 'ephemeral-storage') result.ephemeralBytes = quantityValue(quantity);
    else if (name !== 'pods') result.scalars.set(name, quantityValue(quantity));
  }
  return result;
}

function combine(into: MutableResources, from: Resources, how: Combine): void {
  into.cpuMillis = how(into.cpuMillis, from.cpuMillis);
  into.memoryBytes = how(into.memoryBytes, from.memoryBytes);
  into.ephemeralBytes = how(into.ephemeralBytes, from.ephemeralBytes);
  for (const [name, value] of from.scalars) into.scalars.set(name, how(into.scalars.get(name) ?? 0, value));
}

/** Adds or, with `sign` -1, takes away. */
export function addResources(into: MutableResources, from: Resources, sign: 1 | -1): void {
  into.cpuMillis += sign * from.cpuMillis;
  into.memoryBytes += sign * from.memoryBytes;
  into.ephemeralBytes += sign * from.ephemeralBytes;
  for (const [name, value] of from.scalars) into.scalars.set(name, (into.scalars.get(name) ?? 0) + sign * value);
}

/**
 * What a pod needs at its greediest moment: init containers run one after another beside the sidecars started
 * before them (init containers with restartPolicy Always), then all containers run beside all sidecars.
 * Source: https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers
 */
export function podRequests(spec: PodSpec, ofContainer: (container: Container) => Resources = requestsOf): Resources {
  const running = emptyResources();
  for (const container of spec.containers) combine(running, ofContainer(container), sum);
  const sidecars = emptyResources();
  const starting = emptyResources();
  for (const container of spec.initContainers ?? []) {
    const own = ofContainer(container);
    if (container.restartPolicy === 'Always') {
      combine(running, own, sum);
      combine(sidecars, own, sum);
      combine(starting, sidecars, max);
    } else {
      const peak = emptyResources();
      combine(peak, own, sum);
      combine(peak, sidecars, sum);
      combine(starting, peak, max);
    }
  }
  combine(running, starting, max);
  if (spec.resources?.requests) overrideWithPodLevel(running, spec.resources.requests);
  if (spec.overhead) combine(running, parseResources(spec.overhead), sum);
  return running;
}

/** Requests set for the pod as a whole stand in place of the sum of its containers. */
function overrideWithPodLevel(total: MutableResources, requests: Quantities): void {
  const podLevel = parseResources(requests);
  if (requests.cpu !== undefined) total.cpuMillis = podLevel.cpuMillis;
  if (requests.memory !== undefined) total.memoryBytes = podLevel.memoryBytes;
  for (const [name, value] of podLevel.scalars) total.scalars.set(name, value);
}

/** What agents say that containers were given; changes while a pod is resized in place. */
export function givenResources({ status }: Pod): readonly Pick<ContainerStatus, 'name' | 'allocatedResources' | 'resources'>[] {
  return [...status?.initContainerStatuses ?? [], ...status?.containerStatuses ?? []]
    .flatMap(({ name, allocatedResources, resources }) => (allocatedResources ?? resources?.requests ? [{ name, allocatedResources, resources }] : []));
}

/** True when the node will never give the pod what it asks for now. */
export function isResizeInfeasible({ status }: Pod): boolean {
  const pending = getCondition(status?.conditions, 'PodResizePending');
  return pending?.status === 'True' && pending.reason === 'Infeasible';
}

/**
 * What a pod takes from its node. While it is resized in place that is what it asks for or what it has, whichever is more;
 * what can never be given does not count.
 * Source: https://kubernetes.io/docs/tasks/configure-pod-container/resize-container-resources/
 */
export function effectiveRequests(pod: Pod): Resources {
  const spec = pod.spec ?? { containers: [] };
  const given = new Map(givenResources(pod).map((one) => [one.name, one]));
  if (given.size === 0) return podRequests(spec);
  const isInfeasible = isResizeInfeasible(pod);
  return podRequests(spec, (container) => {
    const own = requestsOf(container);
    const one = given.get(container.name);
    if (!one) return own;
    const total = parseResources(one.allocatedResources);
    combine(total, parseResources(one.resources?.requests), max);
    if (!isInfeasible) combine(total, own, max);
    return total;
  });
}

function requestsOf(container: Container): Resources {
  return parseResources(container.resources?.requests);
}

/** Kubernetes' assumption for a container that asks for nothing, used in scoring only. */
const assumedCpuMillis = 100;
const assumedMemoryBytes = 200 * 1024 * 1024;

export function scoredRequests(spec: PodSpec): { cpuMillis: number; memoryBytes: number } {
  const asksForAll = [...spec.containers, ...(spec.initContainers ?? [])]
    .every((c) => c.resources?.requests?.cpu !== undefined && c.resources.requests.memory !== undefined);
  const { cpuMillis: cpu, memoryBytes } = asksForAll ? podRequests(spec) : podRequests(spec, (container) => {
    const own = parseResources(container.resources?.requests);
    if (container.resources?.requests?.cpu === undefined) own.cpuMillis = assumedCpuMillis;
    if (container.resources?.requests?.memory === undefined) own.memoryBytes = assumedMemoryBytes;
    return own;
  });
  return { cpuMillis: cpu, memoryBytes };
}

export function hostPortsOf(spec: PodSpec): HostPort[] {
  const ports: HostPort[] = [];
  const sidecars = (spec.initContainers ?? []).filter((c) => c.restartPolicy === 'Always');
  for (const container of [...spec.containers, ...sidecars]) {
    for (const port of container.ports ?? []) {
      const hostPort = port.hostPort ?? (spec.hostNetwork ? port.containerPort : 0);
      if (hostPort > 0) ports.push({ ip: port.hostIP || '0.0.0.0', protocol: port.protocol || 'TCP', port: hostPort });
    }
  }
  return ports;
}

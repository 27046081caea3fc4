import type { Endpoint, EndpointSlice, Pod, Service, ServicePort as ApiServicePort } from '#api/gen/types.ts';
import { endpointSlices, nodes, pods, services } from '#api/kinds/resources.ts';
import { isIP, isIPv4 } from '#api/meta/ip.ts';
import { keyOf, objectKey } from '#api/meta/object.ts';
import type { PodReport } from '#agent/session/types.ts';
import type { StateChange } from '#agent/state/types.ts';
import type { HealthCheck } from './health-checks.ts';
import { hasHostPorts, hostPortsOf } from './host-ports.ts';
import { asSeenHere, localPodsOf, type LocalPods } from './local-pods.ts';
import { nearby, zoneLabel, type Place } from './topology.ts';
import type { Backend, ProxyChange, ServicePort } from './types.ts';

const serviceNameLabel = 'kubernetes.io/service-name';
/** Services with these labels are someone else's to route (https://kubernetes.io/docs/reference/labels-annotations-taints/). */
const foreignLabels = ['service.kubernetes.io/service-proxy-name', 'service.kubernetes.io/headless'];
const defaultAffinitySeconds = 10_800;

/**
 * The ports of one Service as this node must route them. Headless and ExternalName Services have none. What a
 * backend could not take (an address that is none, a port out of range) is left out, so that one bad object harms only
 * itself. `localPods`: what this host knows of its own pods.
 */
export function servicePorts(service: Service, slices: readonly EndpointSlice[], place: Place, localPods: LocalPods = new Map()): ServicePort[] {
  const { spec, metadata, status } = service;
  if (!spec || spec.type === 'ExternalName' || foreignLabels.some((label) => metadata?.labels?.[label] !== undefined)) return [];
  const clusterIps = (spec.clusterIPs ?? [spec.clusterIP ?? '']).filter((ip) => isIP(ip));
  if (clusterIps.length === 0) return [];
  const key = keyOf(service);
  if (!/^[a-z0-9.-]+\/[a-z0-9.-]+$/.test(key)) return [];

  const external = spec.type === 'NodePort' || spec.type === 'LoadBalancer';
  const internalLocal = spec.internalTrafficPolicy === 'Local';
  const externalLocal = (external || (spec.externalIPs ?? []).length > 0) && spec.externalTrafficPolicy === 'Local';
  const loadBalancerIps = (spec.type === 'LoadBalancer' ? status?.loadBalancer?.ingress ?? [] : [])
    .filter((ingress) => ingress.ipMode !== 'Proxy').map((ingress) => ingress.ip ?? '').filter((ip) => isIP(ip));
  const sourceRanges = spec.type === 'LoadBalancer' ? (spec.loadBalancerSourceRanges ?? []).map((range) => range.trim()).filter(isRange) : [];

  const seen = slices.map((slice) => ({
    ...slice, endpoints: (slice.endpoints ?? []).flatMap((e) => (e.nodeName === place.nodeName ? asSeenHere(e, slice.addressType, localPods, spec.publishNotReadyAddresses === true) : [e])),
  }));
  const ports = new Map<string, ServicePort>();
  for (const port of spec.ports ?? []) {
    const id = `${key}:${port.name ?? ''}`;
    if (!isPort(port.port) || !/^[a-z0-9-]*$/.test(port.name ?? '') || ports.has(id)) continue;
    const { endpoints, localEndpoints } = endpointsOf(port, seen, place);
    ports.set(id, {
      id, protocol: protocolOf(port.protocol), port: port.port, clusterIps, loadBalancerIps,
      externalIps: (spec.externalIPs ?? []).filter((ip) => isIP(ip)),
      ...(sourceRanges.length > 0 && { sourceRanges }),
      nodePort: external && isPort(port.nodePort) ? port.nodePort : 0,
      affinitySeconds: spec.sessionAffinity === 'ClientIP' ? spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? defaultAffinitySeconds : 0,
      internalLocal, externalLocal, endpoints,
      localEndpoints: internalLocal || externalLocal ? localEndpoints : [],
    });
  }
  return [...ports.values()];
}

interface Candidate extends Backend {
  readonly hints: Endpoint['hints'];
}

function endpointsOf(port: ApiServicePort, slices: readonly EndpointSlice[], place: Place): Pick<ServicePort, 'endpoints' | 'localEndpoints'> {
  const ready = new Map<string, Candidate>();
  const ending = new Map<string, Candidate>();
  for (const slice of slices) {
    const target = slice.ports?.find((p) => (p.name ?? '') === (port.name ?? '') && protocolOf(p.protocol) === protocolOf(port.protocol))?.port;
    if (!isPort(target)) continue;
    for (const endpoint of slice.endpoints ?? []) {
      // Kubernetes defines the first address only; the others are not used by any proxy.
      const ip = endpoint.addresses[0] ?? '';
      if (!isIP(ip) || (slice.addressType === 'IPv4') !== isIPv4(ip)) continue;
      const into = classify(endpoint) === 'ready' ? ready : classify(endpoint) === 'ending' ? ending : undefined;
      into?.set(`${ip} ${String(target)}`, { ip, port: target, local: endpoint.nodeName === place.nodeName, hints: endpoint.hints });
    }
  }
  const sorted = (candidates: readonly Candidate[]): Backend[] => candidates.map(({ ip, port: number, local }) => ({ ip, port: number, local })).sort((a, b) => compare(a.ip, b.ip) || a.port - b.port);
  const local = (map: Map<string, Candidate>): Candidate[] => [...map.values()].filter((b) => b.local);
  const first = (candidates: readonly Candidate[], otherwise: readonly Candidate[]): readonly Candidate[] => (candidates.length > 0 ? candidates : otherwise);
  return { endpoints: sorted(first(nearby([...ready.values()], place), [...ending.values()])), localEndpoints: sorted(first(local(ready), local(ending))) };
}

/** Conditions that are not set count as true for `ready`; `serving` counts as `ready`. */
function classify({ conditions }: Endpoint): 'ready' | 'ending' | 'unused' {
  if (conditions?.ready !== false) return 'ready';
  return conditions.serving === true && conditions.terminating === true ? 'ending' : 'unused';
}

function protocolOf(protocol: string | undefined): ServicePort['protocol'] {
  return protocol === 'UDP' || protocol === 'SCTP' ? protocol : 'TCP';
}

function isPort(port: number | undefined): port is number {
  return port !== undefined && Number.isInteger(port) && port > 0 && port < 65_536;
}

function isRange(text: string): boolean {
  const [address = '', length = ''] = text.split('/');
  return isIP(address) && /^\d{1,3}$/.test(length) && Number(length) <= (isIPv4(address) ? 32 : 128);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** What a load balancer may ask this host about the Service; undefined when it has no port for that. */
export function healthCheckOf(service: Service, slices: readonly EndpointSlice[], { nodeName }: Place): HealthCheck | undefined {
  const { spec, metadata } = service;
  const nodePort = spec?.healthCheckNodePort;
  if (spec?.type !== 'LoadBalancer' || spec.externalTrafficPolicy !== 'Local' || !isPort(nodePort)) return undefined;
  const ready = slices.flatMap(({ endpoints }) => endpoints ?? []).filter((endpoint) => endpoint.nodeName === nodeName && classify(endpoint) === 'ready');
  return { namespace: metadata?.namespace ?? '', name: metadata?.name ?? '', nodePort, localEndpoints: new Set(ready.map(({ targetRef, addresses }) => targetRef?.uid ?? addresses[0])).size };
}

/** Pods with host ports share the tracker's maps with Services; no Service's key begins so. */
const hostPortPrefix = 'host-ports of ';

/** Follows Services, EndpointSlices and this host's pods, and says which service ports changed. Cost is that of what was touched. */
export class ServiceTracker {
  readonly #nodeName: string;
  readonly #services = new Map<string, Service>();
  readonly #slicesByService = new Map<string, Map<string, EndpointSlice>>();
  readonly #serviceOfSlice = new Map<string, string>();
  /** Pods that ask for ports of this host, by uid. */
  readonly #hostPortPods = new Map<string, Pod>();
  readonly #dirty = new Set<string>();
  /** By pod uid, what of its last report matters here. */
  readonly #podFacts = new Map<string, string>();
  /** By Service, what was last handed out. */
  readonly #ports = new Map<string, ReadonlyMap<string, ServicePort>>();
  readonly #checks = new Map<string, HealthCheck>();
  #zone: string | undefined;

  constructor(nodeName: string) {
    this.#nodeName = nodeName;
  }

  /** Notes changes; other resources are ignored. Returns whether any Service is affected. */
  note(changes: readonly StateChange[]): boolean {
    for (const change of changes) {
      if (change.resource.plural === services.plural && change.resource.group === services.group) this.#noteService(change);
      else if (change.resource.plural === endpointSlices.plural && change.resource.group === endpointSlices.group) this.#noteSlice(change);
      else if (change.resource.plural === pods.plural && change.resource.group === pods.group) this.#notePodSpec(change);
      else if (change.resource.plural === nodes.plural && change.resource.group === nodes.group) this.#noteNode(change);
    }
    return this.#dirty.size > 0;
  }

  /** Notes what this host says of one of its pods. Returns whether any Service is affected. */
  notePod(report: PodReport): boolean {
    const facts = JSON.stringify([...localPodsOf([report]).values()]);
    if (this.#podFacts.get(report.uid) === facts) return this.#dirty.size > 0;
    if (report.gone) this.#podFacts.delete(report.uid);
    else this.#podFacts.set(report.uid, facts);
    if (this.#hostPortPods.has(report.uid)) this.#dirty.add(hostPortPrefix + report.uid);
    for (const [service, slices] of this.#slicesByService) {
      const has = [...slices.values()].some((s) => s.endpoints?.some((e) => e.targetRef?.uid === report.uid && e.nodeName === this.#nodeName));
      if (has) this.#dirty.add(service);
    }
    return this.#dirty.size > 0;
  }

  /** What changed since the last call. */
  take(reports: readonly PodReport[]): ProxyChange {
    const localPods = this.#dirty.size > 0 ? localPodsOf(reports) : new Map<string, never>();
    const set: ServicePort[] = [];
    const removed: string[] = [];
    for (const key of this.#dirty) {
      const before = this.#ports.get(key) ?? new Map<string, ServicePort>();
      const after = new Map(this.#portsOf(key, localPods).map((p) => [p.id, p]));
      for (const [id, port] of after) if (JSON.stringify(before.get(id)) !== JSON.stringify(port)) set.push(port);
      for (const id of before.keys()) if (!after.has(id)) removed.push(id);
      if (after.size > 0) this.#ports.set(key, after);
      else this.#ports.delete(key);
      const service = this.#services.get(key);
      const check = service && healthCheckOf(service, [...this.#slicesByService.get(key)?.values() ?? []], { nodeName: this.#nodeName, zone: this.#zone });
      if (check) this.#checks.set(key, check);
      else this.#checks.delete(key);
    }
    this.#dirty.clear();
    return { set, removed };
  }

  /** Everything as of the last `take`. */
  all(): ServicePort[] {
    return [...this.#ports.values()].flatMap((ports) => [...ports.values()]);
  }

  /** What load balancers may ask, as of the last `take`. */
  checks(): readonly HealthCheck[] {
    return [...this.#checks.values()];
  }

  #portsOf(key: string, localPods: LocalPods): ServicePort[] {
    if (key.startsWith(hostPortPrefix)) {
      const uid = key.slice(hostPortPrefix.length);
      const pod = this.#hostPortPods.get(uid);
      return pod ? hostPortsOf(pod, localPods.get(uid)) : [];
    }
    const service = this.#services.get(key);
    return service ? servicePorts(service, [...this.#slicesByService.get(key)?.values() ?? []], { nodeName: this.#nodeName, zone: this.#zone }, localPods) : [];
  }

  #notePodSpec(change: StateChange): void {
    const key = change.type === 'set' ? keyOf(change.object) : objectKey(change.namespace, change.name);
    // A pod may be replaced by another of its name: the old one's ports go with it.
    for (const [uid, pod] of this.#hostPortPods) {
      if (keyOf(pod) !== key) continue;
      this.#hostPortPods.delete(uid);
      this.#dirty.add(hostPortPrefix + uid);
    }
    const uid = change.type === 'set' ? change.object.metadata?.uid : undefined;
    if (change.type !== 'set' || uid === undefined || !hasHostPorts(change.object as Pod)) return;
    this.#hostPortPods.set(uid, change.object as Pod);
    this.#dirty.add(hostPortPrefix + uid);
  }

  #noteNode(change: StateChange): void {
    const name = change.type === 'set' ? change.object.metadata?.name : change.name;
    if (name !== this.#nodeName) return;
    const zone = change.type === 'set' ? change.object.metadata?.labels?.[zoneLabel] || undefined : undefined;
    if (zone === this.#zone) return;
    this.#zone = zone;
    for (const key of this.#services.keys()) this.#dirty.add(key);
  }

  #noteService(change: StateChange): void {
    const key = change.type === 'set' ? keyOf(change.object) : objectKey(change.namespace, change.name);
    if (change.type === 'set') this.#services.set(key, change.object);
    else this.#services.delete(key);
    this.#dirty.add(key);
  }

  #noteSlice(change: StateChange): void {
    const key = change.type === 'set' ? keyOf(change.object) : objectKey(change.namespace, change.name);
    const before = this.#serviceOfSlice.get(key);
    if (before !== undefined) {
      const slices = this.#slicesByService.get(before);
      slices?.delete(key);
      if (slices?.size === 0) this.#slicesByService.delete(before);
      this.#serviceOfSlice.delete(key);
      this.#dirty.add(before);
    }
    const name = change.type === 'set' ? change.object.metadata?.labels?.[serviceNameLabel] : undefined;
    if (change.type === 'remove' || name === undefined) return;
    const owner = objectKey(change.object.metadata?.namespace, name);
    const slices = this.#slicesByService.get(owner) ?? new Map<string, EndpointSlice>();
    this.#slicesByService.set(owner, slices.set(key, change.object as EndpointSlice));
    this.#serviceOfSlice.set(key, owner);
    this.#dirty.add(owner);
  }
}

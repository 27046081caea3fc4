import type { Service, ServicePort } from '#api/gen/types.ts';
import type { FieldError } from '#api/meta/field-error.ts';
import { qualifiedName, services } from '#api/kinds/resources.ts';
import { StatusError } from '#common/errors.ts';
import { invalid } from '../api-errors.ts';
import { AddressRange } from './address-range.ts';
import { settleIpFamilies } from './ip-families.ts';
import { NumberPool } from './ip-range.ts';
import type { AdmissionPlugin, AdmissionRequest, Reservation } from './types.ts';

export interface ServiceAllocationConfig {
  /** One range, or one of each family with a comma between; Services that say nothing get an address of the first. */
  readonly serviceCidr: string;
  /** Never handed out; only a Service of kube-system may ask for it. */
  readonly clusterDns: string;
}

const nodePorts = { first: 30_000, size: 2768 };

/**
 * Hands out cluster addresses and node ports. All in memory and synchronous, hence exact however many
 * Services are made at once; `load` rebuilds it from the store at start.
 */
export class ServiceAllocation implements AdmissionPlugin {
  readonly name = 'ServiceAllocation';
  /** The address of the Service default/kubernetes. */
  readonly firstAddress: string;
  readonly #clusterDns: string;
  readonly #ranges: readonly AddressRange[];
  readonly #ports = new NumberPool(nodePorts.first, nodePorts.size, 86);

  constructor(config: ServiceAllocationConfig) {
    this.#ranges = config.serviceCidr.split(',').map((cidr) => new AddressRange(cidr.trim(), [config.clusterDns]));
    this.firstAddress = this.#ranges[0]?.first ?? '';
    this.#clusterDns = config.clusterDns;
  }

  /** Takes note of what a stored Service holds. */
  load(service: Service): void {
    const owner = service.metadata?.uid ?? '';
    for (const ip of addressesOf(service)) for (const range of this.#ranges) range.take(ip, owner);
    for (const port of portsOf(service)) this.#ports.take(port, owner);
  }

  admit(request: AdmissionRequest): void {
    if (request.operation !== 'update' || request.subresource !== undefined || qualifiedName(request.kind.resource) !== 'services') return;
    if (request.object && request.old) carryOver(request.object as Service, request.old as Service);
  }

  reserve(request: AdmissionRequest): Reservation | undefined {
    if (qualifiedName(request.kind.resource) !== 'services' || request.subresource !== undefined) return undefined;
    const old = request.old as Service | undefined;
    if (request.operation === 'delete') return { commit: () => { if (old) this.#release(old, undefined); }, rollback: () => undefined };
    const service = request.object as Service;
    const undo: (() => void)[] = [];
    const rollback = (): void => { for (const give of undo) give(); };
    try {
      this.#reserveAddresses(service, request, undo);
      this.#reservePorts(service, undo);
    } catch (error) {
      rollback();
      throw error;
    }
    return { commit: () => { if (old) this.#release(old, service); }, rollback };
  }

  #reserveAddresses(service: Service, request: AdmissionRequest, undo: (() => void)[]): void {
    const spec = service.spec ?? {};
    if (spec.type === 'ExternalName') return;
    const old = request.old as Service | undefined;
    const problems = settleIpFamilies(spec, this.#ranges.map(({ family }) => family), old?.spec);
    if (problems.length > 0) throw invalid(services, service.metadata?.name ?? '', problems);
    if (spec.clusterIP === 'None') {
      spec.clusterIPs = ['None'];
      return;
    }
    const owner = service.metadata?.uid ?? '';
    const had = addressesOf(old);
    const addresses = (spec.ipFamilies ?? []).map((family, i) => {
      const range = this.#ranges.find((candidate) => candidate.family === family);
      const wanted = spec.clusterIPs?.[i] ?? (i === 0 ? spec.clusterIP : undefined);
      const ip = wanted ? this.#named(wanted, range, owner, service, request) : range?.next(owner);
      if (ip === undefined) throw new StatusError('InternalError', `Internal error occurred: failed to allocate a serviceIP: range is full: every address of ${range?.cidr ?? family} is in use`);
      if (!had.includes(ip)) undo.push(() => { range?.release(ip, owner); });
      return ip;
    });
    if (addresses[0] !== undefined) spec.clusterIP = addresses[0];
    spec.clusterIPs = addresses;
    service.spec = spec;
  }

  #named(ip: string, range: AddressRange | undefined, owner: string, service: Service, request: AdmissionRequest): string {
    const refuse = (why: string): StatusError => refusal(service, {
      type: 'FieldValueInvalid', field: 'spec.clusterIPs', message: `Invalid value: ${JSON.stringify([ip])}: failed to allocate IP ${ip}: ${why}`,
    });
    if (!range?.contains(ip)) throw refuse(`the provided IP (${ip}) is not in the valid range. The range of valid IPs is ${range?.cidr ?? 'of another family'}`);
    const held = (ip === this.firstAddress && !(request.namespace === 'default' && request.name === 'kubernetes'))
      || (ip === this.#clusterDns && request.namespace !== 'kube-system');
    if (held || !range.take(ip, owner)) throw refuse('provided IP is already allocated');
    return ip;
  }

  #reservePorts(service: Service, undo: (() => void)[]): void {
    const spec = service.spec ?? {};
    const owner = service.metadata?.uid ?? '';
    const wanted = spec.type === 'NodePort' || (spec.type === 'LoadBalancer' && spec.allocateLoadBalancerNodePorts !== false);
    const given = new Set<number>();
    for (const [i, port] of (spec.ports ?? []).entries()) {
      if (port.nodePort) this.#namedPort(port.nodePort, owner, service, `spec.ports[${String(i)}].nodePort`, undo);
      if (port.nodePort) given.add(port.nodePort);
    }
    for (const port of wanted ? spec.ports ?? [] : []) {
      if (port.nodePort) continue;
      // TCP and UDP on one port number share one node port, as Kubernetes has it for DNS.
      const twin = spec.ports?.find((other) => other !== port && other.nodePort && other.port === port.port && (other.protocol ?? 'TCP') !== (port.protocol ?? 'TCP'));
      port.nodePort = twin?.nodePort ?? this.#nextPort(owner, undo);
      given.add(port.nodePort);
    }
    if (spec.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local' && !spec.healthCheckNodePort) spec.healthCheckNodePort = this.#nextPort(owner, undo);
    else if (spec.healthCheckNodePort) this.#namedPort(spec.healthCheckNodePort, owner, service, 'spec.healthCheckNodePort', undo);
  }

  #nextPort(owner: string, undo: (() => void)[]): number {
    const port = this.#ports.next(owner);
    if (port === undefined) throw new StatusError('InternalError', 'Internal error occurred: failed to allocate a nodePort: range is full: every port of 30000-32767 is in use');
    undo.push(() => { this.#ports.release(port, owner); });
    return port;
  }

  #namedPort(port: number, owner: string, service: Service, field: string, undo: (() => void)[]): void {
    const refuse = (why: string): StatusError => refusal(service, { type: 'FieldValueInvalid', field, message: `Invalid value: ${String(port)}: ${why}` });
    if (!this.#ports.contains(port)) throw refuse('provided port is not in the valid range. The range of valid ports is 30000-32767');
    if (this.#ports.ownerOf(port) === owner) return;
    if (!this.#ports.take(port, owner)) throw refuse('provided port is already allocated');
    undo.push(() => { this.#ports.release(port, owner); });
  }

  /** Gives back what `old` held and `now` does not. */
  #release(old: Service, now: Service | undefined): void {
    const owner = old.metadata?.uid ?? '';
    const addresses = now ? addressesOf(now) : [];
    const ports = now ? portsOf(now) : [];
    for (const ip of addressesOf(old)) if (!addresses.includes(ip)) for (const range of this.#ranges) range.release(ip, owner);
    for (const port of portsOf(old)) if (!ports.includes(port)) this.#ports.release(port, owner);
  }
}

function refusal(service: Service, error: FieldError): StatusError {
  return invalid(services, service.metadata?.name ?? '', [error]);
}

function addressesOf(service: Service | undefined): string[] {
  const spec = service?.spec;
  if (!spec || spec.type === 'ExternalName' || !spec.clusterIP || spec.clusterIP === 'None') return [];
  return spec.clusterIPs?.[0] === spec.clusterIP ? spec.clusterIPs : [spec.clusterIP];
}

function portsOf(service: Service): number[] {
  const { ports = [], healthCheckNodePort } = service.spec ?? {};
  return [...ports.map((port) => port.nodePort ?? 0), healthCheckNodePort ?? 0].filter((port) => port > 0);
}

/** A write that does not mention what was allocated keeps it. */
function carryOver(service: Service, old: Service): void {
  const spec = service.spec ?? {};
  const before = old.spec ?? {};
  if (spec.type === 'ExternalName' || before.type === 'ExternalName') return;
  if (!spec.clusterIP && before.clusterIP) {
    spec.clusterIP = before.clusterIP;
    if (before.clusterIPs) spec.clusterIPs = before.clusterIPs;
  }
  if (spec.type !== 'NodePort' && spec.type !== 'LoadBalancer') return;
  const key = (port: ServicePort): string => `${port.protocol ?? 'TCP'}/${String(port.port)}`;
  const used = new Set((spec.ports ?? []).map((port) => port.nodePort));
  for (const port of spec.ports ?? []) {
    const nodePort = before.ports?.find((other) => key(other) === key(port))?.nodePort;
    if (!port.nodePort && nodePort && !used.has(nodePort)) port.nodePort = nodePort;
  }
  if (!spec.healthCheckNodePort && spec.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local' && before.healthCheckNodePort) spec.healthCheckNodePort = before.healthCheckNodePort;
}

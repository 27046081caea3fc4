import { isIPv4 } from 'node:net';
import type { Service, ServicePort } from '#api/gen/types.ts';
import type { FieldError } from '#api/meta/field-error.ts';
import { qualifiedName, services } from '#api/kinds/resources.ts';
import { StatusError } from '#common/errors.ts';
import { invalid } from '../api-errors.ts';
import { settleIpFamilies } from './ip-families.ts';
import { ipv4ToNumber, NumberPool, numberToIpv4, parseIpv4Range } from './ip-range.ts';
import type { AdmissionPlugin, AdmissionRequest, Reservation } from './types.ts';

export interface ServiceAllocationConfig {
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
  readonly #cidr: string;
  /** The address of the Service default/kubernetes. */
  readonly firstAddress: string;
  readonly #clusterDns: string;
  readonly #addresses: NumberPool;
  readonly #ports = new NumberPool(nodePorts.first, nodePorts.size, 86);

  constructor(config: ServiceAllocationConfig) {
    const range = parseIpv4Range(config.serviceCidr);
    this.#cidr = config.serviceCidr;
    this.firstAddress = numberToIpv4(range.first);
    this.#clusterDns = config.clusterDns;
    const reserved = [range.first, ...(isIPv4(config.clusterDns) ? [ipv4ToNumber(config.clusterDns)] : [])];
    this.#addresses = new NumberPool(range.first, range.size, Math.min(Math.max(16, Math.floor(range.size / 16)), 256), reserved);
  }

  /** Takes note of what a stored Service holds. */
  load(service: Service): void {
    const owner = service.metadata?.uid ?? '';
    for (const ip of addressesOf(service)) if (isIPv4(ip)) this.#addresses.take(ipv4ToNumber(ip), owner);
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
      this.#reserveAddress(service, request, undo);
      this.#reservePorts(service, undo);
    } catch (error) {
      rollback();
      throw error;
    }
    return { commit: () => { if (old) this.#release(old, service); }, rollback };
  }

  #reserveAddress(service: Service, request: AdmissionRequest, undo: (() => void)[]): void {
    const spec = service.spec ?? {};
    if (spec.type === 'ExternalName') return;
    const problems = settleIpFamilies(spec);
    if (problems.length > 0) throw invalid(services, service.metadata?.name ?? '', problems);
    if (spec.clusterIP === 'None') {
      spec.clusterIPs = ['None'];
      return;
    }
    const owner = service.metadata?.uid ?? '';
    const wanted = spec.clusterIP || spec.clusterIPs?.[0];
    const value = wanted ? this.#named(wanted, owner, service, request) : this.#addresses.next(owner);
    if (value === undefined) throw new StatusError('InternalError', `Internal error occurred: failed to allocate a serviceIP: range is full: every address of ${this.#cidr} is in use`);
    if (!addressesOf(request.old as Service | undefined).includes(numberToIpv4(value))) undo.push(() => { this.#addresses.release(value, owner); });
    spec.clusterIP = numberToIpv4(value);
    spec.clusterIPs = [spec.clusterIP];
    service.spec = spec;
  }

  #named(ip: string, owner: string, service: Service, request: AdmissionRequest): number {
    const refuse = (why: string): StatusError => refusal(service, {
      type: 'FieldValueInvalid', field: 'spec.clusterIPs', message: `Invalid value: ${JSON.stringify([ip])}: failed to allocate IP ${ip}: ${why}`,
    });
    const value = isIPv4(ip) ? ipv4ToNumber(ip) : -1;
    if (!this.#addresses.contains(value)) throw refuse(`the provided IP (${ip}) is not in the valid range. The range of valid IPs is ${this.#cidr}`);
    const held = (ip === this.firstAddress && !(request.namespace === 'default' && request.name === 'kubernetes'))
      || (ip === this.#clusterDns && request.namespace !== 'kube-system');
    if (held || !this.#addresses.take(value, owner)) throw refuse('provided IP is already allocated');
    return value;
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
    for (const ip of addressesOf(old)) if (isIPv4(ip) && !addresses.includes(ip)) this.#addresses.release(ipv4ToNumber(ip), owner);
    for (const port of portsOf(old)) if (!ports.includes(port)) this.#ports.release(port, owner);
  }
}

function refusal(service: Service, error: FieldError): StatusError {
  return invalid(services, service.metadata?.name ?? '', [error]);
}

function addressesOf(service: Service | undefined): string[] {
  const spec = service?.spec;
  return spec && spec.type !== 'ExternalName' && spec.clusterIP && spec.clusterIP !== 'None' ? [spec.clusterIP] : [];
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

import type { Service, ServiceSpec } from '../../gen/types.ts';
import { equal } from '../../meta/equal.ts';

/**
 * Addresses and node ports are given out by the server. A client that leaves them out on an update keeps them, and
 * one that changes the type drops those that the new type has no use for.
 * Source: pkg/registry/core/service (patchAllocatedValues, dropTypeDependentFields).
 */
export function keepAllocated(service: Service, old: Service): void {
  const { spec } = service;
  const before = old.spec;
  if (spec === undefined || before === undefined) return;
  if (needsClusterIP(spec) && needsClusterIP(before)) {
    if (!spec.clusterIP && (spec.clusterIPs ?? []).length === 0) {
      if (before.clusterIP !== undefined) spec.clusterIP = before.clusterIP;
      if (before.clusterIPs !== undefined) spec.clusterIPs = [...before.clusterIPs];
    }
    if (spec.ipFamilies === undefined && before.ipFamilies !== undefined) spec.ipFamilies = [...before.ipFamilies];
    if (spec.ipFamilyPolicy === undefined && before.ipFamilyPolicy !== undefined) spec.ipFamilyPolicy = before.ipFamilyPolicy;
  }
  normalizeClusterIPs(service, old);
  keepNodePorts(spec, before);
  dropForType(spec, before);
}

/** `clusterIP` is the first of `clusterIPs`; a client may set or clear either. */
export function normalizeClusterIPs(service: Service, old: Service | undefined): void {
  const { spec } = service;
  if (spec === undefined) return;
  if (old === undefined) {
    if (spec.clusterIP && (spec.clusterIPs ?? []).length === 0) spec.clusterIPs = [spec.clusterIP];
    return;
  }
  const primaryChanged = (spec.clusterIP ?? '') !== (old.spec?.clusterIP ?? '');
  const listChanged = !equal(spec.clusterIPs ?? [], old.spec?.clusterIPs ?? []);
  if (primaryChanged && !listChanged) {
    if (spec.clusterIP) spec.clusterIPs = [spec.clusterIP];
    else delete spec.clusterIPs;
  } else if (!primaryChanged && listChanged && (spec.clusterIPs ?? []).length === 0) delete spec.clusterIP;
}

function needsClusterIP({ type }: ServiceSpec): boolean {
  return type === 'ClusterIP' || type === 'NodePort' || type === 'LoadBalancer';
}

function needsNodePort({ type, allocateLoadBalancerNodePorts }: ServiceSpec): boolean {
  return type === 'NodePort' || (type === 'LoadBalancer' && allocateLoadBalancerNodePorts !== false);
}

function keepNodePorts(spec: ServiceSpec, before: ServiceSpec): void {
  if (!needsNodePort(spec) || !needsNodePort(before)) return;
  const given = new Map((before.ports ?? []).map((port) => [`${port.protocol}/${port.port}`, port.nodePort]));
  const taken = new Set((spec.ports ?? []).map(({ nodePort }) => nodePort));
  for (const port of spec.ports ?? []) {
    const nodePort = given.get(`${port.protocol}/${port.port}`);
    if (!port.nodePort && nodePort && !taken.has(nodePort)) port.nodePort = nodePort;
  }
  if (before.healthCheckNodePort && !spec.healthCheckNodePort && spec.externalTrafficPolicy === 'Local' && spec.type === 'LoadBalancer') {
    spec.healthCheckNodePort = before.healthCheckNodePort;
  }
}

function dropForType(spec: ServiceSpec, before: ServiceSpec): void {
  if (needsClusterIP(before) && !needsClusterIP(spec)) {
    const same = (fields: readonly (keyof ServiceSpec)[]): boolean => fields.every((field) => equal(spec[field] ?? [], before[field] ?? []));
    for (const fields of [['clusterIP', 'clusterIPs'], ['ipFamilies'], ['ipFamilyPolicy']] as const) {
      if (same(fields)) for (const field of fields) delete spec[field];
    }
  }
  if (needsNodePort(before) && !needsNodePort(spec)) {
    const old = new Set((before.ports ?? []).map(({ nodePort }) => nodePort));
    if ((spec.ports ?? []).every(({ nodePort }) => !nodePort || old.has(nodePort))) for (const port of spec.ports ?? []) delete port.nodePort;
  }
  const wasOutside = before.type === 'NodePort' || before.type === 'LoadBalancer';
  if (wasOutside && spec.type !== 'NodePort' && spec.type !== 'LoadBalancer' && spec.externalTrafficPolicy === before.externalTrafficPolicy && (spec.externalIPs ?? []).length === 0) {
    delete spec.externalTrafficPolicy;
  }
  if (before.type === 'LoadBalancer' && spec.type !== 'LoadBalancer') {
    for (const field of ['allocateLoadBalancerNodePorts', 'loadBalancerClass', 'healthCheckNodePort'] as const) if (equal(spec[field], before[field])) delete spec[field];
  }
}

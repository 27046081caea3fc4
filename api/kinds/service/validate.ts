import type { Service, ServicePort, ServiceSpec } from '../../gen/types.ts';
import { duplicate, forbidden, invalid, required, type FieldError } from '../../meta/field-error.ts';
import { cidrProblem, ipProblem, specialAddressProblem } from '../../meta/ip.ts';
import { validateLabels } from '../../meta/metadata.ts';
import { dns1123Label, dns1123Subdomain, portName, portNumber, qualifiedName } from '../../meta/names.ts';
import { inRange, named, requiredNamed, supported, supportedIfSet } from '../../meta/rules.ts';

const types = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'];
const headless = 'None';
const maxAffinitySeconds = 86_400;
const onlyBalancers = "may only be used when `type` is 'LoadBalancer'";

function isHeadless({ clusterIP, clusterIPs }: ServiceSpec): boolean {
  return clusterIP === headless || clusterIPs?.[0] === headless;
}

/** All rules of a Service, with its defaults and before or after addresses have been given out. */
export function validateService({ spec }: Service, old?: Service): FieldError[] {
  if (spec === undefined) return [required('spec.ports')];
  return [
    ...validateType(spec),
    ...validatePorts(spec),
    ...validateLabels(spec.selector, 'spec.selector'),
    ...supported('spec.sessionAffinity', spec.sessionAffinity, ['ClientIP', 'None']),
    ...(spec.sessionAffinity === 'ClientIP' ? validateTimeout(spec.sessionAffinityConfig?.clientIP?.timeoutSeconds) : []),
    ...validateAddresses(spec),
    ...validatePolicies(spec),
    ...(old?.spec === undefined ? [] : validateUpdate(spec, old.spec)),
  ];
}

function validateTimeout(seconds: number | undefined): FieldError[] {
  const field = 'spec.sessionAffinityConfig.clientIP.timeoutSeconds';
  if (seconds === undefined) return [required(field, 'when session affinity type is ClientIP')];
  return seconds > 0 && seconds <= maxAffinitySeconds ? [] : [invalid(field, seconds, `must be greater than 0 and less than ${maxAffinitySeconds}`)];
}

function validateType(spec: ServiceSpec): FieldError[] {
  const errors = supported('spec.type', spec.type, types);
  if (spec.type === 'ExternalName') {
    if ((spec.clusterIPs ?? []).length > 0 || spec.clusterIP) errors.push(forbidden('spec.clusterIPs', 'may not be set for ExternalName services'));
    for (const field of ['ipFamilies', 'ipFamilyPolicy'] as const) if ((spec[field] ?? '').length > 0) errors.push(forbidden(`spec.${field}`, 'may not be set for ExternalName services'));
    errors.push(...requiredNamed('spec.externalName', spec.externalName?.replace(/\.$/, ''), dns1123Subdomain));
  } else if ((spec.type === 'LoadBalancer' || spec.type === 'NodePort') && isHeadless(spec)) {
    errors.push(invalid('spec.clusterIPs[0]', headless, `may not be set to 'None' for ${spec.type} services`));
  }
  return errors;
}

function validatePorts(spec: ServiceSpec): FieldError[] {
  const ports = spec.ports ?? [];
  const errors = ports.length === 0 && !isHeadless(spec) && spec.type !== 'ExternalName' ? [required('spec.ports')] : [];
  const names = new Set<string>();
  const numbers = new Set<string>();
  const nodePorts = new Set<string>();
  for (const [index, port] of ports.entries()) {
    const path = `spec.ports[${index}]`;
    errors.push(...validatePort(port, path, ports.length > 1));
    if (port.name && names.has(port.name)) errors.push(duplicate(`${path}.name`, port.name));
    names.add(port.name ?? '');
    const number = `${port.protocol}/${port.port}`;
    if (numbers.has(number)) errors.push(duplicate(path, { protocol: port.protocol, port: port.port }));
    numbers.add(number);
    if (!port.nodePort) continue;
    const nodePort = `${port.protocol}/${port.nodePort}`;
    if (nodePorts.has(nodePort)) errors.push(duplicate(`${path}.nodePort`, port.nodePort));
    nodePorts.add(nodePort);
    if (spec.type === 'ClusterIP') errors.push(forbidden(`${path}.nodePort`, "may not be used when `type` is 'ClusterIP'"));
  }
  return errors;
}

function validatePort(port: ServicePort, field: string, nameNeeded: boolean): FieldError[] {
  const errors = port.name ? named(`${field}.name`, port.name, dns1123Label) : nameNeeded ? [required(`${field}.name`)] : [];
  const problem = portNumber(port.port ?? 0);
  if (problem !== undefined) errors.push(invalid(`${field}.port`, port.port ?? 0, problem));
  errors.push(...supported(`${field}.protocol`, port.protocol, ['SCTP', 'TCP', 'UDP']));
  const target = port.targetPort ?? 0;
  const targetProblem = typeof target === 'string' ? portName(target) : portNumber(target);
  if (targetProblem !== undefined) errors.push(invalid(`${field}.targetPort`, target, targetProblem));
  if (port.nodePort) errors.push(...inRange(`${field}.nodePort`, port.nodePort, 1, 65_535));
  if (port.appProtocol) errors.push(...named(`${field}.appProtocol`, port.appProtocol, qualifiedName));
  return errors;
}

function validateAddresses(spec: ServiceSpec): FieldError[] {
  const errors: FieldError[] = [];
  const addresses = spec.clusterIPs ?? (spec.clusterIP ? [spec.clusterIP] : []);
  if (spec.clusterIP && spec.clusterIPs !== undefined && spec.clusterIPs[0] !== spec.clusterIP) {
    errors.push(invalid('spec.clusterIPs', spec.clusterIPs, 'first value must match `clusterIP`'));
  }
  if (addresses.length > 2) errors.push(invalid('spec.clusterIPs', addresses, 'may only hold up to 2 values'));
  if (addresses.includes(headless) && addresses.length > 1) errors.push(invalid('spec.clusterIPs', addresses, "'None' must be the first and only value"));
  for (const [index, address] of addresses.entries()) if (address !== headless) errors.push(...named(`spec.clusterIPs[${index}]`, address, ipProblem));
  for (const [index, address] of (spec.externalIPs ?? []).entries()) {
    const problem = ipProblem(address) ?? specialAddressProblem(address);
    if (problem !== undefined) errors.push(invalid(`spec.externalIPs[${index}]`, address, problem));
  }
  for (const [index, family] of (spec.ipFamilies ?? []).entries()) errors.push(...supported(`spec.ipFamilies[${index}]`, family, ['IPv4', 'IPv6']));
  errors.push(...supportedIfSet('spec.ipFamilyPolicy', spec.ipFamilyPolicy, ['PreferDualStack', 'RequireDualStack', 'SingleStack']));
  const ranges = spec.loadBalancerSourceRanges ?? [];
  if (ranges.length > 0 && spec.type !== 'LoadBalancer') errors.push(forbidden('spec.LoadBalancerSourceRanges', onlyBalancers));
  for (const [index, range] of ranges.entries()) errors.push(...named(`spec.LoadBalancerSourceRanges[${index}]`, range.trim(), cidrProblem));
  return errors;
}

function validatePolicies(spec: ServiceSpec): FieldError[] {
  const errors = supportedIfSet('spec.internalTrafficPolicy', spec.internalTrafficPolicy, ['Cluster', 'Local']);
  const outside = spec.type === 'NodePort' || spec.type === 'LoadBalancer' || (spec.type === 'ClusterIP' && (spec.externalIPs ?? []).length > 0);
  if (outside) errors.push(...supported('spec.externalTrafficPolicy', spec.externalTrafficPolicy, ['Cluster', 'Local']));
  else if (spec.externalTrafficPolicy) {
    errors.push(invalid('spec.externalTrafficPolicy', spec.externalTrafficPolicy, 'may only be set for externally-accessible services'));
  }
  const checked = spec.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local';
  if (spec.healthCheckNodePort && !checked) {
    errors.push(invalid('spec.healthCheckNodePort', spec.healthCheckNodePort, "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"));
  }
  errors.push(...supportedIfSet('spec.trafficDistribution', spec.trafficDistribution, ['PreferClose', 'PreferSameZone', 'PreferSameNode']));
  if (spec.type === 'LoadBalancer') return spec.loadBalancerClass === undefined ? errors : [...errors, ...named('spec.loadBalancerClass', spec.loadBalancerClass, qualifiedName)];
  for (const field of ['allocateLoadBalancerNodePorts', 'loadBalancerClass'] as const) if (spec[field] !== undefined) errors.push(forbidden(`spec.${field}`, onlyBalancers));
  return errors;
}

function validateUpdate(spec: ServiceSpec, old: ServiceSpec): FieldError[] {
  const errors: FieldError[] = [];
  if (spec.type === 'LoadBalancer' && old.type === 'LoadBalancer' && spec.loadBalancerClass !== old.loadBalancerClass) errors.push(invalid('spec.loadBalancerClass', spec.loadBalancerClass, 'may not change once set'));
  if (spec.healthCheckNodePort && old.healthCheckNodePort && spec.healthCheckNodePort !== old.healthCheckNodePort) errors.push(forbidden('spec.healthCheckNodePort', 'field is immutable'));
  if (spec.type === 'ExternalName' || old.type === 'ExternalName') return errors;
  const before = old.clusterIPs?.[0] ?? old.clusterIP;
  const now = spec.clusterIPs?.[0] ?? spec.clusterIP;
  if (!before || now === before) return errors;
  return [...errors, now ? invalid('spec.clusterIPs[0]', now, 'may not change once set') : invalid('spec.clusterIPs[0]', spec.clusterIPs ?? [], 'primary clusterIP can not be unset')];
}

/** What a load balancer reports. */
export function validateServiceStatus({ spec, status }: Service): FieldError[] {
  const field = 'status.loadBalancer.ingress';
  const ingress = status?.loadBalancer?.ingress ?? [];
  const errors = ingress.length > 0 && spec?.type !== 'LoadBalancer' ? [forbidden(field, "may only be used when `spec.type` is 'LoadBalancer'")] : [];
  for (const [i, { hostname, ip, ipMode }] of ingress.entries()) {
    if (ip) errors.push(...named(`${field}[${i}].ip`, ip, ipProblem));
    if (!ip && ipMode !== undefined) errors.push(forbidden(`${field}[${i}].ipMode`, 'may not be specified when `ip` is not set'));
    errors.push(...supportedIfSet(`${field}[${i}].ipMode`, ipMode, ['Proxy', 'VIP']));
    if (hostname) errors.push(...ipProblem(hostname) === undefined ? [invalid(`${field}[${i}].hostname`, hostname, 'must be a DNS name, not an IP address')] : named(`${field}[${i}].hostname`, hostname, dns1123Subdomain));
  }
  return errors;
}

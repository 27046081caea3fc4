import type { Service } from '../../gen/types.ts';
import { ageColumn, column, nameColumn, printLabels, wideColumn } from '../../meta/columns.ts';
import { cidrWarnings, ipWarnings } from '../../meta/ip.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { services } from '../resources.ts';
import type { KindDefinition } from '../types.ts';
import { keepAllocated, normalizeClusterIPs } from './allocated.ts';
import { validateService, validateServiceStatus } from './validate.ts';

function setDefaults({ spec }: Service): void {
  if (spec === undefined) return;
  spec.sessionAffinity ||= 'None';
  if (spec.sessionAffinity === 'None') delete spec.sessionAffinityConfig;
  else if (spec.sessionAffinity === 'ClientIP') ((spec.sessionAffinityConfig ??= {}).clientIP ??= {}).timeoutSeconds ??= 10_800;
  spec.type ||= 'ClusterIP';
  for (const port of spec.ports ?? []) {
    port.protocol ||= 'TCP';
    port.targetPort ||= port.port;
  }
  const outside = spec.type === 'NodePort' || spec.type === 'LoadBalancer';
  if (outside || (spec.type === 'ClusterIP' && (spec.externalIPs ?? []).length > 0)) spec.externalTrafficPolicy ||= 'Cluster';
  if (outside || spec.type === 'ClusterIP') spec.internalTrafficPolicy ||= 'Cluster';
  if (spec.type === 'LoadBalancer') spec.allocateLoadBalancerNodePorts ??= true;
}

function printAddress({ spec }: Service): string {
  return spec?.clusterIPs?.[0] || spec?.clusterIP || '<none>';
}

function printExternal({ spec, status }: Service): string {
  const external = spec?.externalIPs ?? [];
  switch (spec?.type) {
    case 'ExternalName': return spec.externalName ?? '';
    case 'LoadBalancer': {
      const balanced = (status?.loadBalancer?.ingress ?? []).map(({ ip, hostname }) => ip || hostname || '').filter(Boolean);
      return [...balanced, ...external].join(',') || '<pending>';
    }
    default: return external.join(',') || '<none>';
  }
}

function printPorts({ spec }: Service): string {
  const ports = (spec?.ports ?? []).map(({ port, nodePort, protocol }) => `${port}${nodePort ? `:${nodePort}` : ''}/${protocol ?? 'TCP'}`);
  return ports.join(',') || '<none>';
}

/** What is accepted and does nothing, or not what it seems to, in Kubernetes' words. */
function warnings({ metadata, spec = {} }: Service): string[] {
  const { clusterIP, externalIPs = [], externalName, loadBalancerIP, sessionAffinity, type } = spec;
  const ignored: readonly (readonly [boolean, string])[] = [
    [clusterIP === 'None' && type === 'ClusterIP' && Boolean(loadBalancerIP), 'spec.loadBalancerIP is ignored for headless services'],
    [clusterIP === 'None' && type === 'ClusterIP' && externalIPs.length > 0, 'spec.externalIPs is ignored for headless services'],
    [clusterIP === 'None' && type === 'ClusterIP' && sessionAffinity !== 'None', 'spec.SessionAffinity is ignored for headless services'],
    [type === 'ExternalName' && externalIPs.length > 0, 'spec.externalIPs is ignored when spec.type is "ExternalName"'],
    [type !== 'ExternalName' && Boolean(externalName), 'spec.externalName is ignored when spec.type is not "ExternalName"'],
    [metadata?.annotations?.['service.kubernetes.io/topology-aware-hints'] !== undefined, 'annotation service.kubernetes.io/topology-aware-hints is deprecated, please use service.kubernetes.io/topology-mode instead'],
  ];
  const isNumbered = clusterIP !== 'None' && type !== 'ExternalName';
  return [
    ...ignored.flatMap(([applies, text]) => (applies ? [text] : [])),
    ...(isNumbered ? spec.clusterIPs ?? [] : []).flatMap((ip, i) => ipWarnings(`spec.clusterIPs[${i}]`, ip)), ...externalIPs.flatMap((ip, i) => ipWarnings(`spec.externalIPs[${i}]`, ip)),
    ...(loadBalancerIP ? ipWarnings('spec.loadBalancerIP', loadBalancerIP) : []), ...(spec.loadBalancerSourceRanges ?? []).flatMap((cidr, i) => cidrWarnings(`spec.loadBalancerSourceRanges[${i}]`, cidr.trim())),
  ];
}

export const service: KindDefinition<Service> = {
  resource: services,
  singular: 'service',
  shortNames: ['svc'],
  categories: ['all'],
  schema: () => schemaNamed('Service'),
  storage: 'durable',
  status: true,
  generation: false,
  nameRule: 'dns-1035-label',
  setDefaults,
  prepareForCreate: (object) => {
    object.status = { loadBalancer: {} };
    normalizeClusterIPs(object, undefined);
  },
  prepareForUpdate: keepAllocated,
  validate: validateService,
  validateStatus: validateServiceStatus,
  warnings,
  selectableFields: {
    'spec.clusterIP': ({ spec }) => spec?.clusterIP ?? '',
    'spec.type': ({ spec }) => spec?.type ?? '',
  },
  columns: [
    nameColumn(),
    column('Type', 'How the service can be reached', ({ spec }) => spec?.type ?? ''),
    column('Cluster-IP', 'Address inside the cluster', printAddress),
    column('External-IP', 'Addresses from outside', printExternal),
    column('Port(s)', 'Ports, with the port of the nodes where there is one', printPorts),
    ageColumn(),
    wideColumn('Selector', 'Labels of the pods behind the service', ({ spec }) => printLabels(spec?.selector)),
  ],
};

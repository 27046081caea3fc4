/**
 * Generates `kept-zeros.json`: optional fields whose zero (`0`, `""`, `false`) says something. Kubernetes drops every other
 * zero, because its types cannot tell it from a field that is not there. A fact of the contract, read from the Go types.
 *
 *   node api/gen/kept-zeros/generate.ts FOLDER
 *
 * FOLDER is the unpacked Debian source package `golang-k8s-api`. What that package lacks is listed below.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import * as path from 'node:path';

/** In this order: a name that several groups have is the first one's, unless it is renamed. */
const groups = [
  'core/v1', 'apps/v1', 'batch/v1', 'autoscaling/v2', 'autoscaling/v1', 'policy/v1', 'networking/v1', 'discovery/v1', 'coordination/v1', 'events/v1', 'scheduling/v1', 'node/v1',
  'storage/v1', 'rbac/v1', 'certificates/v1', 'authentication/v1', 'authorization/v1', 'admissionregistration/v1', 'flowcontrol/v1', 'resource/v1beta2',
];

/** Definitions of `schemas.json` that have another name than their type, or the name of another group's. */
const renamed: Readonly<Record<string, string>> = {
  EventsEvent: 'events/v1.Event', EventsEventSeries: 'events/v1.EventSeries', DiscoveryEndpointPort: 'discovery/v1.EndpointPort', ContainerResourceClaim: 'core/v1.ResourceClaim',
  StorageTokenRequest: 'storage/v1.TokenRequest', FlowSubject: 'flowcontrol/v1.Subject', WebhookServiceReference: 'admissionregistration/v1.ServiceReference', Subject: 'rbac/v1.Subject',
  ResourceClaim: 'resource/v1beta2.ResourceClaim', HorizontalPodAutoscalerV1: 'autoscaling/v1.HorizontalPodAutoscaler', HorizontalPodAutoscalerV1Spec: 'autoscaling/v1.HorizontalPodAutoscalerSpec',
  HorizontalPodAutoscalerV1Status: 'autoscaling/v1.HorizontalPodAutoscalerStatus', TokenRequest: 'authentication/v1.TokenRequest', EphemeralContainer: 'core/v1.EphemeralContainerCommon',
  RuleWithOperations: 'admissionregistration/v1.Rule', NamedRuleWithOperations: 'admissionregistration/v1.Rule',
};

/** Pointers of packages beside that one, and of later versions. */
const others: Readonly<Record<string, readonly string[]>> = {
  ObjectMeta: ['deletionGracePeriodSeconds'], OwnerReference: ['blockOwnerDeletion', 'controller'], DeleteOptions: ['gracePeriodSeconds', 'ignoreStoreReadErrorWithClusterBreakingPotential', 'orphanDependents', 'propagationPolicy'],
  Preconditions: ['resourceVersion', 'uid'], ListMeta: ['remainingItemCount'],
  APIServiceReference: ['port'], CustomResourceDefinitionVersion: ['deprecationWarning'], CustomResourceSubresourceScale: ['labelSelectorPath'], ValidationRule: ['optionalOldSelf', 'reason'],
  JSONSchemaProps: ['$ref', 'maxItems', 'maxLength', 'maxProperties', 'maximum', 'minItems', 'minLength', 'minProperties', 'minimum', 'multipleOf', 'x-kubernetes-list-type', 'x-kubernetes-map-type', 'x-kubernetes-preserve-unknown-fields'],
  AllocatedDeviceStatus: ['shareID'], CSIDriverSpec: ['preventPodSchedulingIfMissing', 'serviceAccountTokenInSecrets'], Device: ['allowMultipleAllocations', 'bindsToNode'], DeviceClassSpec: ['extendedResourceName'],
  DeviceConstraint: ['distinctAttribute'], DeviceRequestAllocationResult: ['shareID'], FileKeySelector: ['optional'], PodCertificateProjection: ['maxExpirationSeconds'], PodSpec: ['hostnameOverride'],
  ResourceHealth: ['message'], NodeAllocatableResourceMapping: ['allocationMultiplier', 'capacityKey'], PodSchedulingGroup: ['podGroupName'],
};

type Fields = ReadonlyMap<string, { readonly keepsZero: boolean }>;

function typesIn(source: string): Map<string, Fields> {
  const types = new Map<string, Fields>();
  for (const [, name = '', body = ''] of source.replaceAll(/^\s*\/\/.*$/gm, '').matchAll(/^type (\w+) struct \{(.*?)^\}/gms)) {
    const fields = [...body.matchAll(/^\s*\w+\s+(\S+)\s+`[^`]*json:"([^"]*)"/gm)].map(([, type = '', tag = '']) => {
      const [field = '', ...options] = tag.split(',');
      return [field, { keepsZero: type.startsWith('*') || !options.includes('omitempty') }] as const;
    });
    types.set(name, new Map(fields));
  }
  return types;
}

interface Definition { readonly properties?: Readonly<Record<string, { readonly type?: string; readonly format?: string }>>; readonly required?: readonly string[] }

const here = path.join(import.meta.dirname, '..');
const folder = process.argv[2] ?? '';
const byGroup = new Map(groups.map((group) => [group, typesIn(readFileSync(path.join(folder, group, 'types.go'), 'utf8'))]));
const definitions = JSON.parse(readFileSync(path.join(here, 'schemas.json'), 'utf8')) as Readonly<Record<string, Definition>>;
const kept: Record<string, string[]> = {};
for (const [name, { properties = {}, required = [] }] of Object.entries(definitions)) {
  const [group, type = name] = renamed[name]?.split('.') ?? [];
  const fields = group === undefined ? groups.map((one) => byGroup.get(one)?.get(type)).find(Boolean) : byGroup.get(group)?.get(type);
  const scalars = Object.keys(properties).filter((field) => /^(string|integer|number|boolean)$/.test(properties[field]?.type ?? '') && !required.includes(field));
  const found = scalars.filter((field) => fields?.get(field)?.keepsZero === true || others[name]?.includes(field) === true);
  if (found.length > 0) kept[name] = found;
}
writeFileSync(path.join(here, 'kept-zeros.json'), `{\n${Object.entries(kept).map(([name, fields]) => `${JSON.stringify(name)}:${JSON.stringify(fields)}`).join(',\n')}\n}\n`);

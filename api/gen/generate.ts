/**
 * Generates `schemas.json` and `types.ts` from contracts that are facts: field names, types, required
 * fields and list keys. No upstream prose is taken.
 *
 *   node api/gen/generate.ts [swagger.json]
 *
 * Field names and types come from the models of `@kubernetes/client-node` (a development dependency).
 * List and merge keys come from `merge-keys.json`; given a Kubernetes `swagger.json` (Debian's
 * `kubernetes` source package carries one), that file is made anew first. Which zeros are kept comes from `kept-zeros.json`.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as path from 'node:path';
import { isRecord } from './record.ts';

/** The kinds whose closure is generated; a new kind adds its model here. */
const roots = [
  'V1Namespace', 'V1Node', 'V1Pod', 'V1ConfigMap', 'V1Secret', 'V1Service', 'V1Endpoints', 'V1EndpointSlice',
  'CoreV1Event', 'V1Lease', 'V1ServiceAccount', 'V1Deployment', 'V1ReplicaSet', 'V1Scale', 'V1Binding',
  'V1DeleteOptions', 'V1Status', 'V1APIResourceList', 'V1APIGroupList',
  'V1ComponentStatus', 'V1LimitRange', 'V1PersistentVolume', 'V1PersistentVolumeClaim', 'V1PodTemplate', 'V1ReplicationController', 'V1ResourceQuota',
  'V1ControllerRevision', 'V1DaemonSet', 'V1StatefulSet', 'V1CronJob', 'V1Job', 'V1HorizontalPodAutoscaler', 'V2HorizontalPodAutoscaler',
  'V1Eviction', 'V1PodDisruptionBudget', 'V1Ingress', 'V1IngressClass', 'V1IPAddress', 'V1NetworkPolicy', 'V1ServiceCIDR', 'EventsV1Event',
  'V1PriorityClass', 'V1RuntimeClass', 'V1CSIDriver', 'V1CSINode', 'V1CSIStorageCapacity', 'V1StorageClass', 'V1VolumeAttachment', 'V1VolumeAttributesClass',
  'V1ClusterRole', 'V1ClusterRoleBinding', 'V1Role', 'V1RoleBinding', 'V1CertificateSigningRequest',
  'AuthenticationV1TokenRequest', 'V1TokenReview', 'V1SelfSubjectReview',
  'V1LocalSubjectAccessReview', 'V1SelfSubjectAccessReview', 'V1SelfSubjectRulesReview', 'V1SubjectAccessReview',
  'V1MutatingWebhookConfiguration', 'V1ValidatingAdmissionPolicy', 'V1ValidatingAdmissionPolicyBinding', 'V1ValidatingWebhookConfiguration',
  'V1CustomResourceDefinition', 'V1APIService', 'V1FlowSchema', 'V1PriorityLevelConfiguration',
  'V1DeviceClass', 'ResourceV1ResourceClaim', 'V1ResourceClaimTemplate', 'V1ResourceSlice',
];

const prefixes = 'V1|V2|CoreV1|DiscoveryV1|EventsV1|AuthenticationV1|StorageV1|RbacV1|ResourceV1|FlowcontrolV1|AdmissionregistrationV1|ApiextensionsV1|ApiregistrationV1';

/** Names that two API groups share; the TypeScript name must tell them apart. */
const renamed: Record<string, string> = {
  CoreV1Event: 'Event',
  CoreV1EventSeries: 'EventSeries',
  CoreV1EndpointPort: 'EndpointPort',
  DiscoveryV1EndpointPort: 'DiscoveryEndpointPort',
  CoreV1ResourceClaim: 'ContainerResourceClaim',
  EventsV1Event: 'EventsEvent',
  EventsV1EventSeries: 'EventsEventSeries',
  StorageV1TokenRequest: 'StorageTokenRequest',
  FlowcontrolV1Subject: 'FlowSubject',
  // The webhooks of admission and of conversion refer to a Service in the same way; aggregation does so in another.
  AdmissionregistrationV1ServiceReference: 'WebhookServiceReference',
  ApiextensionsV1ServiceReference: 'WebhookServiceReference',
  ApiregistrationV1ServiceReference: 'APIServiceReference',
  V1HorizontalPodAutoscaler: 'HorizontalPodAutoscalerV1',
  V1HorizontalPodAutoscalerSpec: 'HorizontalPodAutoscalerV1Spec',
  V1HorizontalPodAutoscalerStatus: 'HorizontalPodAutoscalerV1Status',
};

interface Property { type: string; format: string; required: boolean }
type Extensions = Record<string, unknown>;
type MergeKeys = Record<string, Record<string, Extensions>>;
interface Schema {
  $ref?: string; type?: string; format?: string; items?: Schema; additionalProperties?: Schema;
  properties?: Record<string, Schema>; required?: string[]; keepsZeros?: string[];
  [extension: `x-kubernetes-${string}`]: unknown;
}

function mapBy(key: string): Extensions {
  return { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': [key], 'x-kubernetes-patch-merge-key': key, 'x-kubernetes-patch-strategy': 'merge' };
}

/** Lists and quantities that came after the contract that `merge-keys.json` was read from. */
const laterMergeKeys: MergeKeys = {
  MetricTarget: { averageValue: { quantity: true }, value: { quantity: true } },
  MetricValueStatus: { averageValue: { quantity: true }, value: { quantity: true } },
  HPAScalingRules: { tolerance: { quantity: true } },
  HorizontalPodAutoscalerStatus: { conditions: mapBy('type') },
  CSIStorageCapacity: { capacity: { quantity: true }, maximumVolumeSize: { quantity: true } },
  VolumeResourceRequirements: { limits: { quantity: true }, requests: { quantity: true } },
  PersistentVolumeClaimStatus: { allocatedResources: { quantity: true } },
  PersistentVolumeSpec: { claimRef: { 'x-kubernetes-map-type': 'granular' } },
  PodFailurePolicyOnExitCodesRequirement: { values: { 'x-kubernetes-list-type': 'set' } },
  PodDisruptionBudgetStatus: { conditions: mapBy('type') },
  ServiceCIDRStatus: { conditions: mapBy('type') },
  FlowSchemaStatus: { conditions: mapBy('type') },
  PriorityLevelConfigurationStatus: { conditions: mapBy('type') },
  CustomResourceDefinitionStatus: { conditions: { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] } },
  JSONSchemaProps: { 'x-kubernetes-validations': mapBy('rule') },
  MutatingWebhook: { matchConditions: mapBy('name') },
  ValidatingWebhook: { matchConditions: mapBy('name') },
  ValidatingAdmissionPolicySpec: { matchConditions: mapBy('name'), variables: mapBy('name') },
  ValidatingAdmissionPolicyStatus: { conditions: { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] } },
  PodSpec: {
    nodeSelector: { 'x-kubernetes-map-type': 'atomic' },
    resourceClaims: { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'], 'x-kubernetes-patch-merge-key': 'name', 'x-kubernetes-patch-strategy': 'merge,retainKeys' },
    schedulingGates: { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'], 'x-kubernetes-patch-merge-key': 'name', 'x-kubernetes-patch-strategy': 'merge' },
  },
  PodStatus: {
    hostIPs: { 'x-kubernetes-patch-merge-key': 'ip', 'x-kubernetes-patch-strategy': 'merge' },
    resourceClaimStatuses: { 'x-kubernetes-patch-merge-key': 'name', 'x-kubernetes-patch-strategy': 'merge,retainKeys' },
  },
  ContainerStatus: {
    volumeMounts: { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['mountPath'], 'x-kubernetes-patch-merge-key': 'mountPath', 'x-kubernetes-patch-strategy': 'merge' },
    allocatedResources: { quantity: true },
  },
  ServiceSpec: { selector: { 'x-kubernetes-map-type': 'atomic' } },
  ResourceClaimStatus: {
    devices: { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['driver', 'device', 'pool'] },
    reservedFor: mapBy('uid'),
  },
  AllocatedDeviceStatus: { conditions: { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] } },
  CapacityRequestPolicy: { default: { quantity: true }, validValues: { quantity: true } },
  CapacityRequestPolicyRange: { max: { quantity: true }, min: { quantity: true }, step: { quantity: true } },
  CapacityRequirements: { requests: { quantity: true } },
  Counter: { value: { quantity: true } },
  DeviceCapacity: { value: { quantity: true } },
  DeviceRequestAllocationResult: { consumedCapacity: { quantity: true } },
  ResourceRequirements: { claims: { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] } },
};

/** Objects that server-side apply owns as a whole: references and selectors. */
const atomicTypes = new Set([
  'CrossVersionObjectReference', 'NamedRuleWithOperations', 'ParamKind', 'ParamRef', 'RoleRef', 'ScopeSelector', 'ScopedResourceSelectorRequirement', 'Subject', 'TopologySelectorTerm',
  'ConfigMapKeySelector', 'DiscoveryEndpointPort', 'EndpointAddress', 'EndpointPort', 'LabelSelector', 'LocalObjectReference', 'NodeSelector', 'NodeSelectorTerm',
  'ObjectFieldSelector', 'ObjectReference', 'OwnerReference', 'ResourceFieldSelector', 'SecretKeySelector', 'SecretReference', 'TypedLocalObjectReference',
]);

const here = path.dirname(fileURLToPath(import.meta.url));
const models = path.join(here, '../../node_modules/@kubernetes/client-node/dist/gen/models');

function shortName(model: string): string {
  return renamed[model] ?? model.replace(new RegExp(`^(${prefixes})`), '');
}

function readModel(model: string): Map<string, Property> {
  const source = readFileSync(path.join(models, `${model}.js`), 'utf8');
  const declared = readFileSync(path.join(models, `${model}.d.ts`), 'utf8');
  const found = /attributeTypeMap = (\[[\s\S]*?\n\]);/.exec(source);
  const attributes: unknown = JSON.parse(found?.[1] ?? '[]');
  const properties = new Map<string, Property>();
  if (!Array.isArray(attributes)) return properties;
  for (const attribute of attributes) {
    if (!isRecord(attribute)) continue;
    const { name, baseName, type, format } = attribute;
    if (typeof name !== 'string' || typeof baseName !== 'string' || typeof type !== 'string') continue;
    properties.set(baseName, { type, format: typeof format === 'string' ? format : '', required: declared.includes(`'${name}':`) });
  }
  return properties;
}

function schemaOf(type: string, format: string): Schema {
  const array = /^Array<(.*)>$/.exec(type);
  if (array?.[1] !== undefined) return { type: 'array', items: schemaOf(array[1], format) };
  const map = /^\{ \[key: string\]: (.*); \}$/.exec(type);
  if (map?.[1] !== undefined) return { type: 'object', additionalProperties: schemaOf(map[1], format) };
  switch (type) {
    case 'string': return format ? { type: 'string', format } : { type: 'string' };
    case 'boolean': return { type: 'boolean' };
    case 'number': return format === 'double' ? { type: 'number', format } : { type: 'integer', format: format || 'int32' };
    case 'IntOrString': return { 'x-kubernetes-int-or-string': true };
    case 'Date': case 'V1MicroTime': case 'V1Time': return { type: 'string', format: 'date-time' };
    case 'any': return { 'x-kubernetes-preserve-unknown-fields': true };
    default: return { $ref: shortName(type) };
  }
}

function modelsIn(type: string): string[] {
  return [...type.matchAll(new RegExp(`\\b((?:${prefixes})[A-Z]\\w+)\\b`, 'g'))].map((m) => m[1] ?? '').filter((m) => m !== 'V1MicroTime');
}

function toQuantity(schema: Schema): Schema {
  if (schema.additionalProperties) return { ...schema, additionalProperties: { type: 'string', format: 'quantity' } };
  if (schema.items) return { ...schema, items: { type: 'string', format: 'quantity' } };
  return { type: 'string', format: 'quantity' };
}

function readMergeKeys(swaggerPath: string): MergeKeys {
  const document: unknown = JSON.parse(readFileSync(swaggerPath, 'utf8'));
  const keys: MergeKeys = {};
  if (!isRecord(document) || !isRecord(document['definitions'])) throw new Error(`${swaggerPath} has no definitions`);
  for (const [full, definition] of Object.entries(document['definitions'])) {
    if (!/\.v1\.\w+$/.test(full) || !isRecord(definition) || !isRecord(definition['properties'])) continue;
    const name = full === 'io.k8s.api.core.v1.EndpointPort' ? 'EndpointPort' : full.slice(full.lastIndexOf('.') + 1);
    for (const [property, schema] of Object.entries(definition['properties'])) {
      if (!isRecord(schema)) continue;
      const found: Extensions = {};
      for (const [key, value] of Object.entries(schema)) if (key.startsWith('x-kubernetes-')) found[key] = value;
      if (JSON.stringify(schema).includes('api.resource.Quantity')) found['quantity'] = true;
      if (Object.keys(found).length > 0) (keys[name] ??= {})[property] = found;
    }
  }
  return keys;
}

function typeOf(schema: Schema): string {
  if (schema.$ref !== undefined) return schema.$ref;
  if (schema['x-kubernetes-int-or-string'] === true) return 'number | string';
  if (schema['x-kubernetes-preserve-unknown-fields'] === true) return 'unknown';
  switch (schema.type) {
    case 'array': { const item = typeOf(schema.items ?? {}); return item.includes(' ') ? `Array<${item}>` : `${item}[]`; }
    case 'object': return `Record<string, ${typeOf(schema.additionalProperties ?? {})}>`;
    case 'integer': case 'number': return 'number';
    case 'boolean': return 'boolean';
    default: return 'string';
  }
}

const mergeKeysPath = path.join(here, 'merge-keys.json');
if (process.argv[2] !== undefined) writeFileSync(mergeKeysPath, `${JSON.stringify(readMergeKeys(process.argv[2]))}\n`);
const mergeKeys = JSON.parse(readFileSync(mergeKeysPath, 'utf8')) as MergeKeys;
const keptZeros = JSON.parse(readFileSync(path.join(here, 'kept-zeros.json'), 'utf8')) as Record<string, string[]>;

const definitions: Record<string, Schema> = {};
const queue = [...roots];
for (let model = queue.shift(); model !== undefined; model = queue.shift()) {
  const name = shortName(model);
  if (definitions[name]) continue;
  const schema: Schema = { type: 'object', properties: {}, ...(atomicTypes.has(name) && { 'x-kubernetes-map-type': 'atomic' }) };
  definitions[name] = schema;
  const required: string[] = [];
  for (const [property, { type, format, required: isRequired }] of readModel(model)) {
    const { quantity, ...extensions } = { ...mergeKeys[name]?.[property], ...laterMergeKeys[name]?.[property] };
    const base = schemaOf(type, format);
    (schema.properties ??= {})[property] = { ...(quantity === true ? toQuantity(base) : base), ...extensions };
    if (isRequired) required.push(property);
    queue.push(...modelsIn(type));
  }
  if (required.length > 0) schema.required = required;
  const zeros = keptZeros[name];
  if (zeros) schema.keepsZeros = zeros;
}

const ordered = Object.fromEntries(Object.entries(definitions).sort(([a], [b]) => (a < b ? -1 : 1)));
// A definition a line: whoever needs one need not read them all.
const written = Object.entries(ordered).map(([name, schema]) => `${JSON.stringify(name)}:${JSON.stringify(schema)}`);
writeFileSync(path.join(here, 'schemas.json'), `{\n${written.join(',\n')}\n}\n`);

const lines = ['// Generated by api/gen/generate.ts; do not edit.', ''];
for (const [name, schema] of Object.entries(ordered)) {
  lines.push(`export interface ${name} {`);
  for (const [property, value] of Object.entries(schema.properties ?? {})) {
    const optional = schema.required?.includes(property) === true ? '' : '?';
    lines.push(`  ${/^[A-Za-z_$][\w$]*$/.test(property) ? property : JSON.stringify(property)}${optional}: ${typeOf(value)}${optional ? ' | undefined' : ''};`);
  }
  lines.push('}', '');
}
writeFileSync(path.join(here, 'types.ts'), lines.join('\n'));

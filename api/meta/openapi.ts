import { apiVersionOf } from '../kinds/resources.ts';
import type { KindDefinition } from '../kinds/types.ts';
import { allDefinitions, type Schema } from './schema.ts';

/** Definitions outside `core/v1` by the package that Kubernetes keeps them in. */
const packages: Readonly<Record<string, readonly string[]>> = {
  'io.k8s.api.apps.v1': [
    'Deployment', 'DeploymentCondition', 'DeploymentSpec', 'DeploymentStatus', 'DeploymentStrategy', 'RollingUpdateDeployment',
    'ReplicaSet', 'ReplicaSetCondition', 'ReplicaSetSpec', 'ReplicaSetStatus',
  ],
  'io.k8s.api.autoscaling.v1': ['Scale', 'ScaleSpec', 'ScaleStatus'],
  'io.k8s.api.coordination.v1': ['Lease', 'LeaseSpec'],
  'io.k8s.api.discovery.v1': ['DiscoveryEndpointPort', 'Endpoint', 'EndpointConditions', 'EndpointHints', 'EndpointSlice', 'ForNode', 'ForZone'],
  'io.k8s.apimachinery.pkg.apis.meta.v1': [
    'APIGroup', 'APIGroupList', 'APIResource', 'APIResourceList', 'Condition', 'DeleteOptions', 'GroupVersionForDiscovery', 'LabelSelector',
    'LabelSelectorRequirement', 'ListMeta', 'ManagedFieldsEntry', 'ObjectMeta', 'OwnerReference', 'Preconditions', 'ServerAddressByClientCIDR',
    'ShardInfo', 'Status', 'StatusCause', 'StatusDetails',
  ],
};

const packageOf = new Map(Object.entries(packages).flatMap(([name, definitions]) => definitions.map((definition) => [definition, name] as const)));

/** Names that our types had to change because two groups share them. */
const originalNames: Readonly<Record<string, string>> = { DiscoveryEndpointPort: 'EndpointPort', ContainerResourceClaim: 'ResourceClaim' };

/** `io.k8s.api.core.v1.Pod` for the generated name `Pod`. */
export function fullName(definition: string): string {
  const original = Object.hasOwn(originalNames, definition) ? originalNames[definition] : definition;
  return `${packageOf.get(definition) ?? 'io.k8s.api.core.v1'}.${original}`;
}

/** Where a kind's own schema stands: under `components.schemas` with this name. */
export function schemaNameOf({ resource: { group, version, kind }, structure }: Pick<KindDefinition, 'resource' | 'structure'>): string {
  // A custom resource's group, turned around: `com.example.stable.v1.CronTab`.
  if (structure) return [...group.split('.').reverse(), version, kind].join('.');
  return `${Object.hasOwn(ownPackages, group) ? ownPackages[group] : `io.k8s.api.${group.split('.')[0] || 'core'}`}.${version}.${kind}`;
}

/** Groups that Kubernetes keeps apart from the others. */
const ownPackages: Readonly<Record<string, string>> = {
  'apiextensions.k8s.io': 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions',
  'apiregistration.k8s.io': 'io.k8s.kube-aggregator.pkg.apis.apiregistration',
};

/** What requests and answers of every kind are made of. */
const common = ['DeleteOptions', 'ListMeta', 'Status', 'Scale', 'Binding'];

/** OpenAPI v3 `components.schemas` for `kinds` with their lists and all that they refer to, under Kubernetes' full names. */
export function definitionsFor(kinds: readonly KindDefinition[]): Record<string, Schema> {
  const result: Record<string, Schema> = {};
  const queue: string[] = [...common];
  const translate = (schema: Schema): Schema => {
    const { $ref, items, additionalProperties, properties, ...rest } = schema;
    if ($ref !== undefined) {
      queue.push($ref);
      const reference: Schema = { $ref: `#/components/schemas/${fullName($ref)}` };
      // A sibling of `$ref` is ignored in OpenAPI v3.0; annotations beside one need `allOf`.
      return Object.keys(rest).length === 0 ? reference : { ...rest, allOf: [reference] } as Schema;
    }
    return {
      ...plain(rest),
      ...(items === undefined ? {} : { items: translate(items) }),
      ...(additionalProperties === undefined ? {} : { additionalProperties: typeof additionalProperties === 'boolean' ? additionalProperties : translate(additionalProperties) }),
      ...(properties === undefined ? {} : { properties: Object.fromEntries(Object.entries(properties).map(([name, property]) => [name, translate(property)])) }),
    };
  };
  for (const kind of kinds) {
    const name = schemaNameOf(kind);
    const { group, version, kind: word } = kind.resource;
    result[name] = { ...translate(kind.schema()), 'x-kubernetes-group-version-kind': [{ group, version, kind: word }] };
    result[`${name}List`] = listSchema(kind, name);
  }
  drain(queue, result, translate);
  return result;
}

function drain(queue: string[], result: Record<string, Schema>, translate: (schema: Schema) => Schema): void {
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    const schema = allDefinitions().get(name);
    const full = fullName(name);
    if (schema !== undefined && !Object.hasOwn(result, full)) {
      result[full] = {};
      result[full] = translate(schema);
    }
  }
}

/** Forms that OpenAPI says in its own way. */
function plain(schema: Schema): Schema {
  if (schema['x-kubernetes-int-or-string'] === true && schema.anyOf === undefined) return { ...schema, format: 'int-or-string', oneOf: [{ type: 'integer' }, { type: 'string' }] } as Schema;
  if (schema.format !== 'quantity') return schema;
  const { type: _, format: __, ...rest } = schema;
  return { ...rest, oneOf: [{ type: 'string' }, { type: 'number' }] } as Schema;
}

function listSchema(kind: KindDefinition, name: string): Schema {
  const { group, version, kind: word } = kind.resource;
  return {
    type: 'object',
    description: `A list of ${word} (${apiVersionOf(kind.resource)})`,
    required: ['items'],
    properties: {
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: { $ref: `#/components/schemas/${fullName('ListMeta')}` },
      items: { type: 'array', items: { $ref: `#/components/schemas/${name}` } },
    },
    'x-kubernetes-group-version-kind': [{ group, version, kind: `${word}List` }],
  };
}

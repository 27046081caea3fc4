import type { KindDefinition } from '../kinds/types.ts';
import { definitionsInUse, peekDefinition, type Schema } from './schema.ts';

const meta = 'io.k8s.apimachinery.pkg.apis.meta.v1';

/** Definitions that stand where no kind of ours leads to. */
const elsewhere: Readonly<Record<string, readonly string[]>> = {
  [meta]: [
    'APIGroup', 'APIGroupList', 'APIResource', 'APIResourceList', 'Condition', 'DeleteOptions', 'FieldSelectorRequirement', 'GroupVersionForDiscovery', 'LabelSelector',
    'LabelSelectorRequirement', 'ListMeta', 'ManagedFieldsEntry', 'ObjectMeta', 'OwnerReference', 'Preconditions', 'ServerAddressByClientCIDR',
    'ShardInfo', 'Status', 'StatusCause', 'StatusDetails',
  ],
  'io.k8s.api.autoscaling.v1': ['Scale', 'ScaleSpec', 'ScaleStatus'],
};

/** Names that our types had to change because two groups share them. */
const originals: Readonly<Record<string, string>> = {
  DiscoveryEndpointPort: 'EndpointPort', ContainerResourceClaim: 'ResourceClaim', EventsEvent: 'Event', EventsEventSeries: 'EventSeries', FlowSubject: 'Subject',
  StorageTokenRequest: 'TokenRequest', WebhookServiceReference: 'ServiceReference', APIServiceReference: 'ServiceReference', HorizontalPodAutoscalerV1: 'HorizontalPodAutoscaler',
  HorizontalPodAutoscalerV1Spec: 'HorizontalPodAutoscalerSpec', HorizontalPodAutoscalerV1Status: 'HorizontalPodAutoscalerStatus',
};

/** Groups that Kubernetes keeps apart from the others. */
const ownPackages: Readonly<Record<string, string>> = {
  'apiextensions.k8s.io': 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions',
  'apiregistration.k8s.io': 'io.k8s.kube-aggregator.pkg.apis.apiregistration',
};

type Kind = Pick<KindDefinition, 'resource' | 'structure' | 'schema'>;

/**
 * Kubernetes' full names of definitions: `io.k8s.api.core.v1.Pod` for the generated `Pod`. A definition belongs to the
 * group of the first kind that leads to it, `core` before all others.
 */
export class OpenApiNames {
  readonly #packages = new Map<string, string>();

  constructor(kinds: readonly Kind[]) {
    for (const [name, definitions] of Object.entries(elsewhere)) for (const definition of definitions) this.#packages.set(definition, name);
    const builtIn = kinds.filter(({ structure }) => structure === undefined).sort((a, b) => (a.resource.group < b.resource.group ? -1 : 1));
    const schemas = builtIn.map((kind) => kind.schema());
    const names = new Map([...definitionsInUse()].map(([name, schema]) => [schema, name]));
    for (const [i, kind] of builtIn.entries()) this.#claim(names.get(schemas[i] ?? {}), packageOf(kind));
  }

  /** Of a definition of the generated contract. */
  of(definition: string): string {
    const original = Object.hasOwn(originals, definition) ? originals[definition] : definition;
    return `${this.#packages.get(definition) ?? 'io.k8s.api.core.v1'}.${original}`;
  }

  ofKind(kind: Kind): string {
    return `${packageOf(kind)}.${kind.resource.kind}`;
  }

  #claim(definition: string | undefined, owner: string): void {
    if (definition === undefined || this.#packages.has(definition)) return;
    this.#packages.set(definition, owner);
    for (const next of referencesIn(peekDefinition(definition))) this.#claim(next, owner);
  }
}

function packageOf({ resource: { group, version }, structure }: Kind): string {
  // A custom resource's group, turned around: `com.example.stable.v1.CronTab`.
  if (structure) return [...group.split('.').reverse(), version].join('.');
  return `${Object.hasOwn(ownPackages, group) ? ownPackages[group] : `io.k8s.api.${group.split('.')[0] || 'core'}`}.${version}`;
}

function referencesIn(schema: Schema | undefined): string[] {
  if (!schema) return [];
  const { $ref, items, additionalProperties, properties } = schema;
  return [
    ...($ref === undefined ? [] : [$ref]), ...referencesIn(items), ...(typeof additionalProperties === 'object' ? referencesIn(additionalProperties) : []),
    ...Object.values(properties ?? {}).flatMap(referencesIn),
  ];
}

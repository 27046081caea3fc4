import type { PersistentVolumeClaim, Pod, ResourceQuotaSpec, ScopedResourceSelectorRequirement, Service } from '#api/gen/types.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { formatQuantity, parseQuantity } from '#api/meta/quantity.ts';
import { qosClass } from '#api/pod-spec/qos.ts';
import { isExtendedResource } from '#api/pod-spec/resources.ts';
import { podTotals } from '#api/pod-spec/totals.ts';

/** Amounts by the name that quotas have for them, in nano units. */
export type Usage = ReadonlyMap<string, bigint>;

/** What quotas must know of an object. */
export interface Counted {
  readonly usage: Usage;
  /** Whether a quota of narrower scope is about it; only pods and claims have scopes. */
  readonly scoped: ((requirement: ScopedResourceSelectorRequirement) => boolean) | undefined;
}

const one = 1_000_000_000n;
const ended: ReadonlySet<string | undefined> = new Set(['Succeeded', 'Failed']);
/** Kinds that quotas count by their plain name, as they did before there was `count/`. */
const plainCounts: ReadonlySet<string> = new Set(['configmaps', 'persistentvolumeclaims', 'replicationcontrollers', 'resourcequotas', 'secrets', 'services']);

/** `resource` is the qualified name: `pods`, `deployments.apps`. */
export function countedOf(resource: string, object: KubeObject): Counted {
  const usage = new Map([[`count/${resource}`, one]]);
  if (plainCounts.has(resource)) usage.set(resource, one);
  switch (resource) {
    case 'pods': return countPod(object as Pod, usage);
    case 'services': return countService(object as Service, usage);
    case 'persistentvolumeclaims': return countClaim(object as PersistentVolumeClaim, usage);
    default: return { usage, scoped: undefined };
  }
}

function countPod({ spec, status }: Pod, usage: Map<string, bigint>): Counted {
  if (!spec || ended.has(status?.phase)) return { usage, scoped: () => false };
  usage.set('pods', one);
  for (const [name, amount] of podTotals(spec, 'requests')) {
    usage.set(`requests.${name}`, amount);
    if (!isExtendedResource(name)) usage.set(name, amount);
  }
  for (const [name, amount] of podTotals(spec, 'limits')) if (!isExtendedResource(name) && !name.startsWith('hugepages-')) usage.set(`limits.${name}`, amount);
  return { usage, scoped: podScopes(spec) };
}

function podScopes(spec: NonNullable<Pod['spec']>): (requirement: ScopedResourceSelectorRequirement) => boolean {
  const bestEffort = qosClass(spec) === 'BestEffort';
  const terminating = (spec.activeDeadlineSeconds ?? -1) >= 0;
  const { podAffinity, podAntiAffinity } = spec.affinity ?? {};
  const terms = [podAffinity, podAntiAffinity].flatMap((affinity) => [
    ...affinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [], ...(affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(({ podAffinityTerm }) => podAffinityTerm),
  ]);
  const acrossNamespaces = terms.some(({ namespaces = [], namespaceSelector }) => namespaces.length > 0 || namespaceSelector !== undefined);
  const className = spec.priorityClassName ?? '';
  return ({ scopeName, operator, values = [] }) => {
    switch (scopeName) {
      case 'BestEffort': return bestEffort;
      case 'NotBestEffort': return !bestEffort;
      case 'Terminating': return terminating;
      case 'NotTerminating': return !terminating;
      case 'CrossNamespacePodAffinity': return acrossNamespaces;
      case 'PriorityClass': return named(className, operator, values);
      default: return false;
    }
  };
}

/** The rule of label selectors: who has no name is not in any list. */
function named(name: string, operator: string, values: readonly string[]): boolean {
  switch (operator) {
    case 'In': return values.includes(name);
    case 'NotIn': return !values.includes(name);
    case 'Exists': return name !== '';
    default: return name === '';
  }
}

function countService({ spec }: Service, usage: Map<string, bigint>): Counted {
  const ports = spec?.ports ?? [];
  const balanced = spec?.type === 'LoadBalancer';
  if (balanced) usage.set('services.loadbalancers', one);
  const open = spec?.type === 'NodePort' || (balanced && spec?.allocateLoadBalancerNodePorts !== false) ? ports.length : balanced ? ports.filter(({ nodePort }) => nodePort).length : 0;
  if (open > 0) usage.set('services.nodeports', BigInt(open) * one);
  return { usage, scoped: undefined };
}

function countClaim({ metadata, spec, status }: PersistentVolumeClaim, usage: Map<string, bigint>): Counted {
  const storage = spec?.resources?.requests?.['storage'];
  const amount = storage === undefined ? undefined : parseQuantity(storage);
  const className = metadata?.annotations?.['volume.beta.kubernetes.io/storage-class'] ?? spec?.storageClassName;
  if (amount !== undefined) usage.set('requests.storage', amount);
  if (className) {
    usage.set(`${className}.storageclass.storage.k8s.io/persistentvolumeclaims`, one);
    if (amount !== undefined) usage.set(`${className}.storageclass.storage.k8s.io/requests.storage`, amount);
  }
  const attributes = spec?.volumeAttributesClassName ?? status?.currentVolumeAttributesClassName ?? '';
  return { usage, scoped: ({ scopeName, operator, values = [] }) => scopeName === 'VolumeAttributesClass' && named(attributes, operator, values) };
}

/** Which kind a quota's amount is counted from. */
export function resourceOf(name: string): string {
  if (name.startsWith('count/')) return name.slice('count/'.length);
  if (name === 'requests.storage' || name.includes('.storageclass.storage.k8s.io/')) return 'persistentvolumeclaims';
  if (name.startsWith('services.')) return 'services';
  return plainCounts.has(name) ? name : 'pods';
}

/** Whether a quota is about an object. One without scopes is about all. */
export function inScope({ scopes = [], scopeSelector }: ResourceQuotaSpec, { scoped }: Pick<Counted, 'scoped'>): boolean {
  const requirements = [...scopes.map((scopeName) => ({ scopeName, operator: 'Exists' })), ...scopeSelector?.matchExpressions ?? []];
  return requirements.every((requirement) => scoped?.(requirement) ?? false);
}

/** As people write it: `500m`, `1Gi`. */
export function printAmount(name: string, nanos: bigint): string {
  return formatQuantity(nanos, /memory|storage|hugepages/.test(name) && !name.endsWith('claims') ? 'BinarySI' : 'DecimalSI');
}

const mustBeGiven: ReadonlySet<string> = new Set(['cpu', 'memory', 'requests.cpu', 'requests.memory', 'limits.cpu', 'limits.memory']);

/** What containers must say where a quota limits the sum: `limits.cpu for: a,b; memory for: b`. Undefined: all is said. */
export function missingFrom({ spec }: Pod, hard: Readonly<Record<string, string>>): string | undefined {
  const missing = new Map<string, string[]>();
  for (const name of Object.keys(hard).filter((key) => mustBeGiven.has(key)).sort()) {
    const [list, resource] = name.startsWith('limits.') ? ['limits', name.slice('limits.'.length)] as const : ['requests', name.replace('requests.', '')] as const;
    if (spec?.resources?.[list]?.[resource] !== undefined) continue;
    const silent = [...spec?.containers ?? [], ...spec?.initContainers ?? []].filter(({ resources }) => resources?.[list]?.[resource] === undefined);
    if (silent.length > 0) missing.set(name, silent.map((container) => container.name).sort());
  }
  return missing.size === 0 ? undefined : [...missing].map(([name, containers]) => `${name} for: ${containers.join(',')}`).join('; ');
}

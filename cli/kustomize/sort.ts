import { gvkText, type Gvk } from './kinds.ts';
import type { SortOptions } from './kustomization.ts';
import { refuse } from './refuse.ts';
import type { ResourceList } from './resource-list.ts';
import type { Resource } from './resource.ts';

const orderFirst = [
  'Namespace', 'ResourceQuota', 'StorageClass', 'CustomResourceDefinition', 'ServiceAccount', 'PodSecurityPolicy', 'Role', 'ClusterRole', 'RoleBinding', 'ClusterRoleBinding',
  'ConfigMap', 'Secret', 'Endpoints', 'Service', 'LimitRange', 'PriorityClass', 'PersistentVolume', 'PersistentVolumeClaim', 'Deployment', 'StatefulSet', 'CronJob', 'PodDisruptionBudget',
];
const orderLast = ['MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration'];

/** Puts the objects in the order asked for; without one, in that in which they are best made. */
export function sortObjects(list: ResourceList, options: SortOptions | undefined): void {
  const order = options === undefined ? 'legacy' : options.order ?? '';
  if (order !== 'legacy' && order !== 'fifo') throw refuse("the field 'sortOptions.order' must be one of [fifo, legacy]");
  if (order === 'fifo') {
    if (options?.legacySortOptions !== undefined) throw refuse("the field 'sortOptions.legacySortOptions' is set but the selected sort order is 'fifo', not 'legacy'");
    return;
  }
  const given = options?.legacySortOptions;
  const first = given === undefined ? orderFirst : given.orderFirst ?? [];
  const last = given === undefined ? orderLast : given.orderLast ?? [];
  const rank = ({ kind }: Gvk): number => (last.includes(kind) ? 1 + last.lastIndexOf(kind) : first.includes(kind) ? first.lastIndexOf(kind) - first.length : 0);
  const kindText = ({ group, version, kind }: Gvk): string => `${group || '~G'}_${version || '~V'}_${kind || '~K'}`;
  const keyOf = (resource: Resource): string => `${gvkText(resource.gvk)}|${resource.namespace || '~X'}|${resource.name || '~N'}`;
  list.sort((a, b) => rank(a.gvk) - rank(b.gvk) || compare(kindText(a.gvk), kindText(b.gvk)) || compare(keyOf(a), keyOf(b)));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

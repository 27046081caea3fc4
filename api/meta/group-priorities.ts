/** How high a group, and a version within its group, stand in discovery. */
export interface GroupPriority {
  readonly groupPriorityMinimum: number;
  readonly versionPriority: number;
}

/** Of the groups that are built in, as Kubernetes ranks them. */
const groups: Readonly<Record<string, number>> = {
  '': 18_000, 'apps': 17_800, 'events.k8s.io': 17_750, 'authentication.k8s.io': 17_700, 'authorization.k8s.io': 17_600, 'autoscaling': 17_500, 'batch': 17_400,
  'certificates.k8s.io': 17_300, 'networking.k8s.io': 17_200, 'policy': 17_100, 'rbac.authorization.k8s.io': 17_000, 'storage.k8s.io': 16_800,
  'apiextensions.k8s.io': 16_700, 'admissionregistration.k8s.io': 16_700, 'scheduling.k8s.io': 16_600, 'coordination.k8s.io': 16_500,
  'node.k8s.io': 16_300, 'discovery.k8s.io': 16_200, 'flowcontrol.apiserver.k8s.io': 16_100, 'resource.k8s.io': 15_900,
  // The one that ranks the others comes first.
  'apiregistration.k8s.io': 20_000, 'metrics.k8s.io': 100,
};
const versions: Readonly<Record<string, number>> = { '/v1': 1, 'autoscaling/v2': 30, 'flowcontrol.apiserver.k8s.io/v1': 21, 'metrics.k8s.io/v1beta1': 100 };

/** The priority of a group version that this server answers for; those of custom resources stand low. */
export function localPriority(group: string, version: string): GroupPriority {
  const groupPriorityMinimum = Object.hasOwn(groups, group) ? groups[group] : undefined;
  if (groupPriorityMinimum === undefined) return { groupPriorityMinimum: 1000, versionPriority: 100 };
  const key = `${group}/${version}`;
  return { groupPriorityMinimum, versionPriority: (Object.hasOwn(versions, key) ? versions[key] : undefined) ?? 15 };
}

/** Group versions whose objects are computed, not stored. */
export const computedGroupVersions: readonly { readonly group: string; readonly version: string }[] = [
  { group: 'authentication.k8s.io', version: 'v1' }, { group: 'authorization.k8s.io', version: 'v1' }, { group: 'metrics.k8s.io', version: 'v1beta1' },
];

import type { ControllerRevision, Pod, PodTemplateSpec, StatefulSet, Volume } from '#api/gen/types.ts';
import { statefulSets } from '#api/kinds/resources.ts';
import { podFromTemplate } from '../pod-from-template.ts';
import { revisionLabel } from '../revision-history.ts';

export const podNameLabel = 'statefulset.kubernetes.io/pod-name';
export const podIndexLabel = 'apps.kubernetes.io/pod-index';

/** The number of a pod of this set; undefined when its name is not one of the set's. */
export function ordinalOf(set: StatefulSet, pod: Pod): number | undefined {
  const [, parent, ordinal] = /^(.*)-(0|[1-9]\d{0,8})$/.exec(pod.metadata?.name ?? '') ?? [];
  return parent === set.metadata?.name && ordinal !== undefined ? Number(ordinal) : undefined;
}

export function startOrdinal(set: StatefulSet): number {
  return set.spec?.ordinals?.start ?? 0;
}

export function specReplicas(set: StatefulSet): number {
  return set.spec?.replicas ?? 1;
}

/** Name of the revision that a pod was made from. */
export function revisionOf(pod: Pod): string | undefined {
  return pod.metadata?.labels?.[revisionLabel];
}

export function nameOf(revision: ControllerRevision): string {
  return revision.metadata?.name ?? '';
}

/** The template that a revision keeps. */
export function templateOf(revision: ControllerRevision): PodTemplateSpec {
  const { $patch: _, ...template } = (revision.data as { spec?: { template?: PodTemplateSpec & { $patch?: string } } } | undefined)?.spec?.template ?? {};
  return template;
}

export function claimName(set: StatefulSet, template: string, ordinal: number): string {
  return `${template}-${set.metadata?.name ?? ''}-${String(ordinal)}`;
}

/** Labels by which a pod is known, whatever its template says. */
export function identityLabels(set: StatefulSet, ordinal: number): Record<string, string> {
  return { [podNameLabel]: `${set.metadata?.name ?? ''}-${String(ordinal)}`, [podIndexLabel]: String(ordinal) };
}

/** The pod of one number: its name, host name and claims stay the same for ever. */
export function statefulPod(set: StatefulSet, revision: ControllerRevision, ordinal: number): Pod {
  const pod = podFromTemplate(statefulSets, set, templateOf(revision));
  const { generateName: _, ...metadata } = pod.metadata ?? {};
  const name = `${set.metadata?.name ?? ''}-${String(ordinal)}`;
  const claims = (set.spec?.volumeClaimTemplates ?? []).map((claim): Volume => {
    const own = claim.metadata?.name ?? '';
    return { name: own, persistentVolumeClaim: { claimName: claimName(set, own, ordinal) } };
  });
  const volumes = [...claims, ...(pod.spec?.volumes ?? []).filter((volume) => !claims.some((claim) => claim.name === volume.name))];
  return {
    ...pod,
    metadata: { ...metadata, name, labels: { ...metadata.labels, ...identityLabels(set, ordinal), [revisionLabel]: nameOf(revision) } },
    spec: { containers: [], ...pod.spec, hostname: name, ...(set.spec?.serviceName && { subdomain: set.spec.serviceName }), ...(volumes.length > 0 && { volumes }) },
  };
}

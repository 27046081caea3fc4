import type { ObjectMeta, PersistentVolumeClaim, Pod, StatefulSet } from '#api/gen/types.ts';
import { apiVersionOf, persistentVolumeClaims, pods as podResource, statefulSets } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import type { OwnerReference } from '#api/meta/object.ts';
import { withMetadata } from '../owner-refs.ts';
import { claimName } from './identity.ts';

/** The claims of one pod, as they are made when they are missing. */
export function claimsFor(set: StatefulSet, ordinal: number): PersistentVolumeClaim[] {
  const labels = set.spec?.selector.matchLabels;
  return (set.spec?.volumeClaimTemplates ?? []).map((template) => ({
    apiVersion: apiVersionOf(persistentVolumeClaims), kind: persistentVolumeClaims.kind,
    metadata: {
      ...template.metadata, name: claimName(set, template.metadata?.name ?? '', ordinal), namespace: set.metadata?.namespace,
      ...((template.metadata?.labels ?? labels) && { labels: { ...template.metadata?.labels, ...labels } }),
      ...ownersOf(set, undefined, template.metadata),
    },
    ...(template.spec && { spec: template.spec }),
  }));
}

/** Whose end the claim shares: the set's, the end of a pod that scaling down takes away, or nobody's. */
export function withOwners(set: StatefulSet, claim: PersistentVolumeClaim, condemned: Pod | undefined): PersistentVolumeClaim | undefined {
  const { ownerReferences } = ownersOf(set, condemned, claim.metadata);
  return equal(ownerReferences ?? [], claim.metadata?.ownerReferences ?? []) ? undefined : withMetadata(claim, { ownerReferences: ownerReferences ?? [] });
}

function ownersOf(set: StatefulSet, condemned: Pod | undefined, metadata: ObjectMeta | undefined): { ownerReferences?: OwnerReference[] } {
  const { whenDeleted, whenScaled } = set.spec?.persistentVolumeClaimRetentionPolicy ?? {};
  const name = set.metadata?.name ?? '';
  const others = (metadata?.ownerReferences ?? []).filter((reference) => reference.uid !== set.metadata?.uid && !(reference.kind === podResource.kind && reference.name.startsWith(`${name}-`)));
  const reference = (apiVersion: string, kind: string, owner: ObjectMeta | undefined): OwnerReference => ({ apiVersion, kind, name: owner?.name ?? '', uid: owner?.uid ?? '' });
  const own = condemned !== undefined && whenScaled === 'Delete' ? [reference(apiVersionOf(podResource), podResource.kind, condemned.metadata)]
    : whenDeleted === 'Delete' ? [reference(apiVersionOf(statefulSets), statefulSets.kind, set.metadata)] : [];
  const ownerReferences = [...others, ...own];
  return ownerReferences.length > 0 ? { ownerReferences } : {};
}

/** The claim goes with a pod that is going: a new pod of that number must not take it up. */
export function isStale(claim: PersistentVolumeClaim, pod: Pod | undefined): boolean {
  const owner = claim.metadata?.ownerReferences?.find(({ kind }) => kind === podResource.kind);
  return claim.metadata?.deletionTimestamp !== undefined || (owner !== undefined && owner.uid !== pod?.metadata?.uid);
}

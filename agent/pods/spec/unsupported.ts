import type { Container, Pod } from '#api/gen/types.ts';

/** What the runtime, by the pod's RuntimeClass, can do beyond what all of them can. */
export interface RuntimeAbilities {
  readonly recursiveReadOnly: boolean;
  /** Undefined while the runtime has not told. */
  readonly strictGroups: boolean | undefined;
}

/** What this container or its pod asks for and this node cannot give, in words for its owner; undefined when nothing. Nothing is dropped in silence. */
export function unsupported({ spec }: Pod, container: Container, { strictGroups }: RuntimeAbilities): string | undefined {
  if ((spec?.resourceClaims ?? []).length > 0 || (container.resources?.claims ?? []).length > 0) return 'resource claims are not supported on this node';
  if (spec?.hostUsers === false) return "can't set `spec.hostUsers: false`, user namespaces are not supported on this node: runc before 1.2 and containerd before 2.0 cannot map a pod's users onto its volumes, and newer ones are not made use of yet; leave it out, and run as another user than root";
  if (spec?.securityContext?.supplementalGroupsPolicy === 'Strict' && strictGroups !== true) return 'SupplementalGroupsPolicy=Strict is not supported in this node: its container runtime cannot leave out the groups of the image';
  return undefined;
}

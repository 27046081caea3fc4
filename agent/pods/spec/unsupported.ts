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
  if (spec?.securityContext?.supplementalGroupsPolicy === 'Strict' && strictGroups !== true) return 'SupplementalGroupsPolicy=Strict is not supported in this node: its container runtime cannot leave out the groups of the image';
  return undefined;
}

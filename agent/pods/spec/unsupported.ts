import type { Container, Pod } from '#api/gen/types.ts';

/** What this container or its pod asks for and this node cannot give, in words for its owner; undefined when nothing. Nothing is dropped in silence. */
export function unsupported({ spec }: Pod, container: Container): string | undefined {
  const mount = container.volumeMounts?.find((m) => m.recursiveReadOnly === 'Enabled');
  if (mount) return `recursive read-only mounts are not supported on this node: volumeMount "${mount.name}" has recursiveReadOnly: Enabled; use IfPossible`;
  if ((spec?.resourceClaims ?? []).length > 0 || (container.resources?.claims ?? []).length > 0) return 'resource claims are not supported on this node';
  if (spec?.hostUsers === false) return 'user namespaces (hostUsers: false) are not supported on this node';
  if (spec?.securityContext?.supplementalGroupsPolicy === 'Strict') return 'supplementalGroupsPolicy: Strict is not supported on this node';
  return undefined;
}

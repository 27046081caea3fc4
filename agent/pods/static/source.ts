import type { Pod } from '#api/gen/types.ts';

/** Says where a pod comes from; see kubelet's package `types`. */
export const sourceAnnotation = 'kubernetes.io/config.source';

/** A file of this host describes it, and no control plane can take it away. */
export function isOfFile({ metadata }: Pod): boolean {
  return metadata?.annotations?.[sourceAnnotation] === 'file';
}

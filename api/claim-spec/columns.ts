import type { ObjectMeta } from '../gen/types.ts';

const shortModes = [['ReadWriteOnce', 'RWO'], ['ReadOnlyMany', 'ROX'], ['ReadWriteMany', 'RWX'], ['ReadWriteOncePod', 'RWOP']] as const;
const classAnnotation = 'volume.beta.kubernetes.io/storage-class';

/** `RWO,ROX`, always in the same order. */
export function printAccessModes(modes: readonly string[] | undefined): string {
  return shortModes.flatMap(([mode, short]) => (modes?.includes(mode) ? [short] : [])).join(',');
}

/** The annotation is what came before the field. */
export function storageClassOf(object: { metadata?: { annotations?: Record<string, string> | undefined } | undefined; spec?: { storageClassName?: string | undefined } | undefined }): string {
  return object.metadata?.annotations?.[classAnnotation] ?? object.spec?.storageClassName ?? '';
}

/** For a class that is named in the old way. */
export function classWarnings(metadata: ObjectMeta | undefined): string[] {
  return metadata?.annotations?.[classAnnotation] === undefined ? [] : [`metadata.annotations[${classAnnotation}]: deprecated since v1.8; use "storageClassName" attribute instead`];
}

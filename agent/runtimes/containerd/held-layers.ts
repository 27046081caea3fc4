import type { LayerName } from '#common/archive-parts.ts';
import { unpacked } from '#common/unpacked.ts';
import type { HeldLayer } from '../types.ts';
import type { ContainerdStore } from './store.ts';

/** Layers that containerd's content store has: as they are to come, or packed, with what they are unpacked noted beside. */
export async function heldLayers(store: Pick<ContainerdStore, 'contents' | 'read'>, images: readonly (readonly LayerName[])[]): Promise<ReadonlyMap<string, HeldLayer>> {
  const contents = await store.contents();
  const stored = new Set(contents.map(({ digest }) => digest));
  const packed = new Map(contents.flatMap(({ digest, uncompressed }) => (uncompressed === undefined ? [] : [[uncompressed, digest] as const])));
  return new Map(images.flat().flatMap(({ digest, diffId }): [string, HeldLayer][] => {
    if (stored.has(digest)) return [[digest, () => store.read(digest)]];
    const source = digest === diffId ? packed.get(digest) : undefined;
    return source === undefined ? [] : [[digest, () => unpacked(store.read(source))]];
  }));
}

import type { ListedImage } from '../types.ts';

const units: Readonly<Record<string, number>> = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

/** Reads `ctr images ls`: REF, TYPE, DIGEST, SIZE (such as `4.2 MiB`), PLATFORMS, LABELS. Names of one digest are one image. */
export function parseImages(table: string): ListedImage[] {
  const byDigest = new Map<string, { id: string; names: string[]; sizeBytes: number }>();
  for (const line of table.split('\n').slice(1)) {
    const [, name, digest, size, unit] = /^(\S+)\s+\S+\s+(sha256:[0-9a-f]{64})\s+([0-9.]+) ?([KMG]?i?B)\b/.exec(line) ?? [];
    if (name === undefined || digest === undefined) continue;
    const image = byDigest.get(digest) ?? { id: digest, names: [], sizeBytes: Math.round(Number(size) * (units[unit ?? ''] ?? 1)) };
    byDigest.set(digest, image);
    // containerd's CRI gives images their digest for a name too.
    if (!name.startsWith('sha256:')) image.names.push(name);
  }
  return [...byDigest.values()];
}

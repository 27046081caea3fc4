import { createHash } from 'node:crypto';
import type { Architecture } from '#install/images-pause.ts';
import { tar, type TarEntry } from '#install/images-tar.ts';

/** What `docker save` of Docker 20.10 writes: a folder for each layer, the description last. */
export function dockerArchive(name: string, architecture: Architecture, layers: readonly (readonly TarEntry[])[], entrypoint: readonly string[]): Buffer {
  const digest = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');
  const file = (path: string, data: Uint8Array | string): TarEntry => ({ path, type: 'file', mode: 0o644, data: Buffer.from(data) });
  const files = layers.map((entries) => tar(entries));
  const config = JSON.stringify({ architecture, os: 'linux', config: { Entrypoint: entrypoint, Env: ['PATH=/bin'] }, rootfs: { type: 'layers', diff_ids: files.map((data) => `sha256:${digest(data)}`) } });
  const path = `${digest(Buffer.from(config))}.json`;
  return tar([
    ...files.flatMap((data, i): TarEntry[] => [{ path: `layer-${String(i)}`, type: 'dir', mode: 0o755 }, file(`layer-${String(i)}/VERSION`, '1.0'), file(`layer-${String(i)}/layer.tar`, data)]),
    file(path, config),
    file('manifest.json', JSON.stringify([{ Config: path, RepoTags: [name], Layers: files.map((_, i) => `layer-${String(i)}/layer.tar`) }])),
  ]);
}

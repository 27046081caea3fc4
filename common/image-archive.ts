const blockBytes = 512;
/** Descriptions of images are small; layers are not looked into. */
const maxFileBytes = 256 << 10;
const maxKeptBytes = 4 << 20;
const isDigest = /^sha256:[0-9a-f]{64}$/;
const kept = /^(?:\.\/)?(index\.json|manifest\.json|blobs\/sha256\/[0-9a-f]{64}|[0-9a-f]{64}\.json)$/;

/** One image of an archive. */
export interface ArchivedImage {
  readonly names: readonly string[];
  /** As images name it: `arm64`; empty when the archive does not say. */
  readonly architecture: string;
  /** Digest of its configuration, which engines have for its id. */
  readonly id: string;
}

interface Descriptor { readonly digest?: string; readonly mediaType?: string; readonly annotations?: Readonly<Record<string, string>> }
interface Index { readonly manifests?: readonly Descriptor[] }
interface Manifest extends Index { readonly config?: Descriptor; readonly layers?: readonly Descriptor[] }
interface DockerEntry { readonly Config?: string; readonly RepoTags?: readonly string[] | null; readonly Layers?: readonly string[] }
interface Configuration { readonly architecture?: string; readonly rootfs?: { readonly diff_ids?: readonly string[] } }

/** A layer of an image: which file of the archive it is, and the digest of what that is unpacked. */
export interface ArchivedLayer { readonly path: string; readonly diffId: string }

/** Reads along while a docker or OCI archive passes by, in pieces of any size, and knows at the end what is in it. Holds a few megabytes at most, whatever comes. */
export class ArchiveReader {
  readonly #files = new Map<string, Buffer>();
  #keptBytes = 0;
  #header = Buffer.alloc(0);
  /** What is left of the present file, padding included. */
  #left = 0;
  #file: { readonly path: string; readonly size: number; readonly chunks: Buffer[] } | undefined;
  #broken = false;

  push(chunk: Uint8Array): void {
    let data = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    while (data.length > 0 && !this.#broken) data = this.#left > 0 ? this.#body(data) : this.#head(data);
  }

  /** How many of the bytes that come next say nothing of images, and are taken as passed: whoever can leaves them out. */
  skip(): number {
    const bytes = this.#file ? 0 : this.#left;
    this.#left -= bytes;
    return bytes;
  }

  /** Empty for what is no image archive. */
  images(): ArchivedImage[] {
    const docker = this.#json<readonly DockerEntry[]>('manifest.json');
    if (Array.isArray(docker)) {
      return (docker as readonly DockerEntry[]).flatMap(({ Config: path = '', RepoTags }) => {
        const id = /([0-9a-f]{64})/.exec(path)?.[1];
        return id === undefined ? [] : [{ names: RepoTags ?? [], id: `sha256:${id}`, architecture: this.#json<Configuration>(path)?.architecture ?? '' }];
      });
    }
    return this.#listed(this.#json<Index>('index.json'), [], 0);
  }

  /** Of each image its layers, the lowest first, as far as the archive says. */
  layers(): ArchivedLayer[][] {
    const docker = this.#json<readonly DockerEntry[]>('manifest.json');
    const found = Array.isArray(docker)
      ? (docker as readonly DockerEntry[]).map(({ Config = '', Layers }) => ({ config: Config, paths: Layers }))
      : [...this.#files.keys()].filter((path) => path.startsWith('blobs/')).map((path) => {
        const manifest = this.#json<Manifest>(path);
        const blob = ({ digest = '' }: Descriptor): string => `blobs/${digest.replace(':', '/')}`;
        return { config: blob(manifest?.config ?? {}), paths: Array.isArray(manifest?.layers) ? manifest.layers.map(blob) : undefined };
      });
    return found.flatMap(({ config, paths }) => {
      const ids = this.#json<Configuration>(config)?.rootfs?.diff_ids;
      const whole = Array.isArray(paths) && Array.isArray(ids) && paths.length === ids.length && ids.every((id) => isDigest.test(id));
      return whole ? [paths.map((path, i) => ({ path, diffId: ids[i] ?? '' }))] : [];
    });
  }

  #listed(index: Index | undefined, names: readonly string[], depth: number): ArchivedImage[] {
    if (!Array.isArray(index?.manifests) || depth > 2) return [];
    return (index.manifests as readonly Descriptor[]).flatMap(({ digest = '', annotations = {} }): ArchivedImage[] => {
      const name = annotations['io.containerd.image.name'];
      const own = name === undefined ? names : [name];
      const manifest = this.#json<Manifest>(`blobs/${digest.replace(':', '/')}`);
      if (manifest?.manifests) return this.#listed(manifest, own, depth + 1);
      const id = manifest?.config?.digest;
      // What builders put beside an image is for no architecture.
      const architecture = id === undefined ? undefined : this.#json<Configuration>(`blobs/${id.replace(':', '/')}`)?.architecture;
      return id === undefined || architecture === 'unknown' ? [] : [{ names: own, id, architecture: architecture ?? '' }];
    });
  }

  #head(data: Buffer): Buffer {
    const missing = blockBytes - this.#header.length;
    this.#header = Buffer.concat([this.#header, data.subarray(0, missing)]);
    const rest = data.subarray(missing);
    if (this.#header.length < blockBytes) return rest;
    const block = this.#header;
    this.#header = Buffer.alloc(0);
    const entry = tarFile(block);
    if (entry === undefined) {
      this.#broken = true;
      return rest;
    }
    const { size } = entry;
    this.#left = Math.ceil(size / blockBytes) * blockBytes;
    const path = kept.exec(entry.path)?.[1];
    this.#file = path !== undefined && size > 0 && size <= maxFileBytes && this.#keptBytes + size <= maxKeptBytes ? { path, size, chunks: [] } : undefined;
    if (this.#file) this.#keptBytes += size;
    return rest;
  }

  #body(data: Buffer): Buffer {
    const own = data.subarray(0, this.#left);
    this.#left -= own.length;
    const file = this.#file;
    if (file) {
      file.chunks.push(Buffer.from(own));
      if (this.#left === 0) this.#files.set(file.path, Buffer.concat(file.chunks).subarray(0, file.size));
    }
    return data.subarray(own.length);
  }

  #json<T>(path: string): T | undefined {
    try {
      const value: unknown = JSON.parse(this.#files.get(path)?.toString('utf8') ?? 'null');
      return typeof value === 'object' && value !== null ? value as T : undefined;
    } catch {
      return undefined;
    }
  }
}

/** What a header of an archive says. An empty one, two of which end an archive, is of no file; undefined for what is no header. */
export function tarFile(block: Buffer): { readonly path: string; readonly size: number; readonly isFile: boolean } | undefined {
  if (block.every((byte) => byte === 0)) return { path: '', size: 0, isFile: false };
  const size = sizeOf(block);
  if (size === undefined || block.length < blockBytes || block.toString('latin1', 257, 262) !== 'ustar') return undefined;
  return { path: block.toString('utf8', 0, 100).replace(/\0.*$/s, ''), size, isFile: block[156] === 0x30 || block[156] === 0 };
}

/** Octal, or base 256 for what is larger than 8 GiB; undefined for what is neither. */
function sizeOf(block: Buffer): number | undefined {
  if (((block[124] ?? 0) & 0x80) !== 0) return Number(block.readBigUInt64BE(128));
  const text = block.toString('latin1', 124, 136).replace(/[\0 ]+$/, '').trim();
  return /^[0-7]*$/.test(text) ? Number.parseInt(text || '0', 8) : undefined;
}

import { createHash } from 'node:crypto';
import { access } from 'node:fs/promises';
import { isStatus, StatusError } from '#common/errors.ts';
import { canonicalReference, imageArchitecture, wrongArchitecture } from '../image-reference.ts';
import type { ImageConfig } from '../sandbox/oci-types.ts';
import type { RegistryAuth } from '../types.ts';
import type { Ctr } from './ctr.ts';

const pullMs = 30 * 60_000;
/** Where an administrator puts mirrors and certificates of registries, for every tool that speaks containerd's way. */
const hostsDir = '/etc/containerd/certs.d';

/** What is known of an image that is here. */
export interface LocalImage {
  /** Digest of its configuration. */
  readonly id: string;
  /** Digest of what its name stands for. */
  readonly digest: string;
  readonly config: ImageConfig;
  /** Name of the snapshot that its layers make. */
  readonly chainId: string;
}

interface Manifest {
  readonly config?: { readonly digest: string };
  readonly manifests?: readonly { readonly digest: string; readonly platform?: { readonly architecture?: string; readonly os?: string } }[];
}

/** containerd's images in Cleat's namespace. */
export class CtrImages {
  readonly #ctr: Ctr;
  readonly #snapshotter: (signal: AbortSignal) => Promise<string>;
  /** By digest; what a digest stands for does not change. */
  readonly #known = new Map<string, LocalImage>();

  constructor(ctr: Ctr, snapshotter: (signal: AbortSignal) => Promise<string>) {
    this.#ctr = ctr;
    this.#snapshotter = snapshotter;
  }

  async find(image: string, signal: AbortSignal): Promise<LocalImage | undefined> {
    const name = canonicalReference(image);
    const listed = await this.#ctr.run(['images', 'ls', `name==${name}`], signal);
    const row = listed.split('\n').slice(1).map((line) => line.split(/\s+/)).find(([ref]) => ref === name);
    const digest = row?.find((word) => /^sha256:[0-9a-f]{64}$/.test(word));
    if (digest === undefined) return undefined;
    const known = this.#known.get(digest);
    if (known) return known;
    const found = await this.#read(image, digest, signal);
    this.#known.set(digest, found);
    return found;
  }

  /** Like `find`, but rejects with `NotFound`. */
  async get(image: string, signal: AbortSignal): Promise<LocalImage> {
    const found = await this.find(image, signal);
    if (!found) throw new StatusError('NotFound', `image ${image} not found`);
    return found;
  }

  async pull(image: string, auth: RegistryAuth | undefined, signal: AbortSignal): Promise<string> {
    const mirrors = await access(hostsDir).then(() => ['--hosts-dir', hostsDir], () => []);
    const user = auth ? ['--user', `${auth.username}:${auth.password}`] : [];
    try {
      await this.#ctr.run(['images', 'pull', '--snapshotter', await this.#snapshotter(signal), ...mirrors, ...user, canonicalReference(image)], signal, pullMs);
    } catch (error) {
      if (!isStatus(error) || !/no match for platform/.test(error.message)) throw error;
      throw new StatusError('Invalid', `wrong architecture: image ${image} has nothing for this host, which is linux/${imageArchitecture()}; build or choose an image for it`, { cause: error });
    }
    return (await this.get(image, signal)).id;
  }

  async load(archivePath: string, signal: AbortSignal): Promise<string[]> {
    const output = await this.#ctr.run(['images', 'import', '--snapshotter', await this.#snapshotter(signal), archivePath], signal, pullMs);
    return [...output.matchAll(/^unpacking (\S+)/gm)].map((match) => match[1] ?? '');
  }

  async #read(image: string, digest: string, signal: AbortSignal): Promise<LocalImage> {
    let manifest = await this.#content<Manifest>(digest, signal);
    if (manifest.manifests) {
      const forLinux = manifest.manifests.filter(({ platform }) => (platform?.os ?? 'linux') === 'linux');
      const own = forLinux.find(({ platform }) => (platform?.architecture ?? imageArchitecture()) === imageArchitecture());
      if (!own) throw new StatusError('Invalid', wrongArchitecture(image, forLinux.map(({ platform }) => platform?.architecture ?? '')) ?? `image ${image} has nothing for Linux`);
      manifest = await this.#content<Manifest>(own.digest, signal);
    }
    const id = manifest.config?.digest;
    if (id === undefined) throw new StatusError('Invalid', `image ${image} has no configuration`);
    const { architecture, config, rootfs } = await this.#content<{ architecture?: string; config?: ImageConfig; rootfs?: { diff_ids?: readonly string[] } }>(id, signal);
    const wrong = wrongArchitecture(image, architecture === undefined ? [] : [architecture]);
    if (wrong !== undefined) throw new StatusError('Invalid', wrong);
    return { id, digest, config: config ?? {}, chainId: chainIdOf(rootfs?.diff_ids ?? []) };
  }

  async #content<T>(digest: string, signal: AbortSignal): Promise<T> {
    const text = await this.#ctr.run(['content', 'get', digest], signal);
    try {
      return JSON.parse(text) as T;
    } catch (error) {
      throw new StatusError('Invalid', `${digest} is no image description`, { cause: error });
    }
  }
}

/** Source: https://github.com/opencontainers/image-spec/blob/main/config.md#layer-chainid */
export function chainIdOf(diffIds: readonly string[]): string {
  return diffIds.slice(1).reduce((chain, id) => `sha256:${createHash('sha256').update(`${chain} ${id}`).digest('hex')}`, diffIds[0] ?? '');
}

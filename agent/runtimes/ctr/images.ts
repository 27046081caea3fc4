import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { LayerName } from '#common/archive-parts.ts';
import { isStatus, messageOf, StatusError } from '#common/errors.ts';
import { openCommand } from '#common/exec.ts';
import type { ContainerdStore } from '../containerd/store.ts';
import { importArchive, itself, receiveArchive } from '../containerd/archives.ts';
import { architecturesOf, imageArchitecture, madeFor, nothingForThisHost, runsHere, saysNothingMatches, wrongArchitecture } from '../image-architecture.ts';
import { canonicalReference } from '../image-reference.ts';
import type { ImageConfig } from '../sandbox/oci-types.ts';
import type { HeldLayer, ListedImage, PulledImage, PullOptions } from '../types.ts';
import { fromCtr, type Ctr } from '../containerd/ctr.ts';
import { parseImages } from './image-table.ts';
import { PullTable, type PullRow } from './pull-table.ts';

/** Where an administrator puts mirrors and certificates of registries, for every tool that speaks containerd's way. */
const usualHostsDir = '/etc/containerd/certs.d';
const maxWords = 4000;
/** What came must not fill it for a day. */
const diskIsFull = /no space left|disk quota/i;

/** What is known of an image that is here. */
export interface LocalImage {
  /** Digest of its configuration. */
  readonly id: string;
  /** Digest of what its name stands for. */
  readonly digest: string;
  readonly config: ImageConfig;
  /** Name of the snapshot that its layers make. */
  readonly chainId: string;
  /** Of its layers as they were pulled. */
  readonly sizeBytes: number;
  /** See `PulledImage`. */
  readonly architectures?: readonly string[];
}

interface Manifest {
  readonly config?: { readonly digest: string };
  readonly layers?: readonly { readonly size: number }[];
  readonly manifests?: readonly { readonly digest: string; readonly platform?: { readonly architecture?: string; readonly os?: string } }[];
}

/** containerd's images in Cleat's namespace. */
export class CtrImages {
  readonly #ctr: Ctr;
  readonly #snapshotter: (signal: AbortSignal) => Promise<string>;
  readonly #hostsDir: string | undefined;
  readonly #launcher: readonly string[];
  #store: ContainerdStore | undefined;
  /** By digest; what a digest stands for does not change. */
  readonly #known = new Map<string, LocalImage>();
  /** Digests by names, while changes are heard of: to ask takes a command. A map's successor knows nothing that was asked before. */
  #names: Map<string, string> | undefined;

  /** `launcher` runs what speaks to registries: ctr does that itself, not its containerd. */
  constructor(ctr: Ctr, snapshotter: (signal: AbortSignal) => Promise<string>, hostsDir: string | undefined, launcher: readonly string[] = []) {
    this.#ctr = ctr;
    this.#launcher = launcher;
    this.#snapshotter = snapshotter;
    this.#hostsDir = hostsDir;
  }

  /** Something of the images here may have changed. `isHeard`: whatever changes from now on will be told, too. */
  changed(isHeard = this.#names !== undefined): void {
    this.#names = isHeard ? new Map() : undefined;
  }

  async list(signal: AbortSignal): Promise<readonly ListedImage[]> {
    return parseImages(await this.#ctr.run(['images', 'ls'], signal));
  }

  async find(image: string, signal: AbortSignal): Promise<LocalImage | undefined> {
    const digest = await this.#digestOf(image, signal);
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

  async pull(image: string, { auth, progress }: PullOptions, signal: AbortSignal): Promise<PulledImage> {
    const hostsDir = await this.#hosts();
    const user = auth?.identityToken !== undefined ? ['--refresh', auth.identityToken] : auth ? ['--user', `${auth.username}:${auth.password}`] : [];
    const table = new PullTable();
    const lease = await this.#hold(image);
    let isOver = true;
    try {
      await this.#follow(['images', 'pull', ...await itself('pull', signal), '--snapshotter', await this.#snapshotter(signal), ...(hostsDir === undefined ? [] : ['--hosts-dir', hostsDir]), ...user, canonicalReference(image)], signal, (line) => {
        const changed = table.read(line);
        if (changed && lease !== undefined) void this.#keep(lease, changed);
        if (changed || line.includes('downloading')) progress?.(table.sum());
      }).finally(() => { this.changed(); });
      return await this.#checked(image, signal);
    } catch (error) {
      isOver = isStatus(error, 'NotFound', 'Invalid') || diskIsFull.test(messageOf(error));
      if (!isStatus(error) || !saysNothingMatches.test(error.message)) throw error;
      isOver = true;
      const has = await this.#offered(image, signal);
      await this.remove([canonicalReference(image)], signal);
      throw nothingForThisHost(image, has, error);
    } finally {
      if (lease !== undefined && isOver) await this.#quietly(async () => { await (await this.#contents()).release(lease); });
    }
  }

  /** ctr lets go of what a pull brought when that fails: a lease of ours is for the next one. */
  #hold(image: string): Promise<string | undefined> {
    return this.#quietly(async () => (await this.#contents()).hold(canonicalReference(image), Date.now()));
  }

  async #keep(lease: string, { ref, digest, isThere }: PullRow): Promise<void> {
    await this.#quietly(async () => { await (await this.#contents()).add(lease, isThere ? 'content' : 'ingests', isThere ? digest : ref); });
  }

  async #contents(): Promise<ContainerdStore> {
    const { ContainerdStore: Loaded } = await import('../containerd/store.ts');
    return this.#store ??= new Loaded(this.#ctr.endpoint, this.#ctr.namespace);
  }

  /** Without it a pull that breaks off begins anew, and that is all. */
  async #quietly<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch {
      return undefined;
    }
  }

  /** What is said to Cleat comes before what is said to all tools of the host. */
  async #hosts(): Promise<string | undefined> {
    for (const folder of [this.#hostsDir, usualHostsDir]) if (folder !== undefined && (await readdir(folder).catch(() => [])).length > 0) return folder;
    return undefined;
  }

  async load(archive: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<string[]> {
    const names = await importArchive(this.#ctr.arguments([]), ['--snapshotter', await this.#snapshotter(signal)], archive, signal).finally(() => { this.changed(); });
    for (const name of names) await this.#checked(name, signal);
    return names;
  }

  async held(images: readonly (readonly LayerName[])[]): Promise<ReadonlyMap<string, HeldLayer>> {
    const { heldLayers } = await import('../containerd/held-layers.ts');
    return heldLayers(await this.#contents(), images);
  }

  save(image: string, signal: AbortSignal): AsyncIterable<Uint8Array> {
    return receiveArchive(this.#ctr.arguments(['images', 'export', '-', canonicalReference(image)]), signal);
  }

  async remove(names: readonly string[], signal: AbortSignal): Promise<void> {
    if (names.length === 0) return;
    try {
      await this.#ctr.run(['images', 'rm', '--sync', ...names], signal);
    } catch (error) {
      if (!isStatus(error, 'NotFound')) throw error;
    } finally {
      this.changed();
    }
  }

  /** containerd takes an image for another kind of host without a word where it has no index. */
  async #checked(image: string, signal: AbortSignal): Promise<PulledImage> {
    try {
      const { id, sizeBytes, architectures } = await this.get(image, signal);
      return { id, sizeBytes, ...(architectures && { architectures }) };
    } catch (error) {
      if (isStatus(error, 'Invalid')) await this.remove([canonicalReference(image)], signal);
      throw error;
    }
  }

  async #offered(image: string, signal: AbortSignal): Promise<string[]> {
    const digest = await this.#digestOf(image, signal);
    return digest === undefined ? [] : this.#content(digest, signal).then(architecturesOf, () => []);
  }

  async #digestOf(image: string, signal: AbortSignal): Promise<string | undefined> {
    const name = canonicalReference(image);
    const names = this.#names;
    const known = names?.get(name);
    if (known !== undefined) return known;
    const listed = await this.#ctr.run(['images', 'ls', `name==${name}`], signal);
    const row = listed.split('\n').slice(1).map((line) => line.split(/\s+/)).find(([ref]) => ref === name);
    const digest = row?.find((word) => /^sha256:[0-9a-f]{64}$/.test(word));
    if (digest !== undefined) names?.set(name, digest);
    return digest;
  }

  /** Hands on each line that the command says, until it ends. */
  async #follow(args: readonly string[], signal: AbortSignal, heard: (line: string) => void): Promise<void> {
    signal.throwIfAborted();
    const [program = 'ctr', ...rest] = [...this.#launcher, 'ctr', ...this.#ctr.arguments(args)];
    const command = openCommand(program, rest);
    const stop = (): void => { command.kill(); };
    signal.addEventListener('abort', stop, { once: true });
    let words = '';
    command.stderr.on('data', (chunk: Buffer) => { words = (words + chunk.toString()).slice(-maxWords); });
    createInterface({ input: command.stdout }).on('line', heard);
    try {
      const exitCode = await command.ended;
      signal.throwIfAborted();
      if (exitCode !== 0) throw fromCtr(this.#ctr.endpoint, words);
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  async #read(image: string, digest: string, signal: AbortSignal): Promise<LocalImage> {
    let manifest = await this.#content<Manifest>(digest, signal);
    const index = manifest;
    if (manifest.manifests) {
      const forLinux = manifest.manifests.filter(({ platform }) => (platform?.os ?? 'linux') === 'linux');
      const fits = (test: (architecture: string) => boolean): { readonly digest: string } | undefined => forLinux.find(({ platform }) => test(platform?.architecture ?? imageArchitecture()));
      const own = fits((architecture) => architecture === imageArchitecture()) ?? fits(runsHere);
      if (!own) throw wrongArchitecture(image, architecturesOf(manifest)) ?? new StatusError('Invalid', `image ${image} has nothing for Linux`);
      manifest = await this.#content<Manifest>(own.digest, signal);
    }
    const id = manifest.config?.digest;
    if (id === undefined) throw new StatusError('Invalid', `image ${image} has no configuration`);
    const { architecture, config, rootfs } = await this.#content<{ architecture?: string; config?: ImageConfig; rootfs?: { diff_ids?: readonly string[] } }>(id, signal);
    const wrong = wrongArchitecture(image, architecture === undefined ? [] : [architecture]);
    if (wrong) throw wrong;
    return { id, digest, config: config ?? {}, chainId: chainIdOf(rootfs?.diff_ids ?? []), sizeBytes: (manifest.layers ?? []).reduce((total, { size }) => total + size, 0), ...madeFor(index, architecture === undefined ? [] : [architecture]) };
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
